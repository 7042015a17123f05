package exchange

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// secured puts both ends under TLS 1.3, as ft/tcp does.
func secured(b *testing.B, client, server net.Conn) (Stream, Stream) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true}) // a benchmark of bytes; ft/tcp pins the certificate
	s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{cert}})
	go c.Handshake()
	if err := s.Handshake(); err != nil {
		b.Fatal(err)
	}
	return c, s
}

// BenchmarkFile moves a file of 256 MiB from disk to disk over TLS, both ends
// in this process.
func BenchmarkFile(b *testing.B) {
	const size = 256 << 20
	from := b.TempDir()
	random(b, filepath.Join(from, "f"), size, 1)
	src := scan(b, filepath.Join(from, "f"))
	b.SetBytes(size)
	for b.Loop() {
		to := b.TempDir()
		c, s := streams(b)
		x, y := secured(b, c, s)
		if o := exchange(b, x, y, src, SendOptions{}, ReceiveOptions{Dir: to}); o.sendErr != nil || o.getErr != nil {
			b.Fatal(o.sendErr, o.getErr)
		}
		os.RemoveAll(to)
	}
}

// BenchmarkFloor is the least that a verified file over TLS costs in Go: copy
// and SHA-256 at both ends. BenchmarkFile is read as a ratio to it.
func BenchmarkFloor(b *testing.B) {
	const size = 256 << 20
	from := b.TempDir()
	random(b, filepath.Join(from, "f"), size, 1)
	b.SetBytes(size)
	for b.Loop() {
		to := filepath.Join(b.TempDir(), "f")
		c, s := streams(b)
		x, y := secured(b, c, s)
		done := make(chan error, 1)
		go func() {
			f, err := os.Open(filepath.Join(from, "f"))
			if err == nil {
				sum := sha256.New()
				_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(x, sum)}, struct{ io.Reader }{f}, make([]byte, 1<<20))
				x.Close()
			}
			done <- err
		}()
		f, err := os.Create(to)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, sum)}, struct{ io.Reader }{y}, make([]byte, 1<<20)); err != nil {
			b.Fatal(err)
		}
		f.Close()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		y.Close()
		os.Remove(to)
	}
}
