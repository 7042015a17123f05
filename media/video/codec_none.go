//go:build !native || !cgo

package video

// Implementation names the codecs this program was built with.
const Implementation = "none"

func codecs() []Codec { return nil }
