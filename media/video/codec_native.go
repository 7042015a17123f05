//go:build native && cgo

package video

import (
	"fmt"
	"image"
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

// A pictureSize is that of the pictures which an encoder takes.
type pictureSize struct{ w, h int }

// accept reports why a picture cannot be coded.
func (s pictureSize) accept(m *image.YCbCr, open bool) error {
	if err := (Frame{Image: m}).Check(); err != nil {
		return err
	}
	if !open || m.Rect.Dx() != s.w || m.Rect.Dy() != s.h {
		return fmt.Errorf("video: %w: %v instead of %dx%d", ErrFrame, m.Rect.Size(), s.w, s.h)
	}
	return nil
}

// pictureFromC copies planes of 4:2:0 that a library keeps, into old if that has
// the size. ys and cs are the bytes of a row of luma and of chroma.
func pictureFromC(old *image.YCbCr, w, h int, planes [3]unsafe.Pointer, ys, cs int) (*image.YCbCr, error) {
	if err := CheckSize(w, h); err != nil {
		return nil, err
	}
	if old == nil || old.Rect.Dx() != w || old.Rect.Dy() != h {
		old = image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	}
	copyFromC(old.Y, old.YStride, planes[0], ys, w, h)
	copyFromC(old.Cb, old.CStride, planes[1], cs, (w+1)/2, (h+1)/2)
	copyFromC(old.Cr, old.CStride, planes[2], cs, (w+1)/2, (h+1)/2)
	return old, nil
}

// copyFromC copies a plane of a decoder's into ours.
func copyFromC(dst []byte, stride int, plane unsafe.Pointer, from, w, h int) {
	src := unsafe.Slice((*byte)(plane), from*(h-1)+w)
	for y := range h {
		copy(dst[y*stride:y*stride+w], src[y*from:])
	}
}
