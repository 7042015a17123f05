package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Widgets are those of the programs on a bus as assistive technology sees them
// (AT-SPI): what they are, what they are called, and what can be done with them.
type Widgets struct {
	t    testing.TB
	conn *dbus.Conn
}

// A Widget is one of them. It may be gone by the time it is used.
type Widget struct {
	Role, Name string

	w   *Widgets
	at  widgetRef
	gui dbus.BusObject
}

// A widgetRef is how AT-SPI names a widget.
type widgetRef struct {
	Program string
	Path    dbus.ObjectPath
}

const atspi = "org.a11y.atspi."

// maxWidgets bounds how many are looked through.
const maxWidgets = 5000

// StartWidgets starts what programs on a bus tell about their widgets. They have
// the bus as their session bus, and the display of env.
//
// Qt 5.15 has to be there already, with a window: what it finds when it starts it
// looks at before it listens to itself, and tells nothing from then on.
func StartWidgets(t testing.TB, bus *Bus, env []string) *Widgets {
	t.Helper()
	p := startAccessBus(t, bus, env, "--launch-immediately", "--a11y=1")
	w := &Widgets{t: t}
	p.waitFor("its bus", func() error {
		session, err := dbus.Connect(bus.Address)
		if err != nil {
			return err
		}
		defer session.Close()
		var address string
		if err := session.Object("org.a11y.Bus", "/org/a11y/bus").Call("org.a11y.Bus.GetAddress", 0).Store(&address); err != nil {
			return err
		}
		w.conn, err = dbus.Connect(address)
		return err
	})
	t.Cleanup(func() { w.conn.Close() })
	return w
}

// at returns a widget with what it is and what it is called.
func (w *Widgets) at(ref widgetRef) (Widget, error) {
	x := Widget{w: w, at: ref, gui: w.conn.Object(ref.Program, ref.Path)}
	if err := x.gui.Call(atspi+"Accessible.GetRoleName", 0).Store(&x.Role); err != nil {
		return x, err
	}
	name, err := x.gui.GetProperty(atspi + "Accessible.Name")
	if err != nil {
		return x, err
	}
	x.Name, _ = name.Value().(string)
	return x, nil
}

// in returns what is directly in a widget.
func (x Widget) in() (list []Widget) {
	var refs []widgetRef
	if err := x.gui.Call(atspi+"Accessible.GetChildren", 0).Store(&refs); err != nil {
		return nil // it is gone
	}
	for _, ref := range refs {
		if y, err := x.w.at(ref); err == nil {
			list = append(list, y)
		}
	}
	return list
}

// Find returns a widget, wherever it is in this one.
func (x Widget) Find(role, name string) (found Widget, ok bool) {
	return x.Which(func(y Widget) bool { return y.Role == role && y.Name == name })
}

// Which returns the first widget in this one for which ok holds.
func (x Widget) Which(ok func(Widget) bool) (Widget, bool) {
	list := []Widget{x}
	for n := 0; n < len(list) && n < maxWidgets; n++ {
		for _, y := range list[n].in() {
			if ok(y) {
				return y, true
			}
			if y.Role != "menu bar" { // much, and none of it wanted
				list = append(list, y)
			}
		}
	}
	return Widget{}, false
}

// windows are those of all programs. The registry, which is to list programs, now
// and then does not: they are asked themselves.
func (w *Widgets) windows() (list []Widget) {
	var names []string
	w.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names)
	for _, name := range names {
		if !strings.HasPrefix(name, ":") {
			continue
		}
		if program, err := w.at(widgetRef{name, "/org/a11y/atspi/accessible/root"}); err == nil && program.Role == "application" {
			list = append(list, program.in()...)
		}
	}
	return list
}

// Window returns a window that is open.
func (w *Widgets) Window(name string) (Widget, bool) {
	for _, window := range w.windows() {
		if window.Name == name {
			return window, true
		}
	}
	return Widget{}, false
}

// Await waits for a window.
func (w *Widgets) Await(window string) (found Widget) {
	w.t.Helper()
	w.until("the window "+window, func() (ok bool) {
		found, ok = w.Window(window)
		return ok
	})
	return found
}

// Press presses a button of a window, once it is there and may be pressed.
func (w *Widgets) Press(window, button string) {
	w.t.Helper()
	w.until(fmt.Sprintf("the button %s of %s", button, window), func() bool {
		in, ok := w.Window(window)
		if !ok {
			return false
		}
		x, ok := in.Find("push button", button)
		return ok && x.press()
	})
}

// press reports whether it could be pressed.
func (x Widget) press() bool {
	var actions []struct{ Name, Description, Key string }
	var done bool
	if err := x.gui.Call(atspi+"Action.GetActions", 0).Store(&actions); err != nil || len(actions) == 0 {
		return false
	}
	return x.gui.Call(atspi+"Action.DoAction", 0, int32(0)).Store(&done) == nil && done
}

// Text returns what stands in it.
func (x Widget) Text() (text string) {
	x.gui.Call(atspi+"Text.GetText", 0, int32(0), int32(-1)).Store(&text)
	return text
}

// Enter writes text into a field of a window, once ok holds for one, in place of
// what stands there.
func (w *Widgets) Enter(window, text string, ok func(Widget) bool) {
	w.t.Helper()
	w.until("the field of "+window, func() bool {
		in, there := w.Window(window)
		if !there {
			return false
		}
		x, there := in.Which(func(x Widget) bool { return x.Role == "text" && ok(x) })
		return there && x.gui.Call(atspi+"EditableText.SetTextContents", 0, text).Err == nil && x.Text() == text
	})
}

// Place returns where it is on the display.
func (x Widget) Place() (left, top, width, height int32) {
	var at struct{ X, Y, W, H int32 }
	x.gui.Call(atspi+"Component.GetExtents", 0, uint32(0)).Store(&at)
	return at.X, at.Y, at.W, at.H
}

func (w *Widgets) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(startTimeout); !ok(); time.Sleep(pollInterval) {
		if time.Now().After(end) {
			w.t.Fatalf("%s does not come; there are:\n%s", what, w.all())
		}
	}
}

// all lists the windows and what is in them.
func (w *Widgets) all() (s string) {
	for _, window := range w.windows() {
		s += fmt.Sprintf("%s %q\n", window.Role, window.Name)
		window.Which(func(x Widget) bool {
			if x.Name != "" {
				s += fmt.Sprintf("  %s %q\n", x.Role, x.Name)
			}
			return false
		})
	}
	return s
}
