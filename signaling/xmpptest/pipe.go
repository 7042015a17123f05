package xmpptest

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// A pipeListener accepts in-memory connections.
type pipeListener struct {
	addr  pipeAddr
	conns chan net.Conn
	done  chan struct{}
	close func()
}

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

func newPipeListener(port int) *pipeListener {
	l := &pipeListener{
		addr:  pipeAddr(fmt.Sprintf("127.0.0.1:%d", port)),
		conns: make(chan net.Conn),
		done:  make(chan struct{}),
	}
	l.close = sync.OnceFunc(func() { close(l.done) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.close(); return nil }
func (l *pipeListener) Addr() net.Addr { return l.addr }

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- ours:
		return theirs, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// DialContext connects to one of the server's addresses; network is "tcp". It
// fits where a client takes a dial function, and works with [Config.InMemory].
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if !s.cfg.InMemory {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	for _, l := range []net.Listener{s.starttls, s.direct, s.web.listener} {
		if l.Addr().String() == address {
			return l.(*pipeListener).dial(ctx)
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("nobody listens on %s", address)}
}
