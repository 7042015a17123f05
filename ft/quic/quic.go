// Package quic carries files over QUIC (RFC 9000), on the path that ICE finds
// between the devices: straight through NATs, or through a TURN relay.
//
// Certificates are made for the session and pinned by the fingerprints in the
// Jingle elements; nothing else is trusted.
//
//	Initiator                                          Responder
//	   |--- session-initiate (ICE, fingerprint) ---------->|
//	   |<-- session-accept (ICE, fingerprint) -------------|
//	   |<-- transport-info (candidate) ------------------->|
//	   |<== ICE: connectivity checks =====================>|
//	   |=== four QUIC connections, both certificates =====>|
//	   |--- two bytes on the stream of each -------------->|
//	   |<-- the same bytes: agreed ------------------------|
//
// One connection would do, and does not fill a long line: what it sends falls
// by a third with a lost packet and takes ten seconds to come back.
//
// QUIC has the UDP socket itself, and ICE lives on the packets that are not
// QUIC's (RFC 9443); that keeps the offloads of the kernel and the discovery of
// the path's packet size. Where our end of the path is a relay, the same QUIC
// runs over the ICE connection instead.
//
// README.md beside this file specifies the transport.
package quic

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/quic-go/quic-go"
)

// NS is the namespace of the transport element.
const NS = "https://carillon.im/protocol/jingle/quic/0"

// Limits of a connection.
const (
	lanes            = 4                // connections of a stream
	maxPending       = 12               // connections at once, those of strangers at our port included
	handshakeTimeout = 5 * time.Second  // without a packet
	idleTimeout      = 20 * time.Second // without a packet, afterwards
	keepalive        = 5 * time.Second
)

// alpn names the protocol on the connection. RFC 7301
const alpn = "carillon-jingle/0"

// agreed is the byte that opens the stream of a connection.
const agreed = 0xCA

// A Transport is the transport element of a content.
type Transport struct {
	XMLName xml.Name          `xml:"https://carillon.im/protocol/jingle/quic/0 transport"`
	ICE     *iceudp.Transport `xml:"urn:xmpp:jingle:transports:ice-udp:1 transport"`
}

// Namespace is NS. It makes Transport a jingle.Transport.
func (*Transport) Namespace() string { return NS }

// Register makes reg decode transports to *Transport.
func Register(reg *jingle.Registry) {
	reg.AddTransport(NS, func() jingle.Transport { return new(Transport) })
}

// Carrier makes negotiations. Its zero value is ready to use.
type Carrier struct{}

// Namespace is NS.
func (Carrier) Namespace() string { return NS }

