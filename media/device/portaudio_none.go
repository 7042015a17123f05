//go:build !native || !cgo

package device

// portAudio is nil: PortAudio comes with -tags native.
func portAudio() backend { return nil }
