package capture

import (
	"fmt"
	"image"
	"image/color"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jezek/xgb/shape"
	"github.com/jezek/xgb/xproto"

	"github.com/carillon-im/carillon/media/video"
)

const (
	// maxPane is how wide and how high a pane is at most. X11 counts in 16 bits.
	maxPane = 16384
	// aloneTime is how long our own picture waits for one of the other side to
	// be drawn with.
	aloneTime = 100 * time.Millisecond
)

// A Pane is a part of a window of X11 that shows pictures by itself: a window in
// that of somebody else, who draws the rest. The pointer goes through it. It is
// for windows that are drawn by the processor in a roundabout way, for which a
// moving picture is much.
//
// Its methods may be called by any goroutine. Only Close waits for the display.
type Pane struct {
	easel
	theirs, ours *latest
	lost         atomic.Bool // what was drawn has to be drawn again

	mu    sync.Mutex // guards what follows
	place PanePlace
	shown struct{ theirs, ours *image.YCbCr } // last

	// What follows belongs to the goroutine that draws.
	brush
	mapped bool
	covers image.Rectangle
	drawn  PanePlace   // how the pixels beside the picture are
	at     image.Point // size of the picture that was drawn last
	when   time.Time   // when that was
	scaled [2]*image.YCbCr
}

// OpenPane makes one in the window with a number, which nobody sees before it
// has a place and a picture. It ends with that window.
func OpenPane(window uint32, log *slog.Logger) (*Pane, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d, err := dialDisplay()
	if err != nil {
		return nil, err
	}
	p := &Pane{easel: newEasel(d, log), theirs: newLatest(), ours: newLatest()}
	if err := p.open(xproto.Window(window)); err != nil {
		d.conn.Close()
		return nil, fmt.Errorf("open a pane in a window: %w", err)
	}
	p.wg.Go(p.run)
	p.wg.Go(p.listen)
	return p, nil
}

func (p *Pane) open(parent xproto.Window) error {
	g, err := xproto.GetGeometry(p.d.conn, xproto.Drawable(parent)).Reply()
	if err != nil {
		return err
	}
	if err := p.d.pixelsKnown(g.Depth); err != nil {
		return err
	}
	id, err := xproto.NewWindowId(p.d.conn)
	if err != nil {
		return err
	}
	// Without a background the server leaves what is seen until it is drawn over.
	err = xproto.CreateWindowChecked(p.d.conn, xproto.WindowClassCopyFromParent, id, parent, 0, 0, 1, 1, 0,
		xproto.WindowClassInputOutput, 0, xproto.CwBackPixmap|xproto.CwEventMask,
		[]uint32{xproto.BackPixmapNone, xproto.EventMaskExposure | xproto.EventMaskStructureNotify}).Check()
	if err != nil {
		return err
	}
	p.brush = brush{sharedMemory: newSharedMemory(p.d, p.log), depth: g.Depth}
	if err := p.take(id); err != nil {
		return err
	}
	// No part of it takes the pointer. Without the extension its events go to
	// the window around it all the same, which only hears that the pointer left.
	if p.d.has(extShape) {
		err = shape.RectanglesChecked(p.d.conn, shape.SoSet, shape.SkInput, xproto.ClipOrderingUnsorted, id, 0, 0, nil).Check()
		if err != nil {
			p.log.Debug("the pane takes the pointer", "err", err)
		}
	}
	return nil
}

// Place puts the pane where it is to be, or takes it away.
func (p *Pane) Place(place PanePlace) {
	if place.Area.Dx() > maxPane || place.Area.Dy() > maxPane {
		place.Area = image.Rectangle{}
	}
	p.mu.Lock()
	same := p.place == place
	p.place = place
	if place.Area.Empty() { // what it was is not shown again
		p.shown.theirs = nil
	}
	if place.Area.Empty() || place.Own.Empty() {
		p.shown.ours = nil
	}
	p.mu.Unlock()
	if !same {
		p.wake()
	}
}

