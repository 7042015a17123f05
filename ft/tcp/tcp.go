// Package tcp carries files over direct TCP connections under TLS 1.3.
//
// Both sides listen and both dial every address of the other, so one side that
// can be reached is enough. Certificates are made for the session and pinned
// by the fingerprints in the Jingle elements; nothing else is trusted. The
// initiator takes the first connection that is ready and says so on it.
//
//	Initiator                                   Responder
//	   |--- session-initiate (fingerprint, addresses) -->|
//	   |<-- session-accept (fingerprint, addresses) -----|
//	   |<== TLS 1.3 on every path, both certificates ===>|
//	   |--- one byte: this one ------------------------->|
//	   |<-- the same byte: agreed -----------------------|
//
// README.md beside this file specifies the transport.
package tcp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/addr"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// NS is the namespace of the transport element.
const NS = "https://carillon.im/protocol/jingle/tcp/0"

// Limits of a negotiation.
const (
	maxCandidates    = 16               // of either side; more are dropped
	maxPending       = 8                // incoming connections in their handshake
	handshakeTimeout = 10 * time.Second // from the connection to the chosen byte
	agreeTimeout     = 3 * time.Second  // from the chosen byte to its answer
	dialTimeout      = 10 * time.Second
	patience         = 3 * time.Second // when there is another way to try; time for a lost SYN to be sent again
)

// chosen is the byte that the initiator writes on the connection it takes.
const chosen = 0xCA

// A Transport is the transport element of a content.
type Transport struct {
	XMLName     xml.Name           `xml:"https://carillon.im/protocol/jingle/tcp/0 transport"`
	Fingerprint iceudp.Fingerprint `xml:"urn:xmpp:jingle:apps:dtls:0 fingerprint"`
	Candidates  []Candidate        `xml:"candidate"`
}

// Namespace is NS. It makes Transport a jingle.Transport.
func (*Transport) Namespace() string { return NS }

// Register makes reg decode transports to *Transport.
func Register(reg *jingle.Registry) {
	reg.AddTransport(NS, func() jingle.Transport { return new(Transport) })
}

// A Candidate is an address that accepts connections.
type Candidate struct {
	IP   string `xml:"ip,attr"`
	Port uint16 `xml:"port,attr"`
}

// Carrier makes negotiations. Its zero value is ready to use.
type Carrier struct{}

// Namespace is NS.
func (Carrier) Namespace() string { return NS }

// NeedsNoServices says that STUN and TURN servers are of no use here.
func (Carrier) NeedsNoServices() {}

// Patience is short: a direct connection comes with the first or second try,
// or something drops them all.
func (Carrier) Patience() time.Duration { return patience }

// New begins a negotiation.
func (Carrier) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	if env.RelayOnly {
		return nil, fmt.Errorf("%w: direct connections would show our address", ft.ErrNoPath)
	}
	cert, err := certificate()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &negotiation{
		env: env, role: role, cert: cert, log: env.Log().With("carrier", "tcp"),
		remote: make(chan *Transport, 1),
	}, nil
}

type negotiation struct {
	env    ft.Env
	role   jingle.Role
	cert   tls.Certificate
	log    *slog.Logger
	remote chan *Transport
	got    bool // Remote was called

	mu       sync.Mutex
	listener net.Listener
	closed   bool
}

// Infos has none: every address is in the first element.
func (n *negotiation) Infos() <-chan jingle.Transport { return nil }

// Local begins to listen and says where.
func (n *negotiation) Local(ctx context.Context) (jingle.Transport, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", ":0")
	if err != nil {
		return nil, fmt.Errorf("listen for the peer: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.listener != nil {
		l.Close()
		return nil, net.ErrClosed
	}
	n.listener = l
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	t := &Transport{Fingerprint: iceudp.Fingerprint{Hash: "sha-256", Value: fingerprint(n.cert.Certificate[0])}}
	for _, ip := range addr.Own(n.env.Loopback) {
		if len(t.Candidates) < maxCandidates {
			t.Candidates = append(t.Candidates, Candidate{IP: ip.String(), Port: port})
		}
	}
	return t, nil
}

// Remote takes the peer's element. Only the first counts: addresses do not
// trickle.
func (n *negotiation) Remote(rt jingle.Transport) error {
	t, ok := rt.(*Transport)
	if !ok {
		return fmt.Errorf("transport %q is not %q", rt.Namespace(), NS)
	}
	if n.got {
		return nil
	}
	if t.Fingerprint.Hash != "sha-256" || len(t.Fingerprint.Value) != 3*sha256.Size-1 {
		return errors.New("the peer names no SHA-256 fingerprint of its certificate")
	}
	n.got = true
	n.remote <- t
	return nil
}

// Open returns the first connection that both sides agree on.
func (n *negotiation) Open(ctx context.Context) (ft.Stream, error) {
	var remote *Transport
	select {
	case remote = <-n.remote:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	n.mu.Lock()
	l := n.listener
	n.mu.Unlock()
	if l == nil {
		return nil, net.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &race{n: n, want: remote.Fingerprint.Value, won: make(chan *tls.Conn), slots: make(chan struct{}, maxPending)}
	r.wg.Go(func() { r.accept(ctx, l) })
	r.wg.Go(func() { <-ctx.Done(); l.Close() })
	r.wg.Go(func() { r.dial(ctx, remote.Candidates) })
	defer func() { cancel(); r.wg.Wait() }()

	select {
	case c := <-r.won:
		return newStream(c), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w over TCP: %w", ft.ErrNoPath, context.Cause(ctx))
	}
}

// Close stops listening.
func (n *negotiation) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.listener != nil {
		n.listener.Close()
	}
	return nil
}

// A race makes connections in both directions until one has won.
type race struct {
	n     *negotiation
	want  string // fingerprint of the peer's certificate
	won   chan *tls.Conn
	slots chan struct{}
	wg    sync.WaitGroup

	choose sync.Mutex // held by the initiator while it takes a connection
	taken  bool
}

func (r *race) accept(ctx context.Context, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed when the race is over
		}
		select {
		case r.slots <- struct{}{}:
		default:
			c.Close() // too many at once; the peer's own comes again or dials elsewhere
			continue
		}
		r.wg.Go(func() {
			defer func() { <-r.slots }()
			r.secure(ctx, tls.Server(&gather{Conn: c}, r.config()))
		})
	}
}

