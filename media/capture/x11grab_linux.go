package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jezek/xgb/composite"
	"github.com/jezek/xgb/shm"
	"github.com/jezek/xgb/xfixes"
	"github.com/jezek/xgb/xproto"

	"github.com/carillon-im/carillon/media/video"
)

// A grab is a Source that takes pictures of a screen or window when they are
// read.
type grab struct {
	o     Options
	d     *display
	what  string // it shows, for people
	once  sync.Once
	stop  chan struct{}
	start time.Time

	mu   sync.Mutex // guards the next two
	fps  float64
	next time.Time

	busy   sync.Mutex      // held while a picture is taken; guards what follows
	window xproto.Window   // zero for the root
	area   image.Rectangle // of the root
	pixmap xproto.Pixmap   // what the window has drawn, zero if not known
	size   image.Point     // of pixmap
	points bool            // the pointer can be drawn

	sharedMemory
	whole  *image.YCbCr // before it is made smaller
	image  *image.YCbCr
	closed bool
}

func openScreen(ctx context.Context, n int, o Options) (video.Source, error) {
	if onWayland() {
		return openPortal(ctx, o) // where the person chooses
	}
	return until(ctx, func() (video.Source, error) { return grabScreen(n, o) }, closeSource)
}

func openWindow(ctx context.Context, name string, o Options) (video.Source, error) {
	return until(ctx, func() (video.Source, error) { return grabWindow(name, o) }, closeSource)
}

func grabScreen(n int, o Options) (video.Source, error) {
	d, err := dialDisplay()
	if err != nil {
		return nil, err
	}
	g := newGrab(d, o)
	g.what = "the screen"
	g.area = image.Rect(0, 0, int(d.screen.WidthInPixels), int(d.screen.HeightInPixels))
	if list := d.monitors(); n > len(list) {
		err = fmt.Errorf("%w: %d of %d", ErrNoScreen, n, len(list))
	} else if n > 0 {
		g.what, g.area = fmt.Sprintf("screen %d", n), list[n-1].Bounds
	}
	if err == nil {
		err = d.pixelsKnown(d.screen.RootDepth)
	}
	return g.ready(err)
}

func grabWindow(name string, o Options) (video.Source, error) {
	d, err := dialDisplay()
	if err != nil {
		return nil, err
	}
	g := newGrab(d, o)
	list, err := d.windows()
	if err == nil {
		var w Window
		w, err = choose(list, name, func(w Window) string { return w.ID }, func(w Window) string { return w.Title }, ErrNoWindow)
		if err == nil {
			var id uint32
			if _, err = fmt.Sscanf(w.ID, "0x%x", &id); err == nil {
				g.what, g.window = fmt.Sprintf("the window %q", w.Title), xproto.Window(id)
				err = g.redirect()
			}
		}
	}
	return g.ready(err)
}

func newGrab(d *display, o Options) *grab {
	g := &grab{o: o, d: d, stop: make(chan struct{}), start: time.Now(), fps: o.FPS}
	// The pointer is part of a screen, not of a window.
	if !o.NoPointer && d.has(extFixes) {
		_, err := xfixes.QueryVersion(d.conn, 4, 0).Reply()
		g.points = err == nil
	}
	return g
}

// ready returns g, or closes it.
func (g *grab) ready(err error) (video.Source, error) {
	if err != nil {
		g.d.conn.Close()
		return nil, err
	}
	g.sharedMemory = newSharedMemory(g.d, g.o.Logger)
	return g, nil
}

// redirect lets the server keep what the window draws, whatever covers it.
func (g *grab) redirect() error {
	_, depth, err := g.d.bounds(g.window)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoWindow, err)
	}
	if err := g.d.pixelsKnown(depth); err != nil {
		return err
	}
	if !g.d.has(extComposite) {
		return fmt.Errorf("%w: the display cannot show one window alone", ErrUnsupported)
	}
	if _, err := composite.QueryVersion(g.d.conn, 0, 4).Reply(); err != nil {
		return fmt.Errorf("%w: the display cannot show one window alone: %w", ErrUnsupported, err)
	}
	if err := composite.RedirectWindowChecked(g.d.conn, g.window, composite.RedirectAutomatic).Check(); err != nil {
		return fmt.Errorf("watch window: %w", err)
	}
	return nil
}

// Ask sets how many pictures are taken. The size is that of the screen.
func (g *grab) Ask(_, _ int, fps float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fps = g.o.FPS
	if fps > 0 {
		g.fps = min(g.fps, fps)
	}
}

// Live reports that the screen goes on while nobody reads it.
func (g *grab) Live() bool { return true }

// Drawn reports that it shows what programs draw.
func (g *grab) Drawn() bool { return true }

func (g *grab) Read(ctx context.Context) (video.Frame, error) {
	if err := g.wait(ctx); err != nil {
		return video.Frame{}, err
	}
	return until(ctx, func() (video.Frame, error) {
		g.busy.Lock()
		defer g.busy.Unlock()
		select {
		case <-g.stop:
			return video.Frame{}, net.ErrClosed
		default:
		}
		at := time.Since(g.start)
		if err := g.take(); err != nil {
			return video.Frame{}, err
		}
		return video.Frame{Image: g.image, Time: at}, nil
	}, func(video.Frame) {})
}

