//go:build native && cgo

package video

// Payload types that we offer; the peer's count when it offers.
const (
	payloadVP8 = 96
	payloadVP9 = 98
)

// VP9 needs half as much again of the processor as VP8 for the same picture,
// and a third less of the path: on the paths that calls are short of, the path
// counts, but on a shared core the call does. VP8 is what every client has.
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
	}
}
