package media

import (
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// An Event is something that happened in a call. The kinds are [Connecting],
// [Connected], [FirstAudio], [FirstFrame], [Reconnecting], [Stats],
// [RemoteRinging], [RemoteMuted], [RemoteHeld], [RemoteVideo], [Digit],
// [SourceEnded], [SinkEnded], [VideoSourceEnded] and [Ended].
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
	// Fingerprint is that of the other side's certificate, as in "sha-256
	// AB:CD:...". It is the same in every call of some clients, and a new one in
	// each of others. RFC 8122
	Fingerprint string
}

// FirstAudio says that the first sound of the peer that is not silence went to
// the sink.
type FirstAudio struct {
	SinceAccept time.Duration // see [Call.Accepted]
	// Packet is when the first packet came, since accept as well.
	Packet time.Duration
}

// FirstFrame says that the first picture of the peer went to the sink, or the
// first after the peer showed none for a while.
type FirstFrame struct {
	SinceAccept   time.Duration // see [Call.Accepted]
	Width, Height int           // upright
}

// RemoteVideo says that the peer begins to show something, or stops. Pictures
// come a little later; the last one may be cleared when On is false.
type RemoteVideo struct{ On bool }

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

// SinkEnded says that the sink takes no more: the disk is full, or the device
// is gone for good. The call goes on, and nothing is heard any more.
type SinkEnded struct{ Err error }

// VideoSourceEnded says that the source of the picture has no more to show, or
// broke (a camera that was unplugged). The peer is told that there is no video,
// until [Call.SetVideo].
type VideoSourceEnded struct {
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

	Video VideoStats
}

// VideoStats tell how the picture of a call is doing. Rates concern the time
// since the Stats before; counters concern the whole call.
type VideoStats struct {
	// Out and In say whether we show something and whether the peer does.
	Out, In bool
	// CodecOut and CodecIn are "VP8", "VP9", "H264", "AV1"; "" before they are
	// known.
	CodecOut, CodecIn string

	WidthOut, HeightOut, WidthIn, HeightIn int     // of the last picture, as coded
	FPSOut, FPSIn                          float64 // pictures sent and shown in a second
	BitrateOut, BitrateIn                  float64 // payload, bit/s
	Target                                 float64 // what the path to the peer takes, bit/s, by our estimate or the peer's

	LossIn, LossOut float64       // share of packets that were lost at first
	Delay           time.Duration // from the first packet of a picture to showing it

	FramesOut, FramesIn       uint64 // pictures sent and shown
	KeyFramesOut, KeyFramesIn uint64 // of these, that need none before
	Freezes                   uint64 // times that no picture came for 250 ms and more
	Frozen                    time.Duration
	Resent, Recovered         uint64 // packets sent again, and that came after we asked
	PacketsIn, PacketsOut     uint64
	BytesIn, BytesOut         uint64 // payload
}

func (Connecting) event()       {}
func (Connected) event()        {}
func (FirstAudio) event()       {}
func (FirstFrame) event()       {}
func (RemoteVideo) event()      {}
func (VideoSourceEnded) event() {}
func (Reconnecting) event()     {}
func (Stats) event()            {}
func (RemoteRinging) event()    {}
func (RemoteMuted) event()      {}
func (RemoteHeld) event()       {}
func (Digit) event()            {}
func (SourceEnded) event()      {}
func (SinkEnded) event()        {}
func (Ended) event()            {}
