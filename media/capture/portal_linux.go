package capture

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strconv"
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
	// gstStop is how long GStreamer has to end.
	gstStop = 2 * time.Second
	// maxComplaint bounds what GStreamer says when it fails.
	maxComplaint = 2 << 10

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

// playing is a GStreamer that runs.
type playing struct {
	cmd  *exec.Cmd
	out  io.ReadCloser
	says *says
}

// play starts GStreamer on the stream, over a connection of its own to PipeWire.
func (c *cast) play(ctx context.Context) (*playing, error) {
	soon, cancel := context.WithTimeout(ctx, portalTimeout)
	defer cancel()
	var fd dbus.UnixFD
	if err := c.portal.CallWithContext(soon, screenCast+".OpenPipeWireRemote", 0, c.session, map[string]dbus.Variant{}).Store(&fd); err != nil {
		return nil, fmt.Errorf("open PipeWire: %w", err)
	}
	remote := os.NewFile(uintptr(fd), "pipewire")
	defer remote.Close() // the child has its own
	// The desktop is asked for no more pictures than are wanted, and for those
	// that lie in memory. One that cannot do that is read as slowly as they are
	// wanted: the queue keeps the newest. videorate is not for pictures without
	// a rate, which are what a desktop has: it ends the program.
	most := strconv.Itoa(int(math.Ceil(max(c.most, 1))))
	cmd := exec.Command(c.program, "-q", "pipewiresrc", "fd=3", "path="+strconv.FormatUint(uint64(c.node), 10), "do-timestamp=true",
		"!", "video/x-raw,max-framerate=(fraction)[0/1,"+most+"/1];video/x-raw",
		"!", "queue", "leaky=downstream", "max-size-buffers=1", "max-size-bytes=0", "max-size-time=0",
		"!", "videoconvert", "!", "video/x-raw,format=I420,colorimetry=bt601",
		"!", "y4menc", "!", "fdsink", "fd=1", "sync=false")
	cmd.Env = append(os.Environ(), "GST_DEBUG=pipewiresrc:5", "GST_DEBUG_FILE=", "GST_DEBUG_NO_COLOR=1")
	cmd.ExtraFiles = []*os.File{remote}
	cmd.WaitDelay = gstStop
	p := &playing{cmd: cmd, says: &says{kill: func() { cmd.Process.Kill() }}}
	cmd.Stderr = p.says
	var err error
	if p.out, err = cmd.StdoutPipe(); err == nil {
		err = c.launch(cmd)
	}
	if err != nil {
		return nil, fmt.Errorf("start GStreamer: %w", err)
	}
	return p, nil
}

// launch starts what Close ends.
func (c *cast) launch(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.gst = cmd
	return cmd.Start()
}

// says is what GStreamer writes: complaints, of which the beginning is kept, and
// what it notes about the stream. When the pictures get another size, the
// element of PipeWire 0.3 goes on as if they had not, and what comes out is
// stripes; then it is ended, to be started anew.
type says struct {
	kill    func()
	line    []byte // begun
	size    string // of the pictures, as it writes it
	resized atomic.Bool
	kept    bytes.Buffer // not embedded: its ReadFrom knows no bound
}

func (s *says) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		s.line = append(s.line, part[:min(len(part), maxComplaint-len(s.line))]...)
		if rest = after; whole {
			s.take(string(s.line))
			s.line = s.line[:0]
		}
	}
	return len(p), nil
}

func (s *says) take(line string) {
	if !strings.Contains(line, " pipewiresrc ") { // else it is a note
		line += "\n"
		s.kept.WriteString(line[:min(len(line), maxComplaint-s.kept.Len())])
		return
	}
	_, caps, ok := strings.Cut(line, "we got format ")
	if !ok {
		return
	}
	w, h := field(caps, "width=(int)"), field(caps, "height=(int)")
	if size := w + "x" + h; w != "" && h != "" && size != s.size {
		if s.size != "" && !s.resized.Swap(true) {
			s.kill()
		}
		s.size = size
	}
}

// field is what follows name in a description of GStreamer.
func field(caps, name string) string {
	_, v, _ := strings.Cut(caps, name)
	v, _, _ = strings.Cut(v, ",")
	return v
}

// read takes pictures until GStreamer ends for good.
func (c *cast) read(p *playing) {
	defer close(c.done)
	err := c.pictures(p)
	for p.says.resized.Load() {
		if p, err = c.play(context.Background()); err != nil {
			break
		}
		err = c.pictures(p)
	}
	c.latest.end(err)
}

