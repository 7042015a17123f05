//go:build integration && linux

package capture

import (
	"errors"
	"image"
	"image/color"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jezek/xgb/xproto"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/media/video"
)

func numbered(number int, w, h int) *image.YCbCr {
	m := video.NewImage(w, h)
	for i := range m.Y {
		m.Y[i] = 128
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = 128, 128
	}
	video.DrawCode(m, video.Code{Number: uint16(number)})
	return m
}

// A pane shows both pictures in somebody else's window, moves, comes back after
// something lay over it, lets the pointer through, goes away and leaves what is
// under it, and ends with the window.
func TestIntegrationPane(t *testing.T) {
	p := newPainter(t, "800x600x24")
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	screen := open(t, "screen", Options{FPS: 60, NoPointer: true})
	defer screen.Close()
	parent := p.window("app", image.Rect(40, 30, 740, 530), 0x0000ff)
	pane, err := OpenPane(uint32(parent), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	defer pane.Close()
	child := func() xproto.Window {
		t.Helper()
		tree, err := xproto.QueryTree(p.conn, parent).Reply()
		p.check("list windows", err)
		if len(tree.Children) != 1 {
			t.Fatalf("%d windows in that of the app", len(tree.Children))
		}
		return tree.Children[0]
	}
	viewable := func() bool {
		a, err := xproto.GetWindowAttributes(p.conn, child()).Reply()
		p.check("look at the pane", err)
		return a.MapState == xproto.MapStateViewable
	}
	write := func(to func(*image.YCbCr) error, number, w, h int) {
		t.Helper()
		if err := to(numbered(number, w, h)); err != nil {
			t.Fatal(err)
		}
	}

	// Without a place or without a picture nothing is seen.
	write(pane.Write, 1, 320, 240)
	place := PanePlace{Area: image.Rect(10, 20, 690, 420), Back: color.RGBA{255, 0, 0, 255}, Edge: color.RGBA{0, 255, 0, 255}}
	if viewable() {
		t.Error("it is seen before it has a place")
	}
	pane.Place(place)
	write(pane.Write, 2, 320, 240)
	// 680 by 400 at 50, 50: the picture is 533 wide in it.
	m := showing(t, screen, image.Rect(50+73, 50, 50+73+533, 450), 2)
	wantShade(t, "beside it", m, 80, 250, 82, 90, 240, 4)      // red
	wantShade(t, "the app's own", m, 60, 480, 41, 240, 110, 4) // blue
	wantShade(t, "the app's own, above", m, 300, 40, 41, 240, 110, 4)

	// Our own picture lies over it, in a frame.
	place.Own, place.Frame, place.Corner = image.Rect(500, 280, 680, 410), 5, 12
	pane.Place(place)
	write(pane.WriteOwn, 7, 170, 120)
	write(pane.Write, 3, 320, 240)
	own := place.Own.Add(image.Pt(40, 30))
	m = showing(t, screen, own.Inset(5), 7)
	wantShade(t, "frame", m, own.Min.X+2, own.Min.Y+60, 145, 54, 34, 6) // green
	if theirs, ours := pane.Last(); theirs.Rect != image.Rect(0, 0, 320, 240) || ours.Rect != image.Rect(0, 0, 170, 120) {
		t.Errorf("last are %v and %v", theirs.Rect, ours.Rect)
	}

	// Pictures of another shape leave nothing of the last beside them.
	write(pane.Write, 4, 240, 320)
	m = showing(t, screen, image.Rect(50+190, 50, 50+490, 450), 4)
	wantShade(t, "beside the narrow one", m, 50+100, 250, 82, 90, 240, 4)

	// Something lay over the window.
	cover := p.window("cover", image.Rect(0, 0, 800, 600), 0)
	p.check("uncover", xproto.DestroyWindowChecked(p.conn, cover).Check())
	showing(t, screen, image.Rect(50+190, 50, 50+490, 450), 4)

	// It follows its place, without a new picture.
	place.Area, place.Own = image.Rect(0, 0, 300, 400), image.Rectangle{}
	pane.Place(place)
	showing(t, screen, image.Rect(40, 30, 340, 430), 4)
	if theirs, ours := pane.Last(); theirs == nil || ours != nil {
		t.Error("it keeps our own picture when there is no place for that")
	}

	p.check("move the pointer", xproto.WarpPointerChecked(p.conn, 0, p.root, 0, 0, 0, 0, 100, 100).Check())
	q, err := xproto.QueryPointer(p.conn, parent).Reply()
	p.check("pointer", err)
	if q.Child != 0 {
		t.Errorf("the pointer is in window %d within that of the app", q.Child)
	}

	pane.Place(PanePlace{})
	for deadline := time.Now().Add(10 * time.Second); viewable(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not go away")
		}
	}
	if theirs, ours := pane.Last(); theirs != nil || ours != nil {
		t.Error("it keeps pictures when it shows none")
	}
	write(pane.Write, 5, 320, 240)
	pane.Place(PanePlace{Area: image.Rect(0, 0, 1<<20, 10)}) // nobody has such a window
	write(pane.Write, 6, 320, 240)
	if viewable() {
		t.Error("it is seen without a place")
	}

	p.check("end the app", xproto.DestroyWindowChecked(p.conn, parent).Check())
	for deadline := time.Now().Add(10 * time.Second); err == nil; {
		if err = pane.Write(numbered(8, 64, 64)); time.Now().After(deadline) {
			t.Fatal("it outlives the window")
		}
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the window is gone: %v", err)
	}
	if err := errors.Join(pane.Close(), pane.Close()); err != nil {
		t.Error(err)
	}
	if _, err := OpenPane(uint32(parent), nil); err == nil {
		t.Error("a pane opens in a window that is gone")
	}
}
