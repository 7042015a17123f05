package relaydial

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http/httptest"
	"testing"
)

// Relays over TLS are verified by the authorities of the config, those over TCP
// are left alone.
func TestDialer(t *testing.T) {
	relay := httptest.NewTLSServer(nil) // only hands are shaken
	defer relay.Close()
	relay.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail, the client says why
	roots := x509.NewCertPool()
	roots.AddCert(relay.Certificate())
	at := relay.Listener.Addr().String()
	for _, tt := range []struct {
		url    string
		roots  *x509.CertPool
		secure bool
		fails  bool
	}{
		{"turns:" + at + "?transport=tcp", roots, true, false},
		{"turns:" + at, x509.NewCertPool(), true, true},
		{"turn:" + at + "?transport=tcp", roots, false, false},
	} {
		conn, err := New(t.Context(), []string{tt.url}, tt.roots).Dial("tcp4", at)
		if (err != nil) != tt.fails {
			t.Errorf("%s: %v, want failure %v", tt.url, err, tt.fails)
		}
		if err != nil {
			continue
		}
		if _, secure := conn.(*tls.Conn); secure != tt.secure {
			t.Errorf("%s: TLS %v, want %v", tt.url, secure, tt.secure)
		}
		conn.Close()
	}
}
