package media

import (
	"context"
	"encoding/binary"
	"errors"
	"image"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media/video"
)

// fakeCodec is called VP8 and carries the code of a test pattern and nothing
// else, padded to the bit rate: calls can be tested without a library of C. It
// is as strict as a codec: a picture whose predecessor is missing is an error.
func fakeCodec() video.Codec {
	return video.Codec{
		Name: "VP8", PayloadType: 96,
		NewEncoder: func(o video.EncoderOptions) (video.Encoder, error) { return &fakeEncoder{EncoderOptions: o}, nil },
		NewDecoder: func() (video.Decoder, error) { return &fakeDecoder{}, nil },
	}
}

const fakeHeader = 16 // flags, 3 unused, width, height, count, number, millis

type fakeEncoder struct {
	video.EncoderOptions
	count uint16
}

func (e *fakeEncoder) Encode(dst []byte, m *image.YCbCr, _ time.Duration, key bool) ([]byte, bool, error) {
	if m.Rect.Dx() != e.Width || m.Rect.Dy() != e.Height {
		return dst, false, errors.New("another size")
	}
	key = key || e.count == 0
	c, _ := video.ReadCode(m)
	size := max(int(float64(e.Bitrate)/8/e.FPS), fakeHeader)
	if key {
		size *= 3
	}
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

func (e *fakeEncoder) SetBitrate(bps int, fps float64) error {
	e.Bitrate, e.FPS = bps, fps
	return nil
}
func (e *fakeEncoder) Close() error { return nil }

type fakeDecoder struct {
	next  uint16
	begun bool
	image *image.YCbCr
}

func (d *fakeDecoder) Decode(b []byte) (*image.YCbCr, error) {
	if len(b) < fakeHeader {
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
func (d *fakeDecoder) Close() error { return nil }

// An eye is a sink that knows what it saw.
type eye struct {
	video.Sink
	mu     sync.Mutex
	seen   []glimpse
	looked int
	news   chan struct{}
}

// A glimpse is one picture that was seen.
type glimpse struct {
	code          video.Code
	ok            bool
	at            time.Time
	time          time.Duration
	width, height int
	rotation      int
}

func newEye() *eye {
	e := &eye{news: make(chan struct{}, 1)}
	e.Sink = video.NewSink(func(f video.Frame) error {
		c, ok := video.ReadCode(f.Image)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.seen = append(e.seen, glimpse{c, ok, time.Now(), f.Time, f.Image.Rect.Dx(), f.Image.Rect.Dy(), f.Rotation})
		select {
		case e.news <- struct{}{}:
		default:
		}
		return nil
	})
	return e
}

// wait returns the first picture not looked at yet that fits.
func (e *eye) wait(t testing.TB, ctx context.Context, what string, fits func(glimpse) bool) glimpse {
	t.Helper()
	for {
		e.mu.Lock()
		for e.looked < len(e.seen) {
			g := e.seen[e.looked]
			e.looked++
			if fits(g) {
				e.mu.Unlock()
				return g
			}
		}
		n := len(e.seen)
		e.mu.Unlock()
		select {
		case <-e.news:
		case <-ctx.Done():
			t.Fatalf("%s was not seen; %d pictures were", what, n)
		}
	}
}

// all returns what was seen so far.
func (e *eye) all() []glimpse {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]glimpse(nil), e.seen...)
}

// forget makes wait look at what comes from now on.
func (e *eye) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looked = len(e.seen)
}

func coded(g glimpse) bool { return g.ok }
