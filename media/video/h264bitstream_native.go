//go:build native && cgo

package video

import (
	"bytes"
	"fmt"
)

// What of H.264 is looked at before a library of C sees it. A peer that keeps to
// what was agreed sends no more than this.
const (
	// maxUnits bounds the units of one picture: slices of one row each, in the
	// highest picture, and what comes with them.
	maxUnits = MaxHeight/16 + 16
	// maxMacroblocks bounds a side before it is multiplied.
	maxMacroblocks = MaxHeight / 16
)

func h264Error(what string) error { return fmt.Errorf("H264: %s: %w", what, ErrBitstream) }

// rbsp is a unit without its first byte and what keeps start codes out of it.
// ITU-T H.264 §7.3.1
func rbsp(unit []byte) *bits {
	return &bits{b: bytes.ReplaceAll(unit[1:], []byte{0, 0, 3}, []byte{0, 0})}
}

// ue reads an Exp-Golomb number; what has more than 16 leading zeros is no
// number that counts anything here. ITU-T H.264 §9.1
func (r *bits) ue() uint32 {
	zeros := 0
	for !r.flag() {
		if zeros++; zeros > 16 {
			r.n = 8*len(r.b) + 1 // not ok any more
			return 0
		}
	}
	return 1<<zeros - 1 + r.read(zeros)
}

// checkSPS reads a sequence parameter set of the baseline profile: how large
// pictures are, and how many are kept. ITU-T H.264 §7.3.2.1.1
func checkSPS(unit []byte) error {
	r := rbsp(unit)
	const baseline = 66
	if r.read(8) != baseline {
		return h264Error("another profile than was agreed")
	}
	r.read(8 + 8) // constraints, level
	if r.ue() > 31 {
		return h264Error("number of a parameter set")
	}
	r.ue() // bits of frame_num
	switch r.ue() {
	case 0:
		r.ue()
	case 1:
		r.read(1)
		r.ue() // signed, but as long
		r.ue()
		n := r.ue()
		if n > 255 {
			return h264Error("order of pictures")
		}
		for range n {
			r.ue()
		}
	case 2:
	default:
		return h264Error("order of pictures")
	}
	const maxReferences = 16
	if r.ue() > maxReferences {
		return h264Error("pictures to be kept")
	}
	r.read(1)
	w, h := r.ue()+1, r.ue()+1
	frames := r.flag()
	if !r.ok() || !frames {
		return h264Error("sequence parameter set")
	}
	if w > maxMacroblocks || h > maxMacroblocks {
		return fmt.Errorf("H264: %w: %dx%d blocks", ErrFrame, w, h)
	}
	// What is not shown of the last blocks is decoded all the same; 15 pixels
	// are no reason to refuse a picture that is as large as may be.
	return CheckSize(int(w)*16-15, int(h)*16-15)
}

// checkPPS reads a picture parameter set: nothing of it is beyond the
// constrained baseline. ITU-T H.264 §7.3.2.2
func checkPPS(unit []byte) error {
	r := rbsp(unit)
	ids := r.ue() > 255 || r.ue() > 31
	arithmetic := r.flag()
	r.read(1)
	groups := r.ue()
	if !r.ok() || ids || arithmetic || groups != 0 {
		return h264Error("picture parameter set")
	}
	return nil
}

// An h264Filter lets through what a decoder is to see of a stream.
type h264Filter struct {
	sps     []byte // the one in use
	needIDR bool   // nothing refers to a picture that is there
	renew   bool   // the decoder has seen another
	out     []byte
}

// take checks one picture and returns the units that matter, valid until the
// next. renew says that it begins a stream of another kind, to which a decoder
// that has seen the one before must not be used.
func (f *h264Filter) take(data []byte) (out []byte, renew bool, err error) {
	f.out = f.out[:0]
	units, sets := 0, 0
	for unit := range nalUnits(data) {
		if units++; units > maxUnits {
			return nil, false, h264Error("more units than a picture has")
		}
		switch nalType(unit) {
		case nalSPS:
			if err := checkSPS(unit); err != nil {
				return nil, false, err
			}
			if bytes.Equal(unit, f.sps) {
				break
			}
			if sets++; sets > 1 {
				return nil, false, h264Error("two sequences in one picture")
			}
			f.renew = f.renew || f.sps != nil
			f.sps, f.needIDR = bytes.Clone(unit), true
			f.out = f.out[:0] // parameter sets of the stream before
		case nalPPS:
			if err := checkPPS(unit); err != nil {
				return nil, false, err
			}
		case nalIDR:
			f.needIDR = false
		case nalSlice:
			if f.needIDR {
				return nil, false, h264Error("no picture to begin with")
			}
		default: // what is about the pictures, and other layers of them
			continue
		}
		if f.sps == nil {
			return nil, false, h264Error("no parameters")
		}
		f.out = append(append(f.out, 0, 0, 0, 1), unit...)
	}
	renew, f.renew = f.renew, false
	return f.out, renew, nil
}
