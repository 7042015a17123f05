//go:build integration && linux

package capture

import (
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
)

// Cameras as the kernel has them: its driver vivid, which behaves like a webcam
// and has no hardware. What is checked is in camera_guest_test.go.
func TestIntegrationCamera(t *testing.T) {
	lab.RunGuest(t, lab.GuestConfig{
		Package: ".",
		// One camera with a node for metadata besides; one that only has interlaced
		// pictures in planes apart; one that is an HDMI input, of any size.
		Modules: []string{"vivid n_devs=3 multiplanar=1,2,1 num_inputs=1,1,1 input_types=0,0,3 node_types=0x20001,0x1,0x1"},
		Timeout: 2 * time.Minute,
	})
}
