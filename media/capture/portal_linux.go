package capture

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/carillon-im/carillon/media/video"
)

// On Wayland programs see no screen but what the person chose to show them in a
// dialog of the desktop: org.freedesktop.portal.ScreenCast. Its pictures come
// by PipeWire, which GStreamer reads, in a process of its own.

const (
	portalName    = "org.freedesktop.portal.Desktop"
	portalPath    = "/org/freedesktop/portal/desktop"
	screenCast    = "org.freedesktop.portal.ScreenCast"
	portalRequest = "org.freedesktop.portal.Request"
	portalSession = "org.freedesktop.portal.Session"
	ownerChanged  = "org.freedesktop.DBus.NameOwnerChanged"
	// Behind the portal are parts of a desktop's own, of which one takes the
	// pictures.
	backends    = "org.freedesktop.impl.portal.desktop"
	backendCast = "org.freedesktop.impl.portal.ScreenCast"

	// What can be chosen, and where the pointer is: bits of the portal.
	portalMonitor, portalWindow = 1, 2
	portalHidden, portalDrawn   = 1, 2
	portalCancelled             = 1 // by the person; what is more is a failure

	portalSignals = 16
	portalTimeout = 10 * time.Second // for what asks nobody

	// A desktop sends a picture when something has changed. The last one is
	// given again meanwhile: whoever joins, lost it or got it coarse waits for
	// none. As fast as others for stillTime, then every stillEvery.
	stillTime  = 2 * time.Second
	stillEvery = 200 * time.Millisecond
)

// onWayland reports whether the desktop is one where X11 sees nothing.
func onWayland() bool {
	return os.Getenv("WAYLAND_DISPLAY") != "" || os.Getenv("XDG_SESSION_TYPE") == "wayland"
}

// A cast is a Source of what the person chose.
type cast struct {
	conn    *dbus.Conn
	portal  dbus.BusObject
	owner   string          // of the portal's name, to whom we listen
	backs   map[string]bool // backends that take pictures
	session dbus.ObjectPath
	node    uint32
	window  bool   // not a whole screen
	program string // GStreamer's
	latest  *latest
	start   time.Time
	once    sync.Once
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when read has returned

	most  float64 // pictures a second
	fps   atomic.Uint64
	moved time.Time // when the reader got another picture
	gaps  *bool     // of read, once known
	trim  trim      // of read

	mu     sync.Mutex // guards what follows
	closed bool
	gst    *exec.Cmd
}

var (
	errPortalGone = fmt.Errorf("%w: its portal has ended", ErrPortal)
	errStill      = errors.New("nothing has changed")
)

// openPortal asks the person, for as long as ctx allows, and shows what was
// chosen.
func openPortal(ctx context.Context, o Options) (video.Source, error) {
	program, err := exec.LookPath("gst-launch-1.0")
	if err != nil {
		return nil, ErrNoGStreamer
	}
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	c := &cast{conn: conn, latest: newLatest(), start: time.Now(), stop: make(chan struct{}), done: make(chan struct{}), program: program, most: o.FPS}
	c.Ask(0, 0, 0)
	signals := make(chan *dbus.Signal, portalSignals)
	err = c.login(ctx, signals)
	if err == nil {
		err = c.ask(ctx, o, signals)
	}
	var p *playing
	if err == nil {
		p, err = c.play(ctx)
	}
	if err != nil {
		if c.session != "" { // no dialog stays that nobody waits for
			c.conn.Object(portalName, c.session).Go(portalSession+".Close", dbus.FlagNoReplyExpected, nil)
		}
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	go c.read(p)
	go c.follow(signals)
	return c, nil
}

// login finds the portal on the bus, which may start it.
func (c *cast) login(ctx context.Context, signals chan *dbus.Signal) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() }) // nothing else ends this
	err := errors.Join(c.conn.Auth(nil), c.conn.Hello())
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("log in to the session bus: %w", err)
	}
	if !c.conn.SupportsUnixFDs() {
		return fmt.Errorf("%w: the session bus carries no files", ErrUnsupported)
	}
	c.conn.Signal(signals)
	c.portal = c.conn.Object(portalName, portalPath)
	return nil
}

// property returns a number of the portal.
func (c *cast) property(ctx context.Context, name string) (n uint32, err error) {
	ctx, cancel := context.WithTimeout(ctx, portalTimeout)
	defer cancel()
	var v dbus.Variant
	if err = c.portal.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, screenCast, name).Store(&v); err == nil {
		err = v.Store(&n)
	}
	return n, err
}

