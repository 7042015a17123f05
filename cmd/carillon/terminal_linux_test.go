package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// A pty is a terminal of 100 columns with a program in it.
type pty struct {
	t    *testing.T
	host *os.File
	cmd  *exec.Cmd
	done chan struct{} // closed when the program and its output are over

	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // replaced when text grows
}

func ioctl(t *testing.T, f *os.File, request uintptr, arg unsafe.Pointer) {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) { _, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(arg)) })
	if err != nil || errno != 0 {
		t.Fatalf("ioctl %x: %v, %v", request, err, errno)
	}
}

// inTerminal runs carillon in a terminal.
func inTerminal(t *testing.T, env []string, args ...string) *pty {
	t.Helper()
	host, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { host.Close() })
	var number, unlock int32
	ioctl(t, host, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	ioctl(t, host, syscall.TIOCGPTN, unsafe.Pointer(&number))
	size := [4]uint16{24, 100}
	ioctl(t, host, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{t: t, host: host, done: make(chan struct{}), more: make(chan struct{})}
	p.cmd = exec.Command(self, args...)
	p.cmd.Args[0] = "carillon" // the test binary is carillon under this name
	p.cmd.Env = append(env, runAsCarillon+"=1")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		buf := make([]byte, 4096)
		for {
			n, err := host.Read(buf)
			p.mu.Lock()
			p.text.Write(buf[:n])
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
			if err != nil { // EIO when the program has ended
				p.cmd.Wait()
				return
			}
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// echoes reports whether the terminal shows what is typed.
func (p *pty) echoes() bool {
	var state syscall.Termios
	ioctl(p.t, p.host, syscall.TCGETS, unsafe.Pointer(&state))
	return state.Lflag&syscall.ECHO != 0
}

// waitFor waits until the terminal was sent what matches.
func (p *pty) waitFor(pattern string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(scriptTimeout)
	for {
		p.mu.Lock()
		text, more := p.text.String(), p.more
		p.mu.Unlock()
		if re.MatchString(text) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			p.t.Fatalf("the terminal did not show %q, but\n%q", pattern, text)
		}
	}
}

func (p *pty) press(keys string) {
	p.t.Helper()
	if _, err := p.host.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the end and returns everything that was shown.
func (p *pty) end(code int) string {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(scriptTimeout):
		p.t.Fatal("the program does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d; shown:\n%q", got, code, p.text.String())
	}
	return p.text.String()
}

// terminals starts a server and returns how to run alice and bob.
func terminals(t *testing.T, extra ...string) (alice, bob func(args ...string) *pty) {
	t.Helper()
	srv := xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{"alice@example.org": "secret", "bob@example.org": "secret"}})
	srv.Befriend("alice@example.org", "bob@example.org")
	env := append([]string{"HOME=" + t.TempDir(), "CARILLON_PASSWORD=secret", "TERM=xterm", "LANG=C.UTF-8"}, extra...)
	ca := srv.CAFile(t)
	run := func(account string) func(args ...string) *pty {
		return func(args ...string) *pty {
			return inTerminal(t, env, append(args, "-a", account+"@example.org", "--server", srv.Addr(), "--ca-file", ca, "--mic", "tone:440", "--speaker", "null")...)
		}
	}
	return run("alice"), run("bob")
}

func TestTerminalShowsALiveLineAndTakesKeys(t *testing.T) {
	asAlice, asBob := terminals(t)
	bob := asBob("answer", "--once")
	bob.waitFor("online as bob@example.org")
	alice := asAlice("call", "bob@example.org")
	bob.waitFor(`rings here.*\[a\]nswer \[d\]ecline`)
	bob.press("a")
	alice.waitFor(`connected.*0:00.*mic .*█.*ear .*█.*loss 0\.0%  delay \d+ ms.*\[m\]ute \[h\]old`)
	alice.press("m")
	alice.waitFor(`mic .*mute`)
	bob.waitFor(`they are muted`)
	alice.press("mh")
	bob.waitFor(`ear .*held`)
	alice.press("h7")
	bob.waitFor(`they pressed 7`)
	alice.press("q")
	text := alice.end(0)
	bob.end(0)
	// In a terminal whose keys we read, lines end with \r\n, or they make stairs.
	if i := strings.Index(text, "ended after"); i < 0 || strings.Contains(strings.ReplaceAll(text[:i], "\r\n", ""), "\n") {
		t.Errorf("lines make stairs, or there is no end:\n%q", text)
	}
	if !strings.Contains(text, "\x1b[32m") {
		t.Errorf("there are no colours:\n%q", text)
	}
	if last := text[strings.LastIndex(text, "\r\x1b[K"):]; strings.Contains(last, "connected") {
		t.Errorf("the live line is left behind: %q", last)
	}
}