// Write shows a picture of the other side, WriteOwn one of ours: copies of them,
// upright. They return [net.ErrClosed] when the window is gone.
func (p *Pane) Write(m *image.YCbCr) error    { return p.write(p.theirs, m) }
func (p *Pane) WriteOwn(m *image.YCbCr) error { return p.write(p.ours, m) }

func (p *Pane) write(to *latest, m *image.YCbCr) error {
	if err := (video.Frame{Image: m}).Check(); err != nil {
		return err
	}
	if p.gone.Load() {
		return net.ErrClosed
	}
	to.put(video.Copy(to.space(), m), 0)
	p.wake()
	return nil
}

// Last returns copies of what is shown now; nil is nothing.
func (p *Pane) Last() (theirs, ours *image.RGBA) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return pixelsOf(p.shown.theirs), pixelsOf(p.shown.ours)
}

func pixelsOf(m *image.YCbCr) *image.RGBA {
	if m == nil {
		return nil
	}
	out := image.NewRGBA(image.Rectangle{Max: m.Rect.Size()})
	video.ToRGBA(out, m)
	return out
}

func (p *Pane) run() {
	// With the connection goes the pane, and listen comes back.
	defer p.d.conn.Close()
	defer p.unshare()
	defer p.gone.Store(true)
	for {
		select {
		case <-p.stop:
			return
		case <-p.news:
		}
		if err := p.follow(); err != nil {
			if !p.gone.Load() {
				p.log.Warn("show pictures in a pane", "err", err)
			}
			return
		}
	}
}

func (p *Pane) listen() {
	for {
		e, err := p.d.conn.WaitForEvent()
		if e == nil && err == nil {
			p.end()
			return
		}
		switch e := e.(type) {
		case xproto.ExposeEvent:
			if e.Count == 0 {
				p.lost.Store(true)
				p.wake()
			}
		case xproto.DestroyNotifyEvent:
			p.end()
		}
	}
}

// follow brings what is seen to what it is to be.
func (p *Pane) follow() error {
	p.mu.Lock()
	place := p.place
	p.mu.Unlock()
	// The display is asked for memory, which nobody else may have to wait for.
	var pixels []byte
	if !place.Area.Empty() {
		pixels = p.pixels(4 * place.Area.Dx() * place.Area.Dy())
	}
	p.mu.Lock()
	if p.place != place {
		p.mu.Unlock()
		p.wake()
		return nil
	}
	if place.Area.Empty() {
		p.theirs.take() // they were meant for a place that is gone
		p.ours.take()
		p.mu.Unlock()
		if !p.mapped {
			return nil
		}
		p.mapped = false
		return xproto.UnmapWindowChecked(p.d.conn, p.window).Check()
	}
	fresh := p.theirs.take()
	if fresh != nil {
		p.shown.theirs = fresh
	}
	if m := p.ours.take(); m != nil && !place.Own.Empty() {
		p.shown.ours = m
	}
	if p.shown.theirs == nil {
		p.mu.Unlock()
		return nil
	}
	lost := p.lost.Swap(false)
	if fresh == nil && !lost && p.mapped && p.drawn == place && time.Since(p.when) < aloneTime {
		p.mu.Unlock()
		return nil
	}
	p.compose(pixels, place)
	p.mu.Unlock()
	if !p.mapped || p.covers != place.Area {
		if err := p.move(place.Area); err != nil {
			return err
		}
	}
	return p.draw(image.Rectangle{Max: place.Area.Size()}, pixels)
}

// move has the pane cover an area.
func (p *Pane) move(area image.Rectangle) error {
	const where = xproto.ConfigWindowX | xproto.ConfigWindowY | xproto.ConfigWindowWidth | xproto.ConfigWindowHeight
	err := xproto.ConfigureWindowChecked(p.d.conn, p.window, where,
		[]uint32{uint32(area.Min.X), uint32(area.Min.Y), uint32(area.Dx()), uint32(area.Dy())}).Check()
	p.covers = area
	if err != nil || p.mapped {
		return err
	}
	p.mapped = true
	return xproto.MapWindowChecked(p.d.conn, p.window).Check()
}

