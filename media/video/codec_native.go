//go:build native && cgo

package video

import "unsafe"

// Implementation names the codecs this program was built with.
var Implementation = libVPX() + ", " + openH264()

// Payload types that we offer; the peer's count when it offers.
const (
	payloadVP8  = 96
	payloadVP9  = 98
	payloadH264 = 102
)

// VP9 needs half as much again of the processor as VP8 for the same picture,
// and a third less of the path: on the paths that calls are short of, the path
// counts, but on a shared core the call does. VP8 is what every client has. H.264
// is for those that have nothing else: it needs more of the path than VP8.
func codecs() []Codec {
	return []Codec{
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
}

// copyFromC copies a plane of a decoder's into ours.
func copyFromC(dst []byte, stride int, plane unsafe.Pointer, from, w, h int) {
	src := unsafe.Slice((*byte)(plane), from*(h-1)+w)
	for y := range h {
		copy(dst[y*stride:y*stride+w], src[y*from:])
	}
}
