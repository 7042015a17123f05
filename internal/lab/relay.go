package lab

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// A Relay is a running carillon-turn.
type Relay struct {
	t testing.TB
	*process
}

// RelayPath returns the program to test: $CARILLON_TURN, or one built for the
// test.
func RelayPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CARILLON_TURN"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "carillon-turn")
	cmd := exec.Command("go", "build", "-o", path, "github.com/carillon-im/carillon/cmd/carillon-turn")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build carillon-turn: %v\n%s", err, out)
	}
	return path
}

// StartRelay starts "carillon-turn run" with args, and waits until it serves.
func StartRelay(t testing.TB, path string, args ...string) *Relay {
	t.Helper()
	log := filepath.Join(tempDir(t), "log")
	r := &Relay{t: t, process: start(t, "carillon-turn", log, exec.Command(path, append([]string{"run"}, args...)...))}
	r.Wait(`msg=serving transport=\S+ address=(\S+)`)
	return r
}

// Wait returns what the last group of pattern captures in the log, once it is
// there.
func (r *Relay) Wait(pattern string) (found string) {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	r.waitFor(pattern, func() error {
		m := re.FindStringSubmatch(r.readLog())
		if m == nil {
			return errors.New("not in the log")
		}
		found = m[len(m)-1]
		return nil
	})
	return found
}

// Log returns what it wrote.
func (r *Relay) Log() string { return r.readLog() }

// Reload has it read its configuration again.
func (r *Relay) Reload() { r.signal(syscall.SIGHUP) }

// Drain has it end with its last allocation.
func (r *Relay) Drain() { r.signal(syscall.SIGTERM) }

// Ended is closed when it has ended.
func (r *Relay) Ended() <-chan struct{} { return r.done }