// compose makes the pixels of the pane.
func (p *Pane) compose(pixels []byte, place PanePlace) {
	w, h := place.Area.Dx(), place.Area.Dy()
	stride := 4 * w
	theirs := p.shown.theirs
	at := inside(image.Pt(w, h), theirs.Rect.Size())
	if p.drawn != place || p.at != theirs.Rect.Size() {
		fill(pixels, stride, image.Rect(0, 0, w, h), place.Back)
	}
	p.drawn, p.at, p.when = place, theirs.Rect.Size(), time.Now()
	p.paint(0, pixels, stride, at, theirs)
	own := place.Own.Sub(place.Area.Min).Intersect(image.Rect(0, 0, w, h))
	if p.shown.ours == nil || own.Empty() {
		return
	}
	for _, beside := range []image.Rectangle{
		{own.Min, image.Pt(own.Max.X, at.Min.Y)}, {image.Pt(own.Min.X, at.Max.Y), own.Max},
		{own.Min, image.Pt(at.Min.X, own.Max.Y)}, {image.Pt(at.Max.X, own.Min.Y), own.Max},
	} {
		fill(pixels, stride, beside.Intersect(own), place.Back)
	}
	card(pixels, stride, own, place.Corner, place.Edge)
	if inner := own.Inset(max(place.Frame, 0)); inner.Dx() > 1 && inner.Dy() > 1 {
		p.paint(1, pixels, stride, inside(inner.Size(), p.shown.ours.Rect.Size()).Add(inner.Min), p.shown.ours)
	}
}

// paint draws a picture over a place.
func (p *Pane) paint(n int, pixels []byte, stride int, at image.Rectangle, m *image.YCbCr) {
	if m.Rect.Size() != at.Size() {
		p.scaled[n] = video.Scale(p.scaled[n], m, at.Dx(), at.Dy())
		m = p.scaled[n]
	}
	video.ToBGRX(pixels[at.Min.Y*stride+4*at.Min.X:], stride, m)
}

func fill(pixels []byte, stride int, at image.Rectangle, c color.RGBA) {
	if at.Empty() {
		return
	}
	first := pixels[at.Min.Y*stride+4*at.Min.X:][:4*at.Dx()]
	for x := 0; x < len(first); x += 4 {
		first[x], first[x+1], first[x+2], first[x+3] = c.B, c.G, c.R, 0xff
	}
	for y := at.Min.Y + 1; y < at.Max.Y; y++ {
		copy(pixels[y*stride+4*at.Min.X:], first)
	}
}

// card fills a place with round corners.
func card(pixels []byte, stride int, at image.Rectangle, radius int, c color.RGBA) {
	radius = max(0, min(radius, at.Dx()/2, at.Dy()/2))
	fill(pixels, stride, image.Rect(at.Min.X, at.Min.Y+radius, at.Max.X, at.Max.Y-radius), c)
	for row := range radius {
		// How far from the edge the circle begins, and how much it covers of the
		// pixel there.
		dy := float64(radius) - float64(row) - 0.5
		from := float64(radius) - math.Sqrt(float64(radius*radius)-dy*dy)
		x := int(from)
		part := 1 - (from - float64(x))
		for _, y := range []int{at.Min.Y + row, at.Max.Y - 1 - row} {
			fill(pixels, stride, image.Rect(at.Min.X+x+1, y, at.Max.X-x-1, y+1), c)
			mix(pixels[y*stride+4*(at.Min.X+x):], c, part)
			mix(pixels[y*stride+4*(at.Max.X-1-x):], c, part)
		}
	}
}

func mix(pixel []byte, c color.RGBA, part float64) {
	for i, v := range []byte{c.B, c.G, c.R} {
		pixel[i] = byte(float64(pixel[i])*(1-part) + float64(v)*part + 0.5)
	}
}
