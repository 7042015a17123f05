package ui

import (
	"image"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
)

// Show shows a picture of theirs, or none with nil. The caller must not change
// it before another one was shown. Between the first and the last picture
// nothing is laid out anew.
func (s *stage) Show(i image.Image) {
	s.fed = s.v.now()
	s.setPicture(s.theirs, i)
	if s.waits != nil {
		s.setPicture(s.ours, s.waits)
		s.waits = nil
	}
}

// like takes over the pictures of another stage, which shows none any more: a
// screen that stands still sends the next one late.
func (s *stage) like(old *stage) {
	theirs, ours := old.unpass()
	if theirs == nil {
		theirs, ours = old.theirs.Image, old.waits
	}
	if ours == nil {
		ours = old.ours.Image
	}
	if s.call.ID == old.call.ID {
		s.setPicture(s.theirs, theirs)
		s.setPicture(s.ours, ours)
	}
}

// ShowOwn shows our own picture, likewise. While theirs moves it waits for the
// next of those: each drawing of the window costs, whatever changed in it.
func (s *stage) ShowOwn(i image.Image) {
	if i != nil && s.ours.Image != nil && s.theirs.Visible() && s.v.now().Sub(s.fed) < stillTime {
		s.waits = i
		return
	}
	s.waits = nil
	s.setPicture(s.ours, i)
}

// stillTime is when a picture of theirs is taken to stand still.
const stillTime = 250 * time.Millisecond

func (s *stage) setPicture(c *canvas.Image, i image.Image) {
	first := (c.Image == nil) != (i == nil)
	turned := !first && i != nil && c.Image.Bounds().Size() != i.Bounds().Size()
	c.Image = i
	if first {
		show(c, i != nil)
	}
	if first || turned {
		s.relay()
	}
	switch {
	case i == nil:
	case s.root.Visible():
		c.Refresh()
	default:
		s.stale = true
	}
}

// uncover takes the ground away from under a picture: to draw what nobody sees
// is a good part of what a call with a picture costs without a graphics card.
func (s *stage) uncover() {
	film := s.theirs.Visible() && s.theirs.Image != nil && !s.details.root.Visible()
	show(s.ground, !film)
	show(s.curtains, film)
	if !film {
		s.shape = image.Point{}
	} else if now := s.theirs.Image.Bounds().Size(); now != s.shape {
		s.shape = now
		s.curtains.Refresh()
	}
}

// beyond lays two objects where a picture leaves its place empty, which it
// fills as far as its shape allows.
type beyond struct{ of *canvas.Image }

// MinSize implements [fyne.Layout].
func (beyond) MinSize([]fyne.CanvasObject) fyne.Size { return fyne.Size{} }

// Layout implements [fyne.Layout]. The picture is above and covers a unit of
// each, so that no line shows between them.
func (b beyond) Layout(two []fyne.CanvasObject, size fyne.Size) {
	if b.of.Image == nil {
		return
	}
	is := b.of.Image.Bounds()
	w, h := float32(is.Dx()), float32(is.Dy())
	if w == 0 || h == 0 || size.Height == 0 {
		return
	}
	left := fyne.NewSize(max(0, size.Width-size.Height*w/h)/2, size.Height)
	if size.Width/size.Height < w/h {
		left = fyne.NewSize(size.Width, (size.Height-size.Width*h/w)/2)
		left.Height = min(size.Height, left.Height+1)
	} else {
		left.Width = min(size.Width, left.Width+1)
	}
	for _, o := range two {
		o.Resize(left)
	}
	two[0].Move(fyne.NewPos(0, 0))
	two[1].Move(fyne.NewPos(size.Width-left.Width, size.Height-left.Height))
}

// relay decides anew what is visible.
func (s *stage) relay() {
	if c, ok := s.v.app.Front(); ok && c.ID == s.call.ID {
		s.draw(s.v.app)
	}
}

// ShowPicture shows what the other side of a call sends; see [stage.Show].
func (v *View) ShowPicture(call string, i image.Image) {
	if c, ok := v.app.Front(); ok && c.ID == call {
		v.stage.Show(i)
	}
}

// ShowOwnPicture shows what we send in a call.
func (v *View) ShowOwnPicture(call string, i image.Image) {
	if c, ok := v.app.Front(); ok && c.ID == call {
		v.stage.ShowOwn(i)
	}
}
