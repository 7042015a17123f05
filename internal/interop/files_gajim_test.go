//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// gajimServer is a server whose proxy Gajim uses: it does not connect to
// 127.0.0.1, where it takes itself to be.
func gajimServer(t *testing.T) *lab.Prosody {
	t.Helper()
	return lab.StartProsody(t, lab.ProsodyConfig{Host: "127.0.0.2"})
}

// Files between Gajim and us. They come from it by SOCKS5 from its address, by
// the server's proxy and in band, checked by a hash that it tells. It sends no
// empty ones, and takes none from anybody, which is said at once.
func TestInteropGajimFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	path := lab.CarillonPath(t)
	server := gajimServer(t)
	gajim := lab.StartGajim(t, lab.GajimConfig{Server: server, User: "bob"})
	receive := func(t *testing.T, inbox string, args ...string) (alice *lab.Carillon, jid string) {
		t.Helper()
		alice = lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
			Args: append([]string{"receive", "--once", "--dir", inbox, "--loopback"}, args...)})
		return alice, onlineAs(t, alice)
	}
	for _, tt := range []struct {
		name, kind string
		relayed    bool
		file       string
		size       int
		args       []string
	}{
		{"SOCKS5", "s5b", false, "Über den Wolken & mehr.bin", 3<<20 + 1, []string{"--transport", "s5b"}},
		{"SOCKS5, hashed meanwhile", "s5b", false, "large.bin", 10_000_001, nil}, // Gajim tells the hash of so large a file later
		{"the proxy of the server", "s5b", true, "file.bin", 3<<20 + 1, []string{"--relay-only", "--transport", "s5b"}},
		{"stanzas", "ibb", true, "file.bin", 150_001, []string{"--transport", "ibb"}},
	} {
		t.Run("from Gajim by "+tt.name, func(t *testing.T) {
			file, _, sum := namedFile(t, tt.file, tt.size)
			inbox := t.TempDir()
			alice, jid := receive(t, inbox, append(tt.args, "--accept", "contacts")...)
			sid := gajim.SendFile(jid, file)
			checkDone(t, alice, tt.kind, tt.relayed, sum)
			if code := alice.Exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			checkFile(t, filepath.Join(inbox, tt.file), sum)
			gajim.Wait("completed", sid)
		})
	}
	t.Run("from Gajim, declined", func(t *testing.T) {
		file, _, _ := randomFile(t, 1000)
		inbox := t.TempDir()
		alice, jid := receive(t, inbox, "--accept", "ask")
		sid := gajim.SendFile(jid, file)
		alice.Wait("offered")
		alice.Key("d")
		alice.Wait("error")
		if e := gajim.Wait("ended", sid); e.Message != "decline" {
			t.Errorf("Gajim was told %q, want that we declined", e.Message)
		}
		checkEmpty(t, inbox)
	})
	// In band there is time for it.
	t.Run("from Gajim, which cancels", func(t *testing.T) {
		long, _, _ := randomFile(t, 20<<20)
		inbox := t.TempDir()
		alice, jid := receive(t, inbox, "--accept", "contacts", "--transport", "ibb")
		sid := gajim.SendFile(jid, long)
		alice.Wait("progress")
		gajim.CancelFile(sid)
		if code := codeOf(t, alice.Wait("error")); code != "cancelled" {
			t.Errorf("error %q, want that Gajim cancelled", code)
		}
		file, _, sum := namedFile(t, "next.bin", 1000)
		gajim.SendFile(jid, file)
		checkDone(t, alice, "ibb", true, sum)
		alice.Exit()
		checkFile(t, filepath.Join(inbox, "next.bin"), sum)
	})
	t.Run("from Gajim, we stop", func(t *testing.T) {
		file, _, _ := randomFile(t, 20<<20)
		alice, jid := receive(t, t.TempDir(), "--accept", "contacts", "--transport", "ibb")
		sid := gajim.SendFile(jid, file)
		alice.Wait("progress")
		alice.Interrupt()
		alice.Exit()
		if e := gajim.Wait("error", sid); e.Message != "gone" {
			t.Errorf("Gajim was told %q, want that we are gone", e.Message)
		}
	})
	// interop Gajim 1.4.2 to 2.4: JingleFileTransfer wants file_props, and the
	// reader of offers (jingle_session.py) passes none. It has acknowledged the
	// offer by then; nobody at Gajim is asked.
	t.Run("to Gajim", func(t *testing.T) {
		file, _, _ := randomFile(t, 1000)
		alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
			Args: []string{"send", file, server.JID("bob"), "--loopback"}})
		if code := codeOf(t, alice.Wait("error")); code != "forgotten" {
			t.Errorf("error %q, want that Gajim lost the offer", code)
		}
		if code := alice.Exit(); code == 0 {
			t.Error("exit code 0 although Gajim has no file")
		}
	})
}

// checkFile compares a file with its SHA-256.
func checkFile(t *testing.T, path, sum string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	if got := sumOf(data); got != sum {
		t.Errorf("%s has %d bytes with SHA-256 %s, want %s", path, len(data), got, sum)
	}
}

// checkEmpty checks that nothing is left in a folder.
func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("in the folder is %v, %v; want nothing", list, err)
	}
}
