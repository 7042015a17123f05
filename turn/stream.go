package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// writeTimeout ends a TCP client that takes nothing for so long, in place of
// its allocation's memory filling up.
const writeTimeout = 10 * time.Second

// A streamListener accepts clients over TCP and TLS. It counts them, shakes
// hands with a timeout of its own, and ends them with the server.
type streamListener struct {
	net.Listener
	entrance *entrance
	tls      *tls.Config // nil for TCP
	ready    chan net.Conn
	ctx      context.Context
	cancel   context.CancelFunc
	done     chan struct{} // the accepting goroutine has ended

	mu     sync.Mutex
	count  int
	counts map[netip.Addr]int
}

func newStreamListener(s *Server, l Listener) (*streamListener, error) {
	tcp, err := listenTCP(l)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	sl := &streamListener{
		Listener: tcp, entrance: newEntrance(s, l.Transport, addrPort(tcp.Addr())),
		ready: make(chan net.Conn), ctx: ctx, cancel: cancel, done: make(chan struct{}), counts: map[netip.Addr]int{},
	}
	if l.Transport == TLS {
		sl.tls = l.TLS
	}
	s.wait.Go(sl.accept)
	return sl, nil
}

func (l *streamListener) accept() {
	defer close(l.done)
	s := l.entrance.server
	var handshakes sync.WaitGroup
	defer handshakes.Wait()
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: others need time to end.
			s.log().Warn("accept", "error", err)
			select {
			case <-l.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		if !l.enter(addrPort(conn.RemoteAddr()).Addr()) {
			s.refused.Add(1)
			s.log().Info("connection refused", s.addr("client", conn.RemoteAddr()), "reason", "too many connections")
			conn.Close()
			continue
		}
		handshakes.Go(func() { l.welcome(conn) })
	}
}

func (l *streamListener) welcome(raw net.Conn) {
	s, conf := l.entrance.server, l.entrance.server.config.Load()
	c := &streamConn{Conn: raw, listener: l, remote: raw.RemoteAddr(), frameTimeout: conf.FrameTimeout}
	l.entrance.mu.Lock()
	l.entrance.conns[addrPort(c.remote)] = c
	l.entrance.mu.Unlock()
	if l.tls != nil {
		t := tls.Server(raw, l.tls)
		ctx, cancel := context.WithTimeout(l.ctx, conf.HandshakeTimeout)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			s.log().Debug("TLS handshake", s.addr("client", raw.RemoteAddr()), "error", err)
			c.Close()
			return
		}
		c.Conn = t
	}
	c.until = time.Now().Add(conf.AllocationTimeout)
	select {
	case l.ready <- c:
	case <-l.ctx.Done():
		c.Close()
	}
}

func (l *streamListener) enter(a netip.Addr) bool {
	limits := l.entrance.server.limits()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= limits.Connections || l.counts[a] >= limits.ConnectionsPerAddress {
		return false
	}
	l.count++
	l.counts[a]++
	return true
}

func (l *streamListener) leave(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	if l.counts[a]--; l.counts[a] == 0 {
		delete(l.counts, a)
	}
}

// Accept implements net.Listener.
func (l *streamListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *streamListener) Close() error {
	l.cancel()
	err := l.Listener.Close()
	<-l.done
	return err
}

// A streamConn is a client's connection. Each Read returns one whole frame, so
// that nothing malformed reaches pion, until ConnectionBind makes it a plain
// stream of data.
type streamConn struct {
	net.Conn
	listener     *streamListener
	remote       net.Addr // the one value that pion sees
	frameTimeout time.Duration
	once         sync.Once

	mu      sync.Mutex
	until   time.Time // when it ends without an allocation; zero once it has one
	partial bool      // a frame has begun
	raw     bool

	buf []byte // what arrived and was not read; reading goroutine only
}

// RemoteAddr implements net.Conn.
func (c *streamConn) RemoteAddr() net.Addr { return c.remote }

// settle is called when the client has an allocation or data to carry.
func (c *streamConn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = time.Time{}
	if !c.partial {
		c.Conn.SetReadDeadline(time.Time{})
	}
}

func (c *streamConn) expect(partial bool) {
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

// pionFrame is the shortest frame that pion takes from a stream at once.
// Channel data of up to 4 bytes would wait for what comes next, so a message
// that pion ignores comes next.
const pionFrame = 9

const bindingIndication = "\x00\x11\x00\x00\x21\x12\xa4\x42------------"

var errFrame = errors.New("neither STUN nor ChannelData, or too long")

// Read implements net.Conn.
func (c *streamConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		raw := c.raw
		c.mu.Unlock()
		if raw {
			if len(c.buf) > 0 {
				n := copy(p, c.buf)
				c.buf = c.buf[n:]
				return n, nil
			}
			return c.Conn.Read(p)
		}
		n, ok := frameLength(c.buf)
		if !ok {
			return 0, errFrame
		}
		if n > 0 && n <= len(c.buf) && n <= len(p) {
			copy(p, c.buf[:n])
			if c.buf = c.buf[n:]; len(c.buf) == 0 {
				c.buf = nil
			}
			c.listener.entrance.inspect(c.remote, p[:n])
			if n < pionFrame && n+len(bindingIndication) <= len(p) {
				n += copy(p[n:], bindingIndication)
			}
			return n, nil
		}
		if n > len(p) {
			return 0, errFrame
		}
		c.expect(len(c.buf) > 0)
		got, err := c.Conn.Read(p)
		if err != nil {
			return 0, err
		}
		c.buf = append(c.buf, p[:got]...)
	}
}

// Write implements net.Conn.
func (c *streamConn) Write(b []byte) (int, error) {
	if typ, ok := stunType(b); ok && typ == typeConnectionBindDone {
		c.mu.Lock()
		c.raw = true
		c.mu.Unlock()
		c.settle()
	}
	c.mu.Lock()
	raw := c.raw
	c.mu.Unlock()
	if !raw {
		c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	n, err := c.Conn.Write(b)
	if err != nil && !raw {
		// Half a frame may have gone: the stream is of no use any more.
		c.Close()
	}
	return n, err
}

// Close implements net.Conn.
func (c *streamConn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		e, from := c.listener.entrance, addrPort(c.remote)
		e.server.chosen.Delete(c.remote)
		e.mu.Lock()
		if e.conns[from] == c {
			delete(e.conns, from)
		}
		e.mu.Unlock()
		c.listener.leave(from.Addr())
	})
	return err
}
