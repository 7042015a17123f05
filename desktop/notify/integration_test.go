//go:build integration && linux

package notify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

func startDunst(t *testing.T) *lab.Dunst {
	t.Helper()
	display := lab.StartDisplay(t, "800x600x24")
	d := lab.StartDunst(t, display)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", d.Bus.Address)
	t.Setenv("DISPLAY", display.Name)
	return d
}

// click clicks into the middle of the notification with the middle button.
func click(t *testing.T) {
	t.Helper()
	x, err := xgb.NewConn()
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	root := xproto.Setup(x).DefaultScreen(x).Root
	if err := xtest.Init(x); err != nil {
		t.Fatal(err)
	}
	tree, err := xproto.QueryTree(x, root).Reply()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range tree.Children {
		a, err := xproto.GetWindowAttributes(x, w).Reply()
		if err != nil || a.MapState != xproto.MapStateViewable {
			continue
		}
		g, err := xproto.GetGeometry(x, xproto.Drawable(w)).Reply()
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []struct{ kind, detail byte }{{xproto.MotionNotify, 0}, {xproto.ButtonPress, 2}, {xproto.ButtonRelease, 2}} {
			err := xtest.FakeInputChecked(x, in.kind, in.detail, 0, root, g.X+int16(g.Width/2), g.Y+int16(g.Height/2), 0).Check()
			if err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	t.Fatal("dunst has no window")
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
		d.WaitDisplayed(1)
		return s
	}

	s := show()
	click(t)
	if a, ok := chosen(t, s); a != Default || !ok {
		t.Errorf("a click is %q, %v, want %q", a, ok, Default)
	}
	if a, ok := chosen(t, s); ok {
		t.Errorf("after it was closed by a click: %q", a)
	}

	for label, want := range map[string]string{"Accept": Accept, "Decline": Decline} {
		s = show()
		d.Choose(label)
		if a, ok := chosen(t, s); a != want || !ok {
			t.Errorf("%s is %q, %v, want %q", label, a, ok, want)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		d.WaitDisplayed(0)
	}

	s = show()
	d.Do("NotificationCloseLast")
	if a, ok := chosen(t, s); ok {
		t.Errorf("after it was closed: %q", a)
	}

	s = show()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	d.WaitDisplayed(0)
	if _, ok := chosen(t, s); ok {
		t.Error("open after Close")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close again: %v", err)
	}

	s = show()
	d.Bus.Stop()
	if _, ok := chosen(t, s); ok {
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
