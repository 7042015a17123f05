package capture

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/carillon-im/carillon/media/video"
)

// shades are colours and what they are in video. ITU-R BT.601
var shades = []struct {
	name       string
	rgb        color.RGBA
	y, cb, cr  byte
	fullY, fcb byte // of JPEG
	fcr        byte
}{
	{"black", color.RGBA{0, 0, 0, 255}, 16, 128, 128, 0, 128, 128},
	{"white", color.RGBA{255, 255, 255, 255}, 235, 128, 128, 255, 128, 128},
	{"red", color.RGBA{255, 0, 0, 255}, 82, 90, 240, 76, 85, 255},
	{"green", color.RGBA{0, 255, 0, 255}, 145, 54, 34, 150, 44, 21},
	{"blue", color.RGBA{0, 0, 255, 255}, 41, 240, 110, 29, 255, 107},
}

func near(a, b byte, by int) bool { return int(a)-int(b) <= by && int(b)-int(a) <= by }

func wantShade(t *testing.T, what string, m *image.YCbCr, x, y int, wy, wcb, wcr byte, by int) {
	t.Helper()
	c := m.YCbCrAt(x, y)
	if !near(c.Y, wy, by) || !near(c.Cb, wcb, by) || !near(c.Cr, wcr, by) {
		t.Errorf("%s at %d,%d = %d %d %d, want %d %d %d", what, x, y, c.Y, c.Cb, c.Cr, wy, wcb, wcr)
	}
}

func TestFromYUYV(t *testing.T) {
	// Two columns of different chroma, rows of different luma.
	src := []byte{
		10, 100, 11, 200, 12, 50, 13, 60,
		20, 110, 21, 210, 22, 52, 23, 62,
		30, 120, 31, 220, 32, 54, 33, 64,
	}
	m, err := fromYUYV(nil, src, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Y, []byte{10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33}) ||
		!bytes.Equal(m.Cb, []byte{105, 51, 120, 54}) || !bytes.Equal(m.Cr, []byte{205, 61, 220, 64}) {
		t.Errorf("luma %v, chroma %v %v", m.Y, m.Cb, m.Cr)
	}
	again, err := fromYUYV(m, src, 4, 3)
	if err != nil || again != m {
		t.Errorf("a picture of the right size is not used again: %v", err)
	}
	for _, bad := range []struct{ n, w, h int }{{23, 4, 3}, {24, 3, 4}, {0, 0, 0}, {24, 4, 0}} {
		if _, err := fromYUYV(nil, make([]byte, bad.n), bad.w, bad.h); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: %v, want %v", bad, err, ErrFormat)
		}
	}
}

// A JPEG of every subsampling comes out in 4:2:0 and in the range of video.
func TestFromYCbCr(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		for _, size := range []image.Point{{16, 12}, {13, 11}, {1, 1}} {
			src := image.NewYCbCr(image.Rectangle{Max: size}, ratio)
			for _, s := range shades {
				for i := range src.Y {
					src.Y[i] = s.fullY
				}
				for i := range src.Cb {
					src.Cb[i], src.Cr[i] = s.fcb, s.fcr
				}
				m, err := fromJPEG(nil, src)
				if err != nil {
					t.Fatal(err)
				}
				wantShade(t, ratio.String()+" "+s.name, m, size.X-1, size.Y-1, s.y, s.cb, s.cr, 2)
			}
		}
	}
}

// encode makes a JPEG of a picture with a known slope.
func encode(t testing.TB, w, h int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.RGBA{uint8(255 * x / w), uint8(255 * y / h), 100, 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withoutTables takes the Huffman tables out, as cameras do.
func withoutTables(b []byte) []byte {
	out := append([]byte(nil), b[:2]...)
	for at := 2; ; {
		n := int(b[at+2])<<8 | int(b[at+3])
		if b[at+1] == jpegSOS {
			return append(out, b[at:]...)
		}
		if b[at+1] != jpegDHT {
			out = append(out, b[at:at+2+n]...)
		}
		at += 2 + n
	}
}

func TestMJPEG(t *testing.T) {
	whole := encode(t, 64, 48)
	bare := withoutTables(whole)
	if _, has := scan(bare); has || len(bare) > len(whole)-400 {
		t.Fatal("the tables are still there")
	}
	for name, src := range map[string][]byte{
		"with tables": whole, "without": bare, "with rubbish behind": append(append([]byte(nil), bare...), make([]byte, 500)...),
	} {
		m, err := fromMJPEG(nil, src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// red grows to the right and green downwards
		left, right := m.YCbCrAt(2, 24), m.YCbCrAt(61, 24)
		top, low := m.YCbCrAt(32, 2), m.YCbCrAt(32, 45)
		if right.Cr < left.Cr+60 || low.Y < top.Y+80 {
			t.Errorf("%s: not the picture: %v %v %v %v", name, left, right, top, low)
		}
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "no JPEG": make([]byte, 1000), "cut off": whole[:100], "half": bare[:len(bare)/2],
		"a segment without end": {0xff, 0xd8, 0xff, 0xe0, 0, 0, 0xff, 0xda}, "only a beginning": {0xff, 0xd8, 0xff, 0xff},
	} {
		if _, err := fromMJPEG(nil, bad); err == nil {
			t.Errorf("%s is taken for a picture", name)
		}
	}
}

func FuzzMJPEG(f *testing.F) {
	whole := encode(f, 32, 16)
	f.Add(whole)
	f.Add(withoutTables(whole))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := fromMJPEG(nil, b)
		if err == nil {
			if err := (video.Frame{Image: m}).Check(); err != nil {
				t.Error(err)
			}
		}
	})
}

// What the range of video is made of is what is left when it is undone.
func TestRange(t *testing.T) {
	for v := range 256 {
		if back := (float64(toVideoLuma[v]) - 16) * 255 / 219; math.Abs(back-float64(v)) > 1 {
			t.Errorf("luma %d comes back as %.1f", v, back)
		}
		if back := (float64(toVideoChroma[v])-128)*255/224 + 128; math.Abs(back-float64(v)) > 1 {
			t.Errorf("chroma %d comes back as %.1f", v, back)
		}
	}
}
