//go:build !linux

package turn

import "time"

// newDataPlane returns nil: goroutines forward here.
func newDataPlane(*Server, int, time.Duration) (dataPlane, error) { return nil, nil }

// A listenerSock is a socket of a data plane.
type listenerSock struct{}
