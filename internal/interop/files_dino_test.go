//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// dinoPatience is how long Dino may take to know what we can do, and to write
// a file.
const dinoPatience = 15 * time.Second

// Files between Dino and us: both ways over SOCKS5, and from it in band. They are below
// 5 MB, which Dino takes from contacts without asking.
func TestInteropDinoFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	plugin, path := lab.BuildDinoPlugin(t), lab.CarillonPath(t)
	server := lab.DinoServer(t, lab.ProsodyConfig{})
	dino := lab.StartDino(t, lab.DinoConfig{Server: server, User: "bob", Plugin: plugin})
	for i, tt := range []struct {
		kind string
		size int
	}{{"s5b", 3<<20 + 1}, {"ibb", 150_001}} {
		file := filepath.Join(t.TempDir(), "from-dino-"+tt.kind+".bin")
		data := make([]byte, tt.size)
		rand.NewChaCha8([32]byte{byte(10 + i)}).Read(data)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run("from Dino by "+tt.kind, func(t *testing.T) {
			inbox := t.TempDir()
			alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
				Args: []string{"receive", "--accept", "contacts", "--once", "--dir", inbox, "--transport", tt.kind, "--loopback"}})
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
			checkDone(t, alice, tt.kind, fmt.Sprintf("%x", sha256.Sum256(data)))
			got, err := os.ReadFile(filepath.Join(inbox, filepath.Base(file)))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("what arrived is not what Dino sent: %d bytes, %v", len(got), err)
			}
		})
	}
	// interop Dino 0.4.2: leaves an offer without any answer when there is no
	// conversation with the sender yet; now there is one.
	for i, tt := range []struct {
		kind string
		size int
	}{{"s5b", 3 << 20}} {
		file := filepath.Join(t.TempDir(), tt.kind+".bin")
		data := make([]byte, tt.size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(data)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(data))
		t.Run("to Dino by "+tt.kind, func(t *testing.T) {
			alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
				Args: []string{"send", file, server.JID("bob"), "--transport", tt.kind, "--loopback"}})
			checkDone(t, alice, tt.kind, sum)
			if code := alice.Exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for end := time.Now().Add(dinoPatience); !has(dino, data); time.Sleep(100 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("Dino does not have the file; it has %v", dino.Files())
				}
			}
		})
	}
}

func checkDone(t *testing.T, c *lab.Carillon, kind, sum string) {
	t.Helper()
	var done struct {
		Transport string `json:"transport"`
		SHA256    string `json:"sha256"`
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