// wait sleeps until the next picture is due. Those that nobody read in time are
// left out.
func (g *grab) wait(ctx context.Context) error {
	g.mu.Lock()
	now := time.Now()
	due := g.next
	if due.Before(now) {
		due = now
	}
	g.next = due.Add(time.Duration(float64(time.Second) / g.fps))
	g.mu.Unlock()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-g.stop:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take fills g.image.
func (g *grab) take() error {
	drawable, area := xproto.Drawable(g.d.root), g.area
	if g.window != 0 {
		var err error
		switch drawable, area, err = g.drawn(); {
		case errors.Is(err, errHidden) && g.image != nil:
			return nil // as it was
		case err != nil:
			return err
		}
	}
	w, h := area.Dx(), area.Dy()
	if w < 1 || h < 1 {
		return fmt.Errorf("%w: %dx%d", ErrFormat, w, h)
	}
	pixels, err := g.pixels(drawable, area)
	if err != nil && g.window != 0 && g.image != nil {
		// It got another size or went away just now; the next picture tells.
		g.freePixmap()
		return nil
	}
	if err != nil {
		return g.broke(err)
	}
	if g.window == 0 && g.points {
		g.drawPointer(pixels, area)
	}
	if dw, dh := within(w, h); dw != w || dh != h {
		g.whole = video.FromBGRX(g.whole, pixels, 4*w, w, h)
		g.image = video.Scale(g.image, g.whole, dw, dh)
	} else {
		g.image = video.FromBGRX(g.image, pixels, 4*w, w, h)
	}
	return nil
}

// broke says why there is no picture. A connection that is gone looks like the
// end of a file, which would be nothing to tell anybody.
func (g *grab) broke(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s can be shown no more: the display %s has ended", g.what, g.d.name)
	}
	return fmt.Errorf("take a picture of %s: %w", g.what, err)
}

// within is the size that a picture is carried in: half of it, or a quarter,
// when it is too large.
func within(w, h int) (int, int) {
	for video.CheckSize(w, h) != nil && w > 1 && h > 1 {
		w, h = w/2, h/2
	}
	return w, h
}

// errHidden says that the window shows nothing at the moment.
var errHidden = errors.New("the window is hidden")

// drawn returns what the window has drawn. It gets a new pixmap when its size
// changes and when it was hidden.
func (g *grab) drawn() (xproto.Drawable, image.Rectangle, error) {
	attributes := xproto.GetWindowAttributes(g.d.conn, g.window)
	geometry := xproto.GetGeometry(g.d.conn, xproto.Drawable(g.window))
	a, err := attributes.Reply()
	geo, err2 := geometry.Reply()
	if err := cmp.Or(err, err2); errors.Is(err, io.EOF) {
		return 0, image.Rectangle{}, g.broke(err)
	} else if err != nil {
		return 0, image.Rectangle{}, io.EOF // it was closed
	}
	if a.MapState != xproto.MapStateViewable {
		g.freePixmap()
		return 0, image.Rectangle{}, errHidden
	}
	size := image.Pt(int(geo.Width), int(geo.Height))
	border := int(geo.BorderWidth)
	if g.pixmap == 0 || size != g.size {
		g.freePixmap()
		id, err := xproto.NewPixmapId(g.d.conn)
		if err != nil {
			return 0, image.Rectangle{}, g.broke(err)
		}
		if err := composite.NameWindowPixmapChecked(g.d.conn, g.window, id).Check(); err != nil {
			return 0, image.Rectangle{}, errHidden // since a moment ago
		}
		g.pixmap, g.size = id, size
	}
	return xproto.Drawable(g.pixmap), image.Rectangle{Max: size}.Add(image.Pt(border, border)), nil
}

func (g *grab) freePixmap() {
	if g.pixmap != 0 {
		xproto.FreePixmap(g.d.conn, g.pixmap)
		g.pixmap = 0
	}
}

// pixels returns those of an area, by shared memory where that works. They are
// ours until the next call.
func (g *grab) pixels(from xproto.Drawable, area image.Rectangle) ([]byte, error) {
	w, h := area.Dx(), area.Dy()
	if g.share(4 * w * h) {
		_, err := shm.GetImage(g.d.conn, from, int16(area.Min.X), int16(area.Min.Y), uint16(w), uint16(h), allPlanes, xproto.ImageFormatZPixmap, g.seg, 0).Reply()
		if err != nil {
			return nil, err
		}
		return g.memory[:4*w*h], nil
	}
	r, err := xproto.GetImage(g.d.conn, xproto.ImageFormatZPixmap, from, int16(area.Min.X), int16(area.Min.Y), uint16(w), uint16(h), allPlanes).Reply()
	if err != nil {
		return nil, err
	}
	if len(r.Data) < 4*w*h {
		return nil, fmt.Errorf("%w: %d bytes for %dx%d", ErrFormat, len(r.Data), w, h)
	}
	return r.Data[:4*w*h], nil
}

// drawPointer draws the mouse pointer over pixels of the given area.
func (g *grab) drawPointer(pixels []byte, area image.Rectangle) {
	c, err := xfixes.GetCursorImage(g.d.conn).Reply()
	if err != nil || len(c.CursorImage) < int(c.Width)*int(c.Height) {
		return
	}
	at := image.Pt(int(c.X)-int(c.Xhot), int(c.Y)-int(c.Yhot)).Sub(area.Min)
	w, h := area.Dx(), area.Dy()
	for y := range int(c.Height) {
		for x := range int(c.Width) {
			px, py := at.X+x, at.Y+y
			if px < 0 || py < 0 || px >= w || py >= h {
				continue
			}
			v := c.CursorImage[y*int(c.Width)+x] // ARGB, multiplied by alpha
			left := 255 - v>>24
			p := pixels[4*(py*w+px):]
			for k := range 3 {
				p[k] = byte(min(v>>(8*k)&255+uint32(p[k])*left/255, 255))
			}
		}
	}
}

func (g *grab) Close() error {
	g.once.Do(func() { close(g.stop) })
	return soon(func() {
		g.busy.Lock()
		defer g.busy.Unlock()
		if !g.closed {
			g.closed = true
			g.freePixmap()
			g.unshare()
			g.d.conn.Close()
		}
	})
}
