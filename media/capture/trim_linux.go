package capture

import (
	"image"
	"time"
)

const (
	// black is what a desktop leaves of a picture that is larger than what it
	// shows.
	black = 16
	// trimStep is in what steps the size changes, in pixels, and trimAfter how
	// long something is black before it counts as nothing: whoever shows a dark
	// window would else get another size with each word in it.
	trimStep  = 16
	trimAfter = time.Second
)

// A trim takes away what is black around a window.
//
// interop GNOME 43: a window is shared in a picture as large as the screen. What
// part it is, is said in a way that GStreamer's element of PipeWire does not pass
// on.
type trim struct {
	area  image.Rectangle // shown last
	since time.Time       // when it began to be too large; zero if it is not
}

// of returns the part of a picture to show.
func (t *trim) of(m *image.YCbCr, now time.Time) image.Rectangle {
	want := lit(m)
	if want.Empty() {
		want = m.Rect
	}
	t.area = t.area.Intersect(m.Rect)
	all := t.area.Union(want)
	switch {
	case all != t.area: // more is seen at once
		t.area, t.since = all, time.Time{}
	case want == t.area:
		t.since = time.Time{}
	case t.since.IsZero():
		t.since = now
	case now.Sub(t.since) >= trimAfter:
		t.area, t.since = want, time.Time{}
	}
	return t.area
}

// lit is where something is not black, in steps.
func lit(m *image.YCbCr) image.Rectangle {
	r := image.Rectangle{Min: m.Rect.Max, Max: m.Rect.Min}
	for y := m.Rect.Min.Y; y < m.Rect.Max.Y; y++ {
		row := m.Y[m.YOffset(m.Rect.Min.X, y):][:m.Rect.Dx()]
		first := 0
		for first < len(row) && row[first] == black {
			first++
		}
		if first == len(row) {
			continue
		}
		last := len(row) - 1
		for last >= r.Max.X && row[last] == black {
			last--
		}
		r.Min.X, r.Max.X = min(r.Min.X, first), max(r.Max.X, last+1)
		r.Min.Y, r.Max.Y = min(r.Min.Y, y), y+1
	}
	if r.Min.X >= r.Max.X {
		return image.Rectangle{}
	}
	r.Min.X, r.Min.Y = r.Min.X&^(trimStep-1), r.Min.Y&^(trimStep-1)
	r.Max.X, r.Max.Y = (r.Max.X+trimStep-1)&^(trimStep-1), (r.Max.Y+trimStep-1)&^(trimStep-1)
	return r.Intersect(m.Rect)
}

// cut returns a copy of a part that begins at even places, in dst if that has its
// size.
func cut(dst, m *image.YCbCr, r image.Rectangle) *image.YCbCr {
	dst = fit(dst, r.Dx(), r.Dy())
	for y := range r.Dy() {
		copy(dst.Y[y*dst.YStride:][:r.Dx()], m.Y[m.YOffset(r.Min.X, r.Min.Y+y):])
	}
	w := (r.Dx() + 1) / 2
	for y := range (r.Dy() + 1) / 2 {
		at := m.COffset(r.Min.X, r.Min.Y+2*y)
		copy(dst.Cb[y*dst.CStride:][:w], m.Cb[at:])
		copy(dst.Cr[y*dst.CStride:][:w], m.Cr[at:])
	}
	return dst
}
