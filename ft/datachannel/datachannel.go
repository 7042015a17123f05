// Package datachannel carries files over WebRTC data channels (RFC 8831): SCTP
// over DTLS on the path that ICE finds. It is what Conversations and its kin
// have, and in another signalling ([XEP0343]) Psi and stanza.js.
//
//	Initiator                                          Responder
//	   |--- session-initiate (ICE, fingerprint actpass) -->|
//	   |<-- session-accept (ICE, fingerprint active) ------|
//	   |<-- transport-info (one candidate) --------------->|
//	   |<== ICE: connectivity checks =====================>|
//	   |<== DTLS, both certificates; SCTP =================|
//	   |--- channel "test": what the initiator writes ---->|
//	   |<-- channel "test": what the responder writes -----|
//
// Each side makes a channel, writes to its own and reads from the other's.
// Nothing on the wire ends a file: whoever receives counts its bytes and ends
// the session, so a sender does not close before.
//
// The parts of pion are used without its PeerConnection, which has no way to
// set the buffers of the socket and the options of SCTP, and would translate
// everything to SDP and back.
package datachannel

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/sctp"
)

// Limits of a connection.
const (
	window     = 8 << 20  // bytes of SCTP on their way to us; the usual 1 MiB is 10 MB/s at 100 ms
	messageMax = 16 << 10 // bytes of a message of ours. interop Conversations 2.19: its pipe holds no more
	messageMin = 1 << 10  // bytes that a peer must take in a message
)

// How channels are made.
//
// interop Conversations 2.19: these very words.
const (
	labelDeployed    = "test"
	protocolDeployed = "xmpp-jingle"
	labelXEP         = "filetransfer" // interop stanza.js 12
)

// Carrier makes negotiations as Conversations has them. Its zero value is ready
// to use.
type Carrier struct{}

// Namespace is that of the deployed transport.
func (Carrier) Namespace() string { return datachannel.NS }

// Bundled says that the content is alone in a BUNDLE group, as libwebrtc has
// it.
//
// interop Conversations 2.19
func (Carrier) Bundled() {}

// New begins a negotiation.
func (Carrier) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	return start(env, role, deployed{})
}

// XEP0343 makes negotiations as XEP-0343 describes them, in the transport of
// ICE itself. Its zero value is ready to use.
type XEP0343 struct{}

// Namespace is that of ICE.
func (XEP0343) Namespace() string { return iceudp.NS }

// Features are those of XEP-0343#registrar-features: ICE alone says nothing of channels.
func (XEP0343) Features() []string { return []string{iceudp.NS, datachannel.NSMap} }

// New begins a negotiation.
func (XEP0343) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	return start(env, role, mapped{})
}

// A dialect is a way to write what is negotiated.
type dialect interface {
	// first makes the element of Local, and info those after it.
	first(*iceudp.Transport) jingle.Transport
	info(*iceudp.Transport) jingle.Transport
	// read takes an element of the peer. What it says of SCTP counts in the
	// first one.
	read(rt jingle.Transport, first bool) (t *iceudp.Transport, port uint16, max uint32, err error)
	// channel says how ours is made, and whether before there is something to
	// write.
	channel(jingle.Role) (label, protocol string, atOnce bool)
}

type deployed struct{}

func (deployed) first(t *iceudp.Transport) jingle.Transport {
	return &datachannel.Transport{SCTPPort: datachannel.Port, MaxMessageSize: datachannel.MaxMessageSize, ICE: t}
}

func (d deployed) info(t *iceudp.Transport) jingle.Transport { return d.first(t) }

func (deployed) read(rt jingle.Transport, _ bool) (*iceudp.Transport, uint16, uint32, error) {
	t, ok := rt.(*datachannel.Transport)
	if !ok {
		return nil, 0, 0, fmt.Errorf("transport %q is not %q", rt.Namespace(), datachannel.NS)
	}
	if t.ICE == nil {
		return nil, 0, 0, errors.New("the peer says nothing about ICE")
	}
	return t.ICE, t.SCTPPort, t.MaxMessageSize, nil
}

func (deployed) channel(jingle.Role) (string, string, bool) {
	return labelDeployed, protocolDeployed, true
}

type mapped struct{}

func (mapped) first(t *iceudp.Transport) jingle.Transport {
	datachannel.WithMap(t, datachannel.SCTPMap{Number: datachannel.Port, Protocol: datachannel.Protocol, Streams: 1024})
	return t
}

func (mapped) info(t *iceudp.Transport) jingle.Transport { return t }

func (mapped) read(rt jingle.Transport, first bool) (*iceudp.Transport, uint16, uint32, error) {
	t, ok := rt.(*iceudp.Transport)
	if !ok {
		return nil, 0, 0, fmt.Errorf("transport %q is not %q", rt.Namespace(), iceudp.NS)
	}
	if !first {
		return t, 0, 0, nil
	}
	m, err := datachannel.MapOf(t)
	return t, m.Number, datachannel.DefaultMaxMessageSize, err
}

// interop stanza.js 12: the one who sends makes the only channel, and another
// one would be taken for it.
func (mapped) channel(r jingle.Role) (string, string, bool) {
	return labelXEP, "", r == jingle.Initiator
}

func start(env ft.Env, role jingle.Role, d dialect) (ft.Negotiation, error) {
	id, err := icepath.NewIdentity()
	if err != nil {
		return nil, err
	}
	n := &negotiation{role: role, dialect: d, id: id, log: env.Log().With("carrier", "datachannel"), pinned: make(chan struct{})}
	// interop Conversations 2.19: candidates come after the first element.
	n.path, err = icepath.New(icepath.Config{Env: env, Role: role, Element: d.info, Split: true})
	if err != nil {
		return nil, err
	}
	return n, nil
}

