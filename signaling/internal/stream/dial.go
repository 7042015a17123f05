package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// A dialer finds the servers of a domain and connects to one of them.
type dialer struct {
	cfg    *Config
	prefer []target // tried before all others: where the server wants us back
	// webWorked tells that a WebSocket was what connected last.
	webWorked bool
	// olderTLS keeps to TLS 1.2, see olderTLSError.
	olderTLS bool
}

// connect returns a link that is encrypted, with the features of its stream.
func (d *dialer) connect(ctx context.Context) (*link, *Element, error) {
	if strings.HasPrefix(d.cfg.Server, "wss:") || strings.HasPrefix(d.cfg.Server, "ws:") {
		return d.tryWebSockets(ctx, []string{d.cfg.Server})
	}
	if d.cfg.WebSocket == WebSocketOnly {
		return d.findWebSocket(ctx)
	}
	targets, err := d.targets(ctx)
	if err != nil {
		return nil, nil, err
	}
	targets = append(d.prefer[:len(d.prefer):len(d.prefer)], targets...)
	if d.cfg.WebSocket == WebSocketNever || d.cfg.Server != "" {
		return d.connectTCP(ctx, targets)
	}
	return d.connectEither(ctx, targets)
}

// connectEither looks for a WebSocket when TCP cannot connect, or does not
// within webHeadStart: a firewall may let only the web through, and most of
// them say nothing when they do not.
func (d *dialer) connectEither(ctx context.Context, targets []target) (*link, *Element, error) {
	type result struct {
		opened
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tcp, web := make(chan result, 1), make(chan result, 1)
	go func() {
		l, features, err := d.connectTCP(ctx, targets)
		tcp <- result{opened{l, features}, err}
	}()
	headStart := time.NewTimer(webHeadStart)
	defer headStart.Stop()
	if d.webWorked { // here, last time
		headStart.Reset(stagger)
	}
	var first error // of what went wrong, what TCP says is more telling
	var won *opened
	searching, pending := false, 1
	search := func() {
		if searching || ctx.Err() != nil {
			return
		}
		searching = true
		pending++
		go func() {
			l, features, err := d.findWebSocket(ctx)
			web <- result{opened{l, features}, err}
		}()
	}
	take := func(r result, isWeb bool) {
		pending--
		switch {
		case r.err == nil && won != nil:
			r.link.abort()
		case r.err == nil:
			won = &r.opened
			d.webWorked = isWeb
			cancel()
		case !isWeb:
			first = r.err
		}
	}
	for pending > 0 {
		select {
		case r := <-tcp:
			take(r, false)
			if unreachable(r.err) {
				search()
			} else if r.err != nil { // reached, and refused: not what a firewall does
				cancel()
			}
		case r := <-web:
			take(r, true)
		case <-headStart.C:
			if won == nil {
				search()
			}
		}
	}
	if won == nil {
		return nil, nil, first
	}
	return won.link, won.features, nil
}

func unreachable(err error) bool {
	var u *UnreachableError
	return errors.As(err, &u)
}

type opened struct {
	link     *link
	features *Element
}

func (d *dialer) connectTCP(ctx context.Context, targets []target) (*link, *Element, error) {
	won, attempts := race(ctx, targets, d.resolve,
		func(ctx context.Context, t target, a netip.AddrPort, connected func()) (opened, error) {
			conn, err := d.cfg.Dial(ctx, "tcp", a.String())
			if err != nil {
				return opened{}, err
			}
			connected()
			return d.secure(ctx, quickAck(conn), t, a)
		}, func(o opened) { o.link.abort() })
	if won.link != nil {
		return won.link, won.features, nil
	}
	return nil, nil, d.worst(attempts)
}

// secure sets up TLS and the first stream on it.
func (d *dialer) secure(ctx context.Context, conn net.Conn, t target, a netip.AddrPort) (o opened, err error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if !stop() && err == nil { // closed already
			err = context.Cause(ctx)
		}
		if err != nil {
			_ = conn.Close()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
		}
	}()
	l := newLink(&tcpCarrier{conn: conn}, conn, describe(t, a), t.how, d.cfg)
	if t.how == directTLS {
		if err := d.handshake(ctx, l, conn, "xmpp-client"); err != nil { // XEP-0368
			return opened{}, err
		}
		features, err := l.openStream(d.cfg)
		return opened{l, features}, err
	}
	features, err := l.openStream(d.cfg)
	if err != nil {
		return opened{}, err
	}
	if features.Child(nsTLS, "starttls") == nil || d.mayStayPlain(conn, features) {
		if d.plainAllowed(conn) {
			return opened{l, features}, nil
		}
		// A server that does not say so may still do it; RFC 6120 §5.3.1 has no
		// other way to encrypt, so nothing is tried.
		return opened{}, ErrNoEncryption
	}
	if err := l.send(d.cfg.LoginTimeout, []byte(`<starttls xmlns='`+nsTLS+`'/>`)); err != nil {
		return opened{}, err
	}
	e, err := l.mustReceive()
	if err != nil {
		return opened{}, err
	}
	if e.Start.Name.Space != nsTLS || e.Start.Name.Local != "proceed" {
		return opened{}, fmt.Errorf("server refused to encrypt: %w", ErrNoEncryption)
	}
	if l.buffered() > 0 {
		return opened{}, errors.New("data before encryption began; somebody may be between us and the server")
	}
	if err := d.handshake(ctx, l, conn); err != nil {
		return opened{}, err
	}
	features, err = l.openStream(d.cfg)
	return opened{l, features}, err
}

