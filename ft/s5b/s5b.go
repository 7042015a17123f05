// Package s5b carries files over SOCKS5 bytestreams (XEP-0260, XEP-0065):
// direct TCP in either direction, or through the proxy of an XMPP server. It is
// what Dino, Gajim, Psi and Pidgin have.
//
// The stream is not encrypted: no deployed client can. Two Carillons do not use
// it with each other while anything better works.
package s5b

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/addr"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/s5b"
)

// Limits of a negotiation.
const (
	maxCandidates  = 16 // of the peer; more are dropped
	maxPending     = 8  // incoming connections in their handshake
	connectTimeout = 3 * time.Second
	stagger        = 200 * time.Millisecond // between tries, best first
	proxyTimeout   = 5 * time.Second        // to find the proxies of our server
	nudge          = 100 * time.Millisecond // between the pings through a proxy
	settleTime     = 500 * time.Millisecond // for the peer to close the connections that it does not use
)

// Carrier makes negotiations. Its zero value is ready to use.
type Carrier struct{}

// Namespace is that of XEP-0260.
func (Carrier) Namespace() string { return s5b.NS }

// NeedsNoServices says that STUN and TURN servers are of no use here.
func (Carrier) NeedsNoServices() {}

// New begins a negotiation.
func (Carrier) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	return &negotiation{
		env: env, role: role, log: env.Log().With("carrier", "s5b"),
		infos:  make(chan jingle.Transport, 4), // used or error, activated or proxy-error
		offer:  make(chan *s5b.Transport, 1),
		signal: make(chan *s5b.Transport, 4),
		arrive: make(chan struct{}, 1),
	}, nil
}

type negotiation struct {
	env    ft.Env
	role   jingle.Role
	log    *slog.Logger
	infos  chan jingle.Transport
	offer  chan *s5b.Transport // the peer's candidates
	signal chan *s5b.Transport // what the peer says about them
	got    bool                // the peer's candidates have come

	mu       sync.Mutex
	sid      string
	mine     []s5b.Candidate
	listener net.Listener
	closed   bool
	taken    []*guest      // in the order in which they came
	greeting int           // connections in their handshake
	arrive   chan struct{} // one came, or does something
	watchers sync.WaitGroup
}

// A guest is a connection that the peer made to a candidate of ours. Of several
// it uses one and closes the others.
//
// interop Psi 1.5: connects to all hosts at once and keeps what is ready first.
type guest struct {
	*net.TCPConn
	moved chan struct{} // closed when it said something or was closed
	said  []byte        // its first byte, after moved
}

// watch waits for what the peer does with it.
func (g *guest) watch(arrive chan<- struct{}) {
	var b [1]byte
	if n, _ := g.Read(b[:]); n > 0 {
		g.said = b[:]
	}
	close(g.moved)
	select {
	case arrive <- struct{}{}:
	default:
	}
}

// gone reports whether the peer closed it without a word.
func (g *guest) gone() bool {
	select {
	case <-g.moved:
		return len(g.said) == 0
	default:
		return false
	}
}

// sends reports whether the peer said something on it.
func (g *guest) sends() bool {
	select {
	case <-g.moved:
		return len(g.said) > 0
	default:
		return false
	}
}

// take ends the watch.
func (g *guest) take() ft.Stream {
	g.SetReadDeadline(time.Unix(1, 0))
	<-g.moved
	g.SetReadDeadline(time.Time{})
	s := newStream(g.TCPConn, "host", "host")
	if len(g.said) > 0 {
		return &begun{s.(*stream), g.said}
	}
	return s
}

func (n *negotiation) Infos() <-chan jingle.Transport { return n.infos }

