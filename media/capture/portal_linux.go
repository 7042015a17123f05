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
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
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

	// What can be chosen, and where the pointer is: bits of the portal.
	portalMonitor, portalWindow = 1, 2
	portalHidden, portalDrawn   = 1, 2

	portalSignals = 16
	portalTimeout = 10 * time.Second // for what asks nobody
	// gstStop is how long GStreamer has to end.
	gstStop = 2 * time.Second
	// maxComplaint bounds what GStreamer says when it fails.
	maxComplaint = 2 << 10
)

// onWayland reports whether the desktop is one where X11 sees nothing.
func onWayland() bool {
	return os.Getenv("WAYLAND_DISPLAY") != "" || os.Getenv("XDG_SESSION_TYPE") == "wayland"
}

// A cast is a Source of what the person chose.
type cast struct {
	conn    *dbus.Conn
	session dbus.ObjectPath
	gst     *exec.Cmd
	out     io.ReadCloser
	latest  *latest
	once    sync.Once
	done    chan struct{} // closed when read has returned
}

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
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := &cast{conn: conn, latest: newLatest(), done: make(chan struct{})}
	signals := make(chan *dbus.Signal, portalSignals)
	node, remote, err := c.ask(ctx, o, signals)
	if err == nil {
		err = c.play(program, node, remote, o)
		remote.Close() // the child has its own
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	go c.follow(signals)
	return c, nil
}

// ask does the dialog, and returns the stream and a connection to PipeWire.
func (c *cast) ask(ctx context.Context, o Options, signals chan *dbus.Signal) (node uint32, remote *os.File, err error) {
	if err := errors.Join(c.conn.Auth(nil), c.conn.Hello()); err != nil {
		return 0, nil, fmt.Errorf("log in to the session bus: %w", err)
	}
	if !c.conn.SupportsUnixFDs() {
		return 0, nil, fmt.Errorf("%w: the session bus carries no files", ErrUnsupported)
	}
	portal := c.conn.Object(portalName, portalPath)
	kinds, err := portal.GetProperty(screenCast + ".AvailableSourceTypes")
	if err != nil {
		return 0, nil, fmt.Errorf("%w: no portal that shows screens: %w", ErrUnsupported, err)
	}
	c.conn.Signal(signals)
	results, err := c.request(ctx, signals, portal, "CreateSession", nil, map[string]dbus.Variant{"session_handle_token": dbus.MakeVariant(token())})
	if err != nil {
		return 0, nil, err
	}
	session, _ := results["session_handle"].Value().(string)
	if c.session = dbus.ObjectPath(session); !c.session.IsValid() {
		return 0, nil, fmt.Errorf("the portal has a session called %q", session)
	}
	if err := c.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(portalSession), dbus.WithMatchObjectPath(c.session)); err != nil {
		return 0, nil, fmt.Errorf("watch the portal: %w", err)
	}
	types := uint32(portalMonitor | portalWindow)
	if k, ok := kinds.Value().(uint32); ok {
		types &= k
	}
	options := map[string]dbus.Variant{"types": dbus.MakeVariant(types), "multiple": dbus.MakeVariant(false)}
	want := uint32(portalDrawn)
	if o.NoPointer {
		want = portalHidden
	}
	if modes, err := portal.GetProperty(screenCast + ".AvailableCursorModes"); err == nil {
		if m, ok := modes.Value().(uint32); ok && m&want != 0 {
			options["cursor_mode"] = dbus.MakeVariant(want)
		}
	}
	if _, err := c.request(ctx, signals, portal, "SelectSources", []any{c.session}, options); err != nil {
		return 0, nil, err
	}
	results, err = c.request(ctx, signals, portal, "Start", []any{c.session, ""}, nil)
	if err != nil {
		return 0, nil, err
	}
	var streams []struct {
		Node       uint32
		Properties map[string]dbus.Variant
	}
	if err := dbus.Store([]any{results["streams"].Value()}, &streams); err != nil || len(streams) == 0 {
		return 0, nil, ErrNotShared
	}
	var fd dbus.UnixFD
	if err := portal.CallWithContext(ctx, screenCast+".OpenPipeWireRemote", 0, c.session, map[string]dbus.Variant{}).Store(&fd); err != nil {
		return 0, nil, fmt.Errorf("open PipeWire: %w", err)
	}
	return streams[0].Node, os.NewFile(uintptr(fd), "pipewire"), nil
}

func token() string { return "carillon" + rand.Text() }

