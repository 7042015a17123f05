//go:build integration && linux

package capture

import (
	"context"
	"errors"
	"image"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/media/video"
)

// A display that does not answer any more holds up nobody for long: who reads
// from it gets what its context says, and all that is closed is given up. What
// waits for it is gone as soon as it answers.
func TestIntegrationFrozenDisplay(t *testing.T) {
	p := newPainter(t, "320x240x24")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	parent := p.window("app", image.Rect(0, 0, 200, 150), 0x0000ff)
	screen := open(t, "screen", Options{FPS: 60})
	window := open(t, "window:app", Options{FPS: 60})
	read(t, screen)
	read(t, window)
	show, err := OpenSink("window", nil)
	if err != nil {
		t.Fatal(err)
	}
	gallery, err := OpenGallery(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pane, err := OpenPane(uint32(parent), nil)
	if err != nil {
		t.Fatal(err)
	}
	picture := video.NewPattern(64, 48).Next(time.Now())
	place := PanePlace{Area: image.Rect(0, 0, 64, 48)}
	pane.Place(place)
	if err := errors.Join(pane.Write(picture), show.Write(video.Frame{Image: picture})); err != nil {
		t.Fatal(err)
	}
	for theirs := image.Image(nil); theirs == (*image.RGBA)(nil) || theirs == nil; theirs, _ = pane.Last() {
		p.sync() // until it was drawn
	}

	thaw := p.display.Freeze()
	place.Area.Max.X++ // it has to ask for something
	pane.Place(place)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for name, f := range map[string]func() error{
		"read a screen": func() error { _, err := screen.Read(ctx); return err },
		"read a window": func() error { _, err := window.Read(ctx); return err },
		"list windows":  func() error { _, err := Windows(ctx); return err },
		"list screens":  func() error { _, err := Screens(ctx); return err },
		"open a screen": func() error { _, err := OpenSource(ctx, "screen", Options{}); return err },
		"open a window": func() error { _, err := OpenSource(ctx, "window:app", Options{}); return err },
	} {
		if err := f(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want %v", name, err, context.DeadlineExceeded)
		}
	}
	for name, f := range map[string]func() error{
		"screen": screen.Close, "window": window.Close, "sink": show.Close, "gallery": gallery.Close, "pane": pane.Close,
	} {
		start := time.Now()
		err := f()
		if name == "pane" && !errors.Is(err, errSilent) {
			t.Errorf("close the %s: %v, want %v", name, err, errSilent)
		}
		if took := time.Since(start); took > closeTime+5*time.Second {
			t.Errorf("closing the %s took %v", name, took)
		}
	}
	thaw() // goleak sees whether all comes back
}
