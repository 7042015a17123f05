//go:build native

package main

import (
	"image"
	"time"

	"fyne.io/fyne/v2"
	"github.com/go-gl/glfw/v3.4/glfw"
)

// windowSize is that of the first start, on a screen that has room for it. The
// least is what the view needs.
var windowSize = fyne.NewSize(1000, 660)

// frameHeight is about what the desktop draws above a window.
const frameHeight = 36

// fitScreen makes the window smaller where the screen has no room for it, when it
// is shown for the first time or everything is drawn larger, and as large as
// before when there is room again. What Fyne itself asks of the display then may
// be answered later, so it is looked at again.
func (d *desk) fitScreen() {
	if d.fits {
		return
	}
	d.fits = true
	for _, after := range []time.Duration{0, 200 * time.Millisecond, time.Second} {
		time.AfterFunc(after, func() { d.dozer.do(d.fitNow) })
	}
}

// fitNow asks for less than the screen has, and draws in what there is: a desktop
// that tiles windows refuses what is asked for and does not say so again.
func (d *desk) fitNow() {
	window := d.glfwWindow()
	if window == nil {
		return
	}
	canvas := d.window.Canvas()
	defer canvas.Refresh(d.view.Root) // or what was drawn for another size might stay
	if d.window.FullScreen() {
		return
	}
	scale := canvas.Scale()
	width, height := window.GetSize()
	now, is := canvas.Size(), fyne.NewSize(float32(width)/scale, float32(height)/scale)
	if away(now, is) {
		now = is
	}
	x, y := window.GetPos()
	if screen, ok := screenAt(workAreas(), image.Pt(x+width/2, y+height/2)); ok && window.GetAttrib(glfw.Maximized) != glfw.True {
		now = d.size.fitting(now, screen, scale)
	}
	if away(now, canvas.Size()) {
		d.size.asked = now
		d.window.Resize(now)
	}
}

// glfwWindow is the window below the one of the toolkit, which does not hand it
// out; nil is none.
func (d *desk) glfwWindow() (w *glfw.Window) {
	if with, ok := d.window.(interface{ RunWithContext(func()) }); ok {
		with.RunWithContext(func() { w = glfw.GetCurrentContext() })
	}
	return w
}

// away reports whether sizes are not the same but for what rounding makes.
func away(a, b fyne.Size) bool {
	return max(a.Width-b.Width, b.Width-a.Width, a.Height-b.Height, b.Height-a.Height) > 1.5
}

// workAreas are what screens have room for windows in, the main one first.
func workAreas() (list []image.Rectangle) {
	for _, m := range glfw.GetMonitors() {
		x, y, w, h := m.GetWorkarea()
		list = append(list, image.Rect(x, y, x+w, y+h))
	}
	return list
}

// screenAt returns the screen that is at a place, or else the main one.
func screenAt(list []image.Rectangle, at image.Point) (image.Rectangle, bool) {
	for _, r := range list {
		if at.In(r) {
			return r, true
		}
	}
	if len(list) == 0 {
		return image.Rectangle{}, false
	}
	return list[0], true
}

// A sizing is the size of the window in units of the toolkit, which are larger
// where everything is drawn larger.
type sizing struct {
	wanted fyne.Size // by us or the user, on a screen with room for it
	asked  fyne.Size // what the desktop was asked for last
}

// is takes what the window has before everything is drawn in another size. If we
// did not ask for that the user or the desktop wanted it so.
func (s *sizing) is(now fyne.Size) {
	if away(now, s.asked) {
		s.wanted = now
	}
}

// fitting is the size for a window on a screen that may have too little room, or
// has room again. One that was asked for its size already and has another has that
// from the desktop.
func (s *sizing) fitting(now fyne.Size, screen image.Rectangle, scale float32) fyne.Size {
	room := fyne.NewSize(float32(screen.Dx())/scale, float32(screen.Dy())/scale)
	if !away(now, s.asked) {
		now = now.Max(s.wanted) // it was made smaller
	} else if now.Width < room.Width+1.5 && now.Height < room.Height+1.5 {
		return now // tiled, or as the user made it
	}
	return now.Min(room.SubtractWidthHeight(0, frameHeight))
}
