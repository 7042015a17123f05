package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts in testdata are sessions at a shell. They have a server of their
// own at $SERVER, with the accounts alice, bob and carol of example.org, whose
// password is secret; alice and bob are contacts. $CA is its authority.
//
//	exits N carillon ...     run it and expect that exit code
//	start NAME carillon ...  run it in the background
//	says NAME PATTERN        wait until its stdout or stderr has the pattern
//	type NAME TEXT           write a line to its input
//	signal NAME INT|TERM     send it a signal
//	ends NAME N              wait for its end, with that exit code
//	online JID               wait until a device of JID can be called
//	stanza PATTERN           wait for a stanza, as "JID -> <xml>" or "JID <- <xml>"
//	hears FILE HZ            the file has sound, and it is that tone
//	mode FILE OCTAL          the permissions of a file
//	server TEXT...           do something to the server, see serverCommand

// runAsCarillon in the environment makes the test binary be carillon.
const runAsCarillon = "CARILLON_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsCarillon) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"carillon": main})
}

// scriptTimeout is for a single wait. It is long because tests share two cores.
const scriptTimeout = 20 * time.Second

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "start": start, "says": says, "type": typeLine, "signal": sendSignal, "ends": ends, "online": online, "stanza": awaitStanza, "hears": hears, "mode": mode, "server": serverCommand,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// world is what the commands of a script share.
type world struct {
	*xmpptest.Server
	stanzas *transcript
	env     *testscript.Env
	started map[string]*background
}

type worldKey struct{}

func the(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func setUpScript(env *testscript.Env) error {
	w := &world{stanzas: newTranscript(), env: env, started: make(map[string]*background), Server: xmpptest.NewServer(xmpptest.Config{
		Accounts: map[string]string{
			"alice@example.org": "secret", "bob@example.org": "secret", "carol@example.org": "secret",
		},
		CertLifetime: 90 * 24 * time.Hour,
	})}
	env.Defer(w.Close)
	env.Defer(w.killAll)
	w.Befriend("alice@example.org", "bob@example.org")
	w.Tap(w.stanzas.add)
	env.Values[worldKey{}] = w
	ca := filepath.Join(env.WorkDir, "ca.pem")
	if err := os.WriteFile(ca, w.CAPEM(), 0o600); err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	for key, value := range map[string]string{
		"SERVER": w.Addr(), "CA": ca, "HOME": home, "CARILLON_PASSWORD": "secret",
		"XDG_CONFIG_HOME": "", "XDG_DATA_HOME": "", "XDG_STATE_HOME": "", "XDG_RUNTIME_DIR": "",
		// No sound server and no keyring, whatever the machine has.
		"PULSE_SERVER": "unix:" + filepath.Join(env.WorkDir, "no-pulse"), "DBUS_SESSION_BUS_ADDRESS": "",
	} {
		env.Setenv(key, value)
	}
	return nil
}

// A background is a program that runs while the script goes on.
type background struct {
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr *output
	done           chan struct{}
}

// An output keeps what a program wrote.
type output struct {
	mu   sync.Mutex
	text []byte
	more chan struct{} // replaced when text grows
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	close(o.more)
	o.more = make(chan struct{})
	return len(p), nil
}

func (o *output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text), o.more
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME PROGRAM [ARGS...]")
	}
	w, name := the(ts), args[0]
	b := &background{stdout: &output{more: make(chan struct{})}, stderr: &output{more: make(chan struct{})}, done: make(chan struct{})}
	program := args[1]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, args[1]); isFile(path) {
			program = path
			break
		}
	}
	b.cmd = exec.Command(program, args[2:]...)
	b.cmd.Dir = ts.MkAbs(".")
	b.cmd.Env = w.env.Vars
	b.cmd.Stdout, b.cmd.Stderr = b.stdout, b.stderr
	if w.started[name] != nil {
		ts.Fatalf("%s was started before", name)
	}
	var err error
	b.stdin, err = b.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(b.cmd.Start())
	w.started[name] = b
	go func() {
		defer close(b.done)
		b.cmd.Wait() // ends looks at the exit code
	}()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// killAll ends what a failed script left behind.
func (w *world) killAll() {
	for _, b := range w.started {
		b.cmd.Process.Kill()
		<-b.done
	}
}

func running(ts *testscript.TestScript, name string) *background {
	b := the(ts).started[name]
	if b == nil {
		ts.Fatalf("nothing was started as %s", name)
	}
	return b
}

