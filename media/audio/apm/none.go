//go:build !native || !cgo

package apm

import "time"

// Available reports whether New works in this build.
const Available = false

// A Processor is what New does not return in this build.
type Processor struct{}

// New returns ErrUnsupported.
func New(Config) (*Processor, error) { return nil, ErrUnsupported }

// Render does nothing.
func (*Processor) Render([]int16) error { return nil }

// Capture does nothing.
func (*Processor) Capture([]int16, time.Duration) error { return nil }

// Close does nothing.
func (*Processor) Close() error { return nil }
