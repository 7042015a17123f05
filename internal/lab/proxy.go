package lab

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A Proxy forwards TCP connections, and cuts them when told.
type Proxy struct {
	Addr string // host:port to connect to

	to       string
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	broken bool
	count  int
}

// StartProxy forwards connections to addr until the test ends.
func StartProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), to: addr, listener: l, conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.Break() // one accepted meanwhile must not stay either
		p.wg.Wait()
	})
	return p
}

// Cut closes every connection without a word. New ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		// Reset rather than closed: a broken network says no goodbye.
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// Break cuts and refuses connections until Mend.
func (p *Proxy) Break() {
	p.mu.Lock()
	p.broken = true
	p.mu.Unlock()
	p.Cut()
}

// Mend ends Break.
func (p *Proxy) Mend() {
	p.mu.Lock()
	p.broken = false
	p.mu.Unlock()
}

// Connections counts the connections forwarded so far.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.forward(c) })
	}
}

func (p *Proxy) forward(in net.Conn) {
	defer in.Close()
	if !p.add(in) {
		return
	}
	defer p.remove(in)
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	if !p.add(out) {
		return
	}
	defer p.remove(out)
	p.mu.Lock()
	p.count++
	p.mu.Unlock()

	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			io.Copy(pair[1], pair[0])
			// One direction over, the other follows: XMPP has no half-open streams.
			in.Close()
			out.Close()
		})
	}
	both.Wait()
}

func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) remove(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
