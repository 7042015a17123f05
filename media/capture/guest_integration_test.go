//go:build integration && linux

package capture

import (
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
)

// Cameras as the kernel has them: its driver vivid, which behaves like several and
// has no hardware, and uvcvideo, that of webcams on USB, with one that the tests
// play. What is checked is in camera_guest_test.go and uvc_guest_test.go.
func TestIntegrationCamera(t *testing.T) {
	lab.RunGuest(t, lab.GuestConfig{
		// A webcam with a node for metadata; one whose planes lie apart, which we
		// cannot read; an HDMI input that scales, and one that does not.
		Modules: []string{"vivid n_devs=4 multiplanar=1,2,1,1 num_inputs=1,1,1,1 input_types=0,0,3,3 node_types=0x20001,1,1,1 ccs_cap_mode=-1,-1,-1,0",
			"vhci_hcd", "uvcvideo"},
		Timeout: 4 * time.Minute,
	})
}
