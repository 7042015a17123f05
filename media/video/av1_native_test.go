//go:build native && cgo

package video

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// A bitWriter writes big-endian bits.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) put(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

// av1Still is one picture of its own that says it is so large and of such a kind,
// with nothing in it. AV1 bitstream specification §5.5
func av1Still(w, h int, profile, deep, mono uint32) []byte {
	var s bitWriter
	s.put(profile, 3)
	s.put(1, 1)  // still_picture
	s.put(1, 1)  // reduced_still_picture_header
	s.put(31, 5) // no limits
	s.put(15, 4)
	s.put(15, 4)
	s.put(uint32(w-1), 16)
	s.put(uint32(h-1), 16)
	s.put(0, 3+3) // superblocks, tools
	s.put(deep, 1)
	if profile != 1 {
		s.put(mono, 1)
	}
	s.put(0, 1) // colours are not described
	s.put(0, 1) // range
	if mono == 0 && profile == 0 {
		s.put(0, 2) // where chroma is
	}
	if mono == 0 {
		s.put(0, 1)
	}
	s.put(0, 1) // grain
	s.put(1, 1)
	frame := make([]byte, 64) // a header that wants nothing, and tiles
	return append(append(append([]byte{2<<3 | 2, 0}, append([]byte{1<<3 | 2, byte(len(s.b))}, s.b...)...), 6<<3|2, byte(len(frame))), frame...)
}

func TestAV1RefusesOtherPictures(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want error // nil: not because of its kind
	}{
		"small, of the kind that is coded": {av1Still(64, 64, 0, 0, 0), nil},
		"too large":                        {av1Still(1<<16, 1<<16, 0, 0, 0), ErrFrame},
		"too wide":                         {av1Still(MaxWidth+1, 64, 0, 0, 0), ErrFrame},
		"too high":                         {av1Still(64, MaxHeight+1, 0, 0, 0), ErrFrame},
		"too many pixels":                  {av1Still(MaxWidth, MaxHeight, 0, 0, 0), ErrFrame},
		"10 bit":                           {av1Still(64, 64, 0, 1, 0), ErrFrame},
		"grey":                             {av1Still(64, 64, 0, 0, 1), ErrFrame},
		"4:4:4":                            {av1Still(64, 64, 1, 0, 0), ErrFrame},
	} {
		_, d := codec(t, "AV1", EncoderOptions{Width: 64, Height: 64, Bitrate: 100_000})
		m, err := d.Decode(tt.data)
		if errors.Is(err, ErrFrame) != (tt.want != nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if tt.want != nil && m != nil {
			t.Errorf("%s: a picture of %v", name, m.Rect)
		}
	}
}