// pictures takes those of one run of GStreamer.
func (c *cast) pictures(p *playing) (err error) {
	r := newY4M(p.out, c.pads)
	var next time.Time
	var whole *image.YCbCr
	for {
		var m *image.YCbCr
		if c.window {
			whole, err = r.next(whole)
		} else {
			m, err = r.next(c.latest.space())
		}
		if err != nil || p.says.resized.Load() {
			break
		}
		now := time.Now()
		if c.window {
			m = cut(c.latest.space(), whole, c.trim.of(whole, now))
		}
		c.latest.put(m, now.Sub(c.start))
		// One that comes a little early is taken, so that none is left out when
		// the desktop is as fast as we.
		every := c.every()
		if e := now.Add(-every / 2); next.Before(e) {
			next = e
		}
		next = next.Add(every)
		timer := time.NewTimer(next.Sub(now))
		select {
		case <-timer.C:
		case <-c.stop:
			timer.Stop()
		}
	}
	p.cmd.Process.Kill() // when it was us who did not understand
	if e := p.cmd.Wait(); e != nil && p.says.kept.Len() > 0 {
		// Nothing else says why: it ends, or writes to where pictures go.
		err = fmt.Errorf("GStreamer: %s", strings.TrimSpace(p.says.kept.String()))
	}
	return err
}

// every is how long a picture is shown at least.
func (c *cast) every() time.Duration {
	return time.Duration(float64(time.Second) / math.Float64frombits(c.fps.Load()))
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

// pads finds out whether this GStreamer writes pictures with the gaps that it has
// between lines in memory, which it did until 1.24, or as the format is. It is
// asked when it makes a difference, once.
func (c *cast) pads() bool {
	if c.gaps == nil {
		ctx, cancel := context.WithTimeout(context.Background(), portalTimeout)
		defer cancel()
		out, err := exec.CommandContext(ctx, c.program, "-q", "videotestsrc", "num-buffers=1", "!", "video/x-raw,format=I420,width=5,height=3",
			"!", "y4menc", "!", "fdsink", "fd=1").Output()
		_, picture, found := bytes.Cut(out, []byte("FRAME\n"))
		gaps := err == nil && found && len(picture) > 5*3+2*3*2
		c.gaps = &gaps
	}
	return *c.gaps
}

// y4m reads a stream of pictures of YUV4MPEG2, whose size may change by another
// header, as GStreamer writes it.
type y4m struct {
	r    *bufio.Reader
	pads func() bool // whether there are gaps in pictures of odd sizes
	w, h int
	gaps bool
}

func newY4M(r io.Reader, pads func() bool) *y4m {
	return &y4m{r: bufio.NewReaderSize(r, 1<<16), pads: pads}
}

// next returns a picture, in dst if that has its size.
func (y *y4m) next(dst *image.YCbCr) (*image.YCbCr, error) {
	for {
		line, err := y.r.ReadSlice('\n')
		if err != nil {
			if err == bufio.ErrBufferFull {
				err = ErrFormat
			}
			return nil, err
		}
		words := strings.Fields(string(line))
		switch {
		case len(words) > 0 && words[0] == "YUV4MPEG2":
			if err := y.header(words[1:]); err != nil {
				return nil, err
			}
		case len(words) > 0 && words[0] == "FRAME" && y.w > 0:
			return y.picture(dst)
		default:
			return nil, fmt.Errorf("%w: a line %.40q between pictures", ErrFormat, line)
		}
	}
}

func (y *y4m) header(words []string) error {
	y.w, y.h = 0, 0
	for _, w := range words {
		n, _ := strconv.Atoi(w[1:])
		switch w[0] {
		case 'W':
			y.w = n
		case 'H':
			y.h = n
		case 'C':
			if !strings.HasPrefix(w, "C420") || strings.HasPrefix(w, "C420p1") {
				return fmt.Errorf("%w: pixels %s", ErrFormat, w)
			}
		}
	}
	if err := video.CheckSize(y.w, y.h); err != nil {
		return err
	}
	y.gaps = (y.w%8 != 0 || y.h%2 != 0) && y.pads()
	return nil
}

func (y *y4m) picture(dst *image.YCbCr) (*image.YCbCr, error) {
	dst = fit(dst, y.w, y.h)
	cw, ch := (y.w+1)/2, (y.h+1)/2
	for _, plane := range []struct {
		pix             []byte
		w, h, gap, more int // more lines than there are
	}{
		{dst.Y, y.w, y.h, -y.w & 3, y.h & 1}, {dst.Cb, cw, ch, -cw & 3, 0}, {dst.Cr, cw, ch, -cw & 3, 0},
	} {
		if !y.gaps {
			if _, err := io.ReadFull(y.r, plane.pix); err != nil {
				return nil, err
			}
			continue
		}
		for i := range plane.h {
			if _, err := io.ReadFull(y.r, plane.pix[i*plane.w:][:plane.w]); err != nil {
				return nil, err
			}
			if _, err := y.r.Discard(plane.gap); err != nil {
				return nil, err
			}
		}
		if _, err := y.r.Discard(plane.more * (plane.w + plane.gap)); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
