package tcp

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"

	"github.com/carillon-im/carillon/ft"
)

// gathered is how many bytes go to the kernel in one call. TLS writes and reads
// records of 16 KiB; a call for each costs more than the encryption.
const gathered = 256 << 10

// A gather is the TCP connection below TLS. Once the connection was taken for
// a stream, it collects records until somebody flushes.
type gather struct {
	net.Conn
	r *bufio.Reader // nil before; used by the one who reads TLS

	on     atomic.Bool // collects
	ending atomic.Bool // collects no more: what comes is the end of the stream
	mu     sync.Mutex
	w      *bufio.Writer
}

// collect begins to gather. Nobody reads or writes meanwhile.
func (g *gather) collect() {
	g.r = bufio.NewReaderSize(g.Conn, gathered)
	g.w = bufio.NewWriterSize(g.Conn, gathered)
	g.on.Store(true)
}

func (g *gather) Read(p []byte) (int, error) {
	if g.on.Load() {
		return g.r.Read(p)
	}
	return g.Conn.Read(p)
}

func (g *gather) Write(p []byte) (int, error) {
	if !g.on.Load() {
		return g.Conn.Write(p)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending.Load() {
		if err := g.w.Flush(); err != nil {
			return 0, err
		}
		return g.Conn.Write(p)
	}
	return g.w.Write(p)
}

func (g *gather) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Flush()
}

// A stream is the connection that was taken.
type stream struct {
	*tls.Conn
	g *gather
}

func newStream(c *tls.Conn) stream {
	g := c.NetConn().(*gather)
	keepShort(g.Conn)
	g.collect()
	return stream{c, g}
}

// Write writes p as records, and all of them to the network before it returns.
func (s stream) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err == nil {
		err = s.g.flush()
	}
	return n, err
}

// CloseWrite sends the end of our direction. TLS forbids all writes to the
// network after it, so nothing of it may be collected.
func (s stream) CloseWrite() error {
	s.g.ending.Store(true)
	return s.Conn.CloseWrite()
}

// Close sends the end of our direction if that can be done soon, and closes.
func (s stream) Close() error {
	s.g.ending.Store(true)
	return s.Conn.Close()
}

func (stream) Info() ft.StreamInfo {
	return ft.StreamInfo{Kind: "tcp", Local: "host", Remote: "host"}
}