func TestAV1RefusesMuch(t *testing.T) {
	e, d := codec(t, "AV1", EncoderOptions{Width: 64, Height: 64, Bitrate: 100_000})
	data, _, err := e.Encode(nil, NewPattern(64, 64).Next(time.Now()), 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := d.Decode(data); err != nil || m == nil {
		t.Fatalf("%v, %v", m, err)
	}
	shown := []byte{obuHeader<<3 | 2, 1, 0x80} // the first of those that are kept
	for name, b := range map[string][]byte{
		"frames":              append(bytes.Clone(data), bytes.Repeat(shown, maxFrames)...),
		"OBUs":                bytes.Repeat([]byte{15<<3 | 2, 0}, maxOBUs+1),
		"more than there is":  {obuFrame<<3 | 2, 2, 0},
		"a size without end":  {obuFrame<<3 | 2, 0xff},
		"a size of 9 bytes":   append([]byte{obuFrame<<3 | 2}, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
		"half a header":       {obuFrame<<3 | 4},
		"a forbidden header":  {0x80},
		"a copy of no header": {obuHeaderCopy<<3 | 2, 0},
		"nothing":             nil,
	} {
		if m, err := d.Decode(b); !errors.Is(err, ErrBitstream) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// A peer may change the size with a key frame, and there is no size that is not
// carried, odd ones included.
func TestAV1Sizes(t *testing.T) {
	_, d := codec(t, "AV1", EncoderOptions{Width: 64, Height: 64, Bitrate: 100_000})
	for _, size := range []image.Point{{1, 1}, {2, 3}, {16, 16}, {15, 17}, {33, 1}, {641, 479}, {1280, 720}, {96, 80}} {
		e, _ := codec(t, "AV1", EncoderOptions{Width: size.X, Height: size.Y, Bitrate: 1_000_000})
		p := NewPattern(size.X, size.Y)
		for n := range 3 {
			m := p.Next(time.UnixMilli(0))
			data, _, err := e.Encode(nil, m, time.Duration(n)*time.Second/30, false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Decode(data)
			if err != nil || got == nil || got.Rect.Size() != size {
				t.Fatalf("picture %d of %v: %v, %v", n, size, got, err)
			}
			if q := psnr(m, got); q < 30 {
				t.Errorf("picture %d of %v: %.1f dB", n, size, q)
			}
		}
	}
}

// screenful is what a screen of text looks like to a codec: small shapes with
// sharp edges, the same ones again and again, scrolled by some lines.
func screenful(w, h, scroll int) *image.YCbCr {
	m := NewImage(w, h)
	for i := range m.Y {
		m.Y[i] = 235
	}
	r := rand.New(rand.NewPCG(7, 7))
	var glyphs [40][10]byte
	for i := range glyphs {
		for y := range glyphs[i] {
			glyphs[i][y] = byte(r.Uint32())
		}
	}
	for row := 0; row*16 < h+scroll; row++ {
		for col := range w / 9 {
			g := glyphs[r.IntN(len(glyphs))]
			for y, line := range g {
				at := row*16 + y + 3 - scroll
				if at < 0 || at >= h {
					continue
				}
				for x := range 8 {
					if line>>x&1 == 1 {
						m.Y[at*m.YStride+col*9+x] = 16
					}
				}
			}
		}
	}
	return m
}

func TestAV1HasToolsForScreens(t *testing.T) {
	const w, h = 640, 480
	var sent [2]int
	var worst [2]float64
	for i, drawn := range []bool{false, true} {
		e, d := codec(t, "AV1", EncoderOptions{Width: w, Height: h, FPS: 15, Bitrate: 400_000, Drawn: drawn})
		worst[i] = 100
		for n := range 30 {
			m := screenful(w, h, n/10*16)
			data, _, err := e.Encode(nil, m, time.Duration(n)*time.Second/15, false)
			if err != nil {
				t.Fatal(err)
			}
			if sent[i] += len(data); len(data) == 0 {
				continue
			}
			got, err := d.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			worst[i] = min(worst[i], psnr(m, got))
		}
	}
	t.Logf("%d bytes and %.1f dB as a camera, %d and %.1f dB as a screen", sent[0], worst[0], sent[1], worst[1])
	if sent[1] > sent[0]*11/10 || worst[1] < worst[0]+2 {
		t.Error("it makes no difference")
	}
}

func TestAV1Parameters(t *testing.T) {
	c, _ := FindCodec(Codecs(), "av1")
	if got, want := c.Fmtp(), "profile=0;level-idx=5;tier=0"; got != want {
		t.Errorf("fmtp %q", got)
	}
	for _, tt := range []struct {
		ps   []Parameter
		want bool
	}{
		{nil, true},
		{[]Parameter{{"level-idx", "5"}, {"profile", "0"}, {"tier", "0"}}, true},
		{[]Parameter{{"Level-IDX", "13"}, {"tier", "1"}, {"x", "y"}}, true},
		{[]Parameter{{"profile", "1"}}, false},
		{[]Parameter{{"profile", ""}}, false},
		{[]Parameter{{"level-idx", "1"}}, false},
		{[]Parameter{{"level-idx", "32"}}, false},
		{[]Parameter{{"tier", "2"}}, false},
	} {
		if got := c.Fits(tt.ps); got != tt.want {
			t.Errorf("%v: %v", tt.ps, got)
		}
	}
}

// A library that refuses is as if it were not there.
func TestCodecThatDoesNotWork(t *testing.T) {
	enc := func(o EncoderOptions) (Encoder, error) { return newAV1Encoder(o) }
	dec := func() (Decoder, error) { return newAV1Decoder() }
	if !works(enc, dec) {
		t.Error("AV1 does not work")
	}
	no := errors.New("no")
	if works(func(EncoderOptions) (Encoder, error) { return nil, no }, dec) || works(enc, func() (Decoder, error) { return nil, no }) {
		t.Error("it works without one side")
	}
	if works(enc, func() (Decoder, error) { return newVPXDecoder(vp8) }) {
		t.Error("it works with another side")
	}
}

func BenchmarkAV1Works(b *testing.B) {
	for b.Loop() {
		works(func(o EncoderOptions) (Encoder, error) { return newAV1Encoder(o) }, func() (Decoder, error) { return newAV1Decoder() })
	}
}

// A file of another program's is played like one of VP8.
func TestAV1FromAFile(t *testing.T) {
	const w, h, pictures = 160, 120, 5
	e, _ := codec(t, "AV1", EncoderOptions{Width: w, Height: h, Bitrate: 300_000})
	file := append([]byte("DKIF\x00\x00\x20\x00AV01"), make([]byte, ivfHeader-12)...)
	file[16], file[20] = 30, 1 // a tick is a thirtieth of a second
	p := NewPattern(w, h)
	for n := range pictures {
		data, _, err := e.Encode(nil, p.Next(time.UnixMilli(0)), time.Duration(n)*time.Second/30, false)
		if err != nil {
			t.Fatal(err)
		}
		file = binary.LittleEndian.AppendUint32(file, uint32(len(data)))
		file = binary.LittleEndian.AppendUint64(file, uint64(n))
		file = append(file, data...)
	}
	f, err := newFileReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	for n := range pictures {
		got, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := ReadCode(got.Image); !ok || int(c.Number) != n || (got.Time-time.Duration(n)*time.Second/30).Abs() > time.Millisecond {
			t.Errorf("picture %d shows %v, %v, at %s", n, c, ok, got.Time)
		}
	}
	if _, err := f.next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
