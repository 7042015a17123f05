package bridge

import (
	"context"
	"image"
	"testing"

	"github.com/carillon-im/carillon/media/video"
)

// A standing is a source of one picture, again and again.
type standing struct {
	video.Frame
	live bool
}

func (s standing) Read(context.Context) (video.Frame, error) { return s.Frame, nil }
func (standing) Close() error                                { return nil }
func (s standing) Live() bool                                { return s.live }

// striped is dark on the left and light on the right, with colours likewise.
func striped(w, h int) *image.YCbCr {
	m := video.NewImage(w, h)
	for y := range h {
		for x := range w {
			if m.Y[m.YOffset(x, y)] = 40; x >= w/2 {
				m.Y[m.YOffset(x, y)] = 200
			}
			if m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)] = 90, 160; x >= w/2 {
				m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)] = 160, 90
			}
		}
	}
	return m
}

// People see themselves as in a mirror, on the canvas and past it. What is sent
// is as the camera has it, and a screen is as it is everywhere.
func TestOwnPictureIsAMirror(t *testing.T) {
	for _, tt := range []struct {
		name     string
		w, h     int
		rotation int
		past     bool
		mirror   bool
	}{
		{name: "camera", w: 64, h: 48, mirror: true},
		{name: "camera, made smaller", w: 640, h: 480, mirror: true},
		{name: "camera, past the canvas", w: 64, h: 48, past: true, mirror: true},
		{name: "camera, upside down", w: 64, h: 48, rotation: 180, mirror: true},
		{name: "camera with odd sides", w: 33, h: 17, mirror: true},
		{name: "screen", w: 64, h: 48},
		{name: "screen, past the canvas", w: 64, h: 48, past: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var onCanvas image.Image
			var past *image.YCbCr
			b := &Bridge{cfg: Config{OnUI: func(f func()) { f() }}}
			var v View = &user{}
			b.view.Store(&v)
			sink := newPicture(b, func(_ View, i image.Image) { onCanvas = i }, func(m *image.YCbCr) bool {
				if tt.past {
					past = video.Copy(nil, m)
				}
				return tt.past
			})
			m := striped(tt.w, tt.h)
			before := video.Copy(nil, m)
			p := newPreview(standing{Frame: video.Frame{Image: m, Rotation: tt.rotation}}, sink, tt.mirror)
			for range 2 {
				f, err := p.Read(t.Context())
				if err != nil || f.Image != m || f.Rotation != tt.rotation {
					t.Fatalf("sent is %+v, %v", f, err)
				}
			}
			if string(m.Y) != string(before.Y) || string(m.Cb) != string(before.Cb) || string(m.Cr) != string(before.Cr) {
				t.Error("what is sent was changed")
			}
			var seen image.Image = onCanvas
			if tt.past {
				seen = past
			}
			light := func(x int) bool {
				r, g, b, _ := seen.At(x, seen.Bounds().Dy()/2).RGBA()
				return r+g+b > 3*0x8000
			}
			want := !tt.mirror == (tt.rotation == 0) // whether the right is the light side
			if left, right := light(0), light(seen.Bounds().Dx()-1); right != want || left == want {
				t.Errorf("light on the left: %v, on the right: %v; want it on the right: %v", left, right, want)
			}
		})
	}
}

// A camera is read from the beginning: while it rings people see how they look.
// A film is not, for it is to be seen from its beginning.
func TestOwnPictureBeforeAnybodyAnswers(t *testing.T) {
	for _, live := range []bool{true, false} {
		p := newPreview(standing{live: live}, newPicture(nil, nil, nil), true)
		l, ok := p.(interface{ Live() bool })
		if !ok || l.Live() != live {
			t.Errorf("live %v is %v, %v", live, l, ok)
		}
	}
}
