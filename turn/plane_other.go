//go:build !linux

package turn

import "errors"

// newDataPlane returns nil: goroutines forward here.
func newDataPlane(_ *Server, c *Config) (dataPlane, error) {
	if c.EBPF != "" {
		return nil, errors.New("an eBPF program needs Linux")
	}
	return nil, nil
}

// A listenerSock is a socket of a data plane.
type listenerSock struct{}