// dial tries every address of the peer at once.
func (r *race) dial(ctx context.Context, candidates []Candidate) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range candidates[:min(len(candidates), maxCandidates)] {
		ip, err := netip.ParseAddr(c.IP) // never a name: no DNS for a peer
		if err != nil || !addr.Usable(ip, r.n.env.Loopback) || c.Port == 0 {
			r.n.log.Debug("address of the peer is not tried", "ip", c.IP, "port", c.Port)
			continue
		}
		wg.Go(func() {
			d := net.Dialer{Timeout: dialTimeout}
			conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ip.String(), strconv.Itoa(int(c.Port))))
			if err != nil {
				r.n.log.Debug("address of the peer does not answer", "ip", ip, "err", err)
				return
			}
			r.secure(ctx, tls.Client(&gather{Conn: conn}, r.config()))
		})
	}
}

// config trusts one certificate: the one that Jingle named.
func (r *race) config() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{r.n.cert},
		ClientAuth:   tls.RequireAnyClientCert,
		// The usual verification asks authorities about names; here the
		// fingerprint in the signalling is the authority, see VerifyConnection.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("the peer shows no certificate")
			}
			got := fingerprint(cs.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare([]byte(got), []byte(r.want)) != 1 {
				return errors.New("the certificate is not the one that the signalling names")
			}
			return nil
		},
		SessionTicketsDisabled: true,
	}
}

// secure brings one connection to the point where it is the one, or closes it.
func (r *race) secure(ctx context.Context, c *tls.Conn) {
	stop := context.AfterFunc(ctx, func() { c.NetConn().Close() })
	deadline := time.Now().Add(handshakeTimeout)
	c.SetDeadline(deadline)
	err := c.HandshakeContext(ctx)
	if err == nil {
		err = r.agree(c)
	}
	if err == nil && stop() {
		c.SetDeadline(time.Time{})
		select {
		case r.won <- c:
			return
		case <-ctx.Done():
		}
	}
	if err != nil {
		r.n.log.Debug("connection is not used", "addr", c.RemoteAddr(), "err", err)
	}
	c.NetConn().Close()
}

var errLate = errors.New("another connection was faster")

// agree takes c for the session: the initiator writes the byte on one
// connection at a time, the responder gives it back. The answer is needed
// because a TLS client is through before the server has looked at its
// certificate.
func (r *race) agree(c *tls.Conn) error {
	if r.n.role == jingle.Responder {
		if err := readChosen(c); err != nil {
			return err
		}
		_, err := c.Write([]byte{chosen})
		return err
	}
	r.choose.Lock()
	defer r.choose.Unlock()
	if r.taken {
		return errLate
	}
	c.SetDeadline(time.Now().Add(agreeTimeout))
	if _, err := c.Write([]byte{chosen}); err != nil {
		return err
	}
	if err := readChosen(c); err != nil {
		return err
	}
	r.taken = true
	return nil
}

func readChosen(c *tls.Conn) error {
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if b[0] != chosen {
		return fmt.Errorf("first byte is %#x", b[0])
	}
	return nil
}

// certificate makes a certificate for one session.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{SerialNumber: serial, NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// fingerprint returns the SHA-256 of a certificate as XEP-0320 writes it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	b := make([]byte, 0, 3*len(sum))
	for i, x := range sum {
		if i > 0 {
			b = append(b, ':')
		}
		b = fmt.Appendf(b, "%02X", x)
	}
	return string(b)
}
