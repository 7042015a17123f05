package authorities

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(filepath.Join(dir, "ca.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	path := filepath.Join(dir, "not.pem")
	if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); !errors.Is(err, ErrNone) {
		t.Errorf("of something else: %v", err)
	}
	cert := lab.NewCertificate(t, "example.org")
	if err := os.WriteFile(path, []byte(cert.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	pool, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(cert.Cert))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "example.org", Roots: pool}); err != nil {
		t.Errorf("what the file's authority signed is not trusted: %v", err)
	}
}
