package ft

import (
	"context"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// A Carrier is one way to carry bytes between two devices: it makes a
// [Negotiation] for one content. The carriers are in the packages below this
// one; each works alone. What else there is to know of one, optional methods
// say: NeedsNoServices (see Env), Features (see the function of that name), Bundled
// (offered in a BUNDLE group, XEP-0338), Patience (how long it needs to look for
// a path when another carrier comes after it), Covers (the namespaces of carriers
// that need not be tried after this one found no path).
type Carrier interface {
	// Namespace is that of the jingle transport the carrier negotiates.
	Namespace() string
	// New begins a negotiation. It opens nothing yet.
	New(env Env, role jingle.Role) (Negotiation, error)
}

// A Bytestreamer is a carrier that can also do without Jingle, for clients that
// negotiate files by XEP-0095.
type Bytestreamer interface {
	Carrier
	// Method is its name as a stream-method: the namespace of the bytestream.
	Method() string
	// DialStream opens the bytestream sid to env.Peer.
	DialStream(ctx context.Context, env Env, sid string) (Stream, error)
	// ListenStream makes ready for env.Peer to open the bytestream sid. open
	// waits for that; it may be called until close.
	ListenStream(env Env, sid string) (open func(context.Context) (Stream, error), close func())
}

// A Negotiation takes the transport of one content from the offer to a stream.
// One goroutine calls Local and Remote; Open runs beside it.
type Negotiation interface {
	// Local returns what goes into our session-initiate, session-accept or
	// transport-replace. The responder calls it after Remote.
	Local(ctx context.Context) (jingle.Transport, error)
	// Remote takes what came in the peer's initiate, accept, replace or
	// transport-info. An error ends the negotiation.
	Remote(jingle.Transport) error
	// Infos yields what is to be sent in transport-infos. It is never closed,
	// and nil when the carrier has none.
	Infos() <-chan jingle.Transport
	// Open returns the stream once there is one, or why this carrier cannot.
	Open(ctx context.Context) (Stream, error)
	// Close ends what is open, but not a stream that Open returned.
	Close() error
}

// A Stream carries bytes reliably and in order. What arrives before the peer's
// CloseWrite ends with io.EOF; a stream that breaks ends with another error.
type Stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// CloseWrite says that nothing more will be written.
	CloseWrite() error
	Info() StreamInfo
}

// A StreamInfo says how a stream travels.
type StreamInfo struct {
	Kind    string // "tcp", "quic", "datachannel", "s5b" or "ibb"
	Relayed bool   // through a relay or proxy
	Local   string // type of the local candidate: "host", "srflx", "relay", "proxy"; empty when there is none
	Remote  string
}

// ErrNoPath reports that a carrier found no way to the peer; another may.
var ErrNoPath = errors.New("no path to the peer")

// A Secret does not show itself in logs.
type Secret string

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// String returns a placeholder.
func (Secret) String() string { return "[redacted]" }

// A Service is a STUN or TURN server.
type Service struct {
	URL      string // as in RFC 7064 and RFC 7065: "stun:host:port", "turn:host:port?transport=udp"
	Username string
	Password Secret
}

// An Env is what a carrier may know and use.
type Env struct {
	SID     string // of the session
	Content string // name of the content
	Local   jid.JID
	Peer    jid.JID
	// RelayOnly keeps our addresses from the peer.
	RelayOnly bool
	// Loopback offers and tries loopback addresses too. Without it they are
	// refused, so that no peer makes us talk to services of this machine.
	Loopback bool
	// Services are STUN and TURN servers. FindServices, if not nil, is asked for
	// more, once in a transfer, before the first carrier that does not have a
	// method NeedsNoServices.
	Services     []Service
	FindServices func(context.Context) []Service
	// RootCAs verify TURN servers over TLS. Nil means those of the system.
	RootCAs *x509.CertPool
	// Ask sends an IQ and returns a function that waits for the payload of its
	// answer; an error answer comes back as an error. Stanzas leave in the
	// order of the calls. Nil when the carrier has no way to send stanzas.
	Ask func(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (wait func(context.Context) (xml.TokenReader, error), err error)
	// HandleIQ registers who takes IQ sets whose payload has the namespace. An
	// error from h becomes the IQ error. Several may take one namespace: those
	// who answer item-not-found leave it to the next. Nil when there is no way.
	HandleIQ func(ns string, h func(from jid.JID, payload xml.TokenReader) error) (remove func())
	// ServeIQ is HandleIQ for answers with a payload, or that take time: h
	// returns false to leave the request to the next, or calls answer once, now
	// or later. Only transfers without Jingle need it.
	ServeIQ func(ns string, h func(from jid.JID, payload xml.TokenReader, answer func(result any, err error)) bool) (remove func())
	// Logger receives one line per event. Nil discards.
	Logger *slog.Logger
}

// Log returns the logger, which is never nil.
func (e Env) Log() *slog.Logger {
	if e.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Logger
}

// IQ sends an IQ and waits for the payload of its answer. Env.Ask is not nil.
func (e Env) IQ(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (xml.TokenReader, error) {
	wait, err := e.Ask(ctx, to, typ, payload)
	if err != nil {
		return nil, err
	}
	return wait(ctx)
}
