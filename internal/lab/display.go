package lab

import (
	"bufio"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
)

// A Display is an X server without a screen.
type Display struct {
	Name string // for DISPLAY, ":99"

	t    testing.TB
	conn *xgb.Conn // once a picture was taken
	*process
}

// StartDisplay starts one, of the given size and depth, "1024x768x24".
func StartDisplay(t testing.TB, size string) *Display {
	t.Helper()
	Need(t, "Xvfb")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// It chooses a number that is free and writes it to this file.
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", size, "-nolisten", "tcp", "-noreset")
	cmd.ExtraFiles = []*os.File{w}
	p := start(t, "Xvfb", filepath.Join(tempDir(t), "log"), cmd)
	w.Close()
	r.SetReadDeadline(time.Now().Add(startTimeout))
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb: no display: %v\n%s", err, tail(p.readLog()))
	}
	return &Display{Name: ":" + strings.TrimSpace(number), t: t, process: p}
}

// dial connects to the display, once.
func (d *Display) dial() *xgb.Conn {
	d.t.Helper()
	if d.conn == nil {
		xgb.Logger.SetOutput(io.Discard) // that it needs no authority
		conn, err := xgb.NewConnDisplay(d.Name)
		if err != nil {
			d.t.Fatalf("look at display %s: %v", d.Name, err)
		}
		d.conn = conn
		d.t.Cleanup(conn.Close)
	}
	return d.conn
}

// WidenTop makes the window in front wider, as a user may do, and returns where
// it was: an empty rectangle if there is none.
func (d *Display) WidenTop(pixels int) (was image.Rectangle) {
	d.t.Helper()
	conn := d.dial()
	tree, err := xproto.QueryTree(conn, xproto.Setup(conn).DefaultScreen(conn).Root).Reply()
	if err != nil {
		d.t.Fatalf("list windows of %s: %v", d.Name, err)
	}
	for _, w := range slices.Backward(tree.Children) { // the last is in front
		a, err := xproto.GetWindowAttributes(conn, w).Reply()
		if err != nil || a.MapState != xproto.MapStateViewable || a.Class != xproto.WindowClassInputOutput {
			continue // it went away, or cannot be seen
		}
		g, err := xproto.GetGeometry(conn, xproto.Drawable(w)).Reply()
		if err != nil || g.Width < leastWindow || g.Height < leastWindow {
			continue
		}
		xproto.ConfigureWindow(conn, w, xproto.ConfigWindowWidth, []uint32{uint32(int(g.Width) + pixels)})
		conn.Sync()
		at := image.Pt(int(g.X), int(g.Y))
		return image.Rectangle{Min: at, Max: at.Add(image.Pt(int(g.Width), int(g.Height)))}
	}
	return image.Rectangle{}
}

// leastWindow is the least width and height, in pixels, of what is a window and
// no menu or tip.
const leastWindow = 200

// MovePointer moves the pointer to a place of the display, as a hand would.
func (d *Display) MovePointer(x, y int) {
	d.t.Helper()
	conn := d.dial()
	err := xtest.Init(conn)
	if err == nil {
		root := xproto.Setup(conn).DefaultScreen(conn).Root
		err = xtest.FakeInputChecked(conn, xproto.MotionNotify, 0, 0, root, int16(x), int16(y), 0).Check()
	}
	if err != nil {
		d.t.Fatalf("move the pointer of display %s: %v", d.Name, err)
	}
}

// Picture returns what is on the display.
func (d *Display) Picture() image.Image {
	d.t.Helper()
	conn := d.dial()
	screen := xproto.Setup(conn).DefaultScreen(conn)
	w, h := screen.WidthInPixels, screen.HeightInPixels
	got, err := xproto.GetImage(conn, xproto.ImageFormatZPixmap, xproto.Drawable(screen.Root), 0, 0, w, h, ^uint32(0)).Reply()
	if err != nil {
		d.t.Fatalf("look at display %s: %v", d.Name, err)
	}
	i := image.NewRGBA(image.Rect(0, 0, int(w), int(h)))
	for p := 0; p+3 < len(got.Data) && p+3 < len(i.Pix); p += 4 { // blue, green, red, nothing
		i.Pix[p], i.Pix[p+1], i.Pix[p+2], i.Pix[p+3] = got.Data[p+2], got.Data[p+1], got.Data[p], 0xff
	}
	return i
}