type negotiation struct {
	role    jingle.Role
	dialect dialect
	id      *icepath.Identity
	log     *slog.Logger
	path    *icepath.Path
	pinned  chan struct{} // closed when the following are set

	mu         sync.Mutex
	pin        icepath.Pin
	setup      iceudp.Setup // of the peer
	maxMessage uint32
	given      bool // the path belongs to a stream
}

func (n *negotiation) Infos() <-chan jingle.Transport { return n.path.Infos() }

// Local opens the socket and says how we secure it.
func (n *negotiation) Local(ctx context.Context) (jingle.Transport, error) {
	t, err := n.path.Local(ctx)
	if err != nil {
		return nil, err
	}
	f := n.id.Fingerprint
	f.Setup = iceudp.ActPass
	if n.role == jingle.Responder {
		f.Setup = iceudp.Passive
		if n.client() {
			f.Setup = iceudp.Active
		}
	}
	t.Fingerprints = []iceudp.Fingerprint{f}
	return n.dialect.first(t), nil
}

// client reports whether we begin the DTLS handshake. RFC 5763 §5
func (n *negotiation) client() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.role == jingle.Responder {
		return n.setup != iceudp.Active
	}
	return n.setup == iceudp.Passive
}

// Remote takes the peer's element. What the first says of security counts.
func (n *negotiation) Remote(rt jingle.Transport) error {
	first := true
	select {
	case <-n.pinned:
		first = false
	default:
	}
	t, port, maxMessage, err := n.dialect.read(rt, first)
	if err != nil {
		return err
	}
	if first {
		pin, setup, err := icepath.NewPin(t.Fingerprints)
		if err != nil {
			return err
		}
		if maxMessage == 0 { // any
			maxMessage = datachannel.MaxMessageSize
		}
		if port != datachannel.Port || maxMessage < messageMin {
			return fmt.Errorf("SCTP port %d with messages of at most %d bytes", port, maxMessage)
		}
		n.mu.Lock()
		n.pin, n.setup, n.maxMessage = pin, setup, maxMessage
		n.mu.Unlock()
		close(n.pinned)
	}
	return n.path.Remote(t)
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

// Open finds the path, secures it and makes our channel.
func (n *negotiation) Open(ctx context.Context) (ft.Stream, error) {
	conn, pair, err := n.path.Connect(ctx)
	if err != nil {
		return nil, err
	}
	client := n.client()
	sec, err := n.secure(ctx, conn, client)
	if err != nil {
		return nil, fmt.Errorf("%w: DTLS: %w", ft.ErrNoPath, err)
	}
	n.mu.Lock()
	maxMessage := n.maxMessage
	n.mu.Unlock()
	assoc, err := sctp.ClientContext(ctx, // both sides begin. RFC 8832 §4
		sctp.WithNetConn(sec),
		sctp.WithMaxReceiveBufferSize(window),
		sctp.WithMaxMessageSize(maxMessage),
		sctp.WithLoggerFactory(icepath.Logger(n.log)),
	)
	if err != nil {
		sec.Close()
		return nil, fmt.Errorf("%w: SCTP: %w", ft.ErrNoPath, err)
	}
	label, protocol, atOnce := n.dialect.channel(n.role)
	s := newStream(streamConfig{
		assoc: assoc, path: n.path, info: pair.Info("datachannel"), log: n.log,
		label: label, protocol: protocol, first: client, max: min(messageMax, int(maxMessage)),
	})
	if atOnce {
		if err := s.makeChannel(); err != nil {
			s.abort()
			return nil, fmt.Errorf("%w: %w", ft.ErrNoPath, err)
		}
	}
	n.mu.Lock()
	n.given = true
	n.mu.Unlock()
	return s, nil
}

// secure trusts one certificate: the one that Jingle named.
func (n *negotiation) secure(ctx context.Context, conn net.Conn, client bool) (*dtls.Conn, error) {
	n.mu.Lock()
	pin := n.pin
	n.mu.Unlock()
	both := []dtls.Option{
		dtls.WithCertificates(n.id.Certificate),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithLoggerFactory(icepath.Logger(n.log)),
		// interop libwebrtc: asks for SRTP whether there is media or not, and
		// hangs up when there is none.
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		// The usual verification asks authorities about names; here the
		// fingerprint in the signalling is the authority.
		dtls.WithInsecureSkipVerify(true),
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error { return pin.Check(raw) }),
	}
	var (
		sec *dtls.Conn
		err error
	)
	packets, peer := dtlsnet.PacketConnFromConn(conn), conn.RemoteAddr()
	if client {
		var opts []dtls.ClientOption
		for _, o := range both {
			opts = append(opts, o)
		}
		sec, err = dtls.ClientWithOptions(packets, peer, opts...)
	} else {
		opts := []dtls.ServerOption{
			dtls.WithClientAuth(dtls.RequireAnyClientCert),
			dtls.WithInsecureSkipVerifyHello(true), // ICE has shown that the address is the peer's
		}
		for _, o := range both {
			opts = append(opts, o)
		}
		sec, err = dtls.ServerWithOptions(packets, peer, opts...)
	}
	if err != nil {
		return nil, err
	}
	if err := sec.HandshakeContext(ctx); err != nil {
		sec.Close()
		return nil, err
	}
	return sec, nil
}
