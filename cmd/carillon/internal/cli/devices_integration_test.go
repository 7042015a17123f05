//go:build integration && linux

package cli

import (
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
)

// What is checked is in devices_guest_test.go.
func TestIntegrationDevices(t *testing.T) {
	lab.RunGuest(t, lab.GuestConfig{
		Modules: []string{"vivid n_devs=2 num_inputs=1,1 input_types=0,0 node_types=1,1"},
		Timeout: 4 * time.Minute,
	})
}
