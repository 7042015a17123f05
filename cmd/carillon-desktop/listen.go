//go:build native

package main

import (
	"image"
	"sync/atomic"
	"time"

	"github.com/go-gl/glfw/v3.4/glfw"

	"github.com/carillon-im/carillon/desktop/access"
	"github.com/carillon-im/carillon/desktop/ui"
)

const (
	// readTime is how long what changes in the window is gathered before it is told
	// to those who do not see it.
	readTime = 20 * time.Millisecond
	// lookTime is how often something of the toolkit is looked at that does not say
	// when it changes, as long as it is open and somebody listens.
	lookTime = 150 * time.Millisecond
	// maxAsked bounds what waits to be done for those who listen.
	maxAsked = 32
)

// A voice tells screen readers what is in the window. But for the server it is of
// the UI thread.
type voice struct {
	d      *desk
	server *access.Server
	reader ui.Reader
	window *glfw.Window // nil before it was needed
	on     bool         // somebody listens
	soon   bool         // the window is about to be read

	asked atomic.Int32 // what those who listen want done and was not yet; of any goroutine
}

func newVoice(d *desk) *voice {
	v := &voice{d: d}
	v.server = access.Start(access.Config{
		Name: "Carillon", Version: version(), Log: d.log,
		Listen: func(on bool) { d.dozer.do(func() { v.listen(on) }) },
		Do:     v.ask,
	})
	return v
}

// ask has something done that somebody wants who listens.
func (v *voice) ask(r access.Request) {
	if v.asked.Add(1) > maxAsked {
		v.asked.Add(-1)
		return
	}
	v.d.dozer.do(func() {
		v.asked.Add(-1)
		if v.on {
			v.reader.Do(v.d.view, v.place(), r)
		}
	})
}

// listen begins to tell, or ends it.
func (v *voice) listen(on bool) {
	v.on = on
	v.d.view.Touched = nil
	v.reader.Forget()
	if on {
		v.d.view.Touched = v.touched
		v.touched()
	}
}

// touched has the window read soon.
func (v *voice) touched() {
	if v.on && !v.soon {
		v.later(readTime)
	}
}

func (v *voice) later(after time.Duration) {
	v.soon = true
	time.AfterFunc(after, func() { v.d.dozer.do(v.read) })
}

func (v *voice) read() {
	v.soon = false
	if !v.on {
		return
	}
	v.server.Show(v.reader.Read(v.d.view, v.place()))
	for _, a := range v.reader.Alerts(v.d.view) {
		v.server.Say(a.Text, a.Urgent)
	}
	if v.d.view.Moves() {
		v.later(lookTime)
	}
}

// place is where the window is. A desktop on Wayland does not tell.
func (v *voice) place() ui.Place {
	p := ui.Place{Scale: v.d.window.Canvas().Scale(), Active: v.d.front}
	if v.window == nil {
		v.window = v.d.glfwWindow()
	}
	if w := v.window; w != nil {
		x, y := w.GetPos()
		p.Origin = image.Pt(x, y)
		p.Hidden = w.GetAttrib(glfw.Visible) == glfw.False
	}
	return p
}
