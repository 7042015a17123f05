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
	"sync"
	"syscall"
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

// Kill ends the display as a crash would.
func (d *Display) Kill() {
	d.signal(syscall.SIGKILL)
	<-d.done
}

// Freeze has the display answer nothing until thaw, as one does that hangs.
func (d *Display) Freeze() (thaw func()) {
	d.signal(syscall.SIGSTOP)
	thaw = sync.OnceFunc(func() { d.signal(syscall.SIGCONT) })
	d.t.Cleanup(thaw)
	return thaw
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
	w, was := d.front()
	if !was.Empty() {
		xproto.ConfigureWindow(d.dial(), w, xproto.ConfigWindowWidth, []uint32{uint32(was.Dx() + pixels)})
		d.dial().Sync()
	}
	return was
}

// Top is where the window in front is: an empty rectangle if there is none.
func (d *Display) Top() image.Rectangle {
	d.t.Helper()
	_, at := d.front()
	return at
}

// CloseTop asks the window in front to close, as the button of its frame does.
// ICCCM §4.2.8.1
func (d *Display) CloseTop() {
	d.t.Helper()
	w, was := d.front()
	if was.Empty() {
		d.t.Fatalf("no window on display %s", d.Name)
	}
	conn := d.dial()
	var atoms []uint32
	for _, name := range []string{"WM_PROTOCOLS", "WM_DELETE_WINDOW"} {
		r, err := xproto.InternAtom(conn, false, uint16(len(name)), name).Reply()
		if err != nil {
			d.t.Fatalf("display %s: %v", d.Name, err)
		}
		atoms = append(atoms, uint32(r.Atom))
	}
	e := xproto.ClientMessageEvent{Format: 32, Window: w, Type: xproto.Atom(atoms[0]),
		Data: xproto.ClientMessageDataUnionData32New([]uint32{atoms[1], 0, 0, 0, 0})}
	if err := xproto.SendEventChecked(conn, false, w, 0, string(e.Bytes())).Check(); err != nil {
		d.t.Fatalf("close the window in front of display %s: %v", d.Name, err)
	}
}

// front is the window in front and where it is: an empty rectangle if there is
// none.
func (d *Display) front() (xproto.Window, image.Rectangle) {
	d.t.Helper()
	return d.top(func(_ xproto.Window, _ bool, at image.Rectangle) bool {
		return at.Dx() >= leastWindow && at.Dy() >= leastWindow
	})
}

// Menu returns where the menu in front is: an empty rectangle if there is none.
func (d *Display) Menu() image.Rectangle {
	d.t.Helper()
	_, at := d.top(func(_ xproto.Window, unmanaged bool, at image.Rectangle) bool {
		return unmanaged && at.Dx() > 1 && at.Dy() > 1
	})
	return at
}

// Raise puts a window in front, by its title.
func (d *Display) Raise(title string) {
	d.t.Helper()
	conn := d.dial()
	w, at := d.top(func(w xproto.Window, _ bool, _ image.Rectangle) bool {
		name, err := xproto.GetProperty(conn, false, w, xproto.AtomWmName, xproto.GetPropertyTypeAny, 0, 1<<10).Reply()
		return err == nil && string(name.Value) == title
	})
	if at.Empty() {
		d.t.Fatalf("no window %q on display %s", title, d.Name)
	}
	xproto.ConfigureWindow(conn, w, xproto.ConfigWindowStackMode, []uint32{xproto.StackModeAbove})
	conn.Sync()
}

// top is the first window from the front for which ok holds, and where it is.
// Menus and tips are unmanaged.
func (d *Display) top(ok func(w xproto.Window, unmanaged bool, at image.Rectangle) bool) (xproto.Window, image.Rectangle) {
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
		if err != nil {
			continue
		}
		from := image.Pt(int(g.X), int(g.Y))
		at := image.Rectangle{Min: from, Max: from.Add(image.Pt(int(g.Width), int(g.Height)))}
		if ok(w, a.OverrideRedirect, at) {
			return w, at
		}
	}
	return 0, image.Rectangle{}
}

// leastWindow is the least width and height, in pixels, of what is a window and
// no menu or tip.
const leastWindow = 200

// MovePointer moves the pointer to a place of the display, as a hand would.
func (d *Display) MovePointer(x, y int) {
	d.t.Helper()
	d.pointer(xproto.MotionNotify, 0, x, y)
}

// Click presses a button of the pointer at a place of the display: 1 is the
// left one, 3 the right one.
func (d *Display) Click(x, y int, button byte) {
	d.t.Helper()
	d.MovePointer(x, y)
	d.pointer(xproto.ButtonPress, button, 0, 0)
	d.pointer(xproto.ButtonRelease, button, 0, 0)
}

func (d *Display) pointer(event, button byte, x, y int) {
	d.t.Helper()
	conn := d.dial()
	err := xtest.Init(conn)
	if err == nil {
		root := xproto.Setup(conn).DefaultScreen(conn).Root
		err = xtest.FakeInputChecked(conn, event, button, 0, root, int16(x), int16(y), 0).Check()
	}
	if err != nil {
		d.t.Fatalf("use the pointer of display %s: %v", d.Name, err)
	}
}

// keysyms are the names of keys that are no letters, and their numbers.
var keysyms = map[string]xproto.Keysym{
	"Tab": 0xff09, "Return": 0xff0d, "Escape": 0xff1b, "Space": ' ', "Right": 0xff53, "Down": 0xff54, "Control": 0xffe3,
}

// keyTime lies between two keys. Programs take one that is pressed twice within
// a millisecond for one.
const keyTime = 20 * time.Millisecond

// Press presses keys in the window in front, one after the other, as a hand
// would: "Tab", "a", "Control+n".
func (d *Display) Press(keys ...string) {
	d.t.Helper()
	conn := d.dial()
	setup := xproto.Setup(conn)
	root := setup.DefaultScreen(conn).Root
	codes, err := xproto.GetKeyboardMapping(conn, setup.MinKeycode, byte(setup.MaxKeycode-setup.MinKeycode+1)).Reply()
	if err == nil {
		err = xtest.Init(conn)
	}
	if err != nil {
		d.t.Fatalf("find the keys of display %s: %v", d.Name, err)
	}
	if w, at := d.front(); !at.Empty() { // nobody else manages windows
		xproto.SetInputFocus(conn, xproto.InputFocusParent, w, xproto.TimeCurrentTime)
	}
	fake := func(kind byte, name string) {
		want, ok := keysyms[name]
		if !ok && len(name) == 1 {
			want, ok = xproto.Keysym(name[0]), true
		}
		for i, sym := range codes.Keysyms {
			if ok && sym == want && i%int(codes.KeysymsPerKeycode) == 0 {
				code := byte(setup.MinKeycode) + byte(i/int(codes.KeysymsPerKeycode))
				if err := xtest.FakeInputChecked(conn, kind, code, 0, root, 0, 0, 0).Check(); err != nil {
					d.t.Fatalf("press %s on display %s: %v", name, d.Name, err)
				}
				return
			}
		}
		d.t.Fatalf("display %s has no key %q", d.Name, name)
	}
	for _, k := range keys {
		names := strings.Split(k, "+")
		for _, name := range names {
			fake(xproto.KeyPress, name)
		}
		for _, name := range slices.Backward(names) {
			fake(xproto.KeyRelease, name)
		}
		time.Sleep(keyTime)
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
