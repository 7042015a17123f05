package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A CarillonConfig describes a run of our own program. Server and User are
// required.
type CarillonConfig struct {
	Server *Prosody
	User   string
	Via    string   // --server, instead of the server's address for STARTTLS
	Pulse  *Pulse   // whose devices --mic device and --speaker device are; nil for none
	Args   []string // command, such as "call", "bob@lab.test", and flags
}

// A Carillon is a running carillon --json.
type Carillon struct {
	User string

	t       testing.TB
	dir     string
	in      io.WriteCloser
	events  *Stream[Event]
	drained chan struct{}
	*process
}

// An Event is an object that carillon printed.
type Event struct {
	Name    string    `json:"event"`
	Time    time.Time `json:"time"`
	SID     string    `json:"sid"`
	Peer    string    `json:"peer"`
	Reason  string    `json:"reason"`
	Outcome string    `json:"outcome"`
	Local   string    `json:"local"`
	Remote  any       `json:"remote"` // a candidate's type, or who ended the call
	Message string    `json:"message"`
	Resumed bool      `json:"resumed"`

	MSSinceAccept float64 `json:"ms_since_accept"`
	Seconds       float64 `json:"seconds"`
	PacketsIn     uint64  `json:"packets_in"`
	On            bool    `json:"on"`     // of video-shown
	Width         int     `json:"width"`  // of first-frame and video
	Height        int     `json:"height"` //
	Frames        uint64  `json:"frames"` // of video
	FramesOut     uint64  `json:"frames_out"`
	Freezes       uint64  `json:"freezes"`
	CodecIn       string  `json:"codec_in"`
	CodecOut      string  `json:"codec_out"`

	Line string `json:"-"`
}

// CarillonPath returns the program to test: $CARILLON, or one built for the
// test.
func CarillonPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CARILLON"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "carillon")
	cmd := exec.Command("go", "build", "-o", path, "github.com/carillon-im/carillon/cmd/carillon")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build carillon: %v\n%s", err, out)
	}
	return path
}

// StartCarillon starts the program at path. It is stopped when the test ends.
func StartCarillon(t testing.TB, path string, cfg CarillonConfig) *Carillon {
	t.Helper()
	dir := tempDir(t)
	write(t, filepath.Join(dir, "password"), Password(cfg.User)+"\n")
	via := cfg.Via
	if via == "" {
		via = "starttls://" + cfg.Server.Addr
	}
	args := append([]string{"--json", "--account", cfg.Server.JID(cfg.User), "--password-file", filepath.Join(dir, "password"),
		"--server", via, "--ca-file", cfg.Server.CAFile, "--log-level", "debug"}, cfg.Args...)
	cmd := exec.Command(path, args...)
	cmd.Env = os.Environ()
	if cfg.Pulse != nil {
		cmd.Env = cfg.Pulse.Env()
	}
	// No bus: the keyring of whoever runs the tests is none of ours.
	cmd.Env = append(cmd.Env, "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"), "XDG_DATA_HOME="+filepath.Join(dir, "data"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(dir, "no-bus"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	c := &Carillon{User: cfg.User, t: t, dir: dir, in: in, events: newStream[Event](), drained: make(chan struct{})}
	c.process = start(t, "carillon "+cfg.User, filepath.Join(dir, "log"), cmd)
	w.Close() // the program has its own now
	go func() {
		defer close(c.drained)
		c.read(r)
	}()
	t.Cleanup(func() {
		c.stop()
		<-c.drained
		r.Close()
		if t.Failed() {
			t.Logf("carillon %s printed:\n%s", c.User, strings.Join(c.lines(), "\n"))
		}
	})
	return c
}

func (c *Carillon) read(r io.Reader) {
	defer c.events.close()
	for s := bufio.NewScanner(r); s.Scan(); {
		e := Event{Line: s.Text()}
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			e.Name = "not JSON"
		}
		c.events.add(e)
	}
}

func (c *Carillon) lines() (out []string) {
	for _, e := range c.events.all() {
		out = append(out, e.Line)
	}
	return out
}

// Events returns what it printed so far.
func (c *Carillon) Events() []Event { return c.events.all() }

// Wait waits for an event of that name that no earlier Wait took, and skips
// those before it. It fails the test when none comes in 20 s.
func (c *Carillon) Wait(name string) Event {
	c.t.Helper()
	e, err := c.Await(startTimeout, name)
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// Await is Wait with an error.
func (c *Carillon) Await(timeout time.Duration, name string) (Event, error) {
	e, err := c.events.await(timeout, func(e Event) bool { return e.Name == name })
	if err != nil {
		return e, fmt.Errorf("carillon %s: no event %q: %w; it printed:\n%s", c.User, name, err, strings.Join(c.lines(), "\n"))
	}
	return e, nil
}

// Key types a key: a answers, d declines, m mutes, q hangs up.
func (c *Carillon) Key(key string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, key+"\n"); err != nil {
		c.t.Fatalf("type %q: %v", key, err)
	}
}

// Interrupt is Ctrl-C.
func (c *Carillon) Interrupt() { c.signal(syscall.SIGINT) }

// Exit waits for the end of the program and returns its exit code.
func (c *Carillon) Exit() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(startTimeout):
		c.t.Fatalf("carillon %s does not end; it printed:\n%s", c.User, strings.Join(c.lines(), "\n"))
	}
	<-c.drained
	return c.cmd.ProcessState.ExitCode()
}
