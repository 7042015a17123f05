//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// psiPatience is how long Psi may take to give a file its name once it has all
// of it.
const psiPatience = 10 * time.Second

// Files between Psi, which knows SI file transfer alone in this version, and us.
// It tries all hosts of an offer at once, so a server without a proxy is where
// they go directly.
func TestInteropPsiFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	path := lab.CarillonPath(t)
	s5b, ibb := []string{"--transport", "s5b"}, []string{"--transport", "ibb"}
	t.Run("without a proxy", func(t *testing.T) {
		x := newPsiTable(t, path, lab.ProsodyConfig{NoProxy: true})
		x.both(t, "SOCKS5", "s5b", false, "Über den Wolken & mehr.bin", 3<<20+1, s5b)
		x.both(t, "SOCKS5, an empty one", "s5b", false, "empty.bin", 0, s5b)
		x.both(t, "stanzas", "ibb", true, "file.bin", 50_001, ibb)
		x.both(t, "stanzas, an empty one", "ibb", true, "empty.bin", 0, ibb)
		x.refusals(t)
	})
	t.Run("with a proxy", func(t *testing.T) {
		x := newPsiTable(t, path, lab.ProsodyConfig{})
		x.both(t, "the proxy of the server", "s5b", true, "file.bin", 3<<20+1, []string{"--relay-only", "--transport", "s5b"})
	})
}

// A psiTable is the Psi of bob, and our program for alice.
type psiTable struct {
	path   string
	server *lab.Prosody
	psi    *lab.Psi
}

func newPsiTable(t *testing.T, path string, cfg lab.ProsodyConfig) *psiTable {
	t.Helper()
	x := &psiTable{path: path, server: lab.StartProsody(t, cfg)}
	proxy := "proxy." + x.server.Domain
	if cfg.NoProxy {
		proxy = ""
	}
	x.psi = lab.StartPsi(t, lab.PsiConfig{Server: x.server, User: "bob", Proxy: proxy})
	return x
}

func (x *psiTable) send(t *testing.T, file string, args ...string) *lab.Carillon {
	t.Helper()
	return lab.StartCarillon(t, x.path, lab.CarillonConfig{Server: x.server, User: "alice",
		Args: append([]string{"send", file, x.server.JID("bob"), "--loopback"}, args...)})
}

func (x *psiTable) receive(t *testing.T, inbox string, args ...string) (alice *lab.Carillon, jid string) {
	t.Helper()
	alice = lab.StartCarillon(t, x.path, lab.CarillonConfig{Server: x.server, User: "alice",
		Args: append([]string{"receive", "--once", "--dir", inbox, "--loopback"}, args...)})
	return alice, onlineAs(t, alice)
}

// both sends a file to Psi and receives one from it.
func (x *psiTable) both(t *testing.T, name, kind string, relayed bool, base string, size int, args []string) {
	t.Run("to Psi by "+name, func(t *testing.T) {
		file, _, sum := namedFile(t, base, size)
		to := filepath.Join(t.TempDir(), base)
		alice := x.send(t, file, args...)
		x.psi.AcceptFile(to)
		checkDone(t, alice, kind, relayed, sum)
		if code := alice.Exit(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		untilThere(t, to)
		checkFile(t, to, sum)
	})
	t.Run("from Psi by "+name, func(t *testing.T) {
		file, _, sum := namedFile(t, base, size)
		inbox := t.TempDir()
		alice, jid := x.receive(t, inbox, append(args, "--accept", "contacts")...)
		x.psi.SendFile(jid, file)
		checkDone(t, alice, kind, relayed, sum)
		if code := alice.Exit(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		checkFile(t, filepath.Join(inbox, base), sum)
	})
}

// untilThere waits until Psi gives a file its name.
func untilThere(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(psiPatience); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Stat(path)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("Psi does not have all of the file: %v", err)
		}
	}
}

// refusals are files that are declined, and that one side gives up on the way.
func (x *psiTable) refusals(t *testing.T) {
	t.Run("to Psi, declined", func(t *testing.T) {
		file, _, _ := randomFile(t, 1000)
		alice := x.send(t, file)
		x.psi.DeclineFile()
		if code := codeOf(t, alice.Wait("error")); code != "declined" {
			t.Errorf("error %q, want that Psi declined", code)
		}
		alice.Exit()
	})
	t.Run("from Psi, declined", func(t *testing.T) {
		file, _, _ := randomFile(t, 1000)
		inbox := t.TempDir()
		alice, jid := x.receive(t, inbox, "--accept", "ask")
		x.psi.SendFile(jid, file)
		alice.Wait("offered")
		alice.Key("d")
		alice.Wait("error")
		x.psi.Told("File was rejected by remote user.")
		checkEmpty(t, inbox)
	})
	t.Run("from Psi, which cancels", func(t *testing.T) {
		long, _, _ := namedFile(t, "long.bin", 20<<20)
		inbox := t.TempDir()
		alice, jid := x.receive(t, inbox, "--accept", "contacts", "--transport", "ibb")
		x.psi.SendFile(jid, long)
		alice.Wait("progress")
		x.psi.CancelFile()
		alice.Wait("error")
		file, _, sum := namedFile(t, "next.bin", 1000)
		x.psi.SendFile(jid, file)
		checkDone(t, alice, "ibb", true, sum)
		alice.Exit()
		checkFile(t, filepath.Join(inbox, "next.bin"), sum)
	})
	for _, way := range []string{"s5b", "ibb"} {
		t.Run("to Psi by "+way+", which cancels", func(t *testing.T) {
			long, _, _ := namedFile(t, "long.bin", 20<<20)
			alice := x.send(t, long, "--transport", way, "--limit", "1M")
			x.psi.AcceptFile(filepath.Join(t.TempDir(), "long.bin"))
			alice.Wait("progress")
			x.psi.CancelFile()
			if code := codeOf(t, alice.Wait("error")); code != "cancelled" {
				t.Errorf("error %q, want that Psi cancelled", code)
			}
			alice.Exit()
		})
	}
	t.Run("to Psi, we stop", func(t *testing.T) {
		long, _, _ := namedFile(t, "long.bin", 20<<20)
		to := filepath.Join(t.TempDir(), "long.bin")
		alice := x.send(t, long, "--limit", "1M")
		x.psi.AcceptFile(to)
		alice.Wait("progress")
		alice.Interrupt()
		if code := alice.Exit(); code == 0 {
			t.Error("exit code 0 although Psi has part of the file")
		}
		if _, err := os.Stat(to); err == nil {
			t.Error("at Psi the file has its name although it is not whole")
		}
	})
	x.both(t, "SOCKS5, after all that", "s5b", false, "file.bin", 1<<20, []string{"--transport", "s5b"})
}
