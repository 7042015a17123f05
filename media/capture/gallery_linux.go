package capture

import (
	"fmt"
	"image"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/jezek/xgb/xproto"

	"github.com/carillon-im/carillon/media/video"
)

// A Gallery takes small pictures of screens and windows, for a person to choose
// from. It needs the memory of one of them, however many there are.
//
// Its methods may be called by any goroutine.
type Gallery struct {
	mu      sync.Mutex // guards what follows
	g       *grab
	watched map[xproto.Window]bool // the server keeps what they draw
	small   *image.YCbCr
	closed  bool
}

// OpenGallery opens one. Where the desktop asks what to show, as on Wayland,
// only windows of X11 have pictures.
func OpenGallery(log *slog.Logger) (*Gallery, error) {
	d, err := dialDisplay()
	if err != nil {
		return nil, err
	}
	g := newGrab(d, Options{NoPointer: true, Logger: log}.withDefaults(screenFPS))
	if _, err := g.ready(d.pixelsKnown(d.screen.RootDepth)); err != nil {
		return nil, err
	}
	return &Gallery{g: g, watched: make(map[xproto.Window]bool)}, nil
}

// Picture returns what "screen:N" or "window:ID" shows now, in at most w by h
// pixels. It is the caller's until the next one.
func (a *Gallery) Picture(spec string, w, h int) (*image.YCbCr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, fmt.Errorf("picture of %s: %w", spec, ErrNoDisplay)
	}
	if err := a.turn(spec); err != nil {
		return nil, fmt.Errorf("picture of %s: %w", spec, err)
	}
	a.g.freePixmap() // of another window
	a.g.image = nil  // likewise
	if err := a.g.take(); err != nil {
		return nil, fmt.Errorf("picture of %s: %w", spec, err)
	}
	m := a.g.image
	scale := min(1, float64(w)/float64(m.Rect.Dx()), float64(h)/float64(m.Rect.Dy()))
	side := func(n int) int { return max(2, int(float64(n)*scale)&^1) }
	a.small = video.Scale(a.small, m, side(m.Rect.Dx()), side(m.Rect.Dy()))
	return a.small, nil
}

// turn looks at something else.
func (a *Gallery) turn(spec string) error {
	kind, arg, _ := strings.Cut(spec, ":")
	a.g.what = spec
	switch kind {
	case "screen":
		n, err := strconv.Atoi(arg)
		list := a.g.d.monitors()
		switch {
		case onWayland():
			return ErrUnsupported
		case err != nil || n < 1 || n > len(list):
			return ErrNoScreen
		}
		a.g.window, a.g.area = 0, list[n-1].Bounds
		return nil
	case "window":
		n, err := strconv.ParseUint(arg, 0, 32)
		if err != nil {
			return ErrNoWindow
		}
		a.g.window = xproto.Window(n)
		if a.watched[a.g.window] {
			return nil
		}
		if err := a.g.redirect(); err != nil {
			return err
		}
		a.watched[a.g.window] = true
		return nil
	}
	return video.ErrSpec
}

// Close ends it; nothing is watched any more.
func (a *Gallery) Close() error {
	return soon(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.closed = true
		a.g.Close()
	})
}
