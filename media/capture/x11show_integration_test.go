//go:build integration && linux

package capture

import (
	"errors"
	"image"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jezek/xgb/xproto"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/media/video"
)

// shown opens a window sink.
func shown(t *testing.T) *show {
	t.Helper()
	s, err := OpenSink("window", slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*show)
}

// showing waits until the code of a picture is seen at a place of the screen.
func showing(t *testing.T, screen video.Source, at image.Rectangle, number uint16) *image.YCbCr {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		m := read(t, screen).Image
		part := m.SubImage(at).(*image.YCbCr)
		if c, ok := video.ReadCode(part); ok && c.Number == number {
			return m
		}
		if time.Now().After(deadline) {
			t.Fatalf("picture %d is not seen at %v", number, at)
		}
	}
}

// A pattern is recognised on the screen: in the window as it opens, made larger
// and smaller, turned upright, and without shared memory. The person closes it.
func TestIntegrationShow(t *testing.T) {
	p := newPainter(t, "800x600x24")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	screen := open(t, "screen", Options{FPS: 60, NoPointer: true})
	defer screen.Close()
	s := shown(t)
	if list, err := Windows(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("before the first picture there are %v, %v", list, err)
	}
	pattern := video.NewPattern(320, 240)
	write := func(rotation int) {
		t.Helper()
		m := pattern.Next(time.Now())
		if rotation != 0 {
			m = video.Rotate(nil, m, 360-rotation)
		}
		if err := s.Write(video.Frame{Image: m, Rotation: rotation}); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	m := showing(t, screen, image.Rect(0, 0, 320, 240), 0)
	// Colours come back, too: below the code, where the pattern has some.
	want := pattern.Next(time.Now()) // number 1, not shown
	for _, at := range []image.Point{{20, 200}, {200, 230}} {
		got, exact := m.YCbCrAt(at.X, at.Y), want.YCbCrAt(at.X, at.Y)
		if d := int(got.Cb) - int(exact.Cb); d < -4 || d > 4 {
			t.Errorf("blue at %v is %d, want %d", at, got.Cb, exact.Cb)
		}
	}
	list, err := Windows(t.Context())
	if err != nil || len(list) != 1 || list[0].Title != showTitle || list[0].Bounds != image.Rect(0, 0, 320, 240) {
		t.Fatalf("windows: %+v, %v", list, err)
	}
	id := p.find(showTitle)

	// The person makes it wide: the picture keeps its shape, what is beside it is
	// black.
	resize := func(w, h uint32) {
		p.check("resize", xproto.ConfigureWindowChecked(p.conn, id, xproto.ConfigWindowWidth|xproto.ConfigWindowHeight, []uint32{w, h}).Check())
		p.sync()
	}
	resize(780, 480) // no new picture is needed
	m = showing(t, screen, image.Rect(70, 0, 710, 480), 0)
	wantShade(t, "left of it", m, 30, 240, 16, 128, 128, 2)
	wantShade(t, "right of it", m, 745, 240, 16, 128, 128, 2)
	resize(200, 400)
	write(0) // 2
	showing(t, screen, image.Rect(0, 125, 200, 275), 2)
	resize(320, 240)
	write(90) // 3
	showing(t, screen, image.Rect(0, 0, 320, 240), 3)

	// Something lay over it.
	cover := p.window("cover", image.Rect(0, 0, 800, 600), 0xff0000)
	p.check("uncover", xproto.DestroyWindowChecked(p.conn, cover).Check())
	p.sync()
	showing(t, screen, image.Rect(0, 0, 320, 240), 3)

	// The window manager says that the person closed it. ICCCM §4.2.8.1
	protocols, _ := xproto.InternAtom(p.conn, false, 12, "WM_PROTOCOLS").Reply()
	bye, _ := xproto.InternAtom(p.conn, false, 16, "WM_DELETE_WINDOW").Reply()
	e := xproto.ClientMessageEvent{
		Format: 32, Window: id, Type: protocols.Atom,
		Data: xproto.ClientMessageDataUnionData32New([]uint32{uint32(bye.Atom), 0, 0, 0, 0}),
	}
	p.check("close", xproto.SendEventChecked(p.conn, false, id, 0, string(e.Bytes())).Check())
	for deadline := time.Now().Add(10 * time.Second); err == nil; {
		err = s.Write(video.Frame{Image: pattern.Next(time.Now())})
		if time.Now().After(deadline) {
			t.Fatal("it can be written to after it was closed")
		}
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("after it was closed: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if list, err := Windows(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("afterwards there are %v, %v", list, err)
	}
}

// find returns the window with a title.
func (p *painter) find(title string) xproto.Window {
	p.t.Helper()
	tree, err := xproto.QueryTree(p.conn, p.root).Reply()
	p.check("list windows", err)
	d := &display{conn: p.conn, root: p.root}
	for _, w := range tree.Children {
		if d.title(w) == title {
			return w
		}
	}
	p.t.Fatalf("no window %q", title)
	return 0
}

// A server that shares no memory gets its pixels in pieces; pictures larger than
// the screen open in a smaller window.
func TestIntegrationShowWithoutSharedMemory(t *testing.T) {
	newPainter(t, "700x500x24")
	screen := open(t, "screen", Options{FPS: 60, NoPointer: true})
	s := shown(t)
	s.shares = false // before the first picture nobody else looks at it
	if err := s.Write(video.Frame{Image: video.NewPattern(1280, 960).Next(time.Now())}); err != nil {
		t.Fatal(err)
	}
	showing(t, screen, image.Rect(0, 0, 640, 480), 0)
}

func TestIntegrationShowNeedsADisplay(t *testing.T) {
	t.Setenv("DISPLAY", "")
	_, err := OpenSink("window", nil)
	var oe *video.OpenError
	if !errors.Is(err, ErrNoDisplay) || !errors.As(err, &oe) || oe.Hint == "" {
		t.Errorf("without a display: %v", err)
	}
}
