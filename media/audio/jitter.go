package audio

import (
	"sync"
	"time"
)

// A Packet is one RTP packet as a JitterBuffer takes it.
type Packet struct {
	SSRC        uint32
	Sequence    uint16
	Timestamp   uint32 // in units of the codec's clock rate
	PayloadType uint8
	Marker      bool
	Payload     []byte // not kept after Put
}

// JitterConfig adjusts a JitterBuffer. Only Decoders is needed.
type JitterConfig struct {
	// Decoders are the negotiated codecs by payload type. The buffer opens a
	// decoder when the first packet of its type comes. A packet of any other
	// type (such as telephone-event) uses up its sequence number and nothing
	// else, so it should be put, too.
	Decoders map[uint8]Codec
	// MinDelay and MaxDelay bound the delay the buffer aims at. Zero means
	// 10 ms, and 20 ms during the first half second of a stream, and 400 ms.
	MinDelay, MaxDelay time.Duration
}

// A JitterBuffer turns packets that come when they please into sound that
// flows evenly. Put and Get may be called by different goroutines. It has no
// clock: time comes in with every call.
type JitterBuffer struct {
	mu sync.Mutex // guards what follows
	jitterState
}

// NewJitterBuffer returns an empty buffer.
func NewJitterBuffer(cfg JitterConfig) *JitterBuffer {
	b := &JitterBuffer{}
	b.init(cfg)
	return b
}

// Put takes a packet that arrived at the given time.
func (b *JitterBuffer) Put(p Packet, arrival time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(p, arrival)
}

// Get fills dst, whose length is a multiple of HalfFrame, with the sound to be
// played at the given time. It never fails: what is missing is concealed, and
// before the first packet there is silence. It reports whether any of dst is
// sound that the peer sent (decoded, or recovered by FEC).
func (b *JitterBuffer) Get(dst Frame, now time.Time) (voiced bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.get(dst, now)
}

// Stats returns what has happened so far.
func (b *JitterBuffer) Stats() JitterStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report()
}

// Close releases the decoders. Get returns silence afterwards.
func (b *JitterBuffer) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close()
}

// JitterStats describe a JitterBuffer since its beginning. Samples are at
// SampleRate.
type JitterStats struct {
	Delay  time.Duration // sound waiting in the buffer now
	Target time.Duration // the delay that is aimed at now
	Jitter time.Duration // of the arrivals, as RFC 3550 §6.4.1 defines it

	Received   uint64 // packets put, without duplicates and foreign types
	Duplicate  uint64 // packets that were there already
	Late       uint64 // packets that came after their time
	Lost       uint64 // packets that never came, or too late
	Discarded  uint64 // packets that could not be decoded, or did not fit
	Recovered  uint64 // lost packets found again by forward error correction
	Resets     uint64 // new SSRC, or a jump in time too large to follow
	Samples    uint64 // samples given out
	Concealed  uint64 // of these, made up because of loss
	Silent     uint64 // of these, silence while the peer sent nothing (DTX)
	Stretched  uint64 // samples inserted to gain delay
	Compressed uint64 // samples left out to lose delay
}
