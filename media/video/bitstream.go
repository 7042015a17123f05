package video

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// What is looked at before a library of C sees it: how large a picture wants to
// be, which is what makes a decoder allocate.

// ErrBitstream is wrapped by errors about coded pictures that are malformed.
var ErrBitstream = errors.New("malformed picture")

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

// KeyFrame reports whether a coded picture needs none before it, for the codecs
// where that is seen in the first bytes: VP8 and VP9.
func KeyFrame(codec string, b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case codec == "VP8":
		return b[0]&1 == 0
	case codec == "VP9":
		r := bits{b: b}
		h := readVP9(&r)
		return r.ok() && h.key
	}
	return false
}

// bits reads big-endian bits.
type bits struct {
	b []byte
	n int // bits read
}

func (r *bits) read(n int) (v uint32) {
	for range n {
		v <<= 1
		if i := r.n / 8; i < len(r.b) {
			v |= uint32(r.b[i]>>(7-r.n%8)) & 1
		}
		r.n++
	}
	return v
}

func (r *bits) flag() bool { return r.read(1) == 1 }

// ok reports whether there was all that was read.
func (r *bits) ok() bool { return r.n <= 8*len(r.b) }

// vp9Header is how the uncompressed header of a VP9 frame begins.
type vp9Header struct {
	valid    bool // marker and sync code are as they have to be
	existing bool // shows a picture that is there already
	key      bool
	w, h     int // zero: those of a picture before
}

// readVP9 reads a header up to the size. VP9 bitstream specification §6.2
func readVP9(r *bits) (h vp9Header) {
	if r.read(2) != 2 {
		return h
	}
	profile := r.read(1) | r.read(1)<<1
	if profile == 3 {
		r.read(1)
	}
	if r.flag() {
		h.existing, h.valid = true, true
		return h
	}
	h.key = r.read(1) == 0
	shown := r.flag()
	resilient := r.flag()
	size := func() { h.w, h.h = int(r.read(16))+1, int(r.read(16))+1 }
	sync := func() bool { return r.read(24) == 0x498342 }
	if h.key {
		if !sync() {
			return h
		}
		readVP9Colour(r, profile)
		size()
		h.valid = true
		return h
	}
	intraOnly := !shown && r.flag()
	if !resilient {
		r.read(2)
	}
	if intraOnly {
		if !sync() {
			return h
		}
		if profile > 0 {
			readVP9Colour(r, profile)
		}
		r.read(8)
		size()
		h.valid = true
		return h
	}
	r.read(8 + 3*4)
	for range 3 {
		if r.flag() { // as large as that reference
			h.valid = true
			return h
		}
	}
	size()
	h.valid = true
	return h
}

func readVP9Colour(r *bits, profile uint32) {
	if profile >= 2 {
		r.read(1) // 10 or 12 bit
	}
	const rgb = 7
	if r.read(3) != rgb {
		r.read(1) // range
		if profile&1 == 1 {
			r.read(3)
		}
	} else if profile&1 == 1 {
		r.read(1)
	}
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
