package capture

import (
	"image"
	"testing"
	"time"
)

func TestTrim(t *testing.T) {
	window := func(r image.Rectangle) *image.YCbCr {
		m := flat(101, 75, black)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)] = byte(x+y), byte(x)
			}
		}
		return m
	}
	var tr trim
	now := time.Unix(0, 0)
	for i, step := range []struct {
		lit   image.Rectangle
		after time.Duration
		want  image.Rectangle
	}{
		{image.Rect(20, 18, 40, 50), 0, image.Rect(16, 16, 48, 64)},
		{image.Rect(20, 18, 60, 50), 0, image.Rect(16, 16, 64, 64)},                // it grows
		{image.Rect(20, 18, 30, 50), 0, image.Rect(16, 16, 64, 64)},                // is it smaller?
		{image.Rect(20, 18, 60, 50), trimAfter, image.Rect(16, 16, 64, 64)},        // it is not
		{image.Rect(20, 18, 30, 50), trimAfter, image.Rect(16, 16, 64, 64)},        // is it?
		{image.Rect(20, 18, 30, 50), trimAfter, image.Rect(16, 16, 32, 64)},        // it is
		{image.Rect(99, 18, 101, 75), trimAfter, image.Rect(16, 16, 101, 75)},      // it moves
		{image.Rectangle{}, trimAfter, image.Rect(0, 0, 101, 75)},                  // nothing is seen
		{image.Rect(0, 0, 101, 75), trimAfter, image.Rect(0, 0, 101, 75)},          // all
		{image.Rect(40, 40, 41, 41), trimAfter, image.Rect(0, 0, 101, 75)},         // nearly nothing
		{image.Rect(40, 40, 41, 41), 2 * trimAfter, image.Rect(32, 32, 48, 48)},    // and so it stays
		{image.Rect(100, 74, 101, 75), 2 * trimAfter, image.Rect(32, 32, 101, 75)}, // the corner
	} {
		now = now.Add(step.after)
		m := window(step.lit)
		got := tr.of(m, now)
		if got != step.want {
			t.Fatalf("step %d: of %v %v is shown, want %v", i, step.lit, got, step.want)
		}
		c := cut(nil, m, got)
		for y := range got.Dy() {
			for x := range got.Dx() {
				if c.YCbCrAt(x, y) != m.YCbCrAt(got.Min.X+x, got.Min.Y+y) {
					t.Fatalf("step %d: at %d,%d it is %v", i, x, y, c.YCbCrAt(x, y))
				}
			}
		}
	}
}
