// Package videotest helps to test what carries pictures, without a library of C
// and with little work: a codec that carries the code of a test pattern, and a
// sink that reads it.
package videotest

import (
	"encoding/binary"
	"errors"
	"image"
	"time"

	"github.com/carillon-im/carillon/media/video"
)

// Codec is called VP8 and carries the code of a test pattern and nothing else,
// padded to the bit rate, and next to nothing when the code is that of the
// picture before. It is as strict as a real one: a picture whose predecessor is
// missing is an error.
func Codec() video.Codec {
	return video.Codec{
		Name: "VP8", PayloadType: 96,
		NewEncoder: func(o video.EncoderOptions) (video.Encoder, error) { return &encoder{EncoderOptions: o}, nil },
		NewDecoder: func() (video.Decoder, error) { return &decoder{}, nil },
	}
}

const (
	header = 16 // flags, 3 unused, width, height, count, number, millis
	still  = 60 // bytes of a picture like the one before
)

type encoder struct {
	video.EncoderOptions
	count uint16
	last  video.Code
}

func (e *encoder) Encode(dst []byte, m *image.YCbCr, _ time.Duration, key bool) ([]byte, bool, error) {
	if m.Rect.Dx() != e.Width || m.Rect.Dy() != e.Height {
		return dst, false, errors.New("another size")
	}
	key = key || e.count == 0
	c, _ := video.ReadCode(m)
	size := max(int(float64(e.Bitrate)/8/e.FPS), header)
	switch {
	case key:
		size *= 3
	case c == e.last:
		size = still
	}
	e.last = c
	b := make([]byte, size)
	if !key {
		b[0] = 1
	}
	binary.BigEndian.PutUint16(b[4:], uint16(m.Rect.Dx()))
	binary.BigEndian.PutUint16(b[6:], uint16(m.Rect.Dy()))
	binary.BigEndian.PutUint16(b[8:], e.count)
	binary.BigEndian.PutUint16(b[10:], c.Number)
	binary.BigEndian.PutUint32(b[12:], c.Millis)
	e.count++
	return append(dst, b...), key, nil
}

func (e *encoder) SetBitrate(bps int, fps float64) error {
	e.Bitrate, e.FPS = bps, fps
	return nil
}
func (e *encoder) Close() error { return nil }

type decoder struct {
	next  uint16
	begun bool
	image *image.YCbCr
}

func (d *decoder) Decode(b []byte) (*image.YCbCr, error) {
	if len(b) < header {
		return nil, errors.New("short")
	}
	n := binary.BigEndian.Uint16(b[8:])
	if b[0]&1 == 1 && (!d.begun || n != d.next) {
		return nil, errors.New("the picture before is missing")
	}
	d.next, d.begun = n+1, true
	w, h := int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:]))
	if d.image == nil || d.image.Rect.Dx() != w || d.image.Rect.Dy() != h {
		d.image = video.NewImage(w, h)
	}
	video.DrawCode(d.image, video.Code{Number: binary.BigEndian.Uint16(b[10:]), Millis: binary.BigEndian.Uint32(b[12:])})
	return d.image, nil
}
func (d *decoder) Close() error { return nil }
