//go:build native

package main

import (
	"image"
	"testing"

	"fyne.io/fyne/v2"
)

// The window is made to fit where it has the size that we asked for. What a desktop
// that tiles windows, or the user, made of it stays.
func TestFitting(t *testing.T) {
	screen := image.Rect(0, 0, 1280, 800)
	for _, x := range []struct {
		name             string
		now, asked, want fyne.Size
		scale            float32
	}{
		{"there is room", windowSize, windowSize, windowSize, 1},
		{"twice as large", windowSize, windowSize, fyne.NewSize(640, 400-frameHeight), 2},
		{"room, but for the frame", fyne.NewSize(1000, 790), fyne.NewSize(1000, 790), fyne.NewSize(1000, 800-frameHeight), 1},
		{"tiled over all of the screen", fyne.NewSize(1280, 800), windowSize, fyne.NewSize(1280, 800), 1},
		{"tiled, twice as large", fyne.NewSize(640, 400), windowSize, fyne.NewSize(640, 400), 2},
		{"beside a bar", fyne.NewSize(640, 790), windowSize, fyne.NewSize(640, 790), 1},
		{"rounded", fyne.NewSize(1000.5, 790.7), fyne.NewSize(1000, 790), fyne.NewSize(1000.5, 800-frameHeight), 1},
		{"larger than the screen, whoever wanted that", fyne.NewSize(2000, 700), windowSize, fyne.NewSize(1280, 700), 1},
	} {
		if got := (&sizing{wanted: x.asked, asked: x.asked}).fitting(x.now, screen, x.scale); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
	// Twice as large and back again it is what it was, also as the user made it.
	for _, was := range []fyne.Size{windowSize, fyne.NewSize(1100, 700), fyne.NewSize(620, 380)} {
		s := sizing{wanted: windowSize, asked: windowSize}
		now := was
		for _, scale := range []float32{2, 1, 2, 1.5, 1} {
			s.is(now)
			now = s.fitting(now, screen, scale)
			s.asked = now
			if now.Width*scale > 1280 || now.Height*scale > 800-frameHeight {
				t.Errorf("%v at %v is %v", was, scale, now)
			}
		}
		if now != was {
			t.Errorf("%v twice as large and back again is %v", was, now)
		}
	}
	left, right := image.Rect(0, 0, 1280, 800), image.Rect(1280, 0, 3840, 1440)
	if got, ok := screenAt([]image.Rectangle{left, right}, image.Pt(2000, 900)); !ok || got != right {
		t.Errorf("on the other screen: %v", got)
	}
	if got, ok := screenAt([]image.Rectangle{left, right}, image.Pt(-50, 900)); !ok || got != left {
		t.Errorf("on none: %v", got)
	}
	if _, ok := screenAt(nil, image.Point{}); ok {
		t.Error("without screens there is one")
	}
}
