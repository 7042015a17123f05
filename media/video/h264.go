package video

import (
	"bytes"
	"iter"
)

// H.264 as calls carry it: the constrained baseline profile, in a byte stream.
// ITU-T H.264 annexes A.2.1.1 and B

// What a unit of the byte stream holds. ITU-T H.264 table 7-1
const (
	nalSlice = 1
	nalIDR   = 5 // a slice of a picture that needs none before it
	nalSPS   = 7
	nalPPS   = 8
)

func nalType(unit []byte) byte { return unit[0] & 31 }

// nalUnits takes a byte stream apart. ITU-T H.264 annex B
func nalUnits(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start := []byte{0, 0, 1}
		_, b, _ := bytes.Cut(b, start)
		for len(b) > 0 {
			var unit []byte
			unit, b, _ = bytes.Cut(b, start)
			if unit = bytes.TrimRight(unit, "\x00"); len(unit) > 0 && !yield(unit) {
				return
			}
		}
	}
}

func keyH264(b []byte) bool {
	for unit := range nalUnits(b) {
		if nalType(unit) == nalIDR {
			return true
		}
	}
	return false
}
