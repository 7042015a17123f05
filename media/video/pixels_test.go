package video

import (
	"bytes"
	"image"
	"image/color"
	"testing"
)

// shades are colours and what they are in video. ITU-R BT.601
var shades = []struct {
	name      string
	rgb       color.RGBA
	y, cb, cr byte
}{
	{"black", color.RGBA{0, 0, 0, 255}, 16, 128, 128},
	{"white", color.RGBA{255, 255, 255, 255}, 235, 128, 128},
	{"red", color.RGBA{255, 0, 0, 255}, 82, 90, 240},
	{"green", color.RGBA{0, 255, 0, 255}, 145, 54, 34},
	{"blue", color.RGBA{0, 0, 255, 255}, 41, 240, 110},
}

func near(a, b byte, by int) bool { return int(a)-int(b) <= by && int(b)-int(a) <= by }

func filled(w, h int, y, cb, cr byte) *image.YCbCr {
	m := NewImage(w, h)
	for i := range m.Y {
		m.Y[i] = y
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = cb, cr
	}
	return m
}

func TestFromBGRX(t *testing.T) {
	for _, size := range []image.Point{{8, 6}, {7, 5}, {1, 1}, {2, 1}, {131, 3}} {
		for _, s := range shades {
			pix := make([]byte, 4*size.X*size.Y)
			for i := 0; i < len(pix); i += 4 {
				pix[i], pix[i+1], pix[i+2] = s.rgb.B, s.rgb.G, s.rgb.R
			}
			m := FromBGRX(nil, pix, 4*size.X, size.X, size.Y)
			if err := (Frame{Image: m}).Check(); err != nil {
				t.Fatal(err)
			}
			for _, at := range []image.Point{{0, 0}, size.Sub(image.Pt(1, 1))} {
				c := m.YCbCrAt(at.X, at.Y)
				if !near(c.Y, s.y, 1) || !near(c.Cb, s.cb, 1) || !near(c.Cr, s.cr, 1) {
					t.Errorf("%s of %v at %v is %v, want %d %d %d", s.name, size, at, c, s.y, s.cb, s.cr)
				}
			}
		}
	}
}

func TestToPixels(t *testing.T) {
	for _, size := range []image.Point{{3, 3}, {1, 1}, {67, 5}} { // odd: the last column and row share their colours with nobody
		for _, s := range shades {
			m := filled(size.X, size.Y, s.y, s.cb, s.cr)
			stride := 4*size.X + 4
			dst := bytes.Repeat([]byte{7}, size.Y*stride)
			ToBGRX(dst, stride, m)
			rgba := image.NewRGBA(m.Rect)
			ToRGBA(rgba, m)
			for y := range size.Y {
				for x := range size.X {
					p := dst[y*stride+4*x:]
					bgrx := color.RGBA{p[2], p[1], p[0], 255}
					for what, got := range map[string]color.RGBA{"BGRX": bgrx, "RGBA": rgba.RGBAAt(x, y)} {
						if !near(got.R, s.rgb.R, 3) || !near(got.G, s.rgb.G, 3) || !near(got.B, s.rgb.B, 3) || got.A != 255 {
							t.Errorf("%s at %d,%d of %v in %s is %v", s.name, x, y, size, what, got)
						}
					}
				}
				if end := dst[y*stride+4*size.X : (y+1)*stride]; !bytes.Equal(end, []byte{7, 7, 7, 7}) {
					t.Errorf("%s: behind row %d is %v", s.name, y, end)
				}
			}
		}
	}
}

// What does not fit is left alone: the other side of a call chooses the size of
// its pictures, a desktop that of its windows.
func TestPixelsThatDoNotFit(t *testing.T) {
	m := filled(16, 16, 235, 128, 128)
	dst := make([]byte, 16*64-1)
	ToBGRX(dst, 64, m)
	ToBGRX(dst, 60, m)
	if !bytes.Equal(dst, make([]byte, len(dst))) {
		t.Error("pixels were written that do not fit")
	}
	small := image.NewRGBA(image.Rect(0, 0, 15, 16))
	ToRGBA(small, m)
	if !bytes.Equal(small.Pix, make([]byte, len(small.Pix))) {
		t.Error("pixels were written that do not fit")
	}
	if got := FromBGRX(nil, make([]byte, 16*64-1), 64, 16, 16); got.Rect != m.Rect {
		t.Errorf("a picture of %v", got.Rect)
	}
}

// A picture within another is scaled, turned and converted like one by itself.
func TestPixelsOfAPart(t *testing.T) {
	whole := NewImage(64, 64)
	for i := range whole.Y {
		whole.Y[i] = byte(i * 7)
	}
	for i := range whole.Cb {
		whole.Cb[i], whole.Cr[i] = byte(i*5), byte(255-i*3)
	}
	part := whole.SubImage(image.Rect(10, 6, 41, 39)).(*image.YCbCr)
	alone := Copy(nil, part)
	for name, do := range map[string]func(m *image.YCbCr) []byte{
		"scale":  func(m *image.YCbCr) []byte { s := Scale(nil, m, 50, 20); return append(append(s.Y, s.Cb...), s.Cr...) },
		"halve":  func(m *image.YCbCr) []byte { s := Scale(nil, m, 15, 16); return append(append(s.Y, s.Cb...), s.Cr...) },
		"rotate": func(m *image.YCbCr) []byte { return Rotate(nil, m, 90).Y },
		"rgba":   func(m *image.YCbCr) []byte { d := image.NewRGBA(image.Rect(0, 0, 31, 33)); ToRGBA(d, m); return d.Pix },
	} {
		if !bytes.Equal(do(part), do(alone)) {
			t.Errorf("%s: a part gives another picture than its copy", name)
		}
	}
}

func BenchmarkToRGBA640x480(b *testing.B) {
	src, dst := NewImage(640, 480), image.NewRGBA(image.Rect(0, 0, 640, 480))
	for b.Loop() {
		ToRGBA(dst, src)
	}
}

func BenchmarkScale640x480To1013x760(b *testing.B) {
	src := NewImage(640, 480)
	var dst *image.YCbCr
	for b.Loop() {
		dst = Scale(dst, src, 1013, 760)
	}
}

func BenchmarkToBGRX1013x760(b *testing.B) {
	src, dst := NewImage(1013, 760), make([]byte, 4*1013*760)
	for b.Loop() {
		ToBGRX(dst, 4*1013, src)
	}
}

func BenchmarkFromBGRX1920x1080(b *testing.B) {
	src := make([]byte, 4*1920*1080)
	var dst *image.YCbCr
	for b.Loop() {
		dst = FromBGRX(dst, src, 4*1920, 1920, 1080)
	}
}