// ask does the dialog.
func (c *cast) ask(ctx context.Context, o Options, signals chan *dbus.Signal) error {
	kinds, err := c.property(ctx, "AvailableSourceTypes")
	if err != nil {
		return fmt.Errorf("%w: no portal that shows screens: %w", ErrUnsupported, err)
	}
	soon, cancel := context.WithTimeout(ctx, portalTimeout)
	defer cancel()
	gone := []dbus.MatchOption{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, portalName)}
	if err := c.conn.AddMatchSignalContext(soon, gone...); err != nil {
		return fmt.Errorf("watch the portal: %w", err)
	}
	if err := c.conn.BusObject().CallWithContext(soon, "org.freedesktop.DBus.GetNameOwner", 0, portalName).Store(&c.owner); err != nil {
		return fmt.Errorf("%w: %w", errPortalGone, err)
	}
	results, err := c.request(soon, signals, "CreateSession", nil, map[string]dbus.Variant{"session_handle_token": dbus.MakeVariant(token())})
	if err != nil {
		if ctx.Err() == nil && soon.Err() != nil {
			err = fmt.Errorf("%w: its portal does not answer", ErrPortal)
		}
		return err
	}
	session, _ := results["session_handle"].Value().(string)
	if !dbus.ObjectPath(session).IsValid() {
		return fmt.Errorf("the portal has a session called %q", session)
	}
	c.session = dbus.ObjectPath(session)
	c.findBackends(soon)
	if err := c.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(portalName), dbus.WithMatchInterface(portalSession), dbus.WithMatchObjectPath(c.session)); err != nil {
		return fmt.Errorf("watch the portal: %w", err)
	}
	// No persist_mode: the dialog is where the person sees what will be shown,
	// each time, and a token that spares it would have to be kept secret.
	options := map[string]dbus.Variant{"types": dbus.MakeVariant(uint32(portalMonitor|portalWindow) & kinds), "multiple": dbus.MakeVariant(false)}
	want := uint32(portalDrawn)
	if o.NoPointer {
		want = portalHidden
	}
	if modes, err := c.property(ctx, "AvailableCursorModes"); err == nil && modes&want != 0 {
		options["cursor_mode"] = dbus.MakeVariant(want)
	}
	if _, err := c.request(ctx, signals, "SelectSources", []any{c.session}, options); err != nil { // the portal of wlroots asks here
		return err
	}
	results, err = c.request(ctx, signals, "Start", []any{c.session, ""}, nil)
	if err != nil {
		return err
	}
	var streams []struct {
		Node       uint32
		Properties map[string]dbus.Variant
	}
	if err := dbus.Store([]any{results["streams"].Value()}, &streams); err != nil || len(streams) == 0 {
		return ErrNotShared
	}
	c.node = streams[0].Node
	kind, _ := streams[0].Properties["source_type"].Value().(uint32)
	c.window = kind == portalWindow
	return nil
}

func token() string { return "carillon" + rand.Text() }

// request calls a method whose answer is a signal. What asks a person takes as
// long as they need.
func (c *cast) request(ctx context.Context, signals <-chan *dbus.Signal, method string, args []any, options map[string]dbus.Variant) (map[string]dbus.Variant, error) {
	if options == nil {
		options = make(map[string]dbus.Variant)
	}
	name := token()
	options["handle_token"] = dbus.MakeVariant(name)
	// Known beforehand, so that no answer is missed.
	sender := strings.ReplaceAll(strings.TrimPrefix(c.conn.Names()[0], ":"), ".", "_")
	path := dbus.ObjectPath(portalPath + "/request/" + sender + "/" + name)
	match := []dbus.MatchOption{dbus.WithMatchSender(portalName), dbus.WithMatchInterface(portalRequest), dbus.WithMatchObjectPath(path)}
	if err := c.conn.AddMatchSignalContext(ctx, match...); err != nil {
		return nil, fmt.Errorf("watch the portal: %w", err)
	}
	defer func() { _ = c.conn.RemoveMatchSignal(match...) }() // it ends with the connection at the latest
	if err := c.portal.CallWithContext(ctx, screenCast+"."+method, 0, append(args, options)...).Err; err != nil {
		return nil, fmt.Errorf("ask the portal: %s: %w", method, err)
	}
	for {
		select {
		case s, ok := <-signals:
			switch {
			case !ok:
				return nil, fmt.Errorf("ask the portal: %s: the session bus ended", method)
			case c.gone(s):
				return nil, errPortalGone
			case s.Name != portalRequest+".Response" || s.Path != path || s.Sender != c.owner:
				continue
			}
			var code uint32
			var results map[string]dbus.Variant
			if err := dbus.Store(s.Body, &code, &results); err != nil {
				return nil, fmt.Errorf("ask the portal: %s: %w", method, err)
			}
			switch code {
			case 0:
				return results, nil
			case portalCancelled:
				return nil, ErrNotShared
			default:
				return nil, fmt.Errorf("%w: %s answered %d", ErrPortal, method, code)
			}
		case <-ctx.Done():
			// No dialog stays that nobody waits for.
			// interop GNOME 43: what shows the dialog ends itself with it, however
			// it is closed by us; the bus starts it again for the next.
			c.conn.Object(portalName, path).Go(portalRequest+".Close", dbus.FlagNoReplyExpected, nil)
			return nil, context.Cause(ctx)
		}
	}
}

