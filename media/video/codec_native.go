//go:build native && cgo

package video

import (
	"slices"
	"strconv"
	"sync"
	"unsafe"
)

// Implementation names the codecs this program was built with.
var Implementation = libVPX() + ", " + libAV1() + ", " + openH264()

// Payload types that we offer; the peer's count when it offers.
const (
	payloadVP8  = 96
	payloadVP9  = 98
	payloadAV1  = 100
	payloadH264 = 102
)

// VP9 needs half as much again of the processor as VP8 for the same picture,
// and a third less of the path: on the paths that calls are short of, the path
// counts, but on a shared core the call does. VP8 is what every client has. AV1
// needs twice as much of the processor as VP8 and the least of the path: it is for
// those who ask for it, on either side. H.264 is for those that have nothing else:
// it needs more of the path than VP8.
func codecs() []Codec {
	all := []Codec{
		{
			Name: "VP8", PayloadType: payloadVP8,
			NewEncoder: func(o EncoderOptions) (Encoder, error) { return newVPXEncoder(vp8, o) },
			NewDecoder: func() (Decoder, error) { return newVPXDecoder(vp8) },
		},
		{
			Name: "VP9", PayloadType: payloadVP9, Parameters: []Parameter{{"profile-id", "0"}},
			NewEncoder: func(o EncoderOptions) (Encoder, error) { return newVPXEncoder(vp9, o) },
			NewDecoder: func() (Decoder, error) { return newVPXDecoder(vp9) },
		},
		{
			Name: "AV1", PayloadType: payloadAV1, Parameters: []Parameter{
				{"profile", strconv.Itoa(av1Profile)}, {"level-idx", strconv.Itoa(av1Level)}, {"tier", strconv.Itoa(av1Tier)},
			},
			Fits:       av1Fits,
			Follows:    true,
			NewEncoder: func(o EncoderOptions) (Encoder, error) { return newAV1Encoder(o) },
			NewDecoder: func() (Decoder, error) { return newAV1Decoder() },
		},
		{
			// Constrained baseline, level 3.1: 1280x720, 30 times a second. Each
			// side may send another level than it takes. RFC 6184 §8.1
			Name: "H264", PayloadType: payloadH264, Parameters: []Parameter{
				{"level-asymmetry-allowed", "1"}, {"packetization-mode", "1"}, {"profile-level-id", "42e01f"},
			},
			Fits:       h264Fits,
			NewEncoder: func(o EncoderOptions) (Encoder, error) { return newH264Encoder(o) },
			NewDecoder: func() (Decoder, error) { return newH264Decoder() },
		},
	}
	return slices.DeleteFunc(all, func(c Codec) bool { return c.Name == "AV1" && !av1Works() })
}

// av1Works tries once: libaom may have been built without its encoder, or for
// another use than real time.
var av1Works = sync.OnceValue(func() bool {
	return works(func(o EncoderOptions) (Encoder, error) { return newAV1Encoder(o) }, func() (Decoder, error) { return newAV1Decoder() })
})

// works reports whether there is a picture at the other end of a codec.
func works(enc func(EncoderOptions) (Encoder, error), dec func() (Decoder, error)) bool {
	const side = 16
	e, err := enc(EncoderOptions{Width: side, Height: side, Bitrate: 100_000})
	if err != nil {
		return false
	}
	defer e.Close()
	d, err := dec()
	if err != nil {
		return false
	}
	defer d.Close()
	data, _, err := e.Encode(nil, NewImage(side, side), 0, true)
	if err != nil {
		return false
	}
	m, err := d.Decode(data)
	return err == nil && m != nil
}

// copyFromC copies a plane of a decoder's into ours.
func copyFromC(dst []byte, stride int, plane unsafe.Pointer, from, w, h int) {
	src := unsafe.Slice((*byte)(plane), from*(h-1)+w)
	for y := range h {
		copy(dst[y*stride:y*stride+w], src[y*from:])
	}
}
