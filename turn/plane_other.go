//go:build !linux

package turn

import "time"

// newDataPlane returns nil: pion forwards here.
func newDataPlane(int, time.Duration) (dataPlane, error) { return nil, nil }
