//go:build native

package main

import (
	"image"
	"log/slog"
	"sync"

	"fyne.io/fyne/v2"

	"github.com/carillon-im/carillon/desktop/ui"
	"github.com/carillon-im/carillon/media/capture"
)

// A film shows the pictures of calls past Fyne, in a window of its own within
// that of the app. It is there where the processor draws what a graphics card
// should: filling the window 30 times a second through OpenGL is then half of
// what a call with video costs.
//
// The view places it, on the UI thread; pictures come from goroutines of calls.
type film struct {
	log    *slog.Logger
	window fyne.Window

	mu   sync.Mutex
	open sync.Once
	pane *capture.Pane // nil where there is none
	call string        // whose pictures are shown; empty is nobody's
	own  bool          // ours as well
}

// dial begins in the window with a number.
func (f *film) dial(window uint32) {
	pane, err := capture.OpenPane(window, f.log)
	if err != nil {
		f.log.Info("pictures are drawn with everything else", "err", err)
		return
	}
	f.mu.Lock()
	f.pane = pane
	f.mu.Unlock()
}

// Place implements [ui.Pane].
func (f *film) Place(call string, p ui.PanePlace) bool {
	f.open.Do(func() { // not before the first picture
		if number, ok := filmWindow(f.window); ok {
			go f.dial(number) // the view asks again
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pane == nil {
		return false
	}
	f.call, f.own = call, !p.Own.Empty()
	f.pane.Place(capture.PanePlace(p))
	return true
}

// Hide implements [ui.Pane].
func (f *film) Hide() (theirs, ours image.Image) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call = ""
	if f.pane == nil {
		return nil, nil
	}
	a, b := f.pane.Last()
	f.pane.Place(capture.PanePlace{})
	if a != nil {
		theirs = a
	}
	if b != nil {
		ours = b
	}
	return theirs, ours
}

// show shows a picture of a call, or our own in it, and reports whether it did.
// The view makes room for our own when it has seen the first.
func (f *film) show(call string, own bool, m *image.YCbCr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pane == nil || f.call != call || own && !f.own {
		return false
	}
	write := f.pane.Write
	if own {
		write = f.pane.WriteOwn
	}
	if err := write(m); err != nil {
		f.log.Info("pictures are drawn with everything else", "err", err)
		f.call, f.pane = "", nil
		return false
	}
	return true
}

// on reports whether pictures are shown.
func (f *film) on() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.call != ""
}

func (f *film) close() {
	f.mu.Lock()
	pane := f.pane
	f.call, f.pane = "", nil
	f.mu.Unlock()
	if pane != nil {
		pane.Close()
	}
}
