//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
)

func TestCheckOverTLSAndDTLS(t *testing.T) {
	c := lab.NewCertificate(t, "localhost")
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": c.CA, "cert.pem": c.Cert, "key.pem": c.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := startRelay(t, "--listen", "tls:"+on, "--listen", "dtls:"+on, "--relay-ip", "127.0.0.1", "--realm", "r", "--user", "u:p", "--allow-peer", "127.0.0.0/8",
		"--cert", filepath.Join(dir, "cert.pem"), "--key", filepath.Join(dir, "key.pem"))
	tls, dtls := r.wait(`transport=tls address=(\S+)`), r.wait(`transport=dtls address=(\S+)`)
	for _, url := range []string{"turns:" + tls + "?transport=tcp", "turns:" + dtls + "?transport=udp"} {
		out, _ := output(t, 0, "check", url, "--user", "u", "--ca-file", filepath.Join(dir, "ca.pem"))
		// Certificates of the lab live for a day.
		if !strings.Contains(out, "ok: a packet takes") || !strings.Contains(out, "warning: the certificate expires in 2") {
			t.Errorf("check of %s says\n%s", url, out)
		}
	}
	if out, _ := output(t, 1, "check", "turns:"+tls+"?transport=tcp", "--user", "u"); !strings.Contains(out, "nobody trusts its certificate") {
		t.Errorf("check of a stranger's certificate says\n%s", out)
	}
}
