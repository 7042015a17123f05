//go:build integration

package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
)

// The relay obtains its certificate from a real ACME authority: at its TLS
// listener (tls-alpn-01), and by HTTP where that is not on port 443 (http-01).
// The next start finds it in the cache.
func TestIntegrationACME(t *testing.T) {
	for _, way := range []string{"tls-alpn-01", "http-01"} {
		t.Run(way, func(t *testing.T) {
			port, http, unused := lab.FreePort(t, "127.0.0.1"), lab.FreePort(t, "127.0.0.1"), lab.FreePort(t, "127.0.0.1")
			atTLS, challenge := port, ""
			if way == "http-01" {
				atTLS, challenge = unused, fmt.Sprintf("http = \"127.0.0.1:%d\"\n", http)
			}
			authority := lab.StartPebble(t, atTLS, http)
			dir := t.TempDir()
			path := filepath.Join(dir, "relay.toml")
			if err := os.WriteFile(path, fmt.Appendf(nil, `realm = "example.test"
listen = ["tls:127.0.0.1:%d"]
secrets = ["s"]
[acme]
names = ["turn.example.test"]
email = "admin@example.test"
directory = %q
ca-file = %q
cache = "acme"
%s`, port, authority.Directory, authority.CAFile, challenge), 0o600); err != nil {
				t.Fatal(err)
			}
			r := startRelay(t, "--config", path)
			r.wait(`msg=(certificate) name=turn.example.test`)
			serial := func() string {
				// Clients that name nobody, or somebody else, are served too.
				conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn"}})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				leaf := conn.ConnectionState().PeerCertificates[0]
				if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != "turn.example.test" {
					t.Errorf("the certificate is for %v", leaf.DNSNames)
				}
				return leaf.SerialNumber.String()
			}
			first := serial()
			r.cmd.Process.Signal(os.Interrupt)
			if err := r.cmd.Wait(); err != nil {
				t.Errorf("the relay ended with %v", err)
			}
			again := startRelay(t, "--config", path)
			again.wait(`msg=(certificate) name=turn.example.test`)
			if got := serial(); got != first {
				t.Error("the second start has another certificate")
			}
		})
	}
}
