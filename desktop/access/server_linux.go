package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	// callTimeout bounds what is asked of a bus.
	callTimeout = 5 * time.Second
	// retryTime is how long nobody tries again to reach a bus that was not there,
	// though somebody listens.
	retryTime = 10 * time.Second
	// maxSignals bounds what the session bus has said and is not dealt with.
	maxSignals = 32
	// maxSaid bounds what is to be said and was not told yet; the oldest goes.
	maxSaid = 16
	// maxEvents bounds what is told of one change. A window that is another one
	// altogether has fewer.
	maxEvents = 3000
	// maxAtOnce bounds the calls that are answered at the same time.
	maxAtOnce = 64
	// closeTime bounds how long a bus that takes nothing any more may keep the
	// program from ending.
	closeTime = time.Second
)

const (
	busName       = "org.freedesktop.DBus"
	properties    = "org.freedesktop.DBus.Properties"
	accessBus     = "org.a11y.Bus"
	accessPath    = "/org/a11y/bus"
	accessStatus  = "org.a11y.Status"
	registry      = "org.a11y.atspi.Registry"
	registryPath  = "/org/a11y/atspi/registry"
	atspi         = "org.a11y.atspi."
	rootPath      = "/org/a11y/atspi/accessible/root"
	nodePath      = "/org/a11y/atspi/accessible/"
	nullPath      = "/org/a11y/atspi/null"
	cachePath     = "/org/a11y/atspi/cache"
	announcements = "object:announcement"
)

// A Server tells screen readers what the window shows. Its methods may be called
// by any goroutine and do not wait.
type Server struct {
	cfg    Config
	cancel context.CancelFunc
	done   chan struct{}

	latest atomic.Pointer[Tree]
	news   chan struct{} // something is to be told
	busy   chan struct{} // holds those who are answered

	mu   sync.Mutex // guards what follows
	said []said
}

type said struct {
	text   string
	urgent bool
}

// Start waits for somebody who listens. Close ends it.
func Start(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, cancel: cancel, done: make(chan struct{}), news: make(chan struct{}, 1), busy: make(chan struct{}, maxAtOnce)}
	go s.run(ctx)
	return s
}

// Show has t take the place of what was shown.
func (s *Server) Show(t *Tree) {
	s.latest.Store(t)
	s.wake()
}

// Say has something said that is no part of the window, at once when it is
// urgent. Nobody hears it when nobody listens.
func (s *Server) Say(text string, urgent bool) {
	if text = plain(text, maxName); text == "" {
		return
	}
	s.mu.Lock()
	s.said = append(s.said, said{text, urgent})
	s.said = s.said[max(0, len(s.said)-maxSaid):]
	s.mu.Unlock()
	s.wake()
}

func (s *Server) wake() {
	select {
	case s.news <- struct{}{}:
	default: // it is known already
	}
}

// Close ends it, and waits for that, but not for a bus that hangs: a connection is
// not closed while something is written to it.
func (s *Server) Close() {
	s.cancel()
	select {
	case <-s.done:
	case <-time.After(closeTime):
		s.cfg.Log.Warn("the bus of screen readers hangs")
	}
}

// run looks for those who listen until ctx ends.
func (s *Server) run(ctx context.Context) {
	defer close(s.done)
	session, err := connect(ctx, s.cfg.Session)
	if err != nil {
		s.cfg.Log.Info("no screen reader can be told anything", "err", err)
		return
	}
	defer session.Close()
	signals := make(chan *dbus.Signal, maxSignals)
	session.Signal(signals)
	err = errors.Join(
		session.AddMatchSignalContext(ctx, dbus.WithMatchObjectPath(accessPath), dbus.WithMatchInterface(properties), dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchArg(0, accessStatus)),
		session.AddMatchSignalContext(ctx, dbus.WithMatchSender(busName), dbus.WithMatchInterface(busName), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, accessBus)))
	if err != nil {
		s.cfg.Log.Info("no screen reader can be told anything", "err", err)
		return
	}
	var open *listener
	shut := func() {
		if open != nil {
			s.cfg.Listen(false) // first: the bus may hang
			open.close()
			open = nil
		}
	}
	defer shut()
	for {
		var again <-chan time.Time
		wanted := isWanted(ctx, session)
		switch {
		case !wanted:
			shut()
		case open == nil:
			if open, err = s.listen(ctx, session); err != nil {
				s.cfg.Log.Info("a screen reader cannot be told anything", "err", err)
				open, again = nil, time.After(retryTime)
			} else {
				s.cfg.Listen(true)
			}
		}
		var ended <-chan struct{}
		if open != nil {
			ended = open.conn.Context().Done()
		}
		select {
		case _, ok := <-signals:
			if !ok {
				return
			}
			for len(signals) > 0 { // one look is enough for all
				<-signals
			}
		case <-again:
		case <-ended:
			shut()
			select { // whoever ends it may be about to begin anew
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return
		}
	}
}

// connect connects to a bus. That of the session is not started for it.
func connect(ctx context.Context, address string) (*dbus.Conn, error) {
	options := []dbus.ConnOption{dbus.WithContext(ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler())}
	var conn *dbus.Conn
	var err error
	if address == "" {
		conn, err = dbus.SessionBusPrivateNoAutoStartup(options...)
	} else {
		conn, err = dbus.Dial(address, options...)
	}
	if err != nil {
		return nil, fmt.Errorf("reach the bus: %w", err)
	}
	if err := errors.Join(conn.Auth(nil), conn.Hello()); err != nil {
		conn.Close()
		return nil, fmt.Errorf("log in to the bus: %w", err)
	}
	return conn, nil
}

