package relaydial

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// Relays over TLS are verified by the authorities of the config, those over TCP
// are left alone.
func TestDialer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{{127, 0, 0, 1}}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*tls.Conn).Handshake() // whose fault it is, the client says
			c.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	at := l.Addr().String()
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
