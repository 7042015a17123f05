package video

import "errors"

// ErrBitstream is wrapped by errors about coded pictures that are malformed.
var ErrBitstream = errors.New("malformed picture")

// KeyFrame reports whether a coded picture needs none before it, for the codecs
// where that is seen without decoding: VP8, VP9, AV1 and H.264.
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
	case codec == "AV1":
		info, err := readAV1(b)
		return err == nil && info.key
	case codec == "H264":
		return keyH264(b)
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
