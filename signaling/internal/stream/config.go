package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"mellium.im/xmpp/jid"
)

// A Config says whose stream it is and how to reach the server. Only JID and
// Password are needed.
type Config struct {
	// JID is the account. A resource in it is asked for; the server may choose another.
	JID jid.JID
	// Password of the account.
	Password Secret
	// AllowPlain permits SASL PLAIN, which shows the password to the server, when
	// the server offers nothing stronger. TLS protects it on the way.
	AllowPlain bool
	// Pins remembers the strongest SASL mechanism of each account. Nil remembers
	// nothing beyond the life of the Stream.
	Pins Pins

	// Server overrides discovery by DNS: "host", "host:port" (STARTTLS and direct
	// TLS are both tried), "tls://host:port" (direct TLS only),
	// "starttls://host:port", or the "wss://" address of a WebSocket.
	Server string
	// Resolver is asked for SRV records and addresses. Nil means [net.DefaultResolver].
	Resolver Resolver
	// Dial opens connections, also those of WebSockets. Nil means a [net.Dialer].
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// WebSocket says when RFC 7395 is used.
	WebSocket WebSocketUse

	// RootCAs verify the server. Nil means those of the system.
	RootCAs *x509.CertPool
	// TLS may adjust TLS further. ServerName, NextProtos and a MinVersion below
	// TLS 1.2 are ignored, and RootCAs above wins when both are set.
	TLS *tls.Config
	// InsecureLoopback permits streams without TLS to loopback addresses and
	// over connections that are no network connections. Tests only.
	InsecureLoopback bool

	// Lang is the language of error texts we would like. Empty says nothing.
	Lang string

	// LoginTimeout bounds one attempt to connect and log in. Zero means 30 s.
	LoginTimeout time.Duration
	// DeadAfter is how long a connection may be silently dead before we notice:
	// we ask after two thirds of it without a byte. Zero means 30 s.
	DeadAfter time.Duration
	// QuickDeadAfter replaces DeadAfter while [Stream.SetQuick] is on, as during
	// a call. Zero means 9 s.
	QuickDeadAfter time.Duration
	// MinBackoff is the wait before the first attempt to reconnect; it doubles up
	// to MaxBackoff, with jitter, and goes on growing when connections live for
	// seconds only. Zero means 500 ms and 60 s. The very first attempt after a
	// connection that had worked is made at once.
	MinBackoff, MaxBackoff time.Duration
	// CloseTimeout bounds the farewell of Close. Zero means 3 s.
	CloseTimeout time.Duration
	// MaxStanza is the largest stanza accepted, in bytes. Zero means 256 KiB.
	MaxStanza int

	// MayKnow reports whether somebody may know that we are online. What the
	// stream itself answers to others is what a server says for somebody offline.
	// It must not wait. Nil means everybody.
	MayKnow func(jid.JID) bool

	// Log gets one line per event. Nil discards.
	Log *slog.Logger
	// LogStanza is called with everything sent and received, SASL redacted. It
	// must not keep the bytes nor block, and may be called from two goroutines
	// at once (one per direction).
	LogStanza func(dir Direction, xml []byte)
}

// WebSocketUse says when a WebSocket carries the stream.
type WebSocketUse uint8

const (
	WebSocketFallback WebSocketUse = iota // when TCP cannot reach the server
	WebSocketNever
	WebSocketOnly
)

// A Direction tells what was sent from what was received.
type Direction uint8

const (
	Received Direction = iota
	Sent
)

func (d Direction) String() string {
	if d == Sent {
		return "sent"
	}
	return "received"
}

// A Resolver looks up names. [*net.Resolver] is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Pins remember the strongest SASL mechanism that an account was seen to
// support, so that nobody in between can later make us use a weaker one.
type Pins interface {
	// Load returns the mechanism stored for the bare JID, or "".
	Load(account string) (mechanism string, err error)
	// Store replaces the mechanism of the bare JID.
	Store(account, mechanism string) error
}

// A Secret is a text that never shows in logs.
type Secret string

const redacted = "[redacted]"

// LogValue hides the secret from package slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// String hides the secret from package fmt. Convert to string for its text.
func (Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return redacted }

// Limits on what the server and the people behind it can make us hold, and on
// what we hold for them.
const (
	defaultMaxStanza = 256 << 10
	maxDepth         = 64      // elements inside each other
	maxTokens        = 20_000  // tags and texts of one stanza
	maxHeader        = 8 << 10 // bytes of the stream header
	maxFeatures      = 64 << 10

	maxInbox      = 256     // stanzas read and not yet handled ...
	maxInboxBytes = 4 << 20 // ... or this much of them, then reading stops until some are handled

	maxOutbox      = 1024    // stanzas not yet sent or not yet acknowledged ...
	maxOutboxBytes = 8 << 20 // ... or this much of them, then Send waits
	maxWaiting     = 4096    // IQs waiting for an answer, then IQ fails
	maxReplies     = 256     // our own answers to strange stanzas not yet sent; more are not given

	maxTargets   = 8  // hosts of SRV records tried
	maxAddresses = 16 // addresses of one host tried
	maxHostMeta  = 64 << 10
	maxEndpoints = 4 // WebSocket addresses tried
)

// Times of the protocol. Those that users may want to change are in Config.
const (
	stagger       = 250 * time.Millisecond // between two connection attempts, RFC 8305 §5
	setupGrace    = 2 * time.Second        // for TLS on an open connection before the next attempt begins
	srvTimeout    = 5 * time.Second        // for SRV lookups
	webHeadStart  = 5 * time.Second        // for TCP before a WebSocket is looked for as well
	defaultIQWait = 60 * time.Second       // for an answer when the caller's context has no deadline

	ackAfter = 8               // stanzas sent without acknowledgement after which we ask
	ackDelay = 2 * time.Second // after the first of them we ask anyway
	ackRetry = 10 * time.Second
	//                           without an answer we ask again

	probeQuick   = 3 * time.Second  // for a sign of life after NetworkChanged
	stableFor    = 10 * time.Second // a connection that lived this long resets the backoff
	freeShort    = 3                // that many shorter ones in a row do not make it grow
	quickBackoff = 4 * time.Second  // the longest backoff while SetQuick is on
	smallStanza  = 10_000           // bytes that every server accepts, RFC 6120 §13.12
)

const (
	nsClient    = "jabber:client"
	nsStream    = "http://etherx.jabber.org/streams"
	nsStreams   = "urn:ietf:params:xml:ns:xmpp-streams"
	nsStanzas   = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsTLS       = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL      = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind      = "urn:ietf:params:xml:ns:xmpp-bind"
	nsSM        = "urn:xmpp:sm:3"
	nsPing      = "urn:xmpp:ping"
	nsCB        = "urn:xmpp:sasl-cb:0"
	nsLimits    = "urn:xmpp:stream-limits:0"
	nsFraming   = "urn:ietf:params:xml:ns:xmpp-framing"
	nsWebSocket = "urn:xmpp:alt-connections:websocket"
)

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.LoginTimeout, 30*time.Second)
	def(&c.DeadAfter, 30*time.Second)
	def(&c.QuickDeadAfter, 9*time.Second)
	def(&c.MinBackoff, 500*time.Millisecond)
	def(&c.MaxBackoff, 60*time.Second)
	def(&c.CloseTimeout, 3*time.Second)
	if c.MaxStanza <= 0 {
		c.MaxStanza = defaultMaxStanza
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Pins == nil {
		c.Pins = &memoryPins{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
