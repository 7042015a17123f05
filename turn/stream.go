package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// writeTimeout ends a client that takes nothing for so long, in place of its
// allocation's memory filling up.
const writeTimeout = 10 * time.Second

// connections counts those of clients, by all listeners that have them.
type connections struct {
	mu         sync.Mutex
	count      int
	handshakes int
	of         map[netip.Addr]int
	shaking    map[netip.Addr]int // those of handshakes
}

// handshakeShare is how much of the handshakes at once one address may have: a
// part of so many, so that no two hold the door shut.
const handshakeShare = 8

// enter counts a connection, or says why there cannot be one.
func (c *connections) enter(a netip.Addr, limits *Limits) (reason string) {
	a = block(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.count >= limits.Connections:
		return reasonConnections
	case c.of[a] >= limits.ConnectionsPerAddress:
		return reasonAddrConnections
	}
	if c.of == nil {
		c.of = map[netip.Addr]int{}
	}
	c.count++
	c.of[a]++
	return ""
}

func (c *connections) leave(a netip.Addr) {
	a = block(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count--
	if c.of[a]--; c.of[a] == 0 {
		delete(c.of, a)
	}
}

// begin counts a handshake, end takes it back.
func (c *connections) begin(a netip.Addr, limits *Limits) bool {
	a = block(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handshakes >= limits.Handshakes || c.shaking[a] >= max(1, limits.Handshakes/handshakeShare) {
		return false
	}
	if c.shaking == nil {
		c.shaking = map[netip.Addr]int{}
	}
	c.handshakes++
	c.shaking[a]++
	return true
}

func (c *connections) end(a netip.Addr) {
	a = block(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshakes--
	if c.shaking[a]--; c.shaking[a] == 0 {
		delete(c.shaking, a)
	}
}

func (c *connections) number() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// A streamListener accepts clients over TCP and TLS.
type streamListener struct {
	net.Listener
	entrance *entrance
	tls      *tls.Config // nil for TCP
}

func newStreamListener(s *Server, l Listener) (*streamListener, error) {
	tcp, err := listenTCP(l)
	if err != nil {
		return nil, err
	}
	sl := &streamListener{Listener: tcp, entrance: newEntrance(s, l, addrPort(tcp.Addr()))}
	if l.Transport == TLS {
		sl.tls = l.TLS
	}
	return sl, nil
}

// run accepts until the listener is closed.
func (l *streamListener) run() {
	s := l.entrance.server
	for {
		conn, err := l.Accept()
		if err != nil {
			if !temporary(err) {
				return
			}
			// Out of descriptors, most likely: others need time to end.
			s.refuse("connection refused", reasonSystem, s.failure(err))
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		remote := addrPort(conn.RemoteAddr())
		if reason := s.connections.enter(remote.Addr(), s.limits()); reason != "" {
			s.refuse("connection refused", reason, s.addr("client", remote))
			conn.Close()
			continue
		}
		s.wait.Go(func() { l.welcome(conn, remote) })
	}
}

// welcome shakes hands and serves the connection to its end.
func (l *streamListener) welcome(raw net.Conn, remote netip.AddrPort) {
	s := l.entrance.server
	c := newClientConn(l.entrance, raw, remote)
	if !l.entrance.add(c) {
		c.Close()
		return
	}
	if l.tls != nil {
		t := tls.Server(raw, l.tls)
		if !c.shake(t.HandshakeContext) {
			return
		}
		c.mu.Lock()
		c.Conn, c.serverName = t, t.ConnectionState().ServerName
		c.mu.Unlock()
	}
	c.serve()
	s.log().Debug("connection ended", s.addr("client", remote))
}

// A clientConn is a client's connection: a stream (TCP, TLS), or datagrams of
// its own (DTLS). One goroutine reads it and answers its requests.
type clientConn struct {
	net.Conn
	entrance     *entrance
	remote       netip.AddrPort
	serverName   string
	datagrams    bool
	frameTimeout time.Duration
	idleTimeout  time.Duration
	once         sync.Once

	mu         sync.Mutex
	allocation *allocation
	until      time.Time // when it ends without an allocation; zero while it has one
	partial    bool      // a frame has begun
	raw        bool      // carries data of a peer, RFC 6062
	closed     bool

	// What arrived and was not read is store[begin:end]; reading goroutine only.
	store      []byte
	begin, end int
}

func newClientConn(e *entrance, conn net.Conn, remote netip.AddrPort) *clientConn {
	conf := e.server.config.Load()
	return &clientConn{
		Conn: conn, entrance: e, remote: remote, frameTimeout: conf.FrameTimeout, idleTimeout: conf.AllocationTimeout,
		until: time.Now().Add(conf.AllocationTimeout),
	}
}

// shake runs a handshake with its limits; when it fails the connection is closed.
func (c *clientConn) shake(handshake func(context.Context) error) bool {
	s := c.entrance.server
	if !s.connections.begin(c.remote.Addr(), s.limits()) {
		s.refuse("connection refused", reasonHandshakes, s.addr("client", c.remote))
		c.Close()
		return false
	}
	defer s.connections.end(c.remote.Addr())
	ctx, cancel := context.WithTimeout(s.ctx, s.config.Load().HandshakeTimeout)
	defer cancel()
	if err := handshake(ctx); err != nil {
		if s.ctx.Err() == nil {
			s.refuse("connection ended", reasonHandshake, s.addr("client", c.remote), s.failure(err))
		}
		c.Close()
		return false
	}
	return true
}

// of is the allocation made over this connection, or nil.
func (c *clientConn) of() *allocation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allocation
}

// remember keeps an allocation; it is false when the connection has ended.
func (c *clientConn) remember(a *allocation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.allocation = a
	c.settleLocked()
	return true
}

// settleLocked lets the connection live without a deadline.
func (c *clientConn) settleLocked() {
	c.until = time.Time{}
	if !c.partial {
		c.Conn.SetReadDeadline(time.Time{})
	}
}

// forget is called when the allocation has ended: the client may make another,
// soon.
func (c *clientConn) forget(a *allocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.allocation != a || c.closed {
		return
	}
	c.allocation = nil
	c.until = time.Now().Add(c.idleTimeout)
	if !c.partial {
		c.Conn.SetReadDeadline(c.until)
	}
}

func (c *clientConn) expect(partial bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := c.until
	if partial {
		if c.partial {
			return // its deadline runs
		}
		if t := time.Now().Add(c.frameTimeout); deadline.IsZero() || t.Before(deadline) {
			deadline = t
		}
	}
	c.partial = partial
	c.Conn.SetReadDeadline(deadline)
}

var errFrame = errors.New(reasonFrame)

// readBuffer is how much of a connection is read at once at least.
const readBuffer = 2048

// next returns the next frame, good until the one after it.
func (c *clientConn) next() ([]byte, error) {
	if c.datagrams {
		if c.store == nil {
			c.store = make([]byte, maxFrame)
		}
		c.expect(false)
		n, err := c.Conn.Read(c.store)
		return c.store[:n], err
	}
	for {
		n, ok := frameLength(c.store[c.begin:c.end])
		if !ok {
			return nil, errFrame
		}
		if n > 0 && n <= c.end-c.begin {
			frame := c.store[c.begin : c.begin+n]
			c.begin += n
			return frame, nil
		}
		// What is left moves to the front of a buffer that the whole frame fits in.
		room := c.store
		if len(room) < max(readBuffer, n) {
			room = make([]byte, max(readBuffer, n))
		}
		c.begin, c.end = 0, copy(room, c.store[c.begin:c.end])
		c.store = room
		c.expect(c.end > 0)
		got, err := c.Conn.Read(c.store[c.end:])
		c.end += got
		if err != nil && got == 0 {
			return nil, err
		}
	}
}

// serve reads and answers until the connection ends.
func (c *clientConn) serve() {
	defer c.Close()
	s := c.entrance.server
	r := request{entrance: c.entrance, from: c.remote, conn: c, link: c}
	for {
		frame, err := c.next()
		if err != nil {
			switch {
			case errors.Is(err, errFrame):
				s.refuse("connection ended", reasonFrame, s.addr("client", c.remote))
			case errors.Is(err, os.ErrDeadlineExceeded):
				s.refuse("connection ended", reasonSilent, s.addr("client", c.remote))
			}
			return
		}
		if typ, ok := stunType(frame); ok && typ&classMask == classRequest {
			r.serve(frame)
		} else if a := c.of(); a != nil {
			a.fromClient(frame)
		}
		if r.spliced != nil {
			c.mu.Lock()
			c.raw = true
			c.settleLocked()
			c.mu.Unlock()
			c.Conn.SetWriteDeadline(time.Time{})
			r.spliced.splice(c, c.store[c.begin:c.end])
			return
		}
	}
}

// padded are the most bytes that channel data is followed by on a stream.
var padded [3]byte

// send implements link.
func (c *clientConn) send(b []byte, _ netip.AddrPort) error {
	c.mu.Lock()
	raw, closed := c.raw, c.closed
	c.mu.Unlock()
	if raw || closed {
		return net.ErrClosed
	}
	if !c.datagrams && len(b)%4 != 0 { // RFC 8656#section-12.5
		b = append(append(make([]byte, 0, len(b)+3), b...), padded[:4-len(b)%4]...)
	}
	c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.Conn.Write(b)
	if err != nil {
		// Half a frame may have gone: the stream is of no use any more.
		c.Close()
	}
	return err
}

// Close ends the connection and its allocation.
func (c *clientConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		c.mu.Lock()
		c.closed = true
		a, conn := c.allocation, c.Conn
		c.mu.Unlock()
		err = conn.Close()
		if a != nil {
			a.close("connection ended")
		}
		c.entrance.remove(c)
		c.entrance.server.connections.leave(c.remote.Addr())
	})
	return err
}
