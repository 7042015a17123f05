package media

import (
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// An Event is something that happened in a call. The kinds are [Connecting],
// [Connected], [FirstAudio], [Reconnecting], [Stats], [RemoteRinging],
// [RemoteMuted], [RemoteHeld], [Digit], [SourceEnded] and [Ended].
type Event interface{ event() }

// Connecting says that both sides agreed and a path is being looked for.
type Connecting struct{}

// A Pair is the path in use.
type Pair struct {
	Local, Remote iceudp.Candidate
}

// Relayed reports whether the media goes through a TURN server of either side.
func (p Pair) Relayed() bool {
	return p.Local.Type == iceudp.Relay || p.Remote.Type == iceudp.Relay
}

// Connected says that encrypted media can flow. It comes again after
// [Reconnecting].
type Connected struct {
	Pair        Pair
	SinceAccept time.Duration // see [Call.Accepted]
	// Verification is a short text that both people see alike unless someone
	// between them replaced the keys, for reading it to each other.
	Verification string
}

// FirstAudio says that the first sound of the peer that is not silence went to
// the sink.
type FirstAudio struct {
	SinceAccept time.Duration // see [Call.Accepted]
	// Packet is when the first packet came, since accept as well.
	Packet time.Duration
}

// Reconnecting says that the path is lost, or about to be, and that a new one
// is being looked for.
type Reconnecting struct {
	Cause string // in words
}

// RemoteRinging says that the peer's device rings.
type RemoteRinging struct{}

// RemoteMuted says that the peer switched the microphone off or on.
type RemoteMuted struct{ Muted bool }

// RemoteHeld says that the peer put the call on hold or took it back.
type RemoteHeld struct{ Held bool }

// A Digit is one key the peer pressed. RFC 4733
type Digit struct {
	Key rune // one of "0123456789*#ABCD"
}

// SourceEnded says that the source has no more to say, or broke. The call goes
// on and sends silence.
type SourceEnded struct {
	Err error // nil at the end of a file
}

// Ended is the last event. Afterwards the channel of events is closed.
type Ended struct {
	Reason   jingle.Reason
	Remote   bool          // the peer ended it
	Duration time.Duration // media could flow for so long; zero if never
	Err      error         // what went wrong, in words; nil after a hang-up
}

// Stats tell how a call is doing. Shares are 0 to 1, and concern the time
// since the Stats before; counters concern the whole call.
type Stats struct {
	Connected time.Duration // since media could flow; zero before
	Pair      Pair
	Codec     string // "opus", "PCMU", "PCMA"; "" before it is known

	RTT    time.Duration // to the peer and back; zero when not known
	Jitter time.Duration // of what arrives
	Delay  time.Duration // of the jitter buffer

	LossIn, LossOut       float64 // share of packets lost on the way to us, to the peer
	Concealed             float64 // share of what was played that was made up
	BitrateIn, BitrateOut float64 // payload, bit/s

	LevelIn, LevelOut float64 // what we hear and what we say, in dBFS; -96 is silence

	PacketsIn, PacketsOut, PacketsLost uint64
	BytesIn, BytesOut                  uint64 // payload
}

func (Connecting) event()    {}
func (Connected) event()     {}
func (FirstAudio) event()    {}
func (Reconnecting) event()  {}
func (Stats) event()         {}
func (RemoteRinging) event() {}
func (RemoteMuted) event()   {}
func (RemoteHeld) event()    {}
func (Digit) event()         {}
func (SourceEnded) event()   {}
func (Ended) event()         {}