// Local listens, looks for proxies and says where.
func (n *negotiation) Local(ctx context.Context) (jingle.Transport, error) {
	n.mu.Lock()
	if n.sid == "" {
		n.sid = token()
	}
	sid := n.sid
	n.mu.Unlock()
	t := &s5b.Transport{SID: sid, Mode: "tcp", DstAddr: s5b.DstAddr(sid, n.env.Local, n.env.Peer)}
	if !n.env.RelayOnly {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", ":0")
		if err != nil {
			return nil, fmt.Errorf("listen for the peer: %w", err)
		}
		n.mu.Lock()
		if n.closed || n.listener != nil {
			n.mu.Unlock()
			l.Close()
			return nil, net.ErrClosed
		}
		n.listener = l
		n.mu.Unlock()
		port := l.Addr().(*net.TCPAddr).AddrPort().Port()
		for i, ip := range addr.Own(n.env.Loopback) {
			t.Candidates = append(t.Candidates, s5b.Candidate{
				CID: token(), Host: ip.String(), JID: n.env.Local.String(), Port: port,
				Type: s5b.Direct, Priority: s5b.Direct.Priority(uint16(1000 - i)),
			})
		}
	}
	pctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	proxies, err := FindProxies(pctx, n.env)
	if err != nil {
		n.log.Warn("the proxies of the server are unknown", "err", err)
	}
	for i, p := range proxies {
		t.Candidates = append(t.Candidates, s5b.Candidate{
			CID: token(), Host: p.Host, JID: p.JID, Port: p.Port,
			Type: s5b.Proxy, Priority: s5b.Proxy.Priority(uint16(1000 - i)),
		})
	}
	n.mu.Lock()
	n.mine = t.Candidates
	n.mu.Unlock()
	return t, nil
}

// Remote takes the peer's candidates, and what it says about ours.
func (n *negotiation) Remote(rt jingle.Transport) error {
	t, ok := rt.(*s5b.Transport)
	if !ok {
		return fmt.Errorf("transport %q is not %q", rt.Namespace(), s5b.NS)
	}
	if t.Used != nil || t.NoneUsed != nil || t.Activated != nil || t.ProxyError != nil {
		select {
		case n.signal <- t:
		default: // a peer that says more than there is to say
		}
		return nil
	}
	if n.got {
		return nil
	}
	n.got = true
	n.mu.Lock()
	if n.sid == "" { // the responder takes the initiator's
		if t.SID == "" || len(t.SID) > 256 {
			n.mu.Unlock()
			return errors.New("the peer names no stream")
		}
		n.sid = t.SID
	}
	n.mu.Unlock()
	n.offer <- t
	return nil
}

// Close stops listening and drops what came in.
func (n *negotiation) Close() error {
	n.mu.Lock()
	n.closed = true
	if n.listener != nil {
		n.listener.Close()
	}
	for _, g := range n.taken {
		g.Close()
	}
	n.taken = nil
	n.mu.Unlock()
	n.watchers.Wait()
	return nil
}

// Open tries the peer's candidates while the peer tries ours, and returns the
// connection that both nominate.
func (n *negotiation) Open(ctx context.Context) (ft.Stream, error) {
	var remote *s5b.Transport
	select {
	case remote = <-n.offer:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	n.mu.Lock()
	l, mine := n.listener, n.mine
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait() }()
	if l != nil {
		wg.Go(func() { n.accept(ctx, l) })
		wg.Go(func() { <-ctx.Done(); l.Close() })
	}
	conn, used := n.try(ctx, remote)
	if used == nil {
		n.infos <- &s5b.Transport{SID: n.sid, NoneUsed: &s5b.Empty{}}
	} else {
		n.infos <- &s5b.Transport{SID: n.sid, Used: &s5b.CID{CID: used.CID}}
	}
	theirs, err := n.choice(ctx, mine)
	if err == nil {
		switch {
		case theirs == nil && used == nil:
			err = fmt.Errorf("%w over SOCKS5: neither side reaches the other or a proxy", ft.ErrNoPath)
		case theirs == nil, used != nil && n.oursWins(used, theirs):
			return n.outgoing(ctx, conn, used)
		}
	}
	if conn != nil {
		conn.Close()
	}
	if err != nil {
		return nil, err
	}
	return n.incoming(ctx, theirs)
}

// oursWins reports whether the candidate that we used is nominated, and not
// the one of ours that the peer used. XEP-0260#complete
func (n *negotiation) oursWins(used, theirs *s5b.Candidate) bool {
	if used.Priority != theirs.Priority {
		return used.Priority > theirs.Priority
	}
	return n.role == jingle.Initiator
}

