package media

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/video"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5"
)

// A Secret is a password that does not show in logs.
type Secret string

// LogValue hides the secret from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// String hides the secret from fmt.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret from fmt's %#v.
func (Secret) GoString() string { return "[secret]" }

// An ICEServer is a STUN or TURN server of the user's own XMPP server, as
// XEP-0215 tells it.
type ICEServer struct {
	// URL is as in RFC 7064 and RFC 7065: "stun:example.org:3478",
	// "turn:example.org:3478?transport=udp", "turns:example.org:5349?transport=tcp".
	URL string
	// Username and Password are needed for TURN only.
	Username string
	Password Secret
}

// Audio is the sound of a call, as one side hears and says it. The call owns
// both ends from NewCall on and closes them when it ends.
type Audio struct {
	// Source is what the peer hears. It is read from the moment media can
	// flow, so a file is heard from its beginning; a source that also has the
	// method Live() bool and returns true (a microphone) is read, and what it
	// says is dropped, from NewCall on. Nil means the call sends nothing.
	Source audio.Source
	// Sink takes what the peer says. Nil means it is decoded and dropped.
	Sink audio.Sink
	// Codecs are offered and accepted, best first. Nil means audio.Codecs().
	Codecs []audio.Codec
	// Encoder adjusts the encoder; what the peer asks for limits it further. A
	// zero Complexity means 5; see audio.EncoderOptions for what that costs.
	Encoder audio.EncoderOptions
}

// Video is the picture of a call, as one side sees and shows it. The call owns
// both ends from NewCall on and closes them when it ends. The zero Video
// declines video.
type Video struct {
	// Source is what the peer sees, from the beginning of the call; see
	// [Call.SetVideo] for later. Nil means that no video is offered.
	Source video.Source
	// Sink takes what the peer shows. Nil means that we want to see nothing; a
	// source alone is sent all the same.
	Sink video.Sink
	// Codecs are offered and accepted, best first. Nil means video.Codecs(),
	// which is empty without -tags native: then video is declined.
	Codecs []video.Codec
	// MaxWidth and MaxHeight bound the pictures that are sent; larger ones are
	// made smaller. Zero means 1280 by 720, whichever way they are held.
	MaxWidth, MaxHeight int
	// MaxFPS bounds the pictures that are sent in a second. Zero means 30.
	MaxFPS float64
	// MaxBitrate bounds what is sent, in bit/s. Zero means 2,500,000.
	MaxBitrate int
}

// A Config describes a call. Only Audio is needed.
type Config struct {
	Audio Audio
	Video Video
	// ICEServers help to get through NATs. None means direct paths only.
	ICEServers []ICEServer
	// RelayOnly reveals no address but those of the TURN servers and uses none
	// other: for calls with people who are not contacts.
	RelayOnly bool
	// RootCAs verify TURN servers over TLS. Nil means those of the system.
	RootCAs *x509.CertPool
	// Identity is what the other side recognises us by from call to call. Nil
	// makes a key for this call alone, so that calls cannot be tied to each other.
	Identity *Identity
	// ConnectTimeout ends a call that was accepted and finds no path to the
	// peer. Zero means 30 seconds.
	ConnectTimeout time.Duration
	// StatsInterval is the time between two Stats events. Zero means a second.
	StatsInterval time.Duration
	// MinDelay and MaxDelay bound the delay the jitter buffer aims at. Zero
	// means what audio.JitterConfig says.
	MinDelay, MaxDelay time.Duration
	// Net is the network, for simulated ones (package mediatest). Nil means
	// this machine's.
	Net transport.Net
	// Logger receives decisions at debug, and troubles above. Nil discards.
	Logger *slog.Logger
}

// Limits on what a peer can make us hold.
const (
	maxContents         = 16 // of a session-initiate
	maxRemoteCandidates = 64 // per transport, in one generation of ICE
	maxEvents           = 64 // waiting in Events
	maxDigits           = 64 // of one call of DTMF
)

// ErrNoCodec says that a Config or an offer has no codec we know.
var ErrNoCodec = errors.New("no codec in common")

// withDefaults fills in zero values and checks the rest.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = 30 * time.Second
	}
	if cfg.StatsInterval <= 0 {
		cfg.StatsInterval = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Audio.Codecs == nil {
		cfg.Audio.Codecs = audio.Codecs()
	}
	if cfg.Audio.Encoder.Complexity == 0 {
		cfg.Audio.Encoder.Complexity = 5
	}
	if len(cfg.Audio.Codecs) == 0 {
		return cfg, ErrNoCodec
	}
	v := &cfg.Video
	if v.Codecs == nil {
		v.Codecs = video.Codecs()
	}
	if v.MaxWidth <= 0 || v.MaxHeight <= 0 {
		v.MaxWidth, v.MaxHeight = 1280, 720
	}
	if v.MaxFPS <= 0 {
		v.MaxFPS = 30
	}
	if v.MaxBitrate <= 0 {
		v.MaxBitrate = 2_500_000
	}
	relay := false
	for _, s := range cfg.ICEServers {
		u, err := stun.ParseURI(s.URL)
		if err != nil {
			return cfg, fmt.Errorf("server %q: %w", s.URL, err)
		}
		relay = relay || u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS
	}
	if cfg.RelayOnly && !relay {
		return cfg, errors.New("relay only: no TURN server is known")
	}
	return cfg, nil
}
