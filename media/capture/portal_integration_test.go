//go:build integration && linux

package capture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/video"
)

// A portal on a real bus, where the test is the desktop and the person.
type portal struct {
	t      *testing.T
	conn   *dbus.Conn
	mu     sync.Mutex        // guards what follows
	answer map[string]uint32 // of a method, 0 if not said
	asked  map[string]map[string]dbus.Variant
	pipe   *os.File
	node   uint32

	closed chan struct{}
	gone   chan struct{} // the dialog was closed by who asked
	bus    *lab.Bus
}

// noAnswer is that of a dialog which stays open.
const noAnswer = 99

const fakeSession = portalPath + "/session/x/1"

func startPortal(t *testing.T) *portal {
	t.Helper()
	bus := lab.StartBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	t.Setenv("XDG_SESSION_TYPE", "wayland")
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := w.WriteString("pipe"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p := &portal{t: t, bus: bus, conn: conn, pipe: r, node: 42, closed: make(chan struct{}, 1), gone: make(chan struct{}, 1), answer: map[string]uint32{}, asked: map[string]map[string]dbus.Variant{}}
	for path, face := range map[string]string{portalPath: screenCast, fakeSession: portalSession} {
		if err := conn.Export(p, dbus.ObjectPath(path), face); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Export(properties{}, portalPath, "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(portalName, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// starts says how the dialog ends from now on.
func (p *portal) starts(code uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer["Start"] = code
}

// options are those of the last call of a method.
func (p *portal) options(method string) map[string]dbus.Variant {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[method]
}

type properties struct{}

func (properties) Get(_, name string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(map[string]uint32{"AvailableSourceTypes": 1, "AvailableCursorModes": 7}[name]), nil
}

// respond answers a request as a portal does, by a signal that may come first.
func (p *portal) respond(method string, from dbus.Sender, options map[string]dbus.Variant, results map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	p.mu.Lock()
	p.asked[method] = options
	answer := p.answer[method]
	p.mu.Unlock()
	sender := strings.ReplaceAll(strings.TrimPrefix(string(from), ":"), ".", "_")
	path := dbus.ObjectPath(portalPath + "/request/" + sender + "/" + options["handle_token"].Value().(string))
	if answer == noAnswer {
		if err := p.conn.Export(request{p}, path, portalRequest); err != nil {
			p.t.Error(err)
		}
		return path, nil
	}
	if results == nil {
		results = map[string]dbus.Variant{}
	}
	if err := p.conn.Emit(path, portalRequest+".Response", answer, results); err != nil {
		p.t.Error(err)
	}
	return path, nil
}

func (p *portal) CreateSession(from dbus.Sender, o map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	return p.respond("CreateSession", from, o, map[string]dbus.Variant{"session_handle": dbus.MakeVariant(fakeSession)})
}

func (p *portal) SelectSources(from dbus.Sender, _ dbus.ObjectPath, o map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	return p.respond("SelectSources", from, o, nil)
}

func (p *portal) Start(from dbus.Sender, _ dbus.ObjectPath, _ string, o map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	type stream struct {
		Node       uint32
		Properties map[string]dbus.Variant
	}
	p.mu.Lock()
	node := p.node
	p.mu.Unlock()
	return p.respond("Start", from, o, map[string]dbus.Variant{"streams": dbus.MakeVariant([]stream{{node, map[string]dbus.Variant{}}})})
}

func (p *portal) OpenPipeWireRemote(dbus.ObjectPath, map[string]dbus.Variant) (dbus.UnixFD, *dbus.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return dbus.UnixFD(p.pipe.Fd()), nil
}

// Close is of the session.
func (p *portal) Close() *dbus.Error {
	p.closed <- struct{}{}
	return nil
}

// A request is one that was not answered.
type request struct{ p *portal }

func (r request) Close() *dbus.Error {
	r.p.gone <- struct{}{}
	return nil
}

// script puts a program in the place of GStreamer.
func script(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gst-launch-1.0"), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// The dialog of the portal, with a pipe for PipeWire and a script for GStreamer: shown and stopped by us, stopped in the desktop,
// refused; and GStreamer that fails.
func TestIntegrationPortalDialog(t *testing.T) {
	p := startPortal(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	pictures := filepath.Join(t.TempDir(), "pictures")
	if err := os.WriteFile(pictures, y4mOf(flat(64, 48, 7), flat(32, 24, 9)), 0o600); err != nil {
		t.Fatal(err)
	}
	script(t, `case "$*" in *path=42*) ;; *) echo "wrong arguments: $*" >&2; exit 1;; esac
[ "$(dd bs=4 count=1 <&3 2>/dev/null)" = pipe ] || { echo "no PipeWire" >&2; exit 1; }
cat `+pictures+`
exec sleep 60`)
	s := open(t, "screen", Options{NoPointer: true})
	for {
		f := read(t, s)
		if f.Image.Y[0] == 9 && f.Image.Rect.Dx() == 32 { // the first may be missed
			break
		}
	}
	// Nothing changes on the screen: who joins late or lost something gets the
	// same again.
	last := time.Duration(0)
	for range 3 {
		f := read(t, s)
		if f.Image.Y[0] != 9 || f.Time <= last {
			t.Errorf("of a screen that stands still: %d at %v, after %v", f.Image.Y[0], f.Time, last)
		}
		last = f.Time
	}
	if o := p.options("SelectSources"); o["types"].Value() != uint32(1) || o["cursor_mode"].Value() != uint32(portalHidden) || o["multiple"].Value() != false {
		t.Errorf("asked for %v", o)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-p.closed
	if _, err := s.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}

	// A pipe is read once; what follows needs no pictures.
	script(t, `exec sleep 60`)
	s = open(t, "screen", Options{})
	if err := p.conn.Emit(fakeSession, portalSession+".Closed"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("stopped in the desktop: %v", err)
	}
	s.Close()
	<-p.closed

	script(t, `echo "no element pipewiresrc" >&2; exit 1`)
	s = open(t, "screen", Options{})
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "no element pipewiresrc") {
		t.Errorf("GStreamer without PipeWire: %v", err)
	}
	s.Close()
	<-p.closed

	// A desktop that is too fast, which is read as slowly as is wanted; and its
	// portal ends.
	script(t, `while cat `+pictures+`; do :; done`)
	s = open(t, "screen", Options{FPS: 10})
	began, n := time.Now(), 0
	for ; time.Since(began) < time.Second; n++ {
		read(t, s)
	}
	if n < 7 || n > 13 {
		t.Errorf("%d pictures in a second, want about 10", n)
	}
	if _, err := p.conn.ReleaseName(portalName); err != nil {
		t.Fatal(err)
	}
	ended := error(nil)
	for ended == nil {
		_, ended = s.Read(t.Context())
	}
	if !errors.Is(ended, ErrPortal) {
		t.Errorf("without its portal: %v, want %v", ended, ErrPortal)
	}
	s.Close()
	if _, err := p.conn.RequestName(portalName, 0); err != nil {
		t.Fatal(err)
	}

	if list, err := Screens(t.Context()); err != nil || len(list) != 1 || !list[0].Dialog {
		t.Errorf("screens %+v, %v, want one that asks", list, err)
	}
	p.starts(1)
	var oe *video.OpenError
	if _, err := OpenSource(t.Context(), "screen", Options{}); !errors.Is(err, ErrNotShared) || !errors.As(err, &oe) {
		t.Errorf("refused: %v, want %v", err, ErrNotShared)
	}
	<-p.closed
	p.starts(2)
	if _, err := OpenSource(t.Context(), "screen", Options{}); !errors.Is(err, ErrPortal) || errors.Is(err, ErrNotShared) {
		t.Errorf("failed: %v, want %v", err, ErrPortal)
	}
	<-p.closed
	p.starts(noAnswer)
	patience, end := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer end()
	if _, err := OpenSource(patience, "screen", Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody chose: %v", err)
	}
	<-p.gone // no dialog stays
	<-p.closed
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := OpenSource(ctx, "screen", Options{}); err == nil {
		t.Error("opened with a context that ended")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := OpenSource(t.Context(), "screen", Options{}); !errors.Is(err, ErrNoGStreamer) {
		t.Errorf("without GStreamer: %v, want %v", err, ErrNoGStreamer)
	}
}

// What comes by a real PipeWire is read by a real GStreamer: red, from a program
// that shows it there. TestIntegrationWayland has a desktop, too.
func TestIntegrationPipeWire(t *testing.T) {
	lab.Need(t, "pipewire", "wireplumber", "pw-cli", "gst-launch-1.0")
	dir, err := os.MkdirTemp("", "pw") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := startPortal(t)
	env := []string{"XDG_RUNTIME_DIR=" + dir, "HOME=" + dir, "XDG_STATE_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	poll := func(what string, ready func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ready(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not come up", what)
			}
		}
	}
	var remote *net.UnixConn
	p.bus.Run("pipewire", env)
	poll("PipeWire", func() bool {
		remote, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(dir, "pipewire-0"), Net: "unix"})
		return err == nil
	})
	defer remote.Close()
	p.bus.Run("wireplumber", env)
	p.bus.Run("gst-launch-1.0", env, "-q", "videotestsrc", "pattern=red", "is-live=true", "!", "video/x-raw,format=BGRx,width=320,height=240,framerate=30/1",
		"!", "capssetter", "caps=video/x-raw,framerate=0/1,max-framerate=60/1", // as a desktop says
		"!", "pipewiresink", "mode=provide", "stream-properties=props,media.class=Video/Source,node.name=carillontest")
	var node uint32
	poll("the source of pictures", func() bool {
		list := exec.Command("pw-cli", "ls", "Node")
		list.Env = append(os.Environ(), env...)
		out, err := list.Output()
		if err != nil {
			return false
		}
		before, _, found := strings.Cut(string(out), `node.name = "carillontest"`)
		if !found {
			return false
		}
		_, err = fmt.Sscanf(before[strings.LastIndex(before, "\tid ")+1:], "id %d,", &node)
		return err == nil
	})
	pipe, err := remote.File() // a connection that nobody has used, as the portal's
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	p.mu.Lock()
	p.node, p.pipe = node, pipe
	p.mu.Unlock()
	s := open(t, "screen", Options{FPS: 10})
	var f video.Frame
	for range 5 {
		f = read(t, s)
	}
	if f.Image.Rect.Size() != image.Pt(320, 240) {
		t.Errorf("the picture is %v", f.Image.Rect)
	}
	wantShade(t, "red", f.Image, 160, 120, 82, 90, 240, 4)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-p.closed
}
