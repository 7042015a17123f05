package capture

import (
	"bytes"
	"errors"
	"fmt"
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

// Two columns of different chroma, rows of different luma, in each way to write
// them, and with lines that are longer than what is in them.
func TestFromRaw(t *testing.T) {
	const w, h = 4, 4
	luma := []byte{10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33, 40, 41, 42, 43}
	cb, cr := []byte{105, 51, 120, 54}, []byte{205, 61, 220, 64}
	// put writes lines of so many bytes, and rubbish behind each.
	put := func(dst []byte, line, room int, b []byte) []byte {
		for i := 0; i < len(b); i += line {
			dst = append(append(dst, b[i:i+line]...), bytes.Repeat([]byte{99}, room-line)...)
		}
		return dst
	}
	for _, more := range []int{0, 2, 12} {
		for _, f := range []fourCC{yuyv, uyvy, nv12, yu12} {
			l := layout{format: f, w: w, h: h, stride: w + more}
			var src []byte
			switch f {
			case yuyv, uyvy:
				l.stride = 2*w + more
				for y := range h {
					for x := 0; x < w; x += 2 {
						a, b, c, d := luma[w*y+x], cb[w/2*(y/2)+x/2], luma[w*y+x+1], cr[w/2*(y/2)+x/2]
						if f == uyvy {
							a, b, c, d = b, a, d, c
						}
						src = append(src, a, b, c, d)
					}
				}
				src = put(nil, 2*w, l.stride, src)
			case nv12:
				src = put(nil, w, l.stride, luma)
				src = put(src, w, l.stride, []byte{cb[0], cr[0], cb[1], cr[1], cb[2], cr[2], cb[3], cr[3]})
			case yu12:
				src = put(nil, w, l.stride, luma)
				src = put(put(src, w/2, l.stride/2, cb), w/2, l.stride/2, cr)
			}
			m, err := l.convert(nil, src)
			if err != nil {
				t.Fatalf("%+v: %v", l, err)
			}
			if !bytes.Equal(m.Y, luma) || !bytes.Equal(m.Cb, cb) || !bytes.Equal(m.Cr, cr) {
				t.Errorf("%+v: luma %v, chroma %v %v", l, m.Y, m.Cb, m.Cr)
			}
			if again, err := l.convert(m, src); err != nil || again != m {
				t.Errorf("%+v: a picture of the right size is not used again: %v", l, err)
			}
			short := l
			short.stride = 2
			for what, err := range map[string]error{
				"cut off":       second(l.convert(nil, src[:len(src)-more-1])),
				"nothing":       second(l.convert(nil, nil)),
				"short lines":   second(short.convert(nil, src)),
				"no size":       second(layout{format: f, stride: l.stride}.convert(nil, src)),
				"an odd width":  second(layout{format: f, w: 3, h: 4, stride: l.stride}.convert(nil, src)),
				"endless lines": second(layout{format: f, w: w, h: h, stride: 1 << 30}.convert(nil, src)),
				"negative line": second(layout{format: f, w: w, h: h, stride: -8}.convert(nil, src)),
			} {
				if !errors.Is(err, ErrFormat) {
					t.Errorf("%+v, %s: %v, want %v", l, what, err, ErrFormat)
				}
			}
		}
	}
	// Two lines of 4:2:2 share chroma.
	m, err := layout{format: yuyv, w: 2, h: 3, stride: 4}.convert(nil, []byte{1, 100, 2, 200, 3, 110, 4, 210, 5, 120, 6, 220})
	if err != nil || !bytes.Equal(m.Cb, []byte{105, 120}) || !bytes.Equal(m.Cr, []byte{205, 220}) {
		t.Errorf("chroma of 3 lines: %v, %v", m, err)
	}
}

func second(_ *image.YCbCr, err error) error { return err }

// Colours come out the same from what a camera may write for them.
func TestColours(t *testing.T) {
	for _, full := range []bool{false, true} {
		for _, rec709 := range []bool{false, true} {
			for _, s := range shades {
				r, g, b := float64(s.rgb.R)/255, float64(s.rgb.G)/255, float64(s.rgb.B)/255
				kr, kb := 0.299, 0.114
				if rec709 {
					kr, kb = 0.2126, 0.0722
				}
				y := kr*r + (1-kr-kb)*g + kb*b
				cb, cr := (b-y)/(1-kb)/2, (r-y)/(1-kr)/2
				wy, wcb, wcr := 16+219*y, 128+224*cb, 128+224*cr
				if full {
					wy, wcb, wcr = 255*y, 128+255*cb, 128+255*cr
				}
				round := func(v float64) byte { return byte(max(0, min(math.Round(v), 255))) }
				src := bytes.Repeat([]byte{round(wy), round(wcb), round(wy), round(wcr)}, 8)
				m, err := layout{format: yuyv, w: 4, h: 4, stride: 8, full: full, rec709: rec709}.convert(nil, src)
				if err != nil {
					t.Fatal(err)
				}
				wantShade(t, fmt.Sprintf("%s, full %v, 709 %v", s.name, full, rec709), m, 3, 3, s.y, s.cb, s.cr, 2)
			}
		}
	}
}

func BenchmarkCamera(b *testing.B) {
	for _, l := range []layout{{format: yuyv, stride: 1280}, {format: nv12, stride: 640}, {format: yuyv, stride: 1280, full: true, rec709: true}} {
		l.w, l.h = 640, 480
		b.Run(fmt.Sprintf("%x full %v 709 %v", uint32(l.format), l.full, l.rec709), func(b *testing.B) {
			src := make([]byte, l.w*l.h*2)
			m, err := l.convert(nil, src)
			for b.Loop() && err == nil {
				m, err = l.convert(m, src)
			}
			if err != nil {
				b.Fatal(err)
			}
		})
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

func FuzzLayout(f *testing.F) {
	raw := []fourCC{yuyv, uyvy, nv12, yu12}
	for i := range raw {
		f.Add(byte(i), uint16(4), uint16(4), int32(8), true, true, make([]byte, 48))
		f.Add(byte(i), uint16(2), uint16(3), int32(6), false, true, make([]byte, 16))
	}
	f.Fuzz(func(t *testing.T, format byte, w, h uint16, stride int32, full, rec709 bool, src []byte) {
		l := layout{format: raw[int(format)%len(raw)], w: int(w), h: int(h), stride: int(stride), full: full, rec709: rec709}
		if l.check() != nil {
			return // such a camera is not opened
		}
		m, err := l.convert(nil, src)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%+v: %v, want %v", l, err, ErrFormat)
			}
			return
		}
		if err := (video.Frame{Image: m}).Check(); err != nil || m.Rect.Dx() != l.w || m.Rect.Dy() != l.h {
			t.Errorf("%+v: a picture of %v, %v", l, m.Rect, err)
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
