package capture

import (
	"errors"
	"fmt"
	"image"

	"github.com/jezek/xgb/shm"
	"github.com/jezek/xgb/xproto"
)

// requestHead is what of a request is not pixels, at most.
const requestHead = 64

// A brush puts pixels into a window. It belongs to one goroutine.
type brush struct {
	sharedMemory
	depth  byte
	window xproto.Window // zero before take
	gc     xproto.Gcontext
	own    []byte // pixels that are not shared
}

// take makes a window the one that is drawn in.
func (b *brush) take(w xproto.Window) error {
	gc, err := xproto.NewGcontextId(b.d.conn)
	if err != nil {
		return err
	}
	if err := xproto.CreateGCChecked(b.d.conn, gc, xproto.Drawable(w), 0, nil).Check(); err != nil {
		return err
	}
	b.window, b.gc = w, gc
	return nil
}

// pixels returns n bytes to draw, which keep what was in them as long as n does
// not grow.
func (b *brush) pixels(n int) []byte {
	if b.share(n) {
		return b.memory[:n]
	}
	if len(b.own) < n {
		b.own = make([]byte, n)
	}
	return b.own[:n]
}

// draw puts what pixels returned to a place of the window, and returns when the
// server has read it.
func (b *brush) draw(at image.Rectangle, pixels []byte) error {
	w, h := at.Dx(), at.Dy()
	drawable := xproto.Drawable(b.window)
	if b.memory != nil {
		err := shm.PutImageChecked(b.d.conn, drawable, b.gc, uint16(w), uint16(h), 0, 0, uint16(w), uint16(h),
			int16(at.Min.X), int16(at.Min.Y), b.depth, xproto.ImageFormatZPixmap, 0, b.seg, 0).Check()
		if err != nil {
			return fmt.Errorf("draw: %w", err)
		}
		return nil
	}
	// Through the connection, in as many rows at a time as a request takes.
	rows := (4*int(xproto.Setup(b.d.conn).MaximumRequestLength) - requestHead) / (4 * w)
	if rows < 1 {
		return errors.New("the window is wider than a request")
	}
	for y := 0; y < h; y += rows {
		n := min(rows, h-y)
		err := xproto.PutImageChecked(b.d.conn, xproto.ImageFormatZPixmap, drawable, b.gc, uint16(w), uint16(n),
			int16(at.Min.X), int16(at.Min.Y+y), 0, b.depth, pixels[4*w*y:4*w*(y+n)]).Check()
		if err != nil {
			return fmt.Errorf("draw: %w", err)
		}
	}
	return nil
}