// gone reports whether a signal says that the portal is no more, or is another.
func (c *cast) gone(s *dbus.Signal) bool {
	if s.Name != ownerChanged || s.Sender != "org.freedesktop.DBus" || len(s.Body) != 3 {
		return false
	}
	name, _ := s.Body[0].(string)
	owner, _ := s.Body[2].(string)
	return name == portalName && owner != c.owner || c.backs[name] && owner == ""
}

// findBackends finds those that take pictures. When one ends, neither the portal
// nor PipeWire says so. Programs in a sandbox see none of them.
func (c *cast) findBackends(ctx context.Context) {
	c.backs = make(map[string]bool)
	match := []dbus.MatchOption{dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg0Namespace(backends)}
	var names []string
	if c.conn.AddMatchSignalContext(ctx, match...) != nil || c.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.ListNames", 0).Store(&names) != nil {
		return
	}
	for _, name := range names {
		if strings.HasPrefix(name, backends+".") {
			var version dbus.Variant
			err := c.conn.Object(name, portalPath).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, backendCast, "version").Store(&version)
			c.backs[name] = err == nil
		}
	}
}

// Ask sets how many pictures are taken. The size is that of the screen.
func (c *cast) Ask(_, _ int, fps float64) {
	if fps <= 0 || fps > c.most {
		fps = c.most
	}
	c.fps.Store(math.Float64bits(fps))
}

// follow waits for the person to end it in the desktop. Without the portal they
// could not: then it ends, too.
func (c *cast) follow(signals <-chan *dbus.Signal) {
	for s := range signals {
		switch {
		case s.Name == portalSession+".Closed" && s.Path == c.session && s.Sender == c.owner:
			c.latest.end(io.EOF)
		case c.gone(s):
			c.latest.end(errPortalGone)
		}
	}
	c.latest.end(errPortalGone)
}

func (c *cast) Read(ctx context.Context) (video.Frame, error) {
	for {
		wait := c.every()
		if time.Since(c.moved) > stillTime {
			wait = max(wait, stillEvery)
		} else {
			wait += wait / 2 // what moves comes by itself
		}
		short, cancel := context.WithTimeoutCause(ctx, wait, errStill)
		f, err := c.latest.read(short)
		cancel()
		if err == nil {
			c.moved = time.Now()
			return f, nil
		}
		if err != errStill {
			return f, err
		}
		if m := c.latest.again(); m != nil {
			return video.Frame{Image: m, Time: time.Since(c.start)}, nil
		}
	}
}

// Live reports that the screen goes on while nobody reads it.
func (c *cast) Live() bool { return true }

// Drawn reports that it shows what programs draw.
func (c *cast) Drawn() bool { return true }

func (c *cast) Close() error {
	c.once.Do(func() {
		c.latest.end(net.ErrClosed)
		close(c.stop)
		ctx, cancel := context.WithTimeout(context.Background(), portalTimeout)
		defer cancel()
		// The desktop takes its sign away. If it is gone, so is the sign.
		_ = c.conn.Object(portalName, c.session).CallWithContext(ctx, portalSession+".Close", 0).Err
		c.mu.Lock()
		c.closed = true
		c.gst.Process.Kill()
		c.mu.Unlock()
		<-c.done
		c.conn.Close()
	})
	return nil
}
