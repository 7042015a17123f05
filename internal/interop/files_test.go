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
	return namedFile(t, "file.bin", n)
}

// namedFile is randomFile with a name.
func namedFile(t *testing.T, name string, n int) (path string, data []byte, sum string) {
	t.Helper()
	data = make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(data)
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data, sumOf(data)
}

// sumOf returns the SHA-256 of data.
func sumOf(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// codeOf returns the code of an error.
func codeOf(t *testing.T, e lab.Event) string {
	t.Helper()
	var f struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal([]byte(e.Line), &f); err != nil {
		t.Fatalf("%s: %v", e.Line, err)
	}
	return f.Code
}
