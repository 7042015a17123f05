//go:build interop

package interop

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
)

// appOf starts the app of alice and returns it with its full JID.
func appOf(t *testing.T, server *lab.Prosody) (app *lab.Desktop, jid string) {
	t.Helper()
	app = lab.StartDesktop(t, lab.DesktopPath(t), lab.DesktopConfig{Server: server, User: "alice", Display: lab.StartDisplay(t, "1100x760x24")})
	presence := regexp.MustCompile(`in (` + regexp.QuoteMeta(server.JID("alice")) + `/\S+) <presence`)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m := presence.FindStringSubmatch(server.Stanzas()); m != nil {
			return app, m[1]
		}
	}
	t.Fatal("the app sends no presence")
	return nil, ""
}

// takes accepts what the app is offered, and checks what arrives.
func takes(t *testing.T, app *lab.Desktop, name, sum string, verified bool) {
	t.Helper()
	running := func(s state.App, p state.Moving) bool { return len(s.Transfers) > 0 && s.Transfers[0].Phase == p }
	x := app.Until("is offered "+name, func(s state.App) bool { return running(s, state.Offered) }).Transfers[0]
	app.Do("TakeFiles", state.TakeFiles{ID: x.ID})
	got := app.Until("it has arrived", func(s state.App) bool { return running(s, state.Arrived) }).Transfers[0]
	if got.Verified != verified {
		t.Errorf("%s is verified: %t, want %t", name, got.Verified, verified)
	}
	checkFile(t, filepath.Join(app.Received(), name), sum)
}

func TestInteropAppAndGajimFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	server := gajimServer(t)
	app, jid := appOf(t, server)
	gajim := lab.StartGajim(t, lab.GajimConfig{Server: server, User: "bob"})
	const name = "Über den Wolken & mehr.bin"
	file, _, sum := namedFile(t, name, 1<<20)
	sid := gajim.SendFile(jid, file)
	takes(t, app, name, sum, true)
	gajim.Wait("completed", sid)
}

func TestInteropAppAndPsiFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	x := newPsiTable(t, "", lab.ProsodyConfig{NoProxy: true})
	app, jid := appOf(t, x.server)
	const name = "Über den Wolken & mehr.bin"
	file, _, sum := namedFile(t, name, 1<<20)
	x.psi.SendFile(jid, file)
	takes(t, app, name, sum, false)

	file, _, sum = namedFile(t, "back.bin", 1<<20)
	to := filepath.Join(t.TempDir(), "back.bin")
	app.Until("sees bob", func(s state.App) bool { return len(s.Contacts) == 1 })
	app.Drop(120, 145, file) // the first name in the list
	x.psi.AcceptFile(to)
	app.Until("it has arrived", func(s state.App) bool {
		for _, y := range s.Transfers {
			if !y.Incoming {
				return y.Phase == state.Arrived
			}
		}
		return false
	})
	untilThere(t, to)
	checkFile(t, to, sum)
}