func TestCtrlCInATerminalHangsUpPolitely(t *testing.T) {
	asAlice, asBob := terminals(t)
	bob := asBob("answer", "--once", "--auto")
	bob.waitFor("online as bob@example.org")
	alice := asAlice("call", "bob@example.org")
	alice.waitFor("connected directly")
	bob.waitFor("connected directly") // a moment later, or the call ends before it began for him
	alice.press("\x03")
	if text := alice.end(0); !strings.Contains(text, "ended after 0:0") {
		t.Errorf("shown:\n%q", text)
	}
	if text := bob.end(0); !strings.Contains(text, "ended by them after 0:0") {
		t.Errorf("shown:\n%q", text)
	}
}

func TestNoColorIsHonoured(t *testing.T) {
	asAlice, _ := terminals(t, "NO_COLOR=1")
	alice := asAlice("call", "bob@example.org")
	alice.waitFor("● bob@example.org  calling")
	alice.press("q")
	if text := alice.end(1); regexp.MustCompile(`\x1b\[\d*m`).MatchString(text) {
		t.Errorf("there are colours:\n%q", text)
	}
}

func TestCtrlCAtThePasswordPromptLeaves(t *testing.T) {
	env := []string{"HOME=" + t.TempDir(), "TERM=xterm", "LANG=C.UTF-8"}
	p := inTerminal(t, env, "login", "alice@example.org", "--server", "127.0.0.1:1")
	p.waitFor("Password of alice@example.org: ")
	for deadline := time.Now().Add(scriptTimeout); p.echoes(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the terminal shows the password")
		}
	}
	p.press("\x03")
	if text := p.end(1); !strings.Contains(text, "carillon: error: interrupted") {
		t.Errorf("shown:\n%q", text)
	}
	if !p.echoes() {
		t.Error("the terminal does not show any more what is typed")
	}
}

// In a terminal a transfer is a bar: how much of what, how fast, how long it
// will take, and which way it goes. Ctrl-C pauses.
func TestTerminalShowsTheBarOfATransfer(t *testing.T) {
	srv := xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{"alice@example.org": "secret", "bob@example.org": "secret"}})
	srv.Befriend("alice@example.org", "bob@example.org")
	dir, ca := t.TempDir(), srv.CAFile(t)
	run := func(account string, args ...string) *pty {
		env := []string{"HOME=" + filepath.Join(dir, account), "CARILLON_PASSWORD=secret", "TERM=xterm", "LANG=C.UTF-8"}
		return inTerminal(t, env, append(args, "-a", account+"@example.org", "--server", srv.Addr(), "--ca-file", ca, "--loopback")...)
	}
	photos := filepath.Join(dir, "photos")
	if err := errors.Join(os.Mkdir(photos, 0o700), os.WriteFile(filepath.Join(photos, "one.jpg"), make([]byte, 20<<20), 0o600), os.WriteFile(filepath.Join(photos, "two.jpg"), make([]byte, 20<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	bob := run("bob", "receive", "--dir", filepath.Join(dir, "inbox"))
	bob.waitFor("online as bob@example.org")
	alice := run("alice", "send", photos, "bob@example.org", "--limit", "4MB/s")
	alice.waitFor(`photos.*offered`)
	bob.waitFor(`alice@example.org offers photos \(2 files, 42 MB\)`)
	bob.press("a")
	bar := `photos.*█.*░.* \d+%.*MB of 42 MB.*MB/s.*0:\d\d left.*directly \(tcp\).*one.jpg \d+%`
	alice.waitFor(bar)
	bob.waitFor(bar)
	alice.press("\x03")
	text := alice.end(1)
	if !strings.Contains(text, "paused") || !strings.Contains(text, "\x1b[32m") {
		t.Errorf("no word of the pause, or no colours:\n%q", text)
	}
	if last := text[strings.LastIndex(text, "\r\x1b[K"):]; strings.Contains(last, "left") {
		t.Errorf("the live line is left behind: %q", last)
	}
	bob.waitFor("the other side paused the transfer")
	bob.press("\x03")
	bob.end(0)
}
