package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	name    = "org.freedesktop.Notifications"
	path    = "/org/freedesktop/Notifications"
	busName = "org.freedesktop.DBus"
	// maxSignals bounds what the bus has said and is not dealt with.
	maxSignals = 64
	// maxShown bounds the notifications that are waited for.
	maxShown = 256
	// maxCalm bounds those that are not critical, so that a flood of them
	// leaves room for calls.
	maxCalm = maxShown / 2
	// callTimeout bounds a request without a deadline.
	callTimeout = 5 * time.Second
)

// A Notifier shows notifications. Its methods may be called by any goroutine.
type Notifier struct {
	conn *dbus.Conn
	obj  dbus.BusObject
	can  []string
	done chan struct{} // closed when follow has returned

	mu     sync.Mutex // guards what follows
	closed bool
	shown  map[uint32]*Shown
	// early are signals about notifications whose number is not known yet.
	early map[uint32]string
	wait  int // Show calls that have no number yet
}

// Dial connects to the notification server of the session. The context is for
// the connecting only. It returns ErrNone when there is none.
func Dial(ctx context.Context) (*Notifier, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	n := &Notifier{conn: conn, obj: conn.Object(name, path), done: make(chan struct{}), shown: make(map[uint32]*Shown), early: make(map[uint32]string)}
	signals := make(chan *dbus.Signal, maxSignals)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = n.login(ctx, signals)
	if !stop() || err != nil {
		conn.Close()
		return nil, errors.Join(err, context.Cause(ctx))
	}
	go n.follow(signals)
	return n, nil
}

func (n *Notifier) login(ctx context.Context, signals chan *dbus.Signal) error {
	if err := n.conn.Auth(nil); err != nil {
		return fmt.Errorf("log in to the session bus: %w", err)
	}
	if err := n.conn.Hello(); err != nil {
		return fmt.Errorf("log in to the session bus: %w", err)
	}
	if err := n.obj.CallWithContext(ctx, name+".GetCapabilities", 0).Store(&n.can); err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	n.conn.Signal(signals)
	return errors.Join(
		n.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(name), dbus.WithMatchInterface(name), dbus.WithMatchObjectPath(path)),
		n.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name)),
	)
}

// Names of what shows icons of programs.
const (
	watcher     = "org.kde.StatusNotifierWatcher"
	watcherPath = "/StatusNotifierWatcher"
)

// Tray reports whether the desktop shows icons of programs that run without a
// window.
func (n *Notifier) Tray(ctx context.Context) bool {
	var shows bool
	err := n.conn.Object(watcher, watcherPath).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, watcher, "IsStatusNotifierHostRegistered").Store(&shows)
	return err == nil && shows
}

// Can reports whether the server has a capability, such as "actions" or "body".
func (n *Notifier) Can(capability string) bool { return slices.Contains(n.can, capability) }

// A Shown is a notification that was shown.
type Shown struct {
	n      *Notifier
	id     uint32
	chosen chan string

	once sync.Once
}

// Chosen gives the ID of each action that was chosen, and is closed when the
// notification is gone, for whatever reason.
func (s *Shown) Chosen() <-chan string { return s.chosen }

// over closes the channel. n.mu is held.
func (s *Shown) over() {
	s.once.Do(func() {
		delete(s.n.shown, s.id)
		close(s.chosen)
	})
}

// Show shows a notification.
func (n *Notifier) Show(ctx context.Context, what Notification) (*Shown, error) {
	var actions []string
	if n.Can("actions") {
		for _, a := range what.Actions[:min(len(what.Actions), maxActions)] {
			actions = append(actions, a.ID, clean(a.Label, maxTitle))
		}
	}
	body := clean(what.Body, maxBody)
	if n.Can("body-markup") {
		body = markup(body)
	}
	icon := what.Icon
	if icon == "" {
		icon = "carillon"
	}
	hints := map[string]dbus.Variant{
		"urgency":       dbus.MakeVariant(byte(what.Urgency)),
		"desktop-entry": dbus.MakeVariant("im.carillon.Carillon"),
	}
	if what.Category != "" {
		hints["category"] = dbus.MakeVariant(what.Category)
	}
	if what.Resident {
		hints["resident"] = dbus.MakeVariant(true)
	}
	if what.Transient {
		hints["transient"] = dbus.MakeVariant(true)
	}
	if !what.Sound {
		hints["suppress-sound"] = dbus.MakeVariant(true)
	}
	timeout := int32(-1)
	switch {
	case what.Timeout < 0:
		timeout = 0 // never
	case what.Timeout > 0:
		timeout = int32(min(what.Timeout.Milliseconds(), 1<<30))
	}

	n.mu.Lock()
	switch {
	case n.closed:
		n.mu.Unlock()
		return nil, ErrClosed
	case len(n.shown) >= maxShown || what.Urgency != Critical && len(n.shown) >= maxCalm:
		n.mu.Unlock()
		return nil, fmt.Errorf("%d notifications are shown already", len(n.shown))
	}
	n.wait++
	n.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var id uint32
	err := n.obj.CallWithContext(ctx, name+".Notify", 0, "Carillon", uint32(0), icon, clean(what.Title, maxTitle), body, actions, hints, timeout).Store(&id)

	n.mu.Lock()
	defer n.mu.Unlock()
	n.wait--
	early, was := n.early[id]
	if n.wait == 0 {
		clear(n.early)
	}
	if err != nil {
		return nil, fmt.Errorf("show notification: %w", err)
	}
	if n.closed {
		return nil, ErrClosed
	}
	if old := n.shown[id]; old != nil { // the server began to count anew
		old.over()
	}
	s := &Shown{n: n, id: id, chosen: make(chan string, maxActions)}
	n.shown[id] = s
	if was {
		if early != "" {
			s.chosen <- early
		}
		s.over()
	}
	return s, nil
}

// Close takes the notification away.
func (s *Shown) Close(ctx context.Context) error {
	s.n.mu.Lock()
	open := s.n.shown[s.id] == s
	s.over()
	s.n.mu.Unlock()
	if !open {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := s.n.obj.CallWithContext(ctx, name+".CloseNotification", 0, s.id).Err; err != nil {
		return fmt.Errorf("close notification: %w", err)
	}
	return nil
}

// follow takes what the server says, until the connection ends.
func (n *Notifier) follow(signals <-chan *dbus.Signal) {
	defer close(n.done)
	for s := range signals {
		switch s.Name {
		case name + ".ActionInvoked":
			var id uint32
			var action string
			if dbus.Store(s.Body, &id, &action) == nil {
				n.happened(id, action)
			}
		case name + ".NotificationClosed":
			var id, why uint32
			if dbus.Store(s.Body, &id, &why) == nil {
				n.happened(id, "")
			}
		case busName + ".NameOwnerChanged":
			n.forget() // the server ended, and what it showed with it
		}
	}
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.forget()
}

// happened tells of an action, or with "" of the end.
func (n *Notifier) happened(id uint32, action string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.shown[id]
	if s == nil {
		if n.wait > 0 && len(n.early) < maxShown && n.early[id] == "" {
			n.early[id] = action
		}
		return
	}
	if action == "" {
		s.over()
		return
	}
	select {
	case s.chosen <- action:
	default: // pressed faster than anybody listens
	}
}

func (n *Notifier) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.shown {
		s.over()
	}
}

// Close ends the connection. What is shown stays, and its channels are closed.
func (n *Notifier) Close() error {
	err := n.conn.Close()
	<-n.done
	if errors.Is(err, dbus.ErrClosed) {
		return nil
	}
	return err
}
