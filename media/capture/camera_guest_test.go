//go:build guest && linux

package capture

import (
	"context"
	"image"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/video"
)

// These tests run in a machine of their own, with the cameras that
// TestIntegrationCamera asks for.
func TestMain(m *testing.M) { lab.GuestMain(m) }

const (
	webcam0 = "/dev/video0" // as most have it
	hdmi    = "/dev/video3"
)

// openGuest opens a camera, and checks at the end that nothing is left of it.
func openGuest(t *testing.T, spec string, o Options) video.Source {
	t.Helper()
	before := goleak.IgnoreCurrent()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := OpenSource(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		goleak.VerifyNone(t, before)
		nothingOpen(t)
	})
	return s
}

// nothingOpen checks that no camera is open, nor its memory in use.
func nothingOpen(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "/dev/video") {
			t.Errorf("%s is still open", to)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(maps), "/dev/video"); n > 0 {
		t.Errorf("%d buffers are still there", n)
	}
}

// readGuest reads a picture, which is late after some seconds.
func readGuest(t *testing.T, s video.Source) video.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	f, err := s.Read(ctx)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bars are those of the driver's picture, from the left, at three quarters of
// full strength: white, yellow, cyan, green, magenta, red, blue and black, as
// ITU-R BT.601 writes them.
var bars = [][3]byte{{180, 128, 128}, {162, 44, 142}, {131, 156, 44}, {112, 72, 58}, {84, 184, 198}, {65, 100, 212}, {35, 212, 114}, {16, 128, 128}}

// wantBars looks at the middle of each, below what the driver writes over them.
func wantBars(t *testing.T, m *image.YCbCr) {
	t.Helper()
	y := m.Rect.Dy() - 6
	for i, want := range bars {
		x := m.Rect.Dx() * (2*i + 1) / 16
		got := [3]byte{m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)]}
		for k := range got {
			if d := int(got[k]) - int(want[k]); d < -3 || d > 3 {
				t.Errorf("bar %d is %v, want %v", i, got, want)
				break
			}
		}
	}
}

func TestGuestList(t *testing.T) {
	list, err := Cameras(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Its node for metadata and the camera of several planes are left out.
	if len(list) != 2 || list[0] != (Camera{webcam0, "vivid"}) || list[1] != (Camera{hdmi, "vivid"}) {
		t.Errorf("cameras: %+v", list)
	}
	nothingOpen(t)
}

// A camera has the size that is asked for, its pictures come soon and regularly,
// move, and have the right colours. What was open can be opened again.
func TestGuestPictures(t *testing.T) {
	for _, test := range []struct {
		name  string
		spec  string
		o     Options
		want  image.Point
		every time.Duration // between pictures
	}{
		{"by itself", "camera", Options{}, image.Pt(640, 480), time.Second / 25},
		{"again", "camera", Options{}, image.Pt(640, 480), time.Second / 25},
		{"slower", "camera:" + webcam0, Options{FPS: 10}, image.Pt(640, 480), time.Second / 10},
		{"large", "camera:" + webcam0, Options{Width: 1280, Height: 720}, image.Pt(1280, 720), 2 * time.Second / 25},
		{"small", "camera:" + webcam0, Options{Width: 320, Height: 180, FPS: 15}, image.Pt(320, 180), time.Second / 15},
	} {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			s := openGuest(t, test.spec, test.o)
			f := readGuest(t, s)
			if took := time.Since(began); took > time.Second {
				t.Errorf("the first picture came after %v", took)
			}
			if f.Image.Rect.Size() != test.want {
				t.Errorf("pictures of %v, want %v", f.Image.Rect.Size(), test.want)
			}
			wantBars(t, f.Image)
			first, moved := video.Copy(nil, f.Image), 0
			var gaps []time.Duration
			for range 15 {
				from := f.Time
				f = readGuest(t, s)
				gaps = append(gaps, f.Time-from)
				if string(f.Image.Y) != string(first.Y) { // the driver writes the time on them
					moved++
				}
			}
			if moved != len(gaps) {
				t.Errorf("%d of %d pictures are other ones than the first", moved, len(gaps))
			}
			slices.Sort(gaps) // the machine may be busy now and then
			if each := gaps[len(gaps)/2]; each < test.every*4/5 || each > test.every*5/4 {
				t.Errorf("a picture every %v, want %v", each, test.every)
			}
		})
	}
}
