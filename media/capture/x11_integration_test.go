//go:build integration && linux

package capture

import (
	"context"
	"errors"
	"image"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/video"
)

// A painter is a program with windows on the test's display.
type painter struct {
	t       *testing.T
	display *lab.Display
	conn    *xgb.Conn
	root    xproto.Window
}

func newPainter(t *testing.T, size string) *painter {
	t.Helper()
	d := lab.StartDisplay(t, size)
	t.Setenv("DISPLAY", d.Name)
	conn, err := xgb.NewConn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return &painter{t, d, conn, xproto.Setup(conn).DefaultScreen(conn).Root}
}

func (p *painter) check(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// window opens a window with a title and a background, 0xRRGGBB.
func (p *painter) window(title string, at image.Rectangle, colour uint32) xproto.Window {
	p.t.Helper()
	id, err := xproto.NewWindowId(p.conn)
	p.check("new window", err)
	p.check("create window", xproto.CreateWindowChecked(p.conn, xproto.WindowClassCopyFromParent, id, p.root, int16(at.Min.X), int16(at.Min.Y),
		uint16(at.Dx()), uint16(at.Dy()), 0, xproto.WindowClassInputOutput, 0, xproto.CwBackPixel, []uint32{colour}).Check())
	utf8, err := xproto.InternAtom(p.conn, false, 11, "UTF8_STRING").Reply()
	p.check("atom", err)
	name, err := xproto.InternAtom(p.conn, false, 12, "_NET_WM_NAME").Reply()
	p.check("atom", err)
	p.check("title", xproto.ChangePropertyChecked(p.conn, xproto.PropModeReplace, id, name.Atom, utf8.Atom, 8, uint32(len(title)), []byte(title)).Check())
	p.check("map", xproto.MapWindowChecked(p.conn, id).Check())
	p.sync()
	return id
}

// sync waits until the server has done everything so far.
func (p *painter) sync() {
	_, err := xproto.GetInputFocus(p.conn).Reply()
	p.check("sync", err)
}

// paint draws a picture into a window, in grey.
func (p *painter) paint(w xproto.Window, m *image.YCbCr) {
	p.t.Helper()
	gc, err := xproto.NewGcontextId(p.conn)
	p.check("new gc", err)
	p.check("gc", xproto.CreateGCChecked(p.conn, gc, xproto.Drawable(w), 0, nil).Check())
	width, height := m.Rect.Dx(), m.Rect.Dy()
	const rows = 16 // in one request
	for y := 0; y < height; y += rows {
		n := min(rows, height-y)
		data := make([]byte, 4*width*n)
		for i := range width * n {
			v := m.Y[(y+i/width)*m.YStride+i%width]
			data[4*i], data[4*i+1], data[4*i+2] = v, v, v
		}
		p.check("draw", xproto.PutImageChecked(p.conn, xproto.ImageFormatZPixmap, xproto.Drawable(w), gc, uint16(width), uint16(n), 0, int16(y), 0, 24, data).Check())
	}
	p.sync()
}

func open(t *testing.T, spec string, o Options) video.Source {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := OpenSource(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func read(t *testing.T, s video.Source) video.Frame {
	t.Helper()
	f, err := s.Read(t.Context())
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A known picture is recognised: in a window, also while another covers it, and
// on the screen until then.
func TestIntegrationWindow(t *testing.T) {
	p := newPainter(t, "800x600x24")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := p.window("Müller – Präsentation", image.Rect(100, 50, 420, 290), 0)
	pattern := video.NewPattern(320, 240)
	p.paint(w, pattern.Next(time.Now()))
	p.window("other", image.Rect(0, 0, 50, 40), 0xff0000)

	list, err := Windows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Title != "other" || list[1].Title != "Müller – Präsentation" || list[1].Bounds != image.Rect(100, 50, 420, 290) {
		t.Errorf("windows: %+v", list)
	}
	s := open(t, "window:präsent", Options{FPS: 60})
	f := read(t, s)
	if c, ok := video.ReadCode(f.Image); !ok || c.Number != 0 || f.Image.Rect.Size() != image.Pt(320, 240) {
		t.Errorf("the picture of %v is not recognised: %+v", f.Image.Rect, c)
	}
	screen := open(t, "screen", Options{FPS: 60, NoPointer: true})
	sf := read(t, screen)
	part := sf.Image.SubImage(image.Rect(100, 50, 420, 290))
	if _, ok := video.ReadCode(part); !ok || sf.Image.Rect.Size() != image.Pt(800, 600) {
		t.Errorf("the picture is not on the screen of %v", sf.Image.Rect)
	}
	wantShade(t, "red window", sf.Image, 20, 20, 82, 90, 240, 2)

	// Another window covers it, and it draws on below.
	p.window("cover", image.Rect(0, 0, 800, 600), 0x0000ff)
	p.paint(w, pattern.Next(time.Now()))
	deadline := time.Now().Add(5 * time.Second)
	for {
		c, ok := video.ReadCode(read(t, s).Image)
		if ok && c.Number == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what is drawn under another window is not seen")
		}
	}
	sf = read(t, screen)
	wantShade(t, "cover", sf.Image, 200, 100, 41, 240, 110, 2)

	// It changes its size, is hidden and shown, and is closed.
	p.check("resize", xproto.ConfigureWindowChecked(p.conn, w, xproto.ConfigWindowWidth|xproto.ConfigWindowHeight, []uint32{161, 121}).Check())
	p.sync()
	for read(t, s).Image.Rect.Size() != image.Pt(161, 121) {
		if time.Now().After(deadline) {
			t.Fatal("the new size is not seen")
		}
	}
	p.check("hide", xproto.UnmapWindowChecked(p.conn, w).Check())
	p.sync()
	if f := read(t, s); f.Image.Rect.Size() != image.Pt(161, 121) {
		t.Errorf("a hidden window is %v", f.Image.Rect)
	}
	p.check("show", xproto.MapWindowChecked(p.conn, w).Check())
	p.check("fill", xproto.ChangeWindowAttributesChecked(p.conn, w, xproto.CwBackPixel, []uint32{0x00ff00}).Check())
	p.check("clear", xproto.ClearAreaChecked(p.conn, false, w, 0, 0, 0, 0).Check())
	p.sync()
	wantShade(t, "shown again", read(t, s).Image, 80, 60, 145, 54, 34, 2)
	p.check("close", xproto.DestroyWindowChecked(p.conn, w).Check())
	p.sync()
	for err = nil; err == nil && time.Now().Before(deadline.Add(5*time.Second)); {
		_, err = s.Read(t.Context())
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("after the window was closed: %v, want %v", err, io.EOF)
	}
	if err := errors.Join(s.Close(), screen.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := screen.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	for spec, want := range map[string]error{"window:nothing like it": ErrNoWindow, "screen:7": ErrNoScreen} {
		if _, err := OpenSource(t.Context(), spec, Options{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", spec, err, want)
		}
	}
}

// The pointer is where it is, and can be left out. The server without shared
// memory gives the same picture.
func TestIntegrationScreen(t *testing.T) {
	p := newPainter(t, "641x479x24")
	p.window("grey", image.Rect(0, 0, 641, 479), 0x808080)
	if err := xtest.Init(p.conn); err != nil {
		t.Fatal(err)
	}
	p.check("move the pointer", xtest.FakeInputChecked(p.conn, xproto.MotionNotify, 0, 0, p.root, 300, 200, 0).Check())
	p.sync()
	list, err := Screens(t.Context())
	if err != nil || len(list) != 1 || list[0].Bounds != image.Rect(0, 0, 641, 479) {
		t.Errorf("screens: %+v, %v", list, err)
	}
	without := video.Copy(nil, read(t, open(t, "screen:1", Options{NoPointer: true})).Image)
	with := read(t, open(t, "screen", Options{})).Image
	seen := image.Rectangle{}
	for y := range 479 {
		for x := range 641 {
			if with.Y[with.YOffset(x, y)] != without.Y[without.YOffset(x, y)] {
				seen = seen.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if seen.Empty() || seen.Dx() > 40 || seen.Dy() > 40 || !image.Pt(300, 200).In(seen.Inset(-20)) {
		t.Errorf("the pointer is drawn in %v, and it is at 300,200", seen)
	}
	s := open(t, "screen", Options{NoPointer: true})
	s.(*grab).shares = false
	alone := read(t, s).Image
	for i := range alone.Y {
		if alone.Y[i] != without.Y[i] {
			t.Fatalf("luma %d differs without shared memory: %d and %d", i, alone.Y[i], without.Y[i])
		}
	}
	if !sharing(t) {
		t.Error("memory is not shared with a server on this machine")
	}
}

func sharing(t *testing.T) bool {
	s := open(t, "screen", Options{})
	read(t, s)
	return s.(*grab).shares
}

// What is larger than can be carried is made smaller; the pace is kept.
func TestIntegrationLargeScreen(t *testing.T) {
	newPainter(t, "5000x2000x24")
	s := open(t, "screen", Options{FPS: 20, NoPointer: true})
	if got := read(t, s).Image.Rect.Size(); got != image.Pt(2500, 1000) {
		t.Errorf("5000x2000 is carried as %v", got)
	}
	s.(video.Asker).Ask(0, 0, 5)
	read(t, s)
	start := time.Now()
	for range 3 {
		read(t, s)
	}
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("3 pictures at 5 a second took %v", took)
	}
}

func BenchmarkScreen(b *testing.B) {
	b.Setenv("DISPLAY", lab.StartDisplay(b, "1920x1080x24").Name)
	s, err := OpenSource(b.Context(), "screen", Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	g := s.(*grab)
	b.ReportAllocs()
	for b.Loop() {
		if err := g.take(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/picture")
}

// Connections to a display come and go while others hear of events and errors.
func TestIntegrationDisplaysAtOnce(t *testing.T) {
	newPainter(t, "320x240x24")
	busy, err := dialDisplay()
	if err != nil {
		t.Fatal(err)
	}
	defer busy.conn.Close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default: // an error to read
				_, _ = xproto.GetGeometry(busy.conn, 1).Reply()
			}
		}
	})
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if _, err := Screens(t.Context()); err != nil {
			t.Error(err)
		}
		open(t, "screen", Options{FPS: 60}).Close()
	}
	close(stop)
	wg.Wait()
}

// With the display goes everything that was open on it, and nothing waits for an
// answer that does not come.
func TestIntegrationDisplayDies(t *testing.T) {
	d := lab.StartDisplay(t, "640x480x24")
	t.Setenv("DISPLAY", d.Name)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	on, err := dialDisplay()
	if err != nil {
		t.Fatal(err)
	}
	defer on.conn.Close()
	app := (&painter{t, d, on.conn, on.root}).window("app", image.Rect(0, 0, 500, 400), 0xff)
	pane, err := OpenPane(uint32(app), nil)
	if err != nil {
		t.Fatal(err)
	}
	screen := open(t, "screen:1", Options{FPS: 60})
	window := open(t, "window:app", Options{FPS: 60})
	show := shown(t)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	begun := make(chan struct{}, 4)
	var wg sync.WaitGroup
	// Each goes on until it fails.
	until := func(what string, do func(n int) error, want func(error) bool) {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := do(n); err != nil {
					if !want(err) {
						t.Errorf("%s: %v", what, err)
					}
					return
				}
				if n == 5 {
					begun <- struct{}{}
				}
			}
			t.Errorf("%s goes on", what)
		})
	}
	closed := func(err error) bool { return errors.Is(err, net.ErrClosed) }
	until("the pane", func(n int) error {
		pane.Place(PanePlace{Area: image.Rect(0, 0, 300+n%9, 200)})
		return pane.Write(numbered(n, 320, 240))
	}, closed)
	until("the window", func(n int) error { return show.Write(video.Frame{Image: numbered(n, 320, 240)}) }, closed)
	// An end of the file would be nothing to tell anybody.
	told := func(what string) func(error) bool {
		return func(err error) bool {
			return err.Error() == what+" can be shown no more: the display "+d.Name+" has ended" && !errors.Is(err, io.EOF)
		}
	}
	until("the screen", func(int) error { _, err := screen.Read(ctx); return err }, told("screen 1"))
	until("a window", func(int) error { _, err := window.Read(ctx); return err }, told(`the window "app"`))
	for range 4 {
		select {
		case <-begun:
		case <-ctx.Done():
			t.Fatal("not all four have begun")
		}
	}
	d.Kill()
	wg.Wait()
	if err := errors.Join(pane.Close(), show.Close(), screen.Close()); err != nil {
		t.Error(err)
	}
}