// request calls a method whose answer is a signal. What asks a person takes as
// long as they need.
func (c *cast) request(ctx context.Context, signals <-chan *dbus.Signal, portal dbus.BusObject, method string, args []any, options map[string]dbus.Variant) (map[string]dbus.Variant, error) {
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
	if err := portal.CallWithContext(ctx, screenCast+"."+method, 0, append(args, options)...).Err; err != nil {
		return nil, fmt.Errorf("ask the portal: %s: %w", method, err)
	}
	for {
		select {
		case s, ok := <-signals:
			if !ok {
				return nil, fmt.Errorf("ask the portal: %s: the session bus ended", method)
			}
			if s.Name != portalRequest+".Response" || s.Path != path {
				continue
			}
			var code uint32
			var results map[string]dbus.Variant
			if err := dbus.Store(s.Body, &code, &results); err != nil {
				return nil, fmt.Errorf("ask the portal: %s: %w", method, err)
			}
			if code != 0 {
				return nil, ErrNotShared
			}
			return results, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// play starts GStreamer on a stream of PipeWire.
func (c *cast) play(program string, node uint32, remote *os.File, o Options) error {
	c.gst = exec.Command(program, "-q", "pipewiresrc", "fd=3", "path="+strconv.Itoa(int(node)), "do-timestamp=true",
		"!", "videorate", "drop-only=true", "max-rate="+strconv.Itoa(int(max(o.FPS, 1))),
		"!", "videoconvert", "!", "video/x-raw,format=I420,colorimetry=bt601",
		"!", "y4menc", "!", "fdsink", "fd=1", "sync=false")
	c.gst.ExtraFiles = []*os.File{remote}
	c.gst.WaitDelay = gstStop
	complaint := &limited{}
	c.gst.Stderr = complaint
	out, err := c.gst.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start GStreamer: %w", err)
	}
	c.out = out
	if err := c.gst.Start(); err != nil {
		return fmt.Errorf("start GStreamer: %w", err)
	}
	go c.read(complaint)
	return nil
}

// limited keeps the beginning of what is written.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if left := maxComplaint - l.Len(); left > 0 {
		l.Buffer.Write(p[:min(left, len(p))])
	}
	return len(p), nil
}

// read takes pictures until GStreamer ends.
func (c *cast) read(complaint *limited) {
	defer close(c.done)
	start := time.Now()
	r := newY4M(c.out)
	var err error
	for err == nil {
		var m *image.YCbCr
		if m, err = r.next(c.latest.space()); err == nil {
			c.latest.put(m, time.Since(start))
		}
	}
	c.gst.Process.Kill() // when it was us who did not understand
	if e := c.gst.Wait(); e != nil && errors.Is(err, io.EOF) && complaint.Len() > 0 {
		err = fmt.Errorf("GStreamer: %s", strings.TrimSpace(complaint.String()))
	}
	c.latest.end(err)
}

// follow waits for the person to end it in the desktop.
func (c *cast) follow(signals <-chan *dbus.Signal) {
	for s := range signals {
		if s.Name == portalSession+".Closed" && s.Path == c.session {
			c.latest.end(io.EOF)
		}
	}
}

func (c *cast) Read(ctx context.Context) (video.Frame, error) { return c.latest.read(ctx) }

// Live reports that the screen goes on while nobody reads it.
func (c *cast) Live() bool { return true }

// Drawn reports that it shows what programs draw.
func (c *cast) Drawn() bool { return true }

func (c *cast) Close() error {
	c.once.Do(func() {
		c.latest.end(net.ErrClosed)
		ctx, cancel := context.WithTimeout(context.Background(), portalTimeout)
		defer cancel()
		// The desktop takes its sign away. If it is gone, so is the sign.
		_ = c.conn.Object(portalName, c.session).CallWithContext(ctx, portalSession+".Close", 0).Err
		c.gst.Process.Kill()
		<-c.done
		c.conn.Close()
	})
	return nil
}

// y4m reads a stream of pictures of YUV4MPEG2, whose size may change by another
// header, as GStreamer writes it.
type y4m struct {
	r    *bufio.Reader
	w, h int
}

func newY4M(r io.Reader) *y4m { return &y4m{r: bufio.NewReaderSize(r, 1<<16)} }

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
	return video.CheckSize(y.w, y.h)
}

func (y *y4m) picture(dst *image.YCbCr) (*image.YCbCr, error) {
	dst = fit(dst, y.w, y.h)
	for _, plane := range [][]byte{dst.Y, dst.Cb, dst.Cr} {
		if _, err := io.ReadFull(y.r, plane); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
