package video

import "fmt"

// AV1 as calls carry it: the main profile, 4:2:0 with 8 bit, in a stream of OBUs.
// AV1 bitstream specification §5.3

// What an OBU holds. AV1 bitstream specification §6.2.2
const (
	obuSequence   = 1
	obuFrame      = 6 // a header and the picture behind it
	obuHeader     = 3
	obuHeaderCopy = 7
)

const (
	// maxOBUs bounds the OBUs of one picture: one for each tile, at most.
	maxOBUs = 512
	// maxFrames bounds the frames of one picture: one is shown, others may be
	// kept for later. What shows a frame that is there costs the peer a byte and
	// the decoder a picture, if it puts grain on it.
	maxFrames = 8
)

// An av1Info is what is known of one picture before it is decoded.
type av1Info struct {
	key    bool // it begins with a frame that needs none before it
	frames int
}

// readAV1 goes through the OBUs of one picture.
func readAV1(b []byte) (info av1Info, err error) {
	malformed := func(what string) (av1Info, error) { return info, fmt.Errorf("AV1: %s: %w", what, ErrBitstream) }
	still := false
	for n := 0; len(b) > 0; n++ {
		if n == maxOBUs {
			return malformed("more OBUs than a picture has")
		}
		head := b[0]
		const forbidden, extended, sized = 0x80, 4, 2
		if head&forbidden != 0 {
			return malformed("header of an OBU")
		}
		b = b[1:]
		if head&extended != 0 {
			if len(b) == 0 {
				return malformed("header of an OBU")
			}
			b = b[1:]
		}
		size := len(b)
		if head&sized != 0 {
			v, k := readLEB128(b)
			if k == 0 || v > uint64(len(b)-k) {
				return malformed("size of an OBU")
			}
			b, size = b[k:], int(v)
		}
		body := b[:size]
		b = b[size:]
		switch head >> 3 & 15 {
		case obuSequence:
			const reduced = 0x08 // behind the profile and still_picture
			still = size > 0 && body[0]&reduced != 0
		case obuFrame, obuHeader:
			if info.frames++; info.frames > maxFrames {
				return malformed("more frames than a picture has")
			}
			if info.frames == 1 && size > 0 {
				// show_existing_frame and frame_type, 0 is a key frame.
				info.key = still || body[0]&0xe0 == 0
			}
		case obuHeaderCopy:
			if info.frames == 0 {
				return malformed("copy of a header that is not there")
			}
		}
	}
	return info, nil
}

// readLEB128 reads a number and how long it is, which is 0 if it is none. AV1
// bitstream specification §4.10.5
func readLEB128(b []byte) (v uint64, n int) {
	for n < min(len(b), 8) {
		v |= uint64(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1]&0x80 == 0 {
			return v, n
		}
	}
	return 0, 0
}
