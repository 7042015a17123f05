package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
)

// A DesktopConfig describes a run of our app. Server, User and Display or Wayland are required.
type DesktopConfig struct {
	Server  *Prosody
	User    string
	Display *Display
	Pulse   *Pulse   // whose devices are used; nil for none
	Bus     *Bus     // for notifications; nil for none
	Wayland *Wayland // the desktop it is in, with its bus; nil for none
	Args    []string // besides those that make it find the server
}

// A Desktop is a running app, driven through its control socket.
type Desktop struct {
	User string
	Dir  string // its home; received files are in Received

	t       testing.TB
	display *Display
	conn    net.Conn
	in      *bufio.Reader
	*process
}

// DesktopPath returns the app to test: $CARILLON_DESKTOP, or one built for the
// test, which takes minutes the first time.
func DesktopPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CARILLON_DESKTOP"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "carillon-desktop")
	cmd := exec.Command("go", "build", "-tags", "native", "-o", path, "github.com/carillon-im/carillon/cmd/carillon-desktop")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build carillon-desktop: %v\n%s", err, out)
	}
	return path
}

// StartDesktop starts the app and signs in. It is stopped when the test ends.
func StartDesktop(t testing.TB, path string, cfg DesktopConfig) *Desktop {
	t.Helper()
	d := RunDesktop(t, path, cfg)
	d.Do("SignInTo", state.SignInTo{JID: cfg.Server.JID(cfg.User), Password: Password(cfg.User), Server: "starttls://" + cfg.Server.Addr})
	d.Until("online", func(a state.App) bool { return len(a.Accounts) == 1 && a.Accounts[0].Link == state.Online })
	return d
}

// RunDesktop starts the app as for the first time.
func RunDesktop(t testing.TB, path string, cfg DesktopConfig) *Desktop {
	t.Helper()
	dir := tempDir(t)
	socket := filepath.Join(dir, "control")
	args := append([]string{"--ca-file", cfg.Server.CAFile, "--loopback", "--verbose"}, cfg.Args...)
	cmd := exec.Command(path, args...)
	cmd.Env = os.Environ()
	if cfg.Pulse != nil {
		cmd.Env = cfg.Pulse.Env()
	}
	bus := "unix:path=" + filepath.Join(dir, "no-bus") // the keyring of whoever runs the tests is none of ours
	if cfg.Bus != nil {
		bus = cfg.Bus.Address
	}
	display, around := cfg.Display, []string(nil)
	if cfg.Wayland != nil {
		display, around = cfg.Wayland.Display, cfg.Wayland.Env()
	}
	cmd.Env = append(cmd.Env, "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "XDG_DATA_HOME="+filepath.Join(dir, "data"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "XDG_RUNTIME_DIR="+dir,
		"DBUS_SESSION_BUS_ADDRESS="+bus, "DISPLAY="+display.Name, "WAYLAND_DISPLAY=", "LANG=en_US.UTF-8", "LANGUAGE=en",
		"LIBGL_ALWAYS_SOFTWARE=1", "CARILLON_DESKTOP_CONTROL="+socket)
	cmd.Env = append(cmd.Env, around...)
	d := &Desktop{User: cfg.User, Dir: dir, t: t, display: display}
	d.process = start(t, "carillon-desktop "+cfg.User, filepath.Join(dir, "log"), cmd)
	d.waitFor("its control socket", func() (err error) {
		d.conn, err = net.Dial("unix", socket)
		return err
	})
	t.Cleanup(func() { d.conn.Close() })
	d.in = bufio.NewReader(d.conn)
	d.State()
	return d
}

// ask sends a request and decodes the answer.
func (d *Desktop) ask(request, answer any) {
	d.t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		d.t.Fatal(err)
	}
	d.conn.SetDeadline(time.Now().Add(startTimeout))
	if _, err := d.conn.Write(append(text, '\n')); err != nil {
		d.t.Fatalf("%s: %v\n%s", d.name, err, tail(d.readLog()))
	}
	line, err := d.in.ReadBytes('\n')
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", d.name, err, tail(d.readLog()))
	}
	var failed struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(line, &failed) == nil && failed.Error != "" {
		d.t.Fatalf("%s: %s: %s", d.name, text, failed.Error)
	}
	if answer != nil {
		if err := json.Unmarshal(line, answer); err != nil {
			d.t.Fatalf("%s: %v in %s", d.name, err, line)
		}
	}
}