// choice waits for the peer to say which of our candidates it used; nil means none.
func (n *negotiation) choice(ctx context.Context, mine []s5b.Candidate) (*s5b.Candidate, error) {
	for {
		select {
		case t := <-n.signal:
			switch {
			case t.NoneUsed != nil:
				return nil, nil
			case t.Used != nil:
				for i := range mine {
					if mine[i].CID == t.Used.CID {
						return &mine[i], nil
					}
				}
				return nil, errors.New("the peer uses a candidate that we did not offer")
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("%w over SOCKS5: the peer does not say what it reaches: %w", ft.ErrNoPath, context.Cause(ctx))
		}
	}
}

// outgoing is the connection we made to a candidate of the peer.
func (n *negotiation) outgoing(ctx context.Context, conn net.Conn, used *s5b.Candidate) (ft.Stream, error) {
	if used.Type != s5b.Proxy {
		return newStream(conn, "host", "host"), nil
	}
	for {
		select { // its owner activates it
		case t := <-n.signal:
			if t.Activated != nil && t.Activated.CID == used.CID {
				return newStream(conn, "host", "proxy"), nil
			}
			if t.ProxyError != nil {
				conn.Close()
				return nil, fmt.Errorf("%w over SOCKS5: the peer does not reach its proxy", ft.ErrNoPath)
			}
		case <-ctx.Done():
			conn.Close()
			return nil, fmt.Errorf("%w over SOCKS5: the proxy is not activated: %w", ft.ErrNoPath, context.Cause(ctx))
		}
	}
}

// incoming is the connection that the peer made to a candidate of ours.
func (n *negotiation) incoming(ctx context.Context, c *s5b.Candidate) (ft.Stream, error) {
	if c.Type == s5b.Proxy {
		conn, err := n.connect(ctx, *c, s5b.DstAddr(n.sid, n.env.Local, n.env.Peer))
		if err == nil {
			err = activate(ctx, n.env, c.JID, n.sid)
		}
		if err != nil {
			if conn != nil {
				conn.Close()
			}
			n.infos <- &s5b.Transport{SID: n.sid, ProxyError: &s5b.Empty{}}
			return nil, fmt.Errorf("%w over SOCKS5: %w", ft.ErrNoPath, err)
		}
		n.infos <- &s5b.Transport{SID: n.sid, Activated: &s5b.CID{CID: c.CID}}
		return newStream(conn, "proxy", "host"), nil
	}
	settled := false
	for {
		g, waiting := n.guest(settled)
		if g != nil {
			return g.take(), nil
		}
		var settle <-chan time.Time
		if waiting {
			settle = time.After(settleTime)
		}
		select {
		case <-n.arrive:
		case <-settle:
			settled = true
		case <-ctx.Done():
			return nil, fmt.Errorf("%w over SOCKS5: the connection that the peer uses does not come: %w", ft.ErrNoPath, context.Cause(ctx))
		}
	}
}

// guest hands over the connection that the peer uses: one on which it sends, the
// only one that is open, or the first that came once they had time to settle;
// and where it has closed all, one of them: it had all that it wanted, of an
// empty file. Otherwise it says whether there are any.
func (n *negotiation) guest(settled bool) (g *guest, waiting bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var open []*guest
	for _, x := range n.taken {
		switch {
		case x.sends():
			g = x
		case !x.gone():
			open = append(open, x)
		}
	}
	all := n.greeting == 0 // that it made are here
	switch {
	case g != nil:
	case len(open) == 1 && all, len(open) > 0 && settled:
		g = open[0]
	case len(open) == 0 && len(n.taken) > 0 && all:
		g = n.taken[0]
	default:
		return nil, len(n.taken) > 0
	}
	n.taken = slices.DeleteFunc(n.taken, func(x *guest) bool { return x == g })
	return g, false
}

// full makes room for one more, and reports whether there is none. n.mu is held.
func (n *negotiation) full() bool {
	if i := slices.IndexFunc(n.taken, (*guest).gone); i >= 0 && len(n.taken) >= maxPending {
		n.taken[i].Close()
		n.taken = slices.Delete(n.taken, i, i+1)
	}
	return len(n.taken) >= maxPending
}

// accept takes connections of the peer to our direct candidates.
func (n *negotiation) accept(ctx context.Context, l net.Listener) {
	want := s5b.DstAddr(n.sid, n.env.Local, n.env.Peer)
	slots := make(chan struct{}, maxPending)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		n.mu.Lock()
		n.greeting++
		n.mu.Unlock()
		wg.Go(func() {
			defer func() { <-slots }()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			c.SetDeadline(time.Now().Add(connectTimeout))
			_, err := serve(c, func(dst string) bool { return dst == want })
			n.mu.Lock()
			defer n.mu.Unlock()
			n.greeting--
			select {
			case n.arrive <- struct{}{}:
			default:
			}
			if err != nil || n.closed || n.full() || !stop() {
				n.log.Debug("connection is not used", "addr", c.RemoteAddr(), "err", err)
				c.Close()
				return
			}
			c.SetDeadline(time.Time{})
			g := &guest{TCPConn: c.(*net.TCPConn), moved: make(chan struct{})}
			n.taken = append(n.taken, g)
			n.watchers.Go(func() { g.watch(n.arrive) })
		})
	}
}

