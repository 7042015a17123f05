//go:build native && cgo

package video

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// What is looked at before a library of C sees it: how large a picture wants to
// be, which is what makes a decoder allocate.

// checkVP8 reads the header of a VP8 frame. RFC 6386 §9.1
func checkVP8(b []byte) error {
	if len(b) < 3 {
		return fmt.Errorf("VP8: %w", ErrBitstream)
	}
	if b[0]&1 != 0 { // needs others before it, and has their size
		return nil
	}
	if len(b) < 10 || b[3] != 0x9d || b[4] != 0x01 || b[5] != 0x2a {
		return fmt.Errorf("VP8: %w", ErrBitstream)
	}
	const size = 1<<14 - 1 // above is how to scale
	return CheckSize(int(binary.LittleEndian.Uint16(b[6:])&size), int(binary.LittleEndian.Uint16(b[8:])&size))
}

// checkVP9 reads the header of one VP9 frame.
func checkVP9(b []byte) error {
	r := bits{b: b}
	h := readVP9(&r)
	if !h.valid || !r.ok() {
		return fmt.Errorf("VP9: %w", ErrBitstream)
	}
	if h.w == 0 {
		return nil
	}
	return CheckSize(h.w, h.h)
}

// vp9Frames takes a superframe apart. VP9 bitstream specification, annex B
func vp9Frames(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		sizes := vp9Index(b)
		if sizes == nil {
			yield(b)
			return
		}
		for _, n := range sizes {
			if n > len(b) {
				return
			}
			if n > 0 && !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// vp9Index reads the sizes at the end of a superframe, nil if it is none.
func vp9Index(b []byte) []int {
	if len(b) == 0 {
		return nil
	}
	marker := b[len(b)-1]
	if marker>>5 != 0b110 {
		return nil
	}
	frames, width := int(marker&7)+1, int(marker>>3&3)+1
	n := 2 + frames*width
	if len(b) < n || b[len(b)-n] != marker {
		return nil
	}
	index := b[len(b)-n+1:]
	sizes := make([]int, frames)
	for i := range sizes {
		for j := range width {
			sizes[i] |= int(index[i*width+j]) << (8 * j)
		}
	}
	return sizes
}

// appendVP9Index says that there is one frame of n bytes.
func appendVP9Index(b []byte, n int) []byte {
	const marker = 0b110<<5 | 3<<3
	b = append(b, marker)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return append(b, marker)
}