func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: says NAME PATTERN")
	}
	b := running(ts, args[0])
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	timeout := time.After(scriptTimeout)
	for {
		out, moreOut := b.stdout.now()
		errs, moreErr := b.stderr.now()
		if pattern.MatchString(out) || pattern.MatchString(errs) {
			return
		}
		select {
		case <-moreOut:
		case <-moreErr:
		case <-b.done:
			// Look once more, at what it wrote last.
			out, _ = b.stdout.now()
			errs, _ = b.stderr.now()
			if !pattern.MatchString(out) && !pattern.MatchString(errs) {
				ts.Fatalf("%s ended without saying that:\n%s%s", args[0], out, errs)
			}
			return
		case <-timeout:
			ts.Fatalf("%s did not say that:\n%s%s", args[0], out, errs)
		}
	}
}

func typeLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: type NAME TEXT")
	}
	_, err := io.WriteString(running(ts, args[0]).stdin, args[1]+"\n")
	ts.Check(err)
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal NAME INT|TERM")
	}
	sig, ok := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(running(ts, args[0]).cmd.Process.Signal(sig))
}

func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	b := running(ts, args[0])
	select {
	case <-b.done:
	case <-time.After(scriptTimeout):
		out, _ := b.stdout.now()
		errs, _ := b.stderr.now()
		ts.Fatalf("%s does not end:\n%s%s", args[0], out, errs)
	}
	delete(the(ts).started, args[0])
	out, _ := b.stdout.now()
	errs, _ := b.stderr.now()
	fmt.Fprint(ts.Stdout(), out)
	fmt.Fprint(ts.Stderr(), errs)
	if got := strconv.Itoa(b.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("exit code %s, want %s", got, args[1])
	}
}

// A transcript is all stanzas so far.
type transcript struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // replaced when lines grow
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (t *transcript) add(s xmpptest.Stanza) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, s.String())
	close(t.more)
	t.more = make(chan struct{})
}

func (t *transcript) wait(ctx context.Context, pattern *regexp.Regexp) error {
	for {
		t.mu.Lock()
		found, more := slices.ContainsFunc(t.lines, pattern.MatchString), t.more
		t.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func awaitStanza(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] stanza PATTERN")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	s := the(ts).stanzas
	if neg {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.IndexFunc(s.lines, pattern.MatchString); i >= 0 {
			ts.Fatalf("unexpected stanza: %s", s.lines[i])
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	if err := s.wait(ctx, pattern); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		ts.Fatalf("no such stanza; there were\n%s", strings.Join(s.lines, "\n"))
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGS...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func online(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: online JID")
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	err := the(ts).WaitSessions(ctx, args[0], func(s []xmpptest.Session) bool {
		return slices.ContainsFunc(s, func(s xmpptest.Session) bool { return s.Available })
	})
	if err != nil {
		ts.Fatalf("%s did not come online", args[0])
	}
}

func hears(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] hears FILE HZ")
	}
	hz, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	pcm, err := readSound(ts.MkAbs(args[0]))
	ts.Check(err)
	// Somewhere in the file: it begins before the first sound has arrived.
	const piece = audio.SampleRate / 5
	heard := false
	for at := 0; at+piece <= len(pcm) && !heard; at += piece {
		heard = audio.HasTone(pcm[at:at+piece], hz)
	}
	if heard == neg {
		ts.Fatalf("tone of %v Hz in %s: %v (%.2f s of sound)", hz, args[0], heard, float64(len(pcm))/audio.SampleRate)
	}
}

func readSound(path string) (audio.Frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := audio.NewFileReader(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var pcm audio.Frame
	for buf := make([]int16, audio.FrameSize); ; {
		n, err := r.Read(buf)
		pcm = append(pcm, buf[:n]...)
		if err != nil {
			return pcm, nil // io.EOF, or the file was cut short
		}
	}
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE OCTAL")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("mode of %s = %s, want %s", args[0], got, args[1])
	}
}

// serverCommand does one of
//
//	server mechanisms NAME...   offer only these ways to log in
//	server refuse               reset new connections
//	server freeze JID           let the network of JID go away silently
//	server cut JID              cut the connections of JID
//	server inject JID XML       send XML to JID, from whom it says
func serverCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server mechanisms|refuse|freeze|cut|inject ...")
	}
	w := the(ts)
	switch args[0] {
	case "mechanisms":
		w.SetMechanisms(args[1:]...)
	case "refuse":
		w.SetGate(xmpptest.Refuse)
	case "freeze":
		if w.Freeze(args[1]) == 0 {
			ts.Fatalf("%s is not connected", args[1])
		}
	case "cut":
		if w.Cut(args[1]) == 0 {
			ts.Fatalf("%s is not connected", args[1])
		}
	case "inject":
		_, err := w.Inject(args[1], args[2])
		ts.Check(err)
	default:
		ts.Fatalf("server cannot %s", args[0])
	}
}
