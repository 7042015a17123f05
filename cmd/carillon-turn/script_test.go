package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
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
		if !strings.Contains(out, transport+" "+address+": good") {
			t.Errorf("check says %q", out)
		}
	}
	if out, _ := output(t, 1, "check", "turn:"+udp+"?transport=udp", "--user", "nobody"); !strings.Contains(out, "gives no allocation") {
		t.Errorf("check with a wrong user says %q", out)
	}
	if out, _ := output(t, 0, "status", "--admin", admin); !strings.HasPrefix(out, "serving") || !strings.Contains(out, "1 failed logins") {
		t.Errorf("status says %q", out)
	}
	c, err := net.Dial("tcp", admin)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /metrics HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	var metrics bytes.Buffer
	if _, err := metrics.ReadFrom(c); err != nil || !strings.Contains(metrics.String(), "\ncarillon_turn_failed_logins_total 1\n") {
		t.Errorf("metrics %v:\n%s", err, metrics.String())
	}
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
		if out, _ := output(t, 1, "check", at, "--secret", secret); !strings.Contains(out, "gives no allocation") {
			t.Errorf("check with %s says %q", secret, out)
		}
	}
	refused("new")
	write(base + "secrets = [\"new\"]\nwrong = 1\n")
	r.cmd.Process.Signal(signalReload)
	r.wait(`not reloaded.*relay.toml:4: unknown key`)
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
	if out, _ := output(t, 0, "validate", "--config", path); !strings.Contains(out, "realm example.org, ") {
		t.Errorf("validate says %q", out)
	}
}

func TestCredentialsAndWrongUsage(t *testing.T) {
	out, _ := output(t, 0, "credentials", "alice", "--secret", "s")
	var c struct{ Username, Password string }
	if err := json.Unmarshal([]byte(out), &c); err != nil || !strings.HasSuffix(c.Username, ":alice") || len(c.Password) != 28 {
		t.Errorf("credentials %q, %v", out, err)
	}
	if _, errs := output(t, 1, "credentials"); !strings.Contains(errs, "hint: pass --secret-file") {
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