// isWanted reports whether something listens. It starts nothing.
func isWanted(ctx context.Context, session *dbus.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, name := range []string{"IsEnabled", "ScreenReaderEnabled"} {
		var v dbus.Variant
		err := session.Object(accessBus, accessPath).CallWithContext(ctx, properties+".Get", dbus.FlagNoAutoStart, accessStatus, name).Store(&v)
		if on, ok := v.Value().(bool); err == nil && ok && on {
			return true
		}
	}
	return false
}

// A ref is a node as others see it.
type ref struct {
	Name string
	Path dbus.ObjectPath
}

// A listener is the connection to the bus of those who listen.
type listener struct {
	s    *Server
	conn *dbus.Conn
	me   atomic.Pointer[place] // nil before it has one: others may ask at once
	id   atomic.Int32
	done chan struct{} // closed when tell has returned

	mu    sync.Mutex // guards what follows
	notes []*flat    // what was said as nodes; see say
	note  ID         // of the last
	left  []leaving  // what was in the window; see leave
}

// A place is where the app is on that bus.
type place struct {
	name    string
	desktop ref // what it is a child of
}

// listen connects to that bus and has the app known there.
func (s *Server) listen(ctx context.Context, session *dbus.Conn) (*listener, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	address := os.Getenv("AT_SPI_BUS_ADDRESS")
	if address == "" || s.cfg.Session != "" {
		if err := session.Object(accessBus, accessPath).CallWithContext(asking, accessBus+".GetAddress", 0).Store(&address); err != nil {
			return nil, fmt.Errorf("ask for the bus of screen readers: %w", err)
		}
	}
	l := &listener{s: s, done: make(chan struct{})}
	conn, err := dbus.Dial(address, dbus.WithContext(ctx), dbus.WithHandler(l), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		return nil, fmt.Errorf("reach the bus of screen readers: %w", err)
	}
	stop := context.AfterFunc(asking, func() { conn.Close() })
	err = conn.Auth(nil)
	if err == nil {
		err = conn.Hello()
	}
	if err == nil {
		me := place{conn.Names()[0], ref{"", nullPath}}
		l.conn = conn
		l.me.Store(&me)
		var desktop ref
		err = conn.Object(registry, rootPath).CallWithContext(asking, atspi+"Socket.Embed", 0, ref{me.name, rootPath}).Store(&desktop)
		l.me.Store(&place{me.name, desktop})
	}
	if !stop() || err != nil {
		conn.Close()
		return nil, fmt.Errorf("make the app known to screen readers: %w", errors.Join(err, context.Cause(asking)))
	}
	go l.tell()
	return l, nil
}

func (l *listener) close() {
	l.conn.Close()
	<-l.done
}

// tell tells what changes, until the connection ends.
func (l *listener) tell() {
	defer close(l.done)
	var told *Tree
	for {
		now := l.s.latest.Load()
		if now != told {
			list := changes(told, now)
			for _, e := range list[:min(len(list), maxEvents)] {
				l.emit(e)
			}
			for _, id := range l.leave(told, now, time.Now()) {
				l.conn.Emit(cachePath, atspi+"Cache.RemoveAccessible", l.ref(id))
			}
			told = now
		}
		l.s.mu.Lock()
		list := l.s.said
		l.s.said = nil
		l.s.mu.Unlock()
		if len(list) > 0 && now.window() != nil {
			heard := l.hearAnnouncements()
			for _, x := range list {
				l.say(x, now.window(), heard)
			}
		}
		select {
		case <-l.s.news:
		case <-l.conn.Context().Done():
			return
		}
	}
}

// hearAnnouncements reports whether somebody listens to announcements. Orca does
// since version 45.
func (l *listener) hearAnnouncements() bool {
	ctx, cancel := context.WithTimeout(l.conn.Context(), callTimeout)
	defer cancel()
	var events []struct{ Name, Event string }
	if err := l.conn.Object(registry, registryPath).CallWithContext(ctx, registry+".GetRegisteredEvents", 0).Store(&events); err != nil {
		return true
	}
	// The registry writes them as Object:Announcement.
	return slices.ContainsFunc(events, func(e struct{ Name, Event string }) bool { return isAnnouncement(e.Event) })
}

// emit tells of one event.
func (l *listener) emit(e event) {
	kind := "Event.Object."
	if e.window {
		kind = "Event.Window."
	}
	l.signal(l.path(e.of), kind+e.what, e.detail, e.a, e.b, l.variant(e.with))
}

func (l *listener) signal(path dbus.ObjectPath, what, detail string, a, b int32, with dbus.Variant) {
	l.conn.Emit(path, atspi+what, detail, a, b, with, map[string]dbus.Variant{}) // who has gone is noticed by run
}

func (l *listener) variant(with any) dbus.Variant {
	switch with := with.(type) {
	case nil:
		return dbus.MakeVariant(int32(0))
	case ID:
		return dbus.MakeVariant(l.ref(with))
	}
	return dbus.MakeVariant(with)
}

// path is where a node is; that of the zero ID is the app.
func (l *listener) path(id ID) dbus.ObjectPath {
	if id == 0 {
		return rootPath
	}
	return dbus.ObjectPath(fmt.Sprint(nodePath, uint32(id)))
}

func (l *listener) ref(id ID) ref { return ref{l.me.Load().name, l.path(id)} }
