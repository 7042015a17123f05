package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/cli"
)

// The program itself, when the test binary is started as one.
func TestMain(m *testing.M) {
	if os.Getenv("CARILLON_TURN_BE") == "1" {
		os.Exit(cli.Main(context.Background(), cli.Env{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}))
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Env = append(os.Environ(), "CARILLON_TURN_BE=1", "CARILLON_TURN_PASSWORD=p")
	return c
}

func output(t *testing.T, wantCode int, args ...string) (stdout, stderr string) {
	t.Helper()
	c := command(t, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run() // the code says
	if got := c.ProcessState.ExitCode(); got != wantCode {
		t.Fatalf("%v ended with %d, want %d\n%s%s", args, got, wantCode, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// A relay is a running one, with its log.
type relay struct {
	t   *testing.T
	cmd *exec.Cmd

	mu  sync.Mutex
	log strings.Builder
	new chan struct{}
}

func (r *relay) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.log.Write(b)
	r.mu.Unlock()
	select {
	case r.new <- struct{}{}:
	default:
	}
	return len(b), nil
}

func startRelay(t *testing.T, args ...string) *relay {
	t.Helper()
	r := &relay{t: t, cmd: command(t, append([]string{"run"}, args...)...), new: make(chan struct{}, 1)}
	r.cmd.Stderr = r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill(); r.cmd.Wait() })
	return r
}

// wait returns what pattern captures in the log, once it is there.
func (r *relay) wait(pattern string) string {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	end := time.After(10 * time.Second)
	for {
		r.mu.Lock()
		m := re.FindStringSubmatch(r.log.String())
		r.mu.Unlock()
		if m != nil {
			return m[len(m)-1]
		}
		select {
		case <-r.new:
		case <-end:
			r.t.Fatalf("%s is not in the log:\n%s", pattern, r.log.String())
		}
	}
}

const on = "127.0.0.1:0"

func TestRunFromFlagsAlone(t *testing.T) {
	r := startRelay(t, "--listen", on, "--listen", "tcp:"+on, "--relay-ip", "127.0.0.1", "--realm", "bench", "--user", "u:p", "--allow-peer", "127.0.0.0/8", "--admin", on)
	udp, tcp := r.wait(`transport=udp address=(\S+)`), r.wait(`transport=tcp address=(\S+)`)
	admin := r.wait(`status and metrics" address=(\S+)`)
	for transport, address := range map[string]string{"udp": udp, "tcp": tcp} {
		out, _ := output(t, 0, "check", "turn:"+address+"?transport="+transport, "--user", "u")
		for _, want := range []string{transport + " " + address + "\n", "ok: answers STUN", "ok: a packet takes", "warning: its users can reach what listens on the relay's own machine", "\ngood\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("check lacks %q:\n%s", want, out)
			}
		}
		if strings.Contains(out, "metadata") {
			t.Errorf("check warns of what is refused:\n%s", out)
		}
	}
	if out, _ := output(t, 0, "check", "turn:"+udp+"?transport=udp"); !strings.Contains(out, "only STUN is tried") || strings.Contains(out, "allocation") {
		t.Errorf("check without credentials says %q", out)
	}
	if out, _ := output(t, 4, "check", "turn:127.0.0.1:1?transport=tcp"); !strings.Contains(out, "nothing listens there") || !strings.Contains(out, "hint: is the relay running") {
		t.Errorf("check of nothing says %q", out)
	}
	if out, _ := output(t, 3, "check", "turn:"+udp+"?transport=udp", "--user", "nobody"); !strings.Contains(out, "gives no allocation") {
		t.Errorf("check with a wrong user says %q", out)
	}
	if out, _ := output(t, 0, "status", "--admin", admin); !strings.HasPrefix(out, "serving") || !strings.Contains(out, "1 failed logins") {
		t.Errorf("status says %q", out)
	}
	if metrics := fetch(t, "http://"+admin+"/metrics"); !strings.Contains(metrics, "\ncarillon_turn_failed_logins_total 1\n") {
		t.Errorf("metrics:\n%s", metrics)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReloadAndDrain(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "relay.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const base = "realm = \"r\"\nlisten = [\"127.0.0.1:0\"]\n"
	write(base + "secrets = [\"old\"]\n")
	r := startRelay(t, "--config", path)
	at := "turn:" + r.wait(`transport=udp address=(\S+)`) + "?transport=udp"
	refused := func(secret string) {
		t.Helper()
		if out, _ := output(t, 3, "check", at, "--secret", secret); !strings.Contains(out, "gives no allocation") {
			t.Errorf("check with %s says %q", secret, out)
		}
	}
	refused("new")
	write(base + "secrets = [\"new\"]\nwrong = 1\n")
	r.cmd.Process.Signal(signalReload)
	r.wait(`not reloaded.*relay.toml:4: unknown key`)
	// What only a restart takes over is not said to have been.
	write(base + "secrets = [\"new\"]\nlog-json = true\n")
	r.cmd.Process.Signal(signalReload)
	r.wait(`not reloaded.*log-json cannot change`)
	write(base + "secrets = [\"new\"]\n")
	r.cmd.Process.Signal(signalReload)
	r.wait(`msg=(reloaded)`)
	// Loopback peers are refused, so a good login gets as far as permissions.
	if out, _ := output(t, 1, "check", at, "--secret", "new"); !strings.Contains(out, "refuses its own address") {
		t.Errorf("check with the new secret says %q", out)
	}
	r.wait(`peer refused.*reason=(loopback)`)
	refused("old")
	r.cmd.Process.Signal(os.Interrupt)
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("the relay ended with %v", err)
	}
}

func TestInitIsValid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.toml")
	_, hints := output(t, 0, "init", "--realm", "example.org", "-o", path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile(`secrets = \["(\w{40,})"\]`).FindStringSubmatch(string(text))
	if secret == nil || strings.Count(hints, secret[1]) != 2 || !strings.Contains(hints, "turn_external_host = \"turn.example.org\"") {
		t.Errorf("config\n%s\nhints\n%s", text, hints)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	output(t, 1, "init", "--realm", "example.org", "-o", path) // never over another
	if out, _ := output(t, 0, "credentials", "--config", path); !strings.Contains(out, `"password":`) {
		t.Errorf("credentials of the configuration: %q", out)
	}
	if out, _ := output(t, 0, "validate", "--config", path); !strings.Contains(out, "realm example.org, ") {
		t.Errorf("validate says %q", out)
	}
}

// What is printed for one server alone can go straight into its file.
func TestInitForOneServer(t *testing.T) {
	dir := t.TempDir()
	lua, _ := output(t, 0, "init", "--realm", "example.org", "--host", "192.0.2.7", "--acme", "--for", "prosody", "-o", filepath.Join(dir, "a.toml"))
	yml, _ := output(t, 0, "init", "--realm", "example.org", "--public-ip", "192.0.2.7", "--relay-ip", "10.0.0.5", "--for", "ejabberd", "-o", filepath.Join(dir, "b.toml"))
	if !strings.HasPrefix(lua, "    modules_enabled = { \"turn_external\" }\n    turn_external_host = \"192.0.2.7\"\n") || !strings.Contains(lua, `external_services = { { type = "turns", transport = "tcp", host = "192.0.2.7", port = 443, secret = "`) {
		t.Errorf("for Prosody:\n%s", lua)
	}
	if !strings.HasPrefix(yml, "modules:\n  mod_stun_disco:\n") || strings.Contains(yml, "turns") {
		t.Errorf("for ejabberd:\n%s", yml)
	}
	for name, want := range map[string]string{"a.toml": " listeners", "b.toml": "2 listeners"} {
		if out, _ := output(t, 0, "validate", "-c", filepath.Join(dir, name)); !strings.Contains(out, want) {
			t.Errorf("%s: %q, want %s", name, out, want)
		}
	}
	// A listener for each family that this machine has, but not behind a NAT.
	text, err := os.ReadFile(filepath.Join(dir, "a.toml"))
	if err != nil {
		t.Fatal(err)
	}
	listeners := strings.Count(string(text), `:0.0.0.0:`) + strings.Count(string(text), `:[::]:`)
	if n := strings.Count(string(text), `:0.0.0.0:`); n != 4 || listeners != 4 && listeners != 8 {
		t.Errorf("%d listeners, %d of IPv4:\n%s", listeners, n, text)
	}
	output(t, 1, "init", "--realm", "example.org", "--for", "prosody")
	output(t, 1, "init", "--realm", "a\nb")
}

func TestDocumentsOfTheCommands(t *testing.T) {
	dir := t.TempDir()
	output(t, 0, "man", dir)
	for _, name := range []string{"carillon-turn.1", "carillon-turn-run.1", "carillon-turn-check.1"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), ".SH SYNOPSIS") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, _ := output(t, 0, "completion", "bash"); !strings.Contains(out, "complete -F _carillon_turn carillon-turn") {
		t.Errorf("completion:\n%s", out)
	}
	if out, _ := output(t, 0, "--version"); !strings.HasPrefix(out, "carillon-turn ") {
		t.Errorf("version %q", out)
	}
}

func TestCredentialsAndWrongUsage(t *testing.T) {
	out, _ := output(t, 0, "credentials", "alice", "--secret", "s")
	var c struct{ Username, Password string }
	if err := json.Unmarshal([]byte(out), &c); err != nil || !strings.HasSuffix(c.Username, ":alice") || len(c.Password) != 28 {
		t.Errorf("credentials %q, %v", out, err)
	}
	if _, errs := output(t, 1, "credentials"); !strings.Contains(errs, "hint: pass --config FILE or --secret-file") {
		t.Errorf("without a secret: %q", errs)
	}
	output(t, 2, "run", "--no-such-flag")
	if _, errs := output(t, 1, "run", "--realm", "r"); !strings.Contains(errs, "no credentials") || !strings.Contains(errs, "init") {
		t.Errorf("run without credentials: %q", errs)
	}
	if out, _ := output(t, 0, "--help"); !strings.Contains(out, "credentials") {
		t.Errorf("help %q", out)
	}
}

// A file with secrets that everybody can read is warned of, one without is not.
func TestReadableSecretsAreWarnedOf(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing")
	}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return path
	}
	const base = "realm = \"r\"\nlisten = [\"127.0.0.1:0\"]\n"
	write("open-secret", "s\n", 0o644)
	write("closed-secret", "s\n", 0o640)
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		warn string // the file that is named
	}{
		"a":      {base + "secrets = [\"s\"]\n", 0o644, "a.toml"},
		"b":      {base + "secrets = [\"s\"]\n", 0o640, ""},
		"c":      {base + "secret-files = [\"open-secret\"]\n", 0o644, "open-secret"},
		"d":      {base + "secret-files = [\"closed-secret\"]\n", 0o644, ""},
		"person": {base + "[[user]]\nname = \"u\"\npassword = \"p\"\n", 0o644, "person.toml"},
		"redis":  {base + "secret-files = [\"closed-secret\"]\n[redis]\nurl = \"redis://:pw@127.0.0.1:1/0\"\n", 0o644, "redis.toml"},
	} {
		path := write(name+".toml", c.text, c.mode)
		_, errs := output(t, 0, "validate", "-c", path)
		if warned := strings.Contains(errs, "warning"); warned != (c.warn != "") || !strings.Contains(errs, c.warn) {
			t.Errorf("validate of %s says %q, want a warning of %q", name, errs, c.warn)
		}
	}
	r := startRelay(t, "-c", filepath.Join(dir, "a.toml"))
	r.wait(`everybody on this machine can read.*file=\S*(a\.toml)`)
}
