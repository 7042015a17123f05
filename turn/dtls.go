package turn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/transport/v5/packetio"
)

// Bounds of DTLS clients.
const (
	// dtlsQueue bounds what waits to be read of one client, in bytes.
	dtlsQueue = 256 << 10
	// maxHeld bounds the datagrams of one client that wait until its session
	// asks for them: fragments of its ClientHello.
	maxHeld = 8
)

// A dtlsListener serves clients over DTLS, RFC 7350: one socket, a session for
// each address that has returned a cookie.
type dtlsListener struct {
	socket   *net.UDPConn
	entrance *entrance
	options  []dtls.ServerOption
	cookies  cookies

	mu    sync.Mutex
	peers map[netip.AddrPort]*dtlsPeer
}

func newDTLSListener(s *Server, l Listener) (*dtlsListener, error) {
	if !pionTakesCookies() {
		return nil, errors.New("this version of pion/dtls takes no cookies of ours")
	}
	socket, err := listenUDP(l)
	if err != nil {
		return nil, err
	}
	return &dtlsListener{
		socket: socket, entrance: newEntrance(s, l, addrPort(socket.LocalAddr())), options: dtlsOptions(l.TLS),
		cookies: newCookies(s.now), peers: map[netip.AddrPort]*dtlsPeer{},
	}, nil
}

// dtlsOptions takes over what a TLS configuration says that DTLS knows.
func dtlsOptions(c *tls.Config) []dtls.ServerOption {
	o := []dtls.ServerOption{dtls.WithClientAuth(dtls.ClientAuthType(c.ClientAuth))}
	if len(c.Certificates) > 0 {
		o = append(o, dtls.WithCertificates(c.Certificates...))
	}
	if c.ClientCAs != nil {
		o = append(o, dtls.WithClientCAs(c.ClientCAs))
	}
	return o
}

