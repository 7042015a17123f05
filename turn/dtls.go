package turn

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/transport/v5/packetio"
)

// Bounds of DTLS clients.
const (
	// maxUnproven bounds those that have not shown that they receive what is
	// sent to their address (RFC 6347#section-4.2.1). When they are too many,
	// any one of them gives way: a flood from spoofed addresses leaves a real
	// client the time of its round trip.
	maxUnproven = 256
	// hellosPerSecond bounds what a flood of first messages costs.
	hellosPerSecond = 2000
	// dtlsQueue bounds what waits to be read of one client, in bytes.
	dtlsQueue = 256 << 10
)

// A dtlsListener serves clients over DTLS, RFC 7350: one socket, a session for
// each address.
type dtlsListener struct {
	socket   *net.UDPConn
	entrance *entrance
	options  []dtls.ServerOption

	mu       sync.Mutex
	peers    map[netip.AddrPort]*dtlsPeer
	unproven map[netip.AddrPort]*dtlsPeer
	second   int64
	hellos   int
}

func newDTLSListener(s *Server, l Listener) (*dtlsListener, error) {
	socket, err := listenUDP(l)
	if err != nil {
		return nil, err
	}
	return &dtlsListener{
		socket: socket, entrance: newEntrance(s, l, addrPort(socket.LocalAddr())), options: dtlsOptions(l.TLS),
		peers: map[netip.AddrPort]*dtlsPeer{}, unproven: map[netip.AddrPort]*dtlsPeer{},
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
			// A full queue drops, as a full socket would.
			_, _ = p.in.Write(b[:n], nil)
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

// What DTLS 1.2 records begin with, RFC 6347#section-4.1 and #section-4.2.2.
const (
	recordHeader        = 13
	recordHandshake     = 22
	handshakeHeader     = 12
	clientHello         = 1
	helloVerifyRequest  = 3
	helloVerifyCookieAt = recordHeader + handshakeHeader + 3
)

func isHandshake(b []byte, typ byte) bool {
	return len(b) > helloVerifyCookieAt && b[0] == recordHandshake && b[recordHeader] == typ
}

// peer finds or makes the session that a datagram belongs to.
func (l *dtlsListener) peer(from netip.AddrPort, b []byte) *dtlsPeer {
	s := l.entrance.server
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.peers[from]; p != nil {
		if l.unproven[from] == p && isHandshake(b, clientHello) && p.knows(b) {
			delete(l.unproven, from)
			if reason := s.connections.enter(from.Addr(), s.limits()); reason != "" {
				s.refuse("connection refused", reason, s.addr("client", from))
				delete(l.peers, from)
				s.wait.Go(func() { p.Close() })
				return nil
			}
			close(p.proven)
		}
		return p
	}
	if !isHandshake(b, clientHello) || s.ctx.Err() != nil {
		return nil
	}
	if second := s.now() / int64(time.Second); second != l.second {
		l.second, l.hellos = second, 0
	}
	if l.hellos++; l.hellos > hellosPerSecond {
		s.refuse("connection refused", reasonHandshakes, s.addr("client", from))
		return nil
	}
	if len(l.unproven) >= maxUnproven {
		for at, p := range l.unproven {
			delete(l.unproven, at)
			delete(l.peers, at)
			s.wait.Go(func() { p.Close() })
			break
		}
	}
	p := &dtlsPeer{listener: l, remote: from, in: packetio.NewBuffer(), proven: make(chan struct{}), gone: make(chan struct{})}
	p.in.SetLimitSize(dtlsQueue)
	l.peers[from], l.unproven[from] = p, p
	s.wait.Go(p.run)
	return p
}

// A dtlsPeer is the datagrams of one address, as pion wants them.
type dtlsPeer struct {
	listener *dtlsListener
	remote   netip.AddrPort
	in       *packetio.Buffer
	proven   chan struct{} // closed when the address has shown itself; counted since
	gone     chan struct{}
	once     sync.Once

	mu     sync.Mutex
	cookie []byte // that we sent
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
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(s.ctx, s.config.Load().HandshakeTimeout)
	defer cancel()
	// Until the address has shown itself this costs little and is bounded
	// otherwise; from then on it is a handshake like others.
	shaken := make(chan error, 1)
	s.wait.Go(func() { shaken <- conn.HandshakeContext(ctx) })
	var result error
	over := false
	select {
	case <-p.proven:
	case <-p.gone:
	case result = <-shaken:
		over = true
	}
	select {
	case <-p.proven:
	default: // and nobody has counted it
		cancel()
		if !over {
			<-shaken
		}
		return
	}
	if over { // between then and now
		shaken <- result
	}
	c := newClientConn(l.entrance, conn, p.remote)
	c.datagrams = true
	if !l.entrance.add(c) {
		c.Close()
		cancel()
		<-shaken
		return
	}
	if !c.shake(func(context.Context) error { return <-shaken }) {
		return
	}
	c.serverName = serverName
	c.serve()
}

// knows says whether a ClientHello has our cookie.
func (p *dtlsPeer) knows(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.cookie) > 0 && bytes.Contains(b, p.cookie)
}

// ReadFrom implements net.PacketConn.
func (p *dtlsPeer) ReadFrom(b []byte) (int, net.Addr, error) {
	n, _, err := p.in.Read(b, nil)
	return n, net.UDPAddrFromAddrPort(p.remote), err
}

// WriteTo implements net.PacketConn.
func (p *dtlsPeer) WriteTo(b []byte, _ net.Addr) (int, error) {
	if isHandshake(b, helloVerifyRequest) {
		if n := int(b[helloVerifyCookieAt-1]); helloVerifyCookieAt+n <= len(b) {
			p.mu.Lock()
			p.cookie = append([]byte(nil), b[helloVerifyCookieAt:helloVerifyCookieAt+n]...)
			p.mu.Unlock()
		}
	}
	return p.listener.socket.WriteToUDPAddrPort(b, p.remote)
}

// Close implements net.PacketConn.
func (p *dtlsPeer) Close() error {
	p.once.Do(func() {
		l := p.listener
		l.mu.Lock()
		if l.peers[p.remote] == p {
			delete(l.peers, p.remote)
		}
		if l.unproven[p.remote] == p {
			delete(l.unproven, p.remote)
		}
		l.mu.Unlock()
		close(p.gone)
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
