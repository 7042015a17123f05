package capture

import (
	"fmt"
	"image"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"github.com/carillon-im/carillon/media/video"
)

const (
	showTitle = "Carillon"
	showClass = "carillon\x00Carillon\x00" // ICCCM §4.1.2.5
)

// A show is a Sink that is a window.
type show struct {
	easel
	pictures *latest
	size     atomic.Uint64 // width and height, as the server says last
	mu       sync.Mutex    // held by Write

	// What follows belongs to the goroutine that draws.
	brush
	protocols, bye xproto.Atom
	last           *image.YCbCr
	scaled         *image.YCbCr
	area           image.Rectangle // drawn last
}

func openShow(log *slog.Logger) (video.Sink, error) {
	d, err := dialDisplay()
	if err != nil {
		return nil, err
	}
	if err := d.pixelsKnown(d.screen.RootDepth); err != nil {
		d.conn.Close()
		return nil, err
	}
	s := &show{easel: newEasel(d, log), pictures: newLatest()}
	s.brush = brush{sharedMemory: newSharedMemory(d, log), depth: d.screen.RootDepth}
	s.protocols, s.bye = d.atom("WM_PROTOCOLS"), d.atom("WM_DELETE_WINDOW")
	s.wg.Go(s.run)
	s.wg.Go(s.listen)
	return s, nil
}

// atom returns the number of a name, zero when the server does not tell.
func (d *display) atom(name string) xproto.Atom {
	r, err := xproto.InternAtom(d.conn, false, uint16(len(name)), name).Reply()
	if err != nil {
		return xproto.AtomNone
	}
	return r.Atom
}

// Write hands a copy to the goroutine that draws, which shows the newest.
func (s *show) Write(f video.Frame) error {
	if err := f.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.Load() {
		return net.ErrClosed
	}
	s.pictures.put(video.Rotate(s.pictures.space(), f.Image, f.Rotation), 0)
	s.wake()
	return nil
}

func (s *show) run() {
	// With the connection goes the window, and listen comes back.
	defer s.d.conn.Close()
	defer s.unshare()
	defer s.gone.Store(true)
	for {
		select {
		case <-s.stop:
			return
		case <-s.news:
		}
		if m := s.pictures.take(); m != nil {
			s.last = m
		}
		if s.last == nil {
			continue
		}
		err := s.put(s.last)
		if err != nil && !s.gone.Load() {
			s.log.Warn("show pictures", "err", err)
			return
		}
	}
}

// listen follows the server until the connection ends.
func (s *show) listen() {
	for {
		e, err := s.d.conn.WaitForEvent()
		if e == nil && err == nil {
			s.end()
			return
		}
		switch e := e.(type) {
		case xproto.ConfigureNotifyEvent:
			s.size.Store(uint64(e.Width)<<32 | uint64(e.Height))
			s.wake()
		case xproto.ExposeEvent:
			if e.Count == 0 {
				s.wake()
			}
		case xproto.ClientMessageEvent:
			if e.Type == s.protocols && e.Format == 32 && xproto.Atom(e.Data.Data32[0]) == s.bye {
				s.end()
			}
		case xproto.DestroyNotifyEvent:
			s.end()
		}
	}
}

// open makes the window for pictures of a size: as large, if the screen is.
func (s *show) open(w, h int) error {
	for w > int(s.d.screen.WidthInPixels) || h > int(s.d.screen.HeightInPixels) {
		w, h = max(w/2, 1), max(h/2, 1)
	}
	id, err := xproto.NewWindowId(s.d.conn)
	if err != nil {
		return err
	}
	err = xproto.CreateWindowChecked(s.d.conn, xproto.WindowClassCopyFromParent, id, s.d.root, 0, 0, uint16(w), uint16(h), 0,
		xproto.WindowClassInputOutput, 0, xproto.CwBackPixel|xproto.CwEventMask,
		[]uint32{s.d.screen.BlackPixel, xproto.EventMaskExposure | xproto.EventMaskStructureNotify}).Check()
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name, kind xproto.Atom
		format     byte
		value      []byte
	}{
		{xproto.AtomWmName, xproto.AtomString, 8, []byte(showTitle)},
		{s.d.atom("_NET_WM_NAME"), s.d.atom("UTF8_STRING"), 8, []byte(showTitle)},
		{xproto.AtomWmClass, xproto.AtomString, 8, []byte(showClass)},
		{s.protocols, xproto.AtomAtom, 32, words(uint32(s.bye))},
	} {
		n := uint32(len(p.value)) / (uint32(p.format) / 8)
		if err := xproto.ChangePropertyChecked(s.d.conn, xproto.PropModeReplace, id, p.name, p.kind, p.format, n, p.value).Check(); err != nil {
			return err
		}
	}
	s.size.Store(uint64(w)<<32 | uint64(h))
	if err := s.take(id); err != nil {
		return err
	}
	return xproto.MapWindowChecked(s.d.conn, id).Check()
}

func words(v uint32) []byte {
	b := make([]byte, 4)
	xgb.Put32(b, v)
	return b
}

// inside is where a picture is drawn in a window, as large as its shape allows.
func inside(window, picture image.Point) image.Rectangle {
	w, h := window.X, window.X*picture.Y/picture.X
	if h > window.Y {
		w, h = window.Y*picture.X/picture.Y, window.Y
	}
	w, h = max(w, 1), max(h, 1)
	return image.Rect(0, 0, w, h).Add(image.Pt((window.X-w)/2, (window.Y-h)/2))
}

// put draws a picture.
func (s *show) put(m *image.YCbCr) error {
	if s.window == 0 {
		if err := s.open(m.Rect.Dx(), m.Rect.Dy()); err != nil {
			return fmt.Errorf("open a window: %w", err)
		}
	}
	size := s.size.Load()
	at := inside(image.Pt(int(size>>32), int(uint32(size))), m.Rect.Size())
	w, h := at.Dx(), at.Dy()
	if w != m.Rect.Dx() || h != m.Rect.Dy() {
		s.scaled = video.Scale(s.scaled, m, w, h)
		m = s.scaled
	}
	if at != s.area { // what is beside it becomes black
		s.area = at
		if err := xproto.ClearAreaChecked(s.d.conn, false, s.window, 0, 0, 0, 0).Check(); err != nil {
			return fmt.Errorf("clear the window: %w", err)
		}
	}
	pixels := s.pixels(4 * w * h)
	video.ToBGRX(pixels, 4*w, m)
	return s.draw(at, pixels)
}
