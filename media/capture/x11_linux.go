package capture

import (
	"context"
	"fmt"
	"image"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/randr"
	"github.com/jezek/xgb/xinerama"
	"github.com/jezek/xgb/xproto"
)

const (
	// maxTitle bounds the title of a window, in bytes.
	maxTitle = 1024
	// maxWindows bounds the list of windows.
	maxWindows = 1024
	allPlanes  = 0xffffffff
)

// A display is a connection to an X server.
type display struct {
	name   string
	conn   *xgb.Conn
	screen *xproto.ScreenInfo
	root   xproto.Window
}

func dialDisplay() (*display, error) {
	name := os.Getenv("DISPLAY")
	if name == "" {
		return nil, ErrNoDisplay
	}
	// It would write about connections that end, which is how they end.
	xgb.Logger.SetOutput(io.Discard)
	conn, err := connect()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDisplay, err)
	}
	s := xproto.Setup(conn).DefaultScreen(conn)
	return &display{name: name, conn: conn, screen: s, root: s.Root}, nil
}

// pixelsKnown reports whether pixels of the given depth are four bytes, blue
// first.
func (d *display) pixelsKnown(depth byte) error {
	setup := xproto.Setup(d.conn)
	if setup.ImageByteOrder == xproto.ImageOrderLSBFirst && (depth == 24 || depth == 32) {
		for _, f := range setup.PixmapFormats {
			if f.Depth == depth && f.BitsPerPixel == 32 {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: depth %d", ErrFormat, depth)
}

func (d *display) monitors() (list []Screen) {
	whole := image.Rect(0, 0, int(d.screen.WidthInPixels), int(d.screen.HeightInPixels))
	if d.has(extScreens) {
		if r, err := xinerama.QueryScreens(d.conn).Reply(); err == nil {
			for _, s := range r.ScreenInfo {
				b := image.Rect(0, 0, int(s.Width), int(s.Height)).Add(image.Pt(int(s.XOrg), int(s.YOrg))).Intersect(whole)
				if !b.Empty() {
					list = append(list, Screen{Number: len(list) + 1, Bounds: b})
				}
			}
		}
	}
	if len(list) == 0 {
		list = []Screen{{Number: 1, Bounds: whole}}
	}
	if len(list) > 1 {
		corner, known := d.primary()
		for i := range list {
			list[i].Primary = known && list[i].Bounds.Min == corner
		}
	}
	return list
}

// primary returns where the primary monitor begins, if the person named one.
func (d *display) primary() (image.Point, bool) {
	if !d.has(extOutputs) {
		return image.Point{}, false
	}
	// The server answers as one of this version or its own, if that is older.
	if v, err := randr.QueryVersion(d.conn, 1, 5).Reply(); err != nil || v.MajorVersion == 1 && v.MinorVersion < 5 {
		return image.Point{}, false
	}
	r, err := randr.GetMonitors(d.conn, d.root, true).Reply()
	if err != nil {
		return image.Point{}, false
	}
	for _, m := range r.Monitors {
		if m.Primary {
			return image.Pt(int(m.X), int(m.Y)), true
		}
	}
	return image.Point{}, false
}

func screens(ctx context.Context) ([]Screen, error) {
	if onWayland() {
		return []Screen{{Number: 1, Dialog: true}}, nil
	}
	return until(ctx, func() ([]Screen, error) {
		d, err := dialDisplay()
		if err != nil {
			return nil, err
		}
		defer d.conn.Close()
		return d.monitors(), nil
	}, func([]Screen) {})
}

func windows(ctx context.Context) ([]Window, error) {
	return until(ctx, func() ([]Window, error) {
		d, err := dialDisplay()
		if err != nil {
			return nil, err
		}
		defer d.conn.Close()
		return d.windows()
	}, func([]Window) {})
}

// windows lists those of the window manager, or without one the children of
// the root.
func (d *display) windows() ([]Window, error) {
	ids := d.clients()
	if ids == nil {
		tree, err := xproto.QueryTree(d.conn, d.root).Reply()
		if err != nil {
			return nil, fmt.Errorf("list windows: %w", err)
		}
		ids = tree.Children
	}
	slices.Reverse(ids) // they come from the bottom up
	var list []Window
	for _, id := range ids[:min(len(ids), maxWindows)] {
		a, err := xproto.GetWindowAttributes(d.conn, id).Reply()
		if err != nil || a.MapState != xproto.MapStateViewable || a.Class != xproto.WindowClassInputOutput {
			continue
		}
		b, _, err := d.bounds(id)
		title := d.title(id)
		if err != nil || title == "" {
			continue
		}
		list = append(list, Window{ID: fmt.Sprintf("%#x", uint32(id)), Title: title, Bounds: b})
	}
	return list, nil
}

// clients is what the window manager says; nil without one. EWMH _NET_CLIENT_LIST
func (d *display) clients() (ids []xproto.Window) {
	for _, name := range []string{"_NET_CLIENT_LIST_STACKING", "_NET_CLIENT_LIST"} {
		v := d.property(d.root, name, maxWindows)
		for ; len(v) >= 4; v = v[4:] {
			ids = append(ids, xproto.Window(xgb.Get32(v)))
		}
		if ids != nil {
			return ids
		}
	}
	return nil
}

// property returns the value of a property, up to the given number of words.
func (d *display) property(w xproto.Window, name string, words uint32) []byte {
	atom, err := xproto.InternAtom(d.conn, true, uint16(len(name)), name).Reply()
	if err != nil || atom.Atom == xproto.AtomNone {
		return nil
	}
	p, err := xproto.GetProperty(d.conn, false, w, atom.Atom, xproto.GetPropertyTypeAny, 0, words).Reply()
	if err != nil {
		return nil
	}
	return p.Value
}

// title is what the window is called, in printable UTF-8.
func (d *display) title(w xproto.Window) string {
	for _, name := range []string{"_NET_WM_NAME", "WM_NAME"} {
		v := d.property(w, name, maxTitle/4)
		if name == "WM_NAME" && !utf8.Valid(v) { // ICCCM: Latin-1
			r := make([]rune, len(v))
			for i, b := range v {
				r[i] = rune(b)
			}
			v = []byte(string(r))
		}
		title := strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == utf8.RuneError {
				return -1
			}
			return r
		}, string(v)))
		if title != "" {
			return title
		}
	}
	return ""
}

// bounds are those of a window on its screen, and its depth.
func (d *display) bounds(w xproto.Window) (image.Rectangle, byte, error) {
	g, err := xproto.GetGeometry(d.conn, xproto.Drawable(w)).Reply()
	if err != nil {
		return image.Rectangle{}, 0, err
	}
	at, err := xproto.TranslateCoordinates(d.conn, w, d.root, 0, 0).Reply()
	if err != nil {
		return image.Rectangle{}, 0, err
	}
	return image.Rect(0, 0, int(g.Width), int(g.Height)).Add(image.Pt(int(at.DstX), int(at.DstY))), g.Depth, nil
}