// Do gives a command: the name of one in package state, and its value.
func (d *Desktop) Do(name string, command any) {
	d.t.Helper()
	d.ask(map[string]any{"do": name, "with": command}, nil)
}

// Page opens a page.
func (d *Desktop) Page(p state.Page) { d.t.Helper(); d.ask(map[string]any{"page": p}, nil) }

// Drop lets files fall onto the window.
func (d *Desktop) Drop(x, y float32, paths ...string) {
	d.t.Helper()
	d.ask(map[string]any{"drop": paths, "x": x, "y": y}, nil)
}

// State returns what the app shows.
func (d *Desktop) State() (a state.App) {
	d.t.Helper()
	d.ask(map[string]any{"state": true}, &a)
	return a
}

// Until waits for the app to show something.
func (d *Desktop) Until(what string, ok func(state.App) bool) (a state.App) {
	d.t.Helper()
	err := d.poll(startTimeout, func() error {
		if a = d.State(); !ok(a) {
			return fmt.Errorf("calls %+v, transfers %+v, accounts %+v, problem %+v, flash %+v", a.Calls, a.Transfers, a.Accounts, a.Problem, a.Flash)
		}
		return nil
	})
	if err != nil {
		d.t.Fatalf("%s: %s: %v\n%s", d.name, what, err, tail(d.readLog()))
	}
	return a
}

// The window has this size, and no window manager moves it from the corner.
const desktopWidth, desktopHeight = 1000, 660

// Picture returns what the window shows, from the screen as a person sees it,
// and keeps it in a file when path is not empty.
func (d *Desktop) Picture(path string) image.Image {
	d.t.Helper()
	i := d.display.Picture().(*image.RGBA).SubImage(image.Rect(0, 0, desktopWidth, desktopHeight))
	if path != "" {
		f, err := os.Create(path)
		if err != nil {
			d.t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, i); err != nil {
			d.t.Fatal(err)
		}
	}
	return i
}

// MovePointer moves the pointer to a place in the window.
func (d *Desktop) MovePointer(x, y int) { d.t.Helper(); d.display.MovePointer(x, y) }

// Press presses keys, when the window has drawn what it was told; see [Display.Press].
func (d *Desktop) Press(keys ...string) {
	d.t.Helper()
	d.Picture("")
	d.display.Press(keys...)
}

// Log returns what the app wrote.
func (d *Desktop) Log() string { return d.readLog() }

// Resident returns the memory of the app that is in use, in bytes.
func (d *Desktop) Resident() int64 {
	d.t.Helper()
	return d.memory("VmRSS")
}

// Own returns the part of Resident, in bytes, that is no page of a program or
// library as it is on disk: what would be free without the app.
func (d *Desktop) Own() int64 {
	d.t.Helper()
	return d.memory("RssAnon")
}

func (d *Desktop) memory(what string) int64 {
	d.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kB int64
		if _, err := fmt.Sscanf(line, what+": %d kB", &kB); err == nil {
			return kB << 10
		}
	}
	d.t.Fatal("the kernel does not tell the memory of a process")
	return 0
}

// Quit ends the app as its user does.
func (d *Desktop) Quit() {
	d.t.Helper()
	d.Do("Quit", state.Quit{})
	select {
	case <-d.done:
	case <-time.After(stopTimeout):
		d.t.Errorf("%s does not end\n%s", d.name, tail(d.readLog()))
	}
}

// Terminate ends the app as the system does when it shuts down.
func (d *Desktop) Terminate() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.done:
	case <-time.After(stopTimeout):
		d.t.Errorf("%s does not end\n%s", d.name, tail(d.readLog()))
	}
}

// ExitCode is that of an app that has ended.
func (d *Desktop) ExitCode() int { return d.cmd.ProcessState.ExitCode() }

// Received is the folder of received files.
func (d *Desktop) Received() string { return d.State().Settings.Folder }
