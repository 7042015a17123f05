package tcp

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
)

// BenchmarkFile moves a file of 256 MiB from disk to disk as two Carillons do:
// every block hashed, sent under TLS, verified and written. Both ends are in
// this process. TMPDIR on a tmpfs leaves the disk out.
func BenchmarkFile(b *testing.B) {
	const size = 256 << 20
	from := filepath.Join(b.TempDir(), "f")
	f, err := os.Create(from)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.Reader, size); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	src, err := exchange.Scan(b.Context(), from)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		to := b.TempDir()
		x, y := pair(b, ft.Env{Loopback: true})
		offers(b, x, y, nil)
		ox, oy := open(b.Context(), x, y)
		if ox.err != nil || oy.err != nil {
			b.Fatal(ox.err, oy.err)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := exchange.Send(b.Context(), ox.s, src, exchange.SendOptions{})
			sent <- err
		}()
		if _, err := exchange.Receive(b.Context(), oy.s, exchange.ReceiveOptions{Dir: to, Peer: "x"}); err != nil {
			b.Fatal(err)
		}
		if err := <-sent; err != nil {
			b.Fatal(err)
		}
		os.RemoveAll(to)
	}
}
