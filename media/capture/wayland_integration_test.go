//go:build integration && linux

package capture

import (
	"context"
	"errors"
	"image"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/video"
)

// desk is a test's Wayland desktop, of which this program is a part.
func desk(t *testing.T, size string) *lab.Wayland {
	t.Helper()
	w := lab.StartWayland(t, size)
	for _, v := range w.Env() {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	return w
}

// fresh reads until a picture has the size, and a pattern that is shown now.
func fresh(t *testing.T, s video.Source, size image.Point) {
	t.Helper()
	read := image.Point{}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		f, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		read = f.Image.Rect.Size()
		if c, ok := video.ReadCode(f.Image); ok && read == size && c.Age(time.Now()) < time.Second {
			return
		}
	}
	t.Fatalf("no pattern of %v is seen; the pictures are %v", size, read)
}

// fails waits for a source to end with a reason.
func fails(t *testing.T, s video.Source) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		if _, err := s.Read(ctx); err != nil {
			if ctx.Err() != nil {
				t.Fatal("it does not end")
			}
			return err
		}
	}
}

// moving shows a pattern in a window until the returned function is called.
func moving(t *testing.T, window video.Sink) (still func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		pattern := video.NewPatternSource(640, 360, 30)
		defer pattern.Close()
		for {
			f, err := pattern.Read(ctx)
			if err != nil {
				return
			}
			if err := window.Write(f); err != nil {
				t.Errorf("show a pattern: %v", err)
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// A real desktop, sway with the portal of wlroots, shares its screen: as fast as
// is wanted, in another size and scale in mid-share, standing still. The person
// chooses nothing, or never; what takes the pictures ends, and the portal.
func TestIntegrationWayland(t *testing.T) {
	w := desk(t, "640x360")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	window, err := OpenSink("window", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer window.Close()
	still := moving(t, window)
	defer func() { still() }()

	began := time.Now()
	s := open(t, "screen", Options{FPS: 10})
	fresh(t, s, image.Pt(640, 360))
	t.Logf("a pattern after %v", time.Since(began).Round(time.Millisecond))
	n, seen := 0, map[uint16]bool{}
	for began = time.Now(); time.Since(began) < time.Second; n++ {
		if c, ok := video.ReadCode(read(t, s).Image); ok {
			seen[c.Number] = true
		}
	}
	if n < 7 || n > 13 || len(seen) < 6 {
		t.Errorf("%d pictures in a second, of which %d showed something new; want about 10", n, len(seen))
	}
	w.Output("resolution 803x451") // no stride is a multiple of anything
	fresh(t, s, image.Pt(803, 451))
	w.Output("scale 2")
	fresh(t, s, image.Pt(803, 451))
	w.Output("scale 1 resolution 640x360")
	fresh(t, s, image.Pt(640, 360))
	still()
	for range 15 { // nothing changes, and somebody joins
		if f := read(t, s); f.Image.Rect.Dx() != 640 {
			t.Errorf("standing still it is %v", f.Image.Rect)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	w.Choose("")
	if _, err := OpenSource(t.Context(), "screen", Options{}); !errors.Is(err, ErrNotShared) {
		t.Errorf("the person chose nothing: %v, want %v", err, ErrNotShared)
	}
	enough := w.Think()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := OpenSource(ctx, "screen", Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the person thinks: %v, want %v", err, context.DeadlineExceeded)
	}
	enough()
	w.Choose("HEADLESS-1")

	still = moving(t, window) // of a screen where nothing changes this portal gives no first picture
	s = open(t, "screen", Options{})
	read(t, s)
	w.EndBackend()
	if err := fails(t, s); !errors.Is(err, ErrPortal) {
		t.Errorf("what takes the pictures ended: %v, want %v", err, ErrPortal)
	}
	s.Close()
	if _, err := OpenSource(t.Context(), "screen", Options{}); !errors.Is(err, ErrPortal) {
		t.Errorf("nothing takes pictures: %v, want %v", err, ErrPortal)
	}
	w.EndPortal()
	if _, err := OpenSource(t.Context(), "screen", Options{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without a portal: %v, want %v", err, ErrUnsupported)
	}
}