// run reads the socket until it is closed.
func (l *dtlsListener) run() {
	b := make([]byte, maxFrame)
	for {
		n, from, err := l.socket.ReadFromUDPAddrPort(b)
		if err != nil {
			if temporary(err) {
				continue
			}
			break
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if p := l.peer(from, b[:n]); p != nil {
			p.take(b[:n])
		}
	}
	l.mu.Lock()
	all := make([]*dtlsPeer, 0, len(l.peers))
	for _, p := range l.peers {
		all = append(all, p)
	}
	l.mu.Unlock()
	for _, p := range all {
		p.Close()
	}
}

// peer finds or makes the session that a datagram belongs to. Whoever has no
// cookie is sent one, and forgotten.
func (l *dtlsListener) peer(from netip.AddrPort, b []byte) *dtlsPeer {
	s := l.entrance.server
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[from]
	h, ok := parseHello(b)
	switch {
	case !ok:
		return p // nil for who has no session: what he sends goes unanswered
	case h.sequence == 0:
		// Also from an address with a session, which goes on until it turns out
		// that this is no stranger, RFC 6347#section-4.2.8.
		if !h.spoken() {
			_, _ = l.socket.WriteToUDPAddrPort(h.unspoken(), from)
		} else if len(h.cookie) == 0 {
			_, _ = l.socket.WriteToUDPAddrPort(h.verify(l.cookies.make(from, &h)), from)
		}
		return nil
	case p != nil && p.cookie == string(h.cookie):
		return p // again, or more of it
	case h.sequence != 1 || s.ctx.Err() != nil || !l.cookies.good(from, &h):
		return p
	}
	if p != nil {
		// The client has begun anew and knows nothing of its old session.
		delete(l.peers, from)
		s.wait.Go(p.end)
	}
	if reason := s.connections.enter(from.Addr(), s.limits()); reason != "" {
		s.refuse("connection refused", reason, s.addr("client", from))
		return nil
	}
	p = &dtlsPeer{listener: l, remote: from, in: packetio.NewBuffer(), cookie: string(h.cookie)}
	p.in.SetLimitSize(dtlsQueue)
	_, _ = p.in.Write(h.first(), nil)
	l.peers[from] = p
	s.wait.Go(p.run)
	return p
}

// A dtlsPeer is the datagrams of one address, as pion wants them.
type dtlsPeer struct {
	listener *dtlsListener
	remote   netip.AddrPort
	in       *packetio.Buffer
	cookie   string // that it has returned
	once     sync.Once

	mu     sync.Mutex
	conn   *dtls.Conn
	client *clientConn
	asked  bool     // pion waits for the cookie
	held   [][]byte // what has come before
	mute   bool     // nothing is sent any more
}

// take gives the session a datagram. pion takes the ClientHello with the cookie
// only when it has asked for it, and both at once confuse it.
func (p *dtlsPeer) take(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked {
		// A full queue drops, as a full socket would.
		_, _ = p.in.Write(b, nil)
	} else if len(p.held) < maxHeld {
		p.held = append(p.held, bytes.Clone(b))
	}
}

// run shakes hands and serves the session to its end.
func (p *dtlsPeer) run() {
	defer p.Close()
	l, s := p.listener, p.listener.entrance.server
	var serverName string
	certificate := func(hello *dtls.ClientHelloInfo) (*tls.Certificate, error) {
		serverName = hello.ServerName
		if get := l.entrance.listener.TLS.GetCertificate; get != nil {
			return get(&tls.ClientHelloInfo{ServerName: hello.ServerName})
		}
		return nil, nil
	}
	conn, err := dtls.ServerWithOptions(p, net.UDPAddrFromAddrPort(p.remote), append([]dtls.ServerOption{
		dtls.WithGetCertificate(certificate), dtls.WithLoggerFactory(logBridge{s}),
	}, l.options...)...)
	if err != nil {
		s.refuse("connection ended", reasonHandshake, s.addr("client", p.remote), s.failure(err))
		s.connections.leave(p.remote.Addr())
		return
	}
	defer conn.Close()
	c := newClientConn(l.entrance, conn, p.remote)
	c.datagrams = true
	p.mu.Lock()
	p.conn, p.client = conn, c
	p.mu.Unlock()
	if !l.entrance.add(c) {
		c.Close()
		return
	}
	if !c.shake(conn.HandshakeContext) {
		return
	}
	c.serverName = serverName
	c.serve()
}

// end ends a session whose client has another, with its allocation. That other
// shall not hear it.
func (p *dtlsPeer) end() {
	p.mu.Lock()
	c := p.client
	p.mute = true
	p.mu.Unlock()
	p.Close()
	if c != nil {
		c.Close()
	}
}

// ReadFrom implements net.PacketConn.
func (p *dtlsPeer) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := p.in.Read(b, nil)
	return n, net.UDPAddrFromAddrPort(p.remote), err
}

// WriteTo implements net.PacketConn. pion's own request for a cookie goes
// nowhere: the client has one.
func (p *dtlsPeer) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mute:
		return len(b), nil
	case !isHandshake(b, helloVerifyRequest):
		return p.listener.socket.WriteToUDPAddrPort(b, p.remote)
	case !p.asked && p.conn != nil:
		copy(pionCookie(p.conn), p.cookie)
		p.asked = true
		for _, b := range p.held {
			_, _ = p.in.Write(b, nil)
		}
		p.held = nil
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (p *dtlsPeer) Close() error {
	p.once.Do(func() {
		l := p.listener
		l.mu.Lock()
		if l.peers[p.remote] == p {
			delete(l.peers, p.remote)
		}
		l.mu.Unlock()
		p.in.Close()
	})
	return nil
}

// LocalAddr implements net.PacketConn.
func (p *dtlsPeer) LocalAddr() net.Addr { return p.listener.socket.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (p *dtlsPeer) SetDeadline(t time.Time) error { return p.in.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (p *dtlsPeer) SetReadDeadline(t time.Time) error { return p.in.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn; a datagram does not wait.
func (p *dtlsPeer) SetWriteDeadline(time.Time) error { return nil }

// Close closes the socket; run ends the sessions.
func (l *dtlsListener) Close() error { return l.socket.Close() }