func (d *dialer) handshake(ctx context.Context, l *link, conn net.Conn, alpn ...string) error {
	domain := d.cfg.JID.Domainpart()
	name, err := toASCII(domain)
	if err != nil {
		return &HostNotFoundError{Host: domain, Err: err}
	}
	c := tls.Client(conn, d.tlsConfig(name, alpn...))
	if err := c.HandshakeContext(ctx); err != nil {
		return certificateError(domain, l.addr, err)
	}
	state := c.ConnectionState()
	l.tls = &state
	l.carrier = &tcpCarrier{conn: c}
	l.restart(c)
	l.parser = parser{}
	return nil
}

// certificateError makes a CertificateError of what crypto/tls found.
func certificateError(domain, addr string, err error) error {
	var v *tls.CertificateVerificationError
	if errors.As(err, &v) {
		return &CertificateError{Domain: domain, Addr: addr, Err: v.Err}
	}
	var r tls.RecordHeaderError
	if errors.As(err, &r) {
		return fmt.Errorf("what answers does not speak TLS: %w", err)
	}
	return err
}

func (d *dialer) tlsConfig(name string, alpn ...string) *tls.Config {
	c := d.cfg.TLS.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	c.ServerName = name
	c.NextProtos = alpn
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	c.InsecureSkipVerify = false
	if d.olderTLS {
		c.MaxVersion = tls.VersionTLS12
	}
	if d.cfg.RootCAs != nil {
		c.RootCAs = d.cfg.RootCAs
	}
	return c
}

// plainAllowed reports whether conn may stay without TLS, which only tests ask for.
func (d *dialer) plainAllowed(conn net.Conn) bool {
	if !d.cfg.InsecureLoopback {
		return false
	}
	a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return err != nil || a.Addr().IsLoopback() // not an address: a pipe
}

// mayStayPlain reports whether TLS is offered and left to us, and we do not need it.
func (d *dialer) mayStayPlain(conn net.Conn, features *Element) bool {
	return d.plainAllowed(conn) && features.Child(nsTLS, "starttls").Child(nsTLS, "required") == nil &&
		features.Child(nsSASL, "mechanisms") != nil
}

// worst chooses what to report when nothing worked: what a person must know
// about comes before what may be chance.
func (d *dialer) worst(attempts []Attempt) error {
	for _, a := range attempts {
		var cert *CertificateError
		if errors.As(a.Err, &cert) {
			return cert
		}
	}
	for _, a := range attempts {
		if errors.Is(a.Err, ErrNoEncryption) {
			return fmt.Errorf("%s: %w", a.Addr, ErrNoEncryption)
		}
		var se *StreamError
		if errors.As(a.Err, &se) {
			return fmt.Errorf("%s: %w", a.Addr, se)
		}
	}
	return &UnreachableError{Domain: d.cfg.JID.Domainpart(), Attempts: attempts}
}

