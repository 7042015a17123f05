// Package lab starts real programs on loopback for tests: an XMPP server, a
// sound server, a relay, another client, our own program.
//
//	server := lab.StartProsody(t, lab.ProsodyConfig{})
//	sound := lab.StartPulse(t)
//	bob := lab.StartDino(t, lab.DinoConfig{Server: server, User: "bob"})
//	bob.Wait("online")
//
// Every program gets folders and ports of its own, so that labs run side by
// side, and is stopped by its process id when the test ends. What it wrote is
// shown when the test failed. Nothing on the machine is changed.
//
// A test whose programs are not installed is skipped with the reason; with
// CARILLON_LAB=required in the environment it fails instead.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 20 * time.Second // for a program to be ready
	stopTimeout  = 3 * time.Second  // between asking a program to end and ending it
	pollInterval = 10 * time.Millisecond
	logTail      = 6 << 10 // bytes of a log shown when a test failed
)

// Need skips the test when a program is missing, or fails it when
// CARILLON_LAB=required.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := find(p); err != nil {
			missing(t, "%s", p)
		}
	}
}

// missing does what Need does when something is.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...) + " is not installed: run make setup"
	if os.Getenv("CARILLON_LAB") == "required" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// find is exec.LookPath that also knows where Debian keeps servers and what others start.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/libexec"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, program))
	}
	return path, err
}

// tempDir is t.TempDir with a name short enough for Unix sockets.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FreePort returns a TCP port that was free on host a moment ago.
func FreePort(t testing.TB, host string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A process is a program the lab started.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  string        // path of what it wrote
	done chan struct{} // closed when it has ended
	err  error         // why, after done
}

// start starts cmd with stdout and stderr in the file log, unless cmd.Stdout
// is set, and stops it when the test ends.
func start(t testing.TB, name, log string, cmd *exec.Cmd) *process {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = f
	}
	cmd.Stderr = f
	// A group of its own: an interrupt typed at the terminal goes to the test,
	// which then stops its programs in order.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p := &process{t: t, name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, tail(p.readLog()))
		}
	})
	return p
}

func (p *process) readLog() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func tail(s string) string {
	if len(s) <= logTail {
		return s
	}
	_, s, _ = strings.Cut(s[len(s)-logTail:], "\n")
	return "[...]\n" + s
}

// stop asks the program to end and ends it when it does not. It may be called
// again.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

func (p *process) signal(sig syscall.Signal) {
	select {
	case <-p.done: // its id may belong to another process by now
	default:
		p.cmd.Process.Signal(sig)
	}
}

// waitFor polls until ready returns nil. It fails the test when the program
// ends first or takes too long.
func (p *process) waitFor(what string, ready func() error) {
	p.t.Helper()
	if err := p.poll(startTimeout, ready); err != nil {
		p.t.Fatalf("%s: %s: %v\n%s", p.name, what, err, tail(p.readLog()))
	}
}

var errExited = errors.New("the program ended")

func (p *process) poll(timeout time.Duration, ready func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%w: %v", errExited, p.err)
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", timeout, err)
		case <-time.After(pollInterval):
		}
	}
}

// CPU returns the processor time the program has used.
func (p *process) CPU() time.Duration {
	p.t.Helper()
	d, err := processCPU(p.cmd.Process.Pid)
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return d
}

// processCPU reads user and system time from /proc, in ticks of 10 ms.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name in parentheses and may contain spaces.
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("short /proc/%d/stat", pid)
	}
	var user, system int64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// listening reports whether something accepts TCP connections at addr.
func listening(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
