//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/lab"
)

// The app starts, shows its first page, and says when the window can be used.
func TestInteropFirstStart(t *testing.T) {
	server := lab.StartProsody(t, lab.ProsodyConfig{Users: []string{"anna", "ben"}})
	path := lab.DesktopPath(t)
	display := lab.StartDisplay(t, "1100x760x24")
	began := time.Now()
	d := lab.RunDesktop(t, path, lab.DesktopConfig{Server: server, User: "anna", Display: display})
	t.Logf("window usable after %v", time.Since(began).Round(time.Millisecond))
	d.Do("SignInTo", state.SignInTo{JID: server.JID("anna"), Password: "wrong", Server: "starttls://" + server.Addr})
	d.Until("refused", func(a state.App) bool { return a.SignIn.Problem != nil && a.SignIn.Problem.Code == "wrong-password" })
	keep(t, d, "first-start")
	d.Do("SignInTo", state.SignInTo{JID: server.JID("anna"), Password: lab.Password("anna"), Server: "starttls://" + server.Addr})
	d.Until("online", func(a state.App) bool {
		return len(a.Accounts) == 1 && a.Accounts[0].Link == state.Online && len(a.Contacts) == 1
	})
	keep(t, d, "people")
}

// keep takes a picture of the window, for people to look at in $CARILLON_PICTURES.
func keep(t *testing.T, d *lab.Desktop, name string) {
	t.Helper()
	dir := os.Getenv("CARILLON_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	d.Picture(filepath.Join(dir, name+".png"))
}