// New begins a negotiation.
func (Carrier) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	id, err := icepath.NewIdentity()
	if err != nil {
		return nil, err
	}
	n := &negotiation{role: role, log: env.Log().With("carrier", "quic"), id: id, pinned: make(chan struct{})}
	n.path, err = icepath.New(icepath.Config{
		Env: env, Role: role, Inline: true, Share: n.share,
		Element: func(t *iceudp.Transport) jingle.Transport { return &Transport{ICE: t} },
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

type negotiation struct {
	role   jingle.Role
	log    *slog.Logger
	id     *icepath.Identity
	path   *icepath.Path
	pinned chan struct{} // closed when pin is set

	mu       sync.Mutex
	pin      icepath.Pin
	socket   *quic.Transport // nil when only relays are used
	listener *quic.Listener  // on the socket, of the responder
	given    bool            // the path belongs to a stream
}

func (n *negotiation) Infos() <-chan jingle.Transport { return n.path.Infos() }

// share gives ICE its part of the socket. It runs in path.Local.
func (n *negotiation) share(u *net.UDPConn) net.PacketConn {
	tr := transport(u)
	n.mu.Lock()
	n.socket = tr
	n.mu.Unlock()
	return newRest(tr, u)
}

// Local opens the socket and says how to reach it.
func (n *negotiation) Local(ctx context.Context) (jingle.Transport, error) {
	t, err := n.path.Local(ctx)
	if err != nil {
		return nil, err
	}
	t.Fingerprints = []iceudp.Fingerprint{n.id.Fingerprint}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.role == jingle.Responder && n.socket != nil { // before the peer can know of it
		if n.listener, err = n.socket.Listen(n.tls(), config()); err != nil {
			return nil, fmt.Errorf("listen for QUIC: %w", err)
		}
	}
	return &Transport{ICE: t}, nil
}

// Remote takes the peer's element. The fingerprint of the first counts.
func (n *negotiation) Remote(rt jingle.Transport) error {
	t, ok := rt.(*Transport)
	if !ok {
		return fmt.Errorf("transport %q is not %q", rt.Namespace(), NS)
	}
	if t.ICE == nil {
		return errors.New("the peer says nothing about ICE")
	}
	select {
	case <-n.pinned:
	default:
		pin, _, err := icepath.NewPin(t.ICE.Fingerprints)
		if err != nil {
			return err
		}
		n.mu.Lock()
		n.pin = pin
		n.mu.Unlock()
		close(n.pinned)
	}
	return n.path.Remote(t.ICE)
}

// Close ends the negotiation.
func (n *negotiation) Close() error {
	n.mu.Lock()
	given := n.given
	n.mu.Unlock()
	if given {
		return nil
	}
	return n.path.Close()
}

// Open finds the path, secures it and agrees on the stream.
func (n *negotiation) Open(ctx context.Context) (ft.Stream, error) {
	ice, pair, err := n.path.Connect(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	tr, ln := n.socket, n.listener
	n.mu.Unlock()
	var relayed *quic.Transport
	if !pair.Direct() {
		relayed = transport(&overICE{Conn: ice, peer: pair.Peer})
		if n.role == jingle.Responder {
			if ln, err = relayed.Listen(n.tls(), config()); err != nil {
				relayed.Close()
				return nil, fmt.Errorf("listen for QUIC: %w", err)
			}
		}
		tr = relayed
	}
	s, err := n.agree(ctx, tr, ln, pair)
	if err != nil {
		if relayed != nil {
			relayed.Close()
		}
		return nil, fmt.Errorf("%w over QUIC: %w", ft.ErrNoPath, err)
	}
	s.path, s.relayed, s.info = n.path, relayed, pair.Info("quic")
	n.mu.Lock()
	n.given = true
	n.mu.Unlock()
	return s, nil
}

// agree opens the connections and their streams, all at once.
func (n *negotiation) agree(ctx context.Context, tr *quic.Transport, ln *quic.Listener, pair icepath.Pair) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg sync.WaitGroup
		mu sync.Mutex
		by = make([]lane, lanes)
	)
	for i := range lanes {
		wg.Go(func() {
			number, l, err := n.lane(ctx, tr, ln, pair, i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && by[number].conn != nil {
				l.conn.CloseWithError(codeCut, "")
				err = fmt.Errorf("connection %d comes twice", number)
			}
			if err != nil {
				cancel(err)
				return
			}
			by[number] = l
		})
	}
	wg.Wait()
	if ln != nil {
		ln.Close() // there are enough; what was accepted stays
	}
	if err := context.Cause(ctx); err != nil {
		for _, l := range by {
			if l.conn != nil {
				l.conn.CloseWithError(codeCut, "")
			}
		}
		return nil, err
	}
	return newStream(by), nil
}

// lane opens one connection and its stream. The answer to the first bytes is
// needed because a TLS client is through before the server has looked at its
// certificate.
func (n *negotiation) lane(ctx context.Context, tr *quic.Transport, ln *quic.Listener, pair icepath.Pair, i int) (number int, l lane, err error) {
	if n.role == jingle.Initiator {
		l.conn, err = tr.Dial(ctx, pair.Peer, n.tls(), config())
	} else {
		l.conn, err = ln.Accept(ctx)
	}
	if err != nil {
		return 0, lane{}, err
	}
	conn := l.conn // l is set anew on return
	stop := context.AfterFunc(ctx, func() { conn.CloseWithError(codeCut, "") })
	if n.role == jingle.Initiator {
		number = i
		if l.str, err = l.conn.OpenStreamSync(ctx); err == nil {
			if _, err = l.str.Write([]byte{agreed, byte(i)}); err == nil {
				var answer int
				if answer, err = readAgreed(l.str); err == nil && answer != i {
					err = fmt.Errorf("connection %d is answered as %d", i, answer)
				}
			}
		}
	} else if l.str, err = l.conn.AcceptStream(ctx); err == nil {
		if number, err = readAgreed(l.str); err == nil {
			_, err = l.str.Write([]byte{agreed, byte(number)})
		}
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.CloseWithError(codeCut, "")
		return 0, lane{}, err
	}
	return number, l, nil
}

// readAgreed reads the first bytes of a connection: which one it is.
func readAgreed(r io.Reader) (number int, err error) {
	var b [2]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	if b[0] != agreed || b[1] >= lanes {
		return 0, fmt.Errorf("first bytes are %#x", b)
	}
	return int(b[1]), nil
}

// tls trusts one certificate: the one that Jingle named.
func (n *negotiation) tls() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{alpn},
		Certificates: []tls.Certificate{n.id.Certificate},
		ClientAuth:   tls.RequireAnyClientCert,
		ServerName:   "session", // says nothing; an address would
		// The usual verification asks authorities about names; here the
		// fingerprint in the signalling is the authority, see VerifyConnection.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			n.mu.Lock()
			pin := n.pin
			n.mu.Unlock()
			certs := make([][]byte, 0, 1)
			for _, c := range cs.PeerCertificates {
				certs = append(certs, c.Raw)
			}
			return pin.Check(certs)
		},
		SessionTicketsDisabled: true,
	}
}

// config has windows that fill a long fat path, all connections together: 16 MiB
// are 130 ms at 1 Gbit/s.
func config() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 idleTimeout,
		KeepAlivePeriod:                keepalive,
		InitialStreamReceiveWindow:     1 << 20,
		MaxStreamReceiveWindow:         4 << 20,
		InitialConnectionReceiveWindow: 2 << 20,
		MaxConnectionReceiveWindow:     5 << 20,
		MaxIncomingStreams:             1,
		MaxIncomingUniStreams:          1,
	}
}

// transport prepares QUIC on c.
func transport(c net.PacketConn) *quic.Transport {
	var pending atomic.Int32
	return &quic.Transport{
		Conn: c,
		// Strangers who find the port must not make us work.
		ConnContext: func(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
			if pending.Add(1) > maxPending {
				pending.Add(-1)
				return nil, errors.New("too many connections at once")
			}
			context.AfterFunc(ctx, func() { pending.Add(-1) })
			return ctx, nil
		},
	}
}
