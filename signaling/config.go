package signaling

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
)

// These are what the stream below knows; see [Hint] for its errors.
type (
	// A Secret is a text that never shows in logs.
	Secret = stream.Secret
	// Pins remember the strongest SASL mechanism that an account was seen to
	// support, so that nobody in between can later make us use a weaker one.
	Pins = stream.Pins
	// A Resolver looks up names. [*net.Resolver] is one.
	Resolver = stream.Resolver
	// WebSocketUse says when a WebSocket carries the stream.
	WebSocketUse = stream.WebSocketUse
	// A StanzaDirection tells what was sent from what was received.
	StanzaDirection = stream.Direction
	// A Stanza is one message, presence or iq that arrived, bounded in size.
	Stanza = stream.Stanza
	// An Element is one XML element of a stanza.
	Element = stream.Element
)

// The values of WebSocketUse and StanzaDirection.
const (
	WebSocketFallback = stream.WebSocketFallback // when TCP cannot reach the server
	WebSocketNever    = stream.WebSocketNever
	WebSocketOnly     = stream.WebSocketOnly

	Received = stream.Received
	Sent     = stream.Sent
)

// Reasons why [Dial] fails, and why a [Client] is over. See [Hint].
type (
	AuthError         = stream.AuthError         // the server refused the login
	CertificateError  = stream.CertificateError  // the server did not prove who it is
	DowngradeError    = stream.DowngradeError    // only weaker mechanisms than before
	HostNotFoundError = stream.HostNotFoundError // the domain has no address
	NoMechanismError  = stream.NoMechanismError  // no common way to log in
	ServerProofError  = stream.ServerProofError  // the server does not know the password
	StreamError       = stream.StreamError       // an error that ended the stream
	UnreachableError  = stream.UnreachableError  // no server could be connected to
	AnswerError       = stream.AnswerError       // an IQ was answered with an error
)

// Hint returns one lower-case line about what to do about err, or "".
func Hint(err error) string { return stream.Hint(err) }

// A StrangerPolicy says what happens to calls of people who may not see our
// presence: any sign of life tells them that we are online. XEP-0353#security
type StrangerPolicy string

// The policies for strangers.
const (
	// StrangersQuiet shows their calls to the user and tells them nothing
	// before the user answers. It is the default. Sessions without a proposal
	// are refused as if nobody were here.
	StrangersQuiet StrangerPolicy = ""
	// StrangersNone does not show their calls at all.
	StrangersNone StrangerPolicy = "none"
	// StrangersRing treats them as contacts.
	StrangersRing StrangerPolicy = "ring"
)

// A BusyPolicy says what happens to calls that come in during a call.
type BusyPolicy string

// The policies for a second call.
const (
	// BusyReject answers "busy", unless another device of the account can take
	// calls and may be free: then this device says nothing. It is the default.
	BusyReject BusyPolicy = ""
	// BusyRing lets them ring; the user decides.
	BusyRing BusyPolicy = "ring"
)

// A Config says who we are. JID and Password are needed; the zero value of
// everything else works.
type Config struct {
	// JID is the account, as in "alice@example.org". A resource in it names
	// this device, as in "alice@example.org/kitchen"; without one a new name
	// is made up, so that strangers cannot guess it.
	JID jid.JID
	// Password of the account.
	Password Secret

	// Server overrides discovery by DNS: "host", "host:port" (STARTTLS and
	// direct TLS are both tried), "tls://host:port", "starttls://host:port",
	// or the "wss://" address of a WebSocket.
	Server string
	// WebSocket says when RFC 7395 is used. Zero means when TCP fails.
	WebSocket WebSocketUse
	// RootCAs verify the server. Nil means those of the system.
	RootCAs *x509.CertPool
	// Wanted says whose calls are taken. Those of others are as if this device
	// took none: no sign of life, no entry in Incoming. Nil means everybody's.
	Wanted func(jid.JID) bool
	// AllowPlain permits SASL PLAIN (over TLS) when nothing stronger is offered.
	AllowPlain bool
	// Pins remembers the strongest SASL mechanism of each account. Nil
	// remembers nothing beyond the life of the Client.
	Pins Pins
	// Resolver is asked for SRV records and addresses. Nil means the system's.
	Resolver Resolver
	// Dial opens connections. Nil means a [net.Dialer].
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// InsecureLoopback permits streams without TLS to loopback addresses. Tests only.
	InsecureLoopback bool

	// Name is the software, shown to contacts. Empty means "Carillon".
	Name string
	// Version of the software, told to those who may see our presence. May be empty.
	Version string
	// Node is the URL that identifies the software in entity capabilities.
	// Empty means that of Carillon.
	Node string
	// Features are advertised besides those that the client itself implements.
	// See [CallFeatures] for what a media stack of calls needs.
	Features []string
	// NoCalls takes the features of calls away: this client is not for calls.
	NoCalls bool
	// Registry decodes Jingle. Nil means [NewRegistry].
	Registry *jingle.Registry
	// Invisible sends no presence: contacts cannot see nor call this device.
	Invisible bool
	// Priority of our presence.
	Priority int8
	// Status is shown to contacts. May be empty.
	Status string

	// Strangers says what happens to calls of people who may not see our presence.
	Strangers StrangerPolicy
	// Busy says what happens to calls that come in during a call.
	Busy BusyPolicy
	// RingTimeout ends an unanswered call, outgoing or incoming. Zero means 60
	// seconds; negative means never.
	RingTimeout time.Duration

	// MaxPerPeer is how many calls, and how many sessions, there may be at once
	// with one JID that is no person, such as a gateway or the peer of a load
	// test: they do not disturb each other. Zero means a person: 8 at most, and a
	// call that is accepted goes on in place of the one that was running.
	MaxPerPeer int

	// History keeps call records. Nil keeps none; the records still come as
	// events ([CallRecorded]).
	History History
	// CatchUp is how far back the archive of the server is read for calls that
	// this device did not see, the first time; later the History knows where to go
	// on. Zero means 7 days with a History, and not at all without one; negative
	// means not at all.
	CatchUp time.Duration

	// Log gets one line per event. Nil discards.
	Log *slog.Logger
	// LogStanza is called with everything sent and received, SASL redacted. It
	// must not keep the bytes nor block, and may be called from two goroutines
	// at once.
	LogStanza func(dir StanzaDirection, xml []byte)

	sideBySide bool // MaxPerPeer was given
}