// targets lists where to connect to.
func (d *dialer) targets(ctx context.Context) ([]target, error) {
	if d.cfg.Server != "" {
		return explicitTargets(d.cfg.Server)
	}
	domain := d.cfg.JID.Domainpart()
	fallback := []target{{domain, 5222, startTLS}, {domain, 5223, directTLS}}
	if strings.HasPrefix(domain, "[") { // an IPv6 address as domain
		host := strings.Trim(domain, "[]")
		fallback[0].host, fallback[1].host = host, host
		return fallback, nil
	}
	if _, err := netip.ParseAddr(domain); err == nil {
		return fallback, nil
	}
	records, err := d.lookupSRV(ctx, domain)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return fallback, nil
	}
	byPriority(records, rand.IntN)
	targets := make([]target, 0, len(records))
	for _, r := range records {
		targets = append(targets, target{strings.TrimSuffix(r.Target, "."), r.Port, r.how})
	}
	return targets, nil
}

func explicitTargets(server string) ([]target, error) {
	if rest, ok := strings.CutPrefix(server, "tls://"); ok {
		t, err := parseHostPort(rest, 5223)
		t.how = directTLS
		return []target{t}, err
	}
	if rest, ok := strings.CutPrefix(server, "starttls://"); ok {
		t, err := parseHostPort(rest, 5222)
		return []target{t}, err
	}
	t, err := parseHostPort(server, 5222)
	if err != nil {
		return nil, err
	}
	direct := t
	direct.how = directTLS
	if t.port == 5223 || t.port == 443 {
		return []target{direct, t}, nil
	}
	return []target{t, direct}, nil
}

type srvRecord struct {
	*net.SRV
	how method
}

// lookupSRV asks for both kinds of records at once. Without an answer the
// list is empty: the domain itself is tried then.
func (d *dialer) lookupSRV(ctx context.Context, domain string) ([]srvRecord, error) {
	ascii, err := toASCII(domain)
	if err != nil {
		return nil, &HostNotFoundError{Host: domain, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, srvTimeout)
	defer cancel()
	lookup := func(service string, how method) (records []srvRecord, refused bool) {
		_, srvs, err := d.cfg.Resolver.LookupSRV(ctx, service, "tcp", ascii)
		// Records may come together with an error about those left out.
		if err != nil && len(srvs) == 0 {
			d.cfg.Log.Debug("no SRV records", "service", service, "domain", domain, "error", err)
		}
		for _, r := range srvs {
			if r.Target == "." || r.Target == "" {
				refused = true
			} else if r.Port != 0 {
				records = append(records, srvRecord{r, how})
			}
		}
		return records, refused && len(records) == 0
	}
	type answer struct {
		records []srvRecord
		refused bool
	}
	direct := make(chan answer, 1)
	go func() {
		r, refused := lookup("xmpps-client", directTLS)
		direct <- answer{r, refused}
	}()
	records, refused := lookup("xmpp-client", startTLS)
	a := <-direct
	records = append(records, a.records...)
	if len(records) == 0 && refused {
		return nil, &NoServiceError{Domain: domain}
	}
	return records, nil
}

// toASCII returns the name as DNS and certificates spell it.
func toASCII(host string) (string, error) {
	s, err := idna.Lookup.ToASCII(host)
	if err != nil {
		// Names with underscores and the like work in practice.
		for i := range len(host) {
			if host[i] >= 0x80 {
				return "", err
			}
		}
		return strings.ToLower(host), nil
	}
	return s, nil
}

func (d *dialer) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d.cfg.LoginTimeout,
		fmt.Errorf("no login within %v: %w", d.cfg.LoginTimeout.Round(time.Second), context.DeadlineExceeded))
}