// try connects to the peer's candidates, best first, each a little after the
// one before, and returns the best that answers.
func (n *negotiation) try(ctx context.Context, remote *s5b.Transport) (net.Conn, *s5b.Candidate) {
	list := slices.Clone(remote.Candidates[:min(len(remote.Candidates), maxCandidates)])
	slices.SortStableFunc(list, func(a, b s5b.Candidate) int { return int(int64(b.Priority) - int64(a.Priority)) })
	dst := s5b.DstAddr(n.sid, n.env.Peer, n.env.Local)
	type result struct {
		conn net.Conn
		c    *s5b.Candidate
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result, len(list))
	tries := 0
	for i := range list {
		c := &list[i]
		if c.Type != s5b.Proxy && n.env.RelayOnly {
			continue
		}
		delay := time.Duration(tries) * stagger
		tries++
		go func() { // ends with ctx, and its result is collected below
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				results <- result{}
				return
			}
			conn, err := n.connect(ctx, *c, dst)
			if err != nil {
				n.log.Debug("candidate does not answer", "type", c.Type, "err", err)
				conn = nil
			}
			results <- result{conn, c}
		}()
	}
	var best result
	for range tries {
		r := <-results
		switch {
		case r.conn == nil:
		case best.conn == nil:
			best = r
			cancel() // the stagger gave the better ones their chance
		default:
			r.conn.Close()
		}
	}
	return best.conn, best.c
}

// connect reaches one candidate and asks it for the stream.
func (n *negotiation) connect(ctx context.Context, c s5b.Candidate, dst string) (net.Conn, error) {
	ip, err := netip.ParseAddr(c.Host)
	switch {
	case err == nil && !addr.Usable(ip, n.env.Loopback || n.known(c)):
		return nil, fmt.Errorf("address %s is not one to connect to", ip)
	case err != nil && c.Type != s5b.Proxy:
		return nil, errors.New("a direct candidate has a name instead of an address")
	}
	port := c.Port
	if port == 0 {
		port = 1080 // XEP-0260#protocol
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if err := request(conn, dst); err != nil {
		stop()
		conn.Close()
		return nil, err
	}
	if !stop() {
		conn.Close()
		return nil, context.Cause(ctx)
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

// known reports whether our own server named this proxy. It may be on
// loopback then, as with a server on this machine.
func (n *negotiation) known(c s5b.Candidate) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return c.Type == s5b.Proxy && slices.ContainsFunc(n.mine, func(m s5b.Candidate) bool {
		return m.Type == s5b.Proxy && m.Host == c.Host && m.Port == c.Port
	})
}

// A stream is the connection that both nominated.
type stream struct {
	*net.TCPConn
	info ft.StreamInfo
}

// A proxied stream passes the proxy of a server, which may hold up to 4 KiB
// back until something more comes, or the end.
//
// interop Prosody 0.12: mod_proxy65 reads at most 4096 bytes at once, pauses,
// and then waits for the socket to be readable, although LuaSocket has up to
// 4096 more in a buffer of its own already.
type proxied struct{ stream }

// Restless says how often something must be written while there is nothing to
// say; see exchange.Stream.
func (proxied) Restless() time.Duration { return nudge }

// A begun stream has its first byte read already.
type begun struct {
	*stream
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 && len(p) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.stream.Read(p)
}

// WriteTo keeps io.Copy from going past Read.
func (b *begun) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{b})
}

func newStream(c net.Conn, local, remote string) ft.Stream {
	s := stream{c.(*net.TCPConn), ft.StreamInfo{Kind: "s5b", Local: local, Remote: remote}}
	if local == "proxy" || remote == "proxy" {
		s.info.Relayed = true
		return &proxied{s}
	}
	return &s
}

func (s *stream) Info() ft.StreamInfo { return s.info }

// token returns a random name.
func token() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
