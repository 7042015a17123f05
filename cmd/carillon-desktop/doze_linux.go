//go:build native

package main

import (
	"sync/atomic"
	"time"

	"fyne.io/fyne/v2"
	"github.com/go-gl/glfw/v3.4/glfw"
	"golang.org/x/sys/unix"
)

const (
	// napTime is how long the window sleeps at once when nothing happens. What
	// Fyne does by itself, such as the menu of the tray, waits for so long.
	napTime = 400 * time.Millisecond
	// napGap is what lies between two naps: long enough for Fyne to look
	// around once.
	napGap = 25 * time.Millisecond
	// calmTime is how long nothing must have happened before the first: Fyne
	// animates what was pressed.
	calmTime = time.Second
)

// A dozer lets the window sleep until something happens. Fyne asks for events
// 60 times a second and has no way to wait for them; most of what an idle app
// costs is being woken for it.
//
// A nap is a function that Fyne runs on the UI thread like any other, and that
// returns when the window system has an event, or when do wakes it.
type dozer struct {
	awake func() bool // something moves by itself; asked on the UI thread

	asleep atomic.Bool
	queued atomic.Int64 // functions that were given to do and have not run
	last   time.Time    // when one ran; the UI thread's
}

func newDozer(awake func() bool) *dozer { return &dozer{awake: awake} }

// start begins. It is called on the UI thread.
func (z *dozer) start() { z.later(calmTime) }

// onUI reports whether this is the UI thread, which is the first of a program.
// When the app ends, Fyne lets each goroutine run what it gives to fyne.Do by
// itself, and there is no window any more.
func onUI() bool { return unix.Gettid() == unix.Getpid() }

// do runs f on the UI thread, soon, unless the app has ended. It may be called
// by any goroutine.
func (z *dozer) do(f func()) {
	z.queued.Add(1)
	fyne.Do(func() {
		z.queued.Add(-1)
		if !onUI() {
			return
		}
		z.last = time.Now()
		f()
	})
	if z.asleep.Load() {
		glfw.PostEmptyEvent()
	}
}

func (z *dozer) later(d time.Duration) { time.AfterFunc(d, func() { fyne.Do(z.nap) }) }

// nap sleeps on the UI thread, if that is all right.
func (z *dozer) nap() {
	if !onUI() {
		return
	}
	began := time.Now()
	if wait := calmTime - began.Sub(z.last); wait > 0 {
		z.later(wait)
		return
	}
	if z.awake() {
		z.later(calmTime)
		return
	}
	z.asleep.Store(true)
	if z.queued.Load() == 0 { // looked at after asleep is set: do looks at them the other way round
		glfw.WaitEventsTimeout(napTime.Seconds())
	}
	z.asleep.Store(false)
	if time.Since(began) < napTime {
		z.later(calmTime)
	} else {
		z.later(napGap)
	}
}
