package ui

import (
	"image"
	"image/color"
	"math"

	"fyne.io/fyne/v2"
)

// A Pane shows the pictures of a call over a part of the window, past the
// canvas. Where no graphics card draws the window, the canvas takes several
// times as long. Its methods are called on Fyne's thread and do not wait.
type Pane interface {
	// Place has it show the pictures of a call, and reports whether it does.
	Place(call string, p PanePlace) bool
	// Hide takes it away, and returns what it showed last; nil is nothing.
	Hide() (theirs, ours image.Image)
}

// A PanePlace is where a [Pane] shows what, in pixels of the window.
type PanePlace struct {
	// Area is what it covers, Own where in the window our own picture is shown
	// over the other one; empty shows none.
	Area, Own image.Rectangle
	// Frame is how wide the frame around ours is, Corner the radius of its
	// corners.
	Frame, Corner int
	// Back is the colour beside the picture, Edge that of the frame.
	Back, Edge color.RGBA
}

const (
	frameWidth  = 3
	frameCorner = 10
)

// pass has the pane show the pictures as long as nothing lies over them, and
// the canvas otherwise.
func (s *stage) pass() {
	pane := s.v.Pane
	if pane == nil {
		return
	}
	if !s.bare() {
		if theirs, ours := s.unpass(); theirs != nil {
			s.Show(theirs)
			if ours != nil {
				s.ShowOwn(ours)
				s.Show(theirs) // which ours waited for
			}
		}
		return
	}
	scale := float32(1)
	if s.v.canvas != nil {
		scale = s.v.canvas.Scale()
	}
	place := PanePlace{
		Area: pixels(s.theirs, scale), Frame: int(frameWidth*scale + 0.5), Corner: int(frameCorner*scale + 0.5),
		Back: opaque(paint(colorStage)), Edge: opaque(paint(colorControl)),
	}
	if s.own.Visible() {
		place.Own = pixels(s.frame, scale)
	}
	if !s.passed || place != s.placed {
		s.passed = pane.Place(s.call.ID, place)
		s.placed = place
	}
}

// unpass takes the pane away, if it is there, and returns what it showed.
func (s *stage) unpass() (theirs, ours image.Image) {
	if !s.passed {
		return nil, nil
	}
	s.passed = false
	return s.v.Pane.Hide()
}

// bare reports whether the picture of the other side is shown and nothing but
// our own lies over it.
func (s *stage) bare() bool {
	over := s.chrome.Visible() || s.pad.Visible() || s.waiting.Visible() || s.parked.Visible() || s.changed.Visible() ||
		s.details.root.Visible() && !roomBeside(s.body.Size()) ||
		s.v.sheet.root.Visible() || s.v.notices.root.Visible() || s.v.tips.box.Visible() ||
		s.v.canvas != nil && s.v.canvas.Overlays().Top() != nil
	return s.root.Visible() && s.theirs.Visible() && s.theirs.Image != nil && !over
}

// pixels is where an object is in the window.
func pixels(o fyne.CanvasObject, scale float32) image.Rectangle {
	at, size := fyne.CurrentApp().Driver().AbsolutePositionForObject(o), o.Size()
	round := func(v float32) int { return int(math.Round(float64(v * scale))) }
	return image.Rect(round(at.X), round(at.Y), round(at.X+size.Width), round(at.Y+size.Height))
}

func opaque(c color.Color) color.RGBA {
	r, g, b, _ := c.RGBA()
	return color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 0xff}
}
