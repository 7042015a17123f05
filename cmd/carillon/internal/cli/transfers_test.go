package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/outbox"
)

// What the app sends is listed and marked, and goes on there alone unless it is
// named: it would be offered twice.
func TestTransfersOfTheApp(t *testing.T) {
	home := t.TempDir()
	run := func(args ...string) (out, wrong string) {
		t.Helper()
		var o, e bytes.Buffer
		Main(t.Context(), Env{Args: args, Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e, Exit: func(int) { t.Error("exit") },
			Getenv: func(name string) string {
				switch name {
				case "HOME":
					return home
				case "XDG_STATE_HOME":
					return filepath.Join(home, "state")
				}
				return ""
			}})
		return o.String(), e.String()
	}
	box := outbox.Open(filepath.Join(home, "state", "carillon"))
	began := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	own, err := box.Put(outbox.Outgoing{Account: "a@example.org", To: "b@example.org", Paths: []outbox.Path{"/f/plan.pdf"}, Bytes: 5000, Began: began})
	if err != nil {
		t.Fatal(err)
	}
	app, err := box.Put(outbox.Outgoing{Account: "a@example.org", To: "b@example.org", Paths: []outbox.Path{"/f/lake.jpg"}, Bytes: -1, App: true, Began: began.Add(1)})
	if err != nil {
		t.Fatal(err)
	}
	want := own + "  to b@example.org  plan.pdf  5.0 kB\n" + app + "  to b@example.org  lake.jpg  by the app, which goes on by itself\n"
	if out, wrong := run("transfers"); out != want {
		t.Errorf("listed:\n%swant:\n%s%s", out, want, wrong)
	}
	if out, _ := run("transfers", "--json"); strings.Count(out, `"app":true`) != 1 || strings.Count(out, `"app":false`) != 1 {
		t.Errorf("for programs: %s", out)
	}
	if err := box.Remove(own); err != nil {
		t.Fatal(err)
	}
	if out, wrong := run("transfers", "resume"); !strings.Contains(out, "nothing is left to send but by the app") {
		t.Errorf("what the app sends is resumed beside it: %s%s", out, wrong)
	}
	if _, wrong := run("transfers", "resume", app); strings.Contains(wrong, "there is no transfer") || wrong == "" {
		t.Errorf("named, it is not tried: %q", wrong) // there is no account
	}
	run("transfers", "forget", app)
	if left, err := box.Outgoing(); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
