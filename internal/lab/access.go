package lab

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// An Access is what screen readers need of a desktop: a bus of their own, beside
// that of a session.
type Access struct {
	Bus *Bus // of the session

	t        testing.TB
	env      []string
	launcher *process
}

// StartAccess starts one for what is on a display. Nobody listens yet.
func StartAccess(t testing.TB, display *Display) *Access {
	t.Helper()
	Need(t, "at-spi-bus-launcher")
	dir := tempDir(t)
	bus := StartBus(t)
	a := &Access{Bus: bus, t: t, env: []string{"DISPLAY=" + display.Name, "WAYLAND_DISPLAY=", "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
		"XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), "GSETTINGS_BACKEND=memory", "LANG=C.UTF-8", "LANGUAGE=en"}}
	a.launch()
	return a
}

func (a *Access) launch() { a.launcher = startAccessBus(a.t, a.Bus, a.env) }

// startAccessBus starts what hands out the bus of screen readers to the programs of
// a session, and waits until it can be asked.
func startAccessBus(t testing.TB, session *Bus, env []string, args ...string) *process {
	t.Helper()
	program, err := find("at-spi-bus-launcher")
	if err != nil {
		missing(t, "at-spi-bus-launcher")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(append(os.Environ(), env...), "DBUS_SESSION_BUS_ADDRESS="+session.Address)
	p := start(t, "at-spi-bus-launcher", filepath.Join(tempDir(t), "log"), cmd)
	p.waitFor("its name", func() error {
		owned, err := session.Owned("org.a11y.Bus")
		if err == nil && !owned {
			err = errors.New("it has none yet")
		}
		return err
	})
	return p
}

// Restart ends it with its bus, and starts another. Nobody listens then.
func (a *Access) Restart() {
	a.t.Helper()
	a.launcher.stop()
	a.launch()
}

// Listen says to the desktop that a screen reader listens, or that none does. A
// real one does it by itself.
func (a *Access) Listen(on bool) {
	a.t.Helper()
	conn, err := dbus.Connect(a.Bus.Address)
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	for _, name := range []string{"IsEnabled", "ScreenReaderEnabled"} {
		if err := conn.Object("org.a11y.Bus", "/org/a11y/bus").SetProperty("org.a11y.Status."+name, dbus.MakeVariant(on)); err != nil {
			a.t.Fatalf("say that somebody listens: %v", err)
		}
	}
}

// python is the one that Debian's packages are for.
const python = "/usr/bin/python3"

//go:embed atspi.py
var atspiScript string

// A SpokenNode is what libatspi tells of something in a window.
type SpokenNode struct {
	Role, Name, Description, Text string
	States                        []string
	Attributes                    map[string]string
	Value                         float64
	At                            [4]int // x, y, width, height on the screen
}

// Is reports whether it has a state.
func (n SpokenNode) Is(state string) bool { return slices.Contains(n.States, state) }

// A SpokenEvent is what libatspi tells of a change.
type SpokenEvent struct {
	Event, Any, Role, Name string
	Detail                 int
}

// An ATSPI is a client of libatspi.
type ATSPI struct {
	*process
	in      io.Writer
	answers chan json.RawMessage

	mu     sync.Mutex
	events []SpokenEvent
}

// ATSPI starts one.
func (a *Access) ATSPI() *ATSPI {
	a.t.Helper()
	cmd := exec.Command(python, "-c", `import gi; gi.require_version("Atspi", "2.0")`)
	if out, err := cmd.CombinedOutput(); err != nil {
		missing(a.t, "gir1.2-atspi-2.0 with python3-gi (%v: %s)", err, out)
	}
	cmd = exec.Command(python, "-u", "-c", atspiScript)
	cmd.Env = append(append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+a.Bus.Address), a.env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		a.t.Fatal(err)
	}
	cmd.Stdout = w
	c := &ATSPI{in: in, answers: make(chan json.RawMessage)}
	c.process = start(a.t, "libatspi", filepath.Join(tempDir(a.t), "log"), cmd)
	w.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read(out)
	}()
	a.t.Cleanup(func() {
		c.stop()
		out.Close()
		<-read
	})
	c.answer()
	return c
}

func (c *ATSPI) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e SpokenEvent
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Event != "" {
			c.mu.Lock()
			c.events = append(c.events, e)
			c.mu.Unlock()
			continue
		}
		select {
		case c.answers <- slices.Clone(lines.Bytes()):
		case <-c.done:
			return
		}
	}
}

func (c *ATSPI) answer() (json.RawMessage, error) {
	c.t.Helper()
	var a struct {
		Answer json.RawMessage
		Error  string
	}
	select {
	case line := <-c.answers:
		if err := json.Unmarshal(line, &a); err != nil {
			c.t.Fatalf("libatspi: %v in %s", err, line)
		}
	case <-time.After(startTimeout):
		c.t.Fatalf("libatspi does not answer\n%s", tail(c.readLog()))
	case <-c.done:
		c.t.Fatalf("libatspi ended\n%s", tail(c.readLog()))
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Answer, nil
}

// our is the name of our app.
const ourName = "Carillon"

func (c *ATSPI) ask(do, role, name, text string) (json.RawMessage, error) {
	c.t.Helper()
	line, err := json.Marshal(map[string]string{"do": do, "app": ourName, "role": role, "name": name, "text": text})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("libatspi: %v\n%s", err, tail(c.readLog()))
	}
	return c.answer()
}

// Tree returns all that is in our app, as it is read from the top.
func (c *ATSPI) Tree() (list []SpokenNode) {
	c.t.Helper()
	got, err := c.ask("tree", "", "", "")
	if err == nil {
		err = json.Unmarshal(got, &list)
	}
	if err != nil {
		c.t.Fatalf("libatspi: %v", err)
	}
	return list
}

