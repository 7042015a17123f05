//go:build integration || interop

package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
)

// A fileEvent is what carillon prints about transfers.
type fileEvent struct {
	Kind      string   `json:"kind"`
	Relayed   bool     `json:"relayed"`
	Transport string   `json:"transport"`
	SHA256    string   `json:"sha256"`
	Verified  bool     `json:"verified"`
	Paths     []string `json:"paths"`
}

func fileEventOf(t *testing.T, e lab.Event) (f fileEvent) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Line), &f); err != nil {
		t.Fatalf("%s: %v", e.Line, err)
	}
	return f
}

// randomFile writes a file of n bytes and returns its path, content and SHA-256.
func randomFile(t *testing.T, n int) (path string, data []byte, sum string) {
	t.Helper()
	data = make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(data)
	path = filepath.Join(t.TempDir(), "file.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h := sha256.Sum256(data)
	return path, data, hex.EncodeToString(h[:])
}
