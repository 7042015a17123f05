package ui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"
	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/desktop/state"
)

// A desk is a View in a window without a display, and what the user wanted.
type desk struct {
	*View
	window fyne.Window
	wanted []state.Command
}

func newDesk(t testing.TB, variant string, a state.App) *desk {
	t.Helper()
	app := test.NewTempApp(t)
	app.Settings().SetTheme(NewTheme(variant))
	d := &desk{}
	d.View = New(func(c state.Command) { d.wanted = append(d.wanted, c) }, func() time.Time { return now })
	d.window = test.NewTempWindow(t, d.Root)
	d.window.SetPadded(false)
	d.Bind(d.window.Canvas())
	d.window.Resize(fyne.NewSize(1000, 660))
	d.Draw(a)
	return d
}

// settle lays everything out, as the window does before it draws.
func settle(o fyne.CanvasObject) {
	switch o := o.(type) {
	case *fyne.Container:
		if o.Layout != nil {
			o.Layout.Layout(o.Objects, o.Size())
		}
		for _, x := range o.Objects {
			settle(x)
		}
	case fyne.Widget:
		r := test.WidgetRenderer(o)
		r.Layout(o.Size())
		for _, x := range r.Objects() {
			settle(x)
		}
	}
}

// press does what the window does with a key.
func (d *desk) press(names ...fyne.KeyName) {
	c := d.window.Canvas()
	for _, name := range names {
		f := c.Focused()
		if t, ok := f.(fyne.Tabbable); name == fyne.KeyTab && (!ok || !t.AcceptsTab()) {
			c.FocusNext()
			continue
		}
		if f == nil {
			c.OnTypedKey()(&fyne.KeyEvent{Name: name})
			continue
		}
		f.TypedKey(&fyne.KeyEvent{Name: name})
		if name == fyne.KeySpace && c.Focused() == f {
			f.TypedRune(' ')
		}
	}
}

func (d *desk) focusedOn() fyne.Focusable { return d.window.Canvas().Focused() }

// settled lays everything out, and returns what the keyboard is kept to.
func (d *desk) settled() fyne.CanvasObject {
	roots := append([]fyne.CanvasObject{d.Root}, d.window.Canvas().Overlays().List()...)
	for range 2 {
		for _, o := range roots {
			settle(o)
		}
	}
	return roots[len(roots)-1]
}

// parts are the objects in another, also those of widgets of the toolkit.
func parts(o fyne.CanvasObject) []fyne.CanvasObject {
	switch o := o.(type) {
	case *fyne.Container:
		return o.Objects
	case fyne.Widget:
		return test.WidgetRenderer(o).Objects()
	}
	return nil
}

// seen calls f with what is visible in o, and what holds it.
func seen(o fyne.CanvasObject, holds []fyne.CanvasObject, f func(o fyne.CanvasObject, holds []fyne.CanvasObject)) {
	if !o.Visible() {
		return
	}
	f(o, holds)
	holds = append(slices.Clip(holds), o)
	for _, x := range parts(o) {
		seen(x, holds, f)
	}
}

// walk presses Tab until it comes to what it came to before.
func (d *desk) walk(t *testing.T) (all []fyne.Focusable) {
	t.Helper()
	d.window.Canvas().Unfocus()
	for range 300 {
		d.press(fyne.KeyTab)
		f := d.focusedOn()
		if f == nil || slices.Contains(all, f) {
			return all
		}
		all = append(all, f)
		d.inSight(t, f.(fyne.CanvasObject))
	}
	t.Error("Tab does not come to an end")
	return all
}

// inSight complains about what has the focus where nobody sees it.
func (d *desk) inSight(t *testing.T, o fyne.CanvasObject) {
	t.Helper()
	driver := fyne.CurrentApp().Driver()
	at, size := driver.AbsolutePositionForObject(o), o.Size()
	room := d.window.Canvas().Size()
	if at.X < 0 || at.Y < 0 || at.X+size.Width > room.Width+1 || at.Y+size.Height > room.Height+1 || size.IsZero() {
		t.Errorf("a %T has the focus at %v, size %v, outside of the window", o, at, size)
	}
	w := way(d.top(), o)
	for _, x := range w {
		if s, ok := x.(*container.Scroll); ok {
			top := driver.AbsolutePositionForObject(s).Y
			if at.Y < top-1 || at.Y+min(size.Height, s.Size().Height) > top+s.Size().Height+1 {
				t.Errorf("a %T has the focus and is scrolled out of sight: at %v in %v to %v", o, at.Y, top, top+s.Size().Height)
			}
		}
	}
	switch o := o.(type) {
	case *round:
		if o.ring.StrokeWidth == 0 {
			t.Errorf("nobody sees that %q has the focus", o.tip)
		}
	case *button:
		if o.ring.StrokeWidth == 0 && o.Importance != widget.MediumImportance && o.Importance != widget.LowImportance {
			t.Errorf("nobody sees that %q has the focus", o.Text)
		}
	case *row:
		if o.back.StrokeWidth == 0 {
			t.Error("nobody sees that a row has the focus")
		}
	}
}

// tapped reports whether something can be tapped that must be for the keyboard
// too.
func tapped(o fyne.CanvasObject) bool {
	switch o.(type) {
	case *shade, *mover: // Escape, and any key
		return false
	}
	switch name := fmt.Sprintf("%T", o); {
	case name == "*widget.listItem": // the list is what the keys go to
		return false
	case strings.HasPrefix(name, "*widget.scroll"): // it follows the focus
		return false
	}
	switch o.(type) {
	case fyne.Tappable, fyne.SecondaryTappable, fyne.DoubleTappable, desktop.Mouseable:
		return true
	}
	return false
}

// words is what can be read and pressed in the window.
func (d *desk) words() (list []string) {
	for _, root := range append([]fyne.CanvasObject{d.Root}, d.window.Canvas().Overlays().List()...) {
		seen(root, nil, func(o fyne.CanvasObject, holds []fyne.CanvasObject) {
			if slices.Contains(holds, fyne.CanvasObject(d.tips.box)) {
				return
			}
			switch o := o.(type) {
			case *canvas.Text:
				list = append(list, o.Text)
			case *prose:
				list = append(list, o.said.Text)
			case *widget.Label:
				list = append(list, o.Text)
			case *button:
				list = append(list, o.Text)
			case *check:
				list = append(list, fmt.Sprint(o.text.Text, o.Checked))
			case *round:
				list = append(list, o.tip)
			}
		})
	}
	return list
}

// topLayer is the overlay that is there while a sheet is open.
func (d *desk) topLayer() fyne.CanvasObject {
	if d.sheet.shown() {
		return d.sheet.layer
	}
	return nil
}

// rebuild is what another theme of the desktop does.
func (d *desk) rebuild() {
	d.View = d.Rebuild()
	d.window.SetContent(d.Root)
	d.Bind(d.window.Canvas())
	d.Draw(d.app)
	d.settled()
}

func (d *desk) expect(t *testing.T, want ...state.Command) {
	t.Helper()
	if diff := cmp.Diff(want, d.wanted); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	d.wanted = nil
}

// named finds a button of the sheet by its text.
func named(t *testing.T, d *desk, text string) (found *button) {
	t.Helper()
	var walk func(fyne.CanvasObject)
	walk = func(o fyne.CanvasObject) {
		switch o := o.(type) {
		case *button:
			if o.Text == text {
				found = o
			}
		default:
			for _, x := range inside(o) {
				walk(x)
			}
		}
	}
	walk(d.sheet.root)
	if found == nil {
		t.Fatalf("no button %q", text)
	}
	return found
}