// Until waits for something with this role whose name begins so, and which is as
// it is to be; ok may be nil.
func (c *ATSPI) Until(role, name string, ok func(SpokenNode) bool) (n SpokenNode) {
	c.t.Helper()
	err := c.poll(startTimeout, func() error {
		n = SpokenNode{}
		got, err := c.ask("look", role, name, "")
		if err == nil {
			err = json.Unmarshal(got, &n)
		}
		if err == nil && ok != nil && !ok(n) {
			err = fmt.Errorf("it is %+v", n)
		}
		return err
	})
	if err != nil {
		c.t.Fatalf("libatspi: %s %q: %v; there is\n%s", role, name, err, c.Outline())
	}
	return n
}

// UntilGone waits until our app tells nothing.
func (c *ATSPI) UntilGone() {
	c.t.Helper()
	c.waitFor("our app is not there any more", func() error {
		var list []SpokenNode
		got, err := c.ask("tree", "", "", "")
		if err == nil {
			err = json.Unmarshal(got, &list)
		}
		if err == nil && len(list) > 0 {
			err = fmt.Errorf("it tells %d things", len(list))
		}
		return err // also when it goes while it is asked
	})
}

// Outline is the tree in words.
func (c *ATSPI) Outline() string {
	c.t.Helper()
	var b strings.Builder
	for _, n := range c.Tree() {
		fmt.Fprintf(&b, "%s %q %q %q %v\n", n.Role, n.Name, n.Description, n.Text, n.States)
	}
	return b.String()
}

// Press presses what has this role and a name that begins so.
func (c *ATSPI) Press(role, name string) { c.t.Helper(); c.order("press", role, name, "") }

// Focus moves the keyboard there.
func (c *ATSPI) Focus(role, name string) { c.t.Helper(); c.order("focus", role, name, "") }

// Write writes into a field.
func (c *ATSPI) Write(role, name, text string) { c.t.Helper(); c.order("write", role, name, text) }

func (c *ATSPI) order(do, role, name, text string) {
	c.t.Helper()
	c.Until(role, name, nil)
	if got, err := c.ask(do, role, name, text); err != nil || string(got) != "true" {
		c.t.Fatalf("libatspi: %s %s %q: %s, %v", do, role, name, got, err)
	}
}

// Heard waits for an event, and forgets those before it.
func (c *ATSPI) Heard(what string, ok func(SpokenEvent) bool) SpokenEvent {
	c.t.Helper()
	var found SpokenEvent
	var all []SpokenEvent
	err := c.poll(startTimeout, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		all = slices.Clone(c.events)
		if i := slices.IndexFunc(c.events, ok); i >= 0 {
			found, c.events = c.events[i], c.events[i+1:]
			return nil
		}
		return errors.New("it was not told")
	})
	if err != nil {
		c.t.Fatalf("libatspi: %s: %v; told was %+v", what, err, all)
	}
	return found
}

// Announced waits for an announcement that contains a text.
func (c *ATSPI) Announced(text string) {
	c.t.Helper()
	c.Heard("that "+text, func(e SpokenEvent) bool {
		return e.Event == "object:announcement" && strings.Contains(e.Any, text)
	})
}

// Focused waits for the focus to come to something.
func (c *ATSPI) Focused(role, name string) {
	c.t.Helper()
	c.Heard("the focus at "+role+" "+name, func(e SpokenEvent) bool {
		return e.Event == "object:state-changed:focused" && e.Detail == 1 && e.Role == role && strings.HasPrefix(e.Name, name)
	})
}

// An Orca is the screen reader of GNOME, without a voice: it writes what it says.
type Orca struct {
	*process
	debug string
	from  int // what was said before this byte is forgotten
}

// orcaScript runs Orca with a file of what it does that is written line by line.
const orcaScript = `
import builtins, runpy, sys
program, debug = sys.argv[1:]
real = builtins.open
def at_once(file, *args, **kwargs):
    f = real(file, *args, **kwargs)
    if file == debug:
        f.reconfigure(line_buffering=True)
    return f
builtins.open = at_once
sys.argv = [program, "--replace", "--debug-file=" + debug]
runpy.run_path(program, run_name="__main__")
`

// Orca starts one.
func (a *Access) Orca() *Orca {
	a.t.Helper()
	Need(a.t, "orca")
	debug := filepath.Join(tempDir(a.t), "debug")
	program, _ := find("orca")
	cmd := exec.Command(python, "-c", orcaScript, program, debug)
	cmd.Env = append(append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+a.Bus.Address), a.env...)
	o := &Orca{process: start(a.t, "orca", filepath.Join(tempDir(a.t), "log"), cmd), debug: debug}
	a.Listen(true)
	o.Says("Screen reader on")
	return o
}

// spokenLine is how Orca writes down what it says.
var spokenLine = regexp.MustCompile(`SPEECH OUTPUT: '(.*)' ?\{`)

// Says waits until Orca says something with a text in it, and forgets what it
// said before.
func (o *Orca) Says(text string) {
	o.t.Helper()
	var all []string
	err := o.poll(startTimeout, func() error {
		b, err := os.ReadFile(o.debug)
		if err != nil {
			return err
		}
		all = nil
		for _, m := range spokenLine.FindAllSubmatchIndex(b[min(o.from, len(b)):], -1) {
			s := string(b[o.from+m[2] : o.from+m[3]])
			if all = append(all, s); strings.Contains(s, text) {
				o.from += m[1]
				return nil
			}
		}
		return errors.New("it does not")
	})
	if err != nil {
		o.t.Fatalf("orca says %q: %v; it said %q", text, err, all)
	}
}
