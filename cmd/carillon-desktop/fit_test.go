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
		if got := fitting(x.now, screen, x.scale, x.asked); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
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
