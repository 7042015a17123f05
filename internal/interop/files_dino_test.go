//go:build interop

package interop

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// dinoPatience is how long Dino may take to know what we can do, and to write
// a file.
const dinoPatience = 15 * time.Second

// Files between Dino and us: both ways over SOCKS5 and by the server's proxy
// where nothing else is allowed, and from it in band. They are below 5 MB, which
// Dino takes from contacts without asking.
func TestInteropDinoFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	plugin, path := lab.BuildDinoPlugin(t), lab.CarillonPath(t)
	server := lab.DinoServer(t, lab.ProsodyConfig{})
	dino := lab.StartDino(t, lab.DinoConfig{Server: server, User: "bob", Plugin: plugin})
	ways := []struct {
		name, kind string
		relayed    bool
		size       int
		args       []string
	}{
		{"SOCKS5", "s5b", false, 3<<20 + 1, []string{"--transport", "s5b"}},
		{"the proxy of the server", "s5b", true, 3<<20 + 1, []string{"--transport", "s5b", "--relay-only"}},
		{"stanzas", "ibb", true, 150_001, []string{"--transport", "ibb"}},
	}
	for _, tt := range ways {
		t.Run("from Dino by "+tt.name, func(t *testing.T) {
			file, data, sum := randomFile(t, tt.size)
			inbox := t.TempDir()
			alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
				Args: append([]string{"receive", "--accept", "contacts", "--once", "--dir", inbox, "--loopback"}, tt.args...)})
			alice.Wait("online")
			var err error
			for end := time.Now().Add(dinoPatience); ; { // until Dino knows what we can do
				dino.SendFile(server.JID("alice"), file)
				if _, err = alice.Await(3*time.Second, "offered"); err == nil || time.Now().After(end) {
					break
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			checkDone(t, alice, tt.kind, tt.relayed, sum)
			got, err := os.ReadFile(filepath.Join(inbox, filepath.Base(file)))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("what arrived is not what Dino sent: %d bytes, %v", len(got), err)
			}
		})
	}
	// interop Dino 0.4.2: leaves an offer without any answer when there is no
	// conversation with the sender yet; now there is one.
	for _, tt := range ways[:2] {
		t.Run("to Dino by "+tt.name, func(t *testing.T) {
			file, data, sum := randomFile(t, tt.size-1)
			alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
				Args: append([]string{"send", file, server.JID("bob"), "--loopback"}, tt.args...)})
			checkDone(t, alice, tt.kind, tt.relayed, sum)
			if code := alice.Exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			waitForFile(t, dino, data)
		})
	}
	t.Run("to Dino in stanzas", func(t *testing.T) {
		file, _, _ := randomFile(t, 20_000)
		notKept(t, lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
			Args: []string{"send", file, server.JID("bob"), "--transport", "ibb"}}))
	})
}

// When SOCKS5 comes to nothing, Dino does not take another transport in the
// session: it is offered the file anew, in band.
func TestInteropDinoFileInBandAfterSOCKS5(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	plugin, path := lab.BuildDinoPlugin(t), lab.CarillonPath(t)
	server := lab.DinoServer(t, lab.ProsodyConfig{NoProxy: true})
	dino := lab.StartDino(t, lab.DinoConfig{Server: server, User: "bob", Plugin: plugin})
	text, _, _ := randomFile(t, 10)
	dino.SendFile(server.JID("alice"), text) // Dino ignores who is in no conversation
	dino.Wait("file-offered", nil)
	file, _, _ := randomFile(t, 20_000)
	alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
		Args: []string{"send", file, server.JID("bob"), "--relay-only"}})
	if tr := fileEventOf(t, alice.Wait("transport")); tr.Kind != "ibb" {
		t.Errorf("transport = %s, want ibb", tr.Kind)
	}
	notKept(t, alice)
}

// notKept checks that nothing is called done that Dino does not keep.
//
// interop Dino 0.4.2, 0.5.1: having accepted, its file transfer closes the
// output of the stream without waiting, which its in-band streams refuse
// (0234_jingle_file_transfer.vala, 0047_in_band_bytestreams.vala). It calls the
// transfer failed, says nothing of it, and acknowledges every block.
func notKept(t *testing.T, c *lab.Carillon) {
	t.Helper()
	if e := c.Wait("error"); !strings.Contains(e.Message, "does not say that it has the file") {
		t.Errorf("error = %q, want that nobody knows whether Dino has the file", e.Message)
	}
	if code := c.Exit(); code == 0 {
		t.Error("exit code 0 although Dino has no file")
	}
}

func waitForFile(t *testing.T, dino *lab.Dino, data []byte) {
	t.Helper()
	for end := time.Now().Add(dinoPatience); !has(dino, data); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("Dino does not have the file; it has %v", dino.Files())
		}
	}
}

func checkDone(t *testing.T, c *lab.Carillon, kind string, relayed bool, sum string) {
	t.Helper()
	var done struct {
		Transport string `json:"transport"`
		SHA256    string `json:"sha256"`
	}
	if tr := fileEventOf(t, c.Wait("transport")); tr.Kind != kind || tr.Relayed != relayed {
		t.Errorf("transport = %s, relayed %t, want %s, %t", tr.Kind, tr.Relayed, kind, relayed)
	}
	e := c.Wait("done")
	if err := json.Unmarshal([]byte(e.Line), &done); err != nil {
		t.Fatal(err)
	}
	if _, err := hex.DecodeString(done.SHA256); err != nil || done.SHA256 != sum || done.Transport != kind {
		t.Errorf("done by %s with SHA-256 %s, want %s, %s", done.Transport, done.SHA256, kind, sum)
	}
}

func has(d *lab.Dino, data []byte) bool {
	for _, f := range d.Files() {
		if b, err := os.ReadFile(f); err == nil && bytes.Equal(b, data) {
			return true
		}
	}
	return false
}
