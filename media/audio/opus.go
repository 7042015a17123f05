package audio

import (
	"fmt"
	"slices"
)

const (
	maxOpusPacket  = 1275 + 1 // one frame and its TOC; RFC 6716 §3.4 [R2]
	maxOpusPayload = 4 * 1024 // what is taken from the network
	maxOpusSamples = 5760     // 120 ms; RFC 6716 §3.4 [R5]
	opusDTXSize    = 2        // a packet this small needs not be sent; RFC 7587 §3.1.3
)

// opusSamples is how many samples at 48 kHz a packet covers. RFC 6716 §3.1, §3.2
func opusSamples(p []byte) (int, error) {
	if len(p) == 0 || len(p) > maxOpusPayload {
		return 0, fmt.Errorf("%w: Opus of %d bytes", ErrPayload, len(p))
	}
	frames := 1
	switch p[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(p) < 2 {
			return 0, fmt.Errorf("%w: Opus packet without frame count", ErrPayload)
		}
		frames = int(p[1] & 0x3f)
	}
	n := frames * opusFrameSamples(p[0])
	if n == 0 || n > maxOpusSamples {
		return 0, fmt.Errorf("%w: Opus packet of %d samples", ErrPayload, n)
	}
	return n, nil
}

// opusFrameSamples is the length of each frame of a packet at 48 kHz. RFC 6716 §3.1
func opusFrameSamples(toc byte) int {
	config := toc >> 3
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		return [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return 480 << (config & 1)
	}
	return 120 << (config & 3) // CELT: 2.5, 5, 10, 20 ms
}

// opusHasFEC says whether a packet carries a low-bitrate copy of the frame
// before it: the LBRR flag, which follows the VAD flags of the first SILK frame
// and costs exactly one bit each. RFC 6716 §4.2.3
func opusHasFEC(p []byte) bool {
	if _, err := opusSamples(p); err != nil || p[0]>>3 >= 16 {
		return false // CELT has none
	}
	first := opusFirstFrame(p)
	if len(first) < 2 {
		return false
	}
	silkFrames := max(1, opusFrameSamples(p[0])/FrameSize) // of 20 ms, or one of 10
	flags := silkFrames + 1
	if p[0]&4 == 0 { // mono
		return first[0]>>(8-flags)&1 == 1
	}
	return first[0]>>(8-flags)&1 == 1 || first[0]>>(8-2*flags)&1 == 1
}

// opusFirstFrame is the first compressed frame of a packet, nil if the framing
// is broken. RFC 6716 §3.2
func opusFirstFrame(p []byte) []byte {
	rest := p[1:]
	switch p[0] & 3 {
	case 0:
		return rest
	case 1:
		return rest[:len(rest)/2]
	case 2:
		n, skip := opusLength(rest)
		if skip == 0 || skip+n > len(rest) {
			return nil
		}
		return rest[skip : skip+n]
	}
	if len(rest) < 1 {
		return nil
	}
	count := rest[0]
	rest = rest[1:]
	if count&0x40 != 0 { // padding
		pad := 0
		for {
			if len(rest) == 0 {
				return nil
			}
			b := int(rest[0])
			rest = rest[1:]
			if b < 255 {
				pad += b
				break
			}
			pad += 254
		}
		if pad > len(rest) {
			return nil
		}
		rest = rest[:len(rest)-pad]
	}
	frames := int(count & 0x3f)
	if count&0x80 == 0 || frames == 1 { // CBR
		return rest[:len(rest)/max(frames, 1)]
	}
	size := 0
	for i := range frames - 1 {
		n, skip := opusLength(rest)
		if skip == 0 {
			return nil
		}
		if i == 0 {
			size = n
		}
		rest = rest[skip:]
	}
	if size > len(rest) {
		return nil
	}
	return rest[:size]
}

// opusLength reads a frame length of one or two bytes; skip is 0 if there is none.
func opusLength(p []byte) (n, skip int) {
	switch {
	case len(p) == 0:
		return 0, 0
	case p[0] < 252:
		return int(p[0]), 1
	case len(p) == 1:
		return 0, 0
	}
	return int(p[1])*4 + int(p[0]), 2
}

// grow returns dst with n more samples, and those.
func grow(dst Frame, n int) (all, added Frame) {
	k := len(dst)
	dst = slices.Grow(dst, n)[:k+n]
	return dst, dst[k:]
}
