//go:build integration && linux

package notify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// dunst is a real notification server on a private bus and display, with which
// the test does what a person does: click, or choose from its menu of actions.
type dunst struct {
	t      *testing.T
	bus    *lab.Bus
	conn   *dbus.Conn
	choice string // file with what is chosen from the menu
}

func startDunst(t *testing.T) *dunst {
	t.Helper()
	display, bus := lab.StartDisplay(t, "800x600x24"), lab.StartBus(t)
	dir := t.TempDir()
	choice, menu, config := filepath.Join(dir, "choice"), filepath.Join(dir, "menu"), filepath.Join(dir, "dunstrc")
	for path, text := range map[string]string{
		menu:   "#!/bin/sh\nexec grep -e \"$(cat " + choice + ")\"\n", // dunst writes what there is to its standard input
		config: "[global]\n    dmenu = " + menu + "\n    mouse_middle_click = do_action, close_current\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	bus.Run("dunst", []string{"DISPLAY=" + display.Name, "HOME=" + dir}, "-conf", config)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	t.Setenv("DISPLAY", display.Name)
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d := &dunst{t, bus, conn, choice}
	for deadline := time.Now().Add(20 * time.Second); ; {
		var owned bool
		err := conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, name).Store(&owned)
		if err == nil && owned {
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("dunst does not come up: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// do calls dunst's own interface, as dunstctl does.
func (d *dunst) do(method string, args ...any) {
	d.t.Helper()
	obj := d.conn.Object(name, path)
	if err := obj.Call("org.dunstproject.cmd0."+method, 0, args...).Err; err != nil {
		d.t.Fatalf("dunst: %s: %v", method, err)
	}
}

// choose opens the menu of actions and chooses one.
func (d *dunst) choose(label string) {
	d.t.Helper()
	if err := os.WriteFile(d.choice, []byte(label), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.do("ContextMenuCall")
}

// click clicks into the middle of the notification with the middle button.
func (d *dunst) click() {
	d.t.Helper()
	x, err := xgb.NewConn()
	if err != nil {
		d.t.Fatal(err)
	}
	defer x.Close()
	root := xproto.Setup(x).DefaultScreen(x).Root
	if err := xtest.Init(x); err != nil {
		d.t.Fatal(err)
	}
	tree, err := xproto.QueryTree(x, root).Reply()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, w := range tree.Children {
		a, err := xproto.GetWindowAttributes(x, w).Reply()
		if err != nil || a.MapState != xproto.MapStateViewable {
			continue
		}
		g, err := xproto.GetGeometry(x, xproto.Drawable(w)).Reply()
		if err != nil {
			d.t.Fatal(err)
		}
		for _, in := range []struct{ kind, detail byte }{{xproto.MotionNotify, 0}, {xproto.ButtonPress, 2}, {xproto.ButtonRelease, 2}} {
			err := xtest.FakeInputChecked(x, in.kind, in.detail, 0, root, g.X+int16(g.Width/2), g.Y+int16(g.Height/2), 0).Check()
			if err != nil {
				d.t.Fatal(err)
			}
		}
		return
	}
	d.t.Fatal("dunst has no window")
}

// displayed is how many notifications dunst shows.
func (d *dunst) displayed() uint32 {
	d.t.Helper()
	v, err := d.conn.Object(name, path).GetProperty("org.dunstproject.cmd0.displayedLength")
	if err != nil {
		d.t.Fatal(err)
	}
	return v.Value().(uint32)
}

func (d *dunst) waitDisplayed(want uint32) {
	d.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); d.displayed() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("dunst shows %d notifications, want %d", d.displayed(), want)
		}
	}
}

func chosen(t *testing.T, s *Shown) (action string, open bool) {
	t.Helper()
	select {
	case action, open = <-s.Chosen():
		return action, open
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was chosen")
	}
	return "", false
}

func dial(t *testing.T) *Notifier {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n, err := Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// Calls are accepted and declined in the notification of a real server, clicked,
// closed, taken elsewhere; and then the bus ends.
func TestIntegrationIncomingCall(t *testing.T) {
	d := startDunst(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	n := dial(t)
	defer n.Close()
	if !n.Can("actions") || n.Can("telepathy") {
		t.Errorf("capabilities %v", n.can)
	}
	call := IncomingCall("Bob <b>calls</b>", "Accept", "Decline")
	call.Body = "bob@example.org & others"
	show := func() *Shown {
		t.Helper()
		s, err := n.Show(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		d.waitDisplayed(1)
		return s
	}

	s := show()
	d.click()
	if a, ok := chosen(t, s); a != Default || !ok {
		t.Errorf("a click is %q, %v, want %q", a, ok, Default)
	}
	if a, ok := chosen(t, s); ok {
		t.Errorf("after it was closed by a click: %q", a)
	}

	for label, want := range map[string]string{"Accept": Accept, "Decline": Decline} {
		s = show()
		d.choose(label)
		if a, ok := chosen(t, s); a != want || !ok {
			t.Errorf("%s is %q, %v, want %q", label, a, ok, want)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		d.waitDisplayed(0)
	}

	s = show()
	d.do("NotificationCloseLast")
	if a, ok := chosen(t, s); ok {
		t.Errorf("after it was closed: %q", a)
	}

	s = show()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	d.waitDisplayed(0)
	if _, ok := chosen(t, s); ok {
		t.Error("open after Close")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close again: %v", err)
	}

	s = show()
	answered := call
	answered.Title, answered.Actions, answered.Timeout = "Answered on another device", nil, time.Minute
	s2, err := n.Update(t.Context(), s, answered)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := chosen(t, s); ok {
		t.Error("the old one is open after it was replaced")
	}
	d.waitDisplayed(1)
	d.bus.Stop()
	if _, ok := chosen(t, s2); ok {
		t.Error("open after the bus ended")
	}
	if _, err := n.Show(t.Context(), call); err == nil {
		t.Error("shown without a bus")
	}
}

// A server of the test's own sees what was sent, speaks out of turn, and ends
// while a call rings.
func TestIntegrationActions(t *testing.T) {
	bus := lab.StartBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	if _, err := Dial(t.Context()); !errors.Is(err, ErrNone) {
		t.Errorf("without a server: %v, want %v", err, ErrNone)
	}
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	srv := &server{conn: conn, got: make(chan sent, 16), can: []string{"actions", "body", "body-markup"}}
	if err := conn.Export(srv, path, name); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(name, 0); err != nil {
		t.Fatal(err)
	}
	n := dial(t)
	call := IncomingCall("Bob", "Accept", "Decline")
	call.Body = "<i>bob</i>"
	s, err := n.Show(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	got := <-srv.got
	if got.title != "Bob" || got.body != "&lt;i&gt;bob&lt;/i&gt;" || got.timeout != 0 || len(got.actions) != 6 || got.actions[2] != Accept || got.actions[5] != "Decline" ||
		got.hints["urgency"].Value() != byte(2) || got.hints["category"].Value() != CallIncoming {
		t.Errorf("sent %+v", got)
	}
	srv.signal("ActionInvoked", uint32(9999), Decline) // another program's
	srv.signal("ActionInvoked", s.id, Accept)
	srv.signal("NotificationClosed", s.id, uint32(2))
	if a, ok := chosen(t, s); a != Accept || !ok {
		t.Errorf("chosen %q, %v, want %q", a, ok, Accept)
	}
	if _, ok := chosen(t, s); ok {
		t.Error("open after the server closed it")
	}
	// What is pressed before the server has told the number is not lost.
	srv.press = Decline
	s, err = n.Show(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := chosen(t, s); a != Decline {
		t.Errorf("chosen %q, want %q", a, Decline)
	}
	srv.press = ""
	if s, err = n.Show(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ReleaseName(name); err != nil {
		t.Fatal(err)
	}
	if _, ok := chosen(t, s); ok {
		t.Error("open after the server ended")
	}
}

// A server takes notifications for a test.
type server struct {
	conn  *dbus.Conn
	got   chan sent
	can   []string
	press string // this at once
	last  uint32
}

type sent struct {
	title, body string
	actions     []string
	hints       map[string]dbus.Variant
	timeout     int32
}

func (s *server) signal(what string, args ...any) { s.conn.Emit(path, name+"."+what, args...) }

// GetCapabilities is of the specification, as are the others.
func (s *server) GetCapabilities() ([]string, *dbus.Error) { return s.can, nil }

// Notify shows.
func (s *server) Notify(_ string, replaces uint32, _, title, body string, actions []string, hints map[string]dbus.Variant, timeout int32) (uint32, *dbus.Error) {
	s.last++
	s.got <- sent{title, body, actions, hints, timeout}
	if s.press != "" {
		s.signal("ActionInvoked", s.last, s.press)
		s.signal("NotificationClosed", s.last, uint32(2))
	}
	return s.last, nil
}

// CloseNotification closes.
func (s *server) CloseNotification(id uint32) *dbus.Error {
	s.signal("NotificationClosed", id, uint32(3))
	return nil
}
