package audio

import (
	"slices"
	"time"
)

// How the buffer works. All times are in samples at SampleRate.
//
// A packet's transit is its arrival minus its timestamp. The least transit of
// the last packets is the base: the network at its quickest. What a packet took
// longer than that is how late it was. If sound is played at a delay D after it
// would have come on the quickest way, every packet that is less than D late is
// in time. So D is measured whenever a packet is needed, the target is nearly the
// largest lateness of the last seconds, and D is moved to the target by leaving out or
// repeating a pitch period here and there.
//
// Sound that is missing when it is needed:
//
//	the next packet is there, its number too high    lost: FEC, or concealment
//	the next packet is there, its number right       the peer was silent (DTX)
//	no packet is there                               wait, concealing meanwhile
//
// Waiting does not move on in the stream: if the packet was only late it is
// played whole, and D has grown. A pause of the peer is stretched or shortened
// so that D is the target when it speaks again.

const (
	maxQueue   = 128                // packets waiting
	maxPayload = 4096               // bytes of one packet
	maxJump    = 3 * SampleRate / 2 // a packet this early or late begins a new stream
	maxSeqJump = 1000               // likewise

	concealFull = SampleRate / 20  // concealment is at its level for 50 ms
	concealGone = SampleRate / 8   // and silent after 125 ms
	opusUnit    = SampleRate / 400 // Opus conceals multiples of 2.5 ms
	rampLength  = SampleRate / 200 // fade in after silence

	slackBelow = SampleRate / 320 // D may be this much under the target
	slackAbove = SampleRate / 100 // and this much over it
	hurryAbove = SampleRate / 8   // with this much over it, quality gives way,
	skipAbove  = SampleRate / 2   // and with this much, sound is dropped
	calmly     = SampleRate / 16  // between two changes of D
	hurried    = SampleRate / 50
	workAhead  = 2*maxPitch + HalfFrame // decoded before sound is left out

	playedWindow = 64 // sequence numbers remembered to tell late from duplicate
)

// A queued packet waits to be decoded.
type queued struct {
	seq     int64
	ts      int64
	samples int
	dec     Decoder // nil if it is no sound, and only its number counts
	payload []byte
}

// jitterState is a JitterBuffer without its lock.
type jitterState struct {
	cfg      JitterConfig
	stats    JitterStats
	closed   bool
	epoch    time.Time // time zero
	decoders map[uint8]Decoder

	// The stream as it comes.
	synced     bool
	ssrc       uint32
	clock      uint32 // of timestamps, in Hz
	seq        int64  // of the newest packet, unwrapped
	ts         int64  // of the newest packet, unwrapped and in samples
	rawTS      uint32 // of the newest packet
	suspect    uint16 // the sequence number that would confirm a jump
	suspecting bool
	transit    int64 // of the packet before
	jitter     float64
	delay      delayHistory
	queue      []queued // by sequence number
	spare      [][]byte // payload buffers not in use

	// The stream as it is played.
	now     int64 // of the present Get
	piece   int   // samples it wants
	playing bool
	last    int64   // sequence number that was dealt with last
	played  uint64  // bit i: last-i was decoded
	next    int64   // timestamp of what comes after pcm
	pcm     Frame   // decoded, not given out
	voiced  int     // up to here pcm has sound of the peer
	waited  int     // samples concealed while waiting, which may turn out late or silent
	inRow   int     // samples concealed or silent without a break
	ramp    int     // samples of a fade-in that are still to come
	dec     Decoder // used last
	history Frame   // given out last, maxPitch samples
	level   delayMeter
	rest    int // samples until D may be changed again
	work    Frame
}

func (s *jitterState) init(cfg JitterConfig) {
	if cfg.MinDelay <= 0 {
		cfg.MinDelay = 10 * time.Millisecond
	}
	if cfg.MaxDelay <= 0 {
		cfg.MaxDelay = 400 * time.Millisecond
	}
	cfg.MaxDelay = max(cfg.MaxDelay, cfg.MinDelay)
	s.cfg = cfg
	s.decoders = make(map[uint8]Decoder)
	s.delay.init(samples(cfg.MinDelay), samples(cfg.MaxDelay))
	s.history = make(Frame, maxPitch)
	s.inRow = concealGone
}

func samples(d time.Duration) int64 { return int64(d) * (SampleRate / 1000) / int64(time.Millisecond) }

func duration(n int64) time.Duration { return time.Duration(n) * time.Second / SampleRate }

// at turns a time into samples.
func (s *jitterState) at(t time.Time) int64 {
	if s.epoch.IsZero() {
		s.epoch = t
	}
	return samples(t.Sub(s.epoch))
}

func (s *jitterState) put(p Packet, arrival time.Time) {
	if s.closed {
		return
	}
	at := s.at(arrival)
	codec, ok := s.cfg.Decoders[p.PayloadType]
	if !ok {
		if s.synced && p.SSRC == s.ssrc {
			if seq := s.unwrap(p.Sequence); seq > s.last || !s.playing {
				s.insert(queued{seq: seq})
			}
		}
		return
	}
	dec := s.decoder(p.PayloadType, codec)
	if dec == nil || len(p.Payload) > maxPayload {
		s.stats.Discarded++
		return
	}
	n, err := dec.Samples(p.Payload)
	if err != nil {
		s.stats.Discarded++
		return
	}
	if !s.synced || p.SSRC != s.ssrc || codec.ClockRate != s.clock {
		s.restart(p, codec)
	}
	seq := s.unwrap(p.Sequence)
	ts := s.ts + int64(int32(p.Timestamp-s.rawTS))*int64(SampleRate/s.clock)
	if s.jumped(seq, at-ts) {
		// One odd packet is ignored. If the one after it follows it, the sender
		// began anew. RFC 3550 §A.1
		if !s.suspecting || p.Sequence != s.suspect {
			s.suspecting, s.suspect = true, p.Sequence+1
			s.stats.Discarded++
			return
		}
		s.restart(p, codec)
		seq, ts = s.seq, s.ts
	}
	s.suspecting = false

	if seq <= s.last && s.playing {
		if back := s.last - seq; back < playedWindow && s.played>>back&1 == 1 {
			s.stats.Duplicate++
			return
		}
		s.stats.Late++
		s.stats.Received++
		s.arrived(at, at-ts)
		return
	}
	if !s.insert(queued{seq: seq, ts: ts, samples: n, dec: dec, payload: p.Payload}) {
		s.stats.Duplicate++
		return
	}
	s.stats.Received++
	s.arrived(at, at-ts)
	if seq > s.seq {
		s.seq, s.ts, s.rawTS = seq, ts, p.Timestamp
	}
}

// unwrap is the number nearest to the newest one that ends in seq.
func (s *jitterState) unwrap(seq uint16) int64 {
	return s.seq + int64(int16(seq-uint16(s.seq)))
}

// decoder returns the decoder of a payload type, nil if it cannot be opened.
func (s *jitterState) decoder(pt uint8, c Codec) Decoder {
	d, ok := s.decoders[pt]
	if !ok {
		var err error
		if d, err = c.NewDecoder(); err != nil || c.ClockRate == 0 || SampleRate%c.ClockRate != 0 {
			d = nil
		}
		s.decoders[pt] = d
	}
	return d
}

// restart begins a new stream with p. What is decoded is still played.
func (s *jitterState) restart(p Packet, c Codec) {
	if s.synced {
		s.stats.Resets++
	}
	for _, q := range s.queue {
		s.free(q)
	}
	s.queue = s.queue[:0]
	s.synced, s.playing, s.suspecting = true, false, false
	s.ssrc, s.clock = p.SSRC, c.ClockRate
	s.seq, s.ts, s.rawTS = int64(p.Sequence), 0, p.Timestamp
	s.stats.Silent += uint64(s.waited)
	s.waited = 0
	s.delay.reset()
	s.level.reset()
}

// jumped says whether a packet is so far from the others that it cannot be one
// of them.
func (s *jitterState) jumped(seq, transit int64) bool {
	if s.delay.n == 0 {
		return false
	}
	step, late := seq-s.seq, transit-s.delay.base
	return step > maxSeqJump || step < -maxSeqJump || late > maxJump || late < -maxJump
}

// arrived notes how long a packet took.
func (s *jitterState) arrived(at, transit int64) {
	if s.delay.n > 0 {
		d := float64(transit - s.transit)
		s.jitter += (max(d, -d) - s.jitter) / 16
	}
	s.transit = transit
	s.delay.add(at, transit)
}

// insert puts a packet into the queue and says whether it was not there yet.
func (s *jitterState) insert(q queued) bool {
	i := len(s.queue)
	for i > 0 && s.queue[i-1].seq >= q.seq {
		i--
	}
	if i < len(s.queue) && s.queue[i].seq == q.seq {
		return false
	}
	if len(s.queue) == maxQueue {
		if i == 0 {
			s.stats.Discarded++
			return true
		}
		s.drop()
		i--
	}
	if q.dec != nil {
		var buf []byte
		if n := len(s.spare); n > 0 {
			buf, s.spare = s.spare[n-1], s.spare[:n-1]
		}
		q.payload = append(buf[:0], q.payload...)
	}
	s.queue = slices.Insert(s.queue, i, q)
	return true
}

// drop removes the first packet of the queue unheard.
func (s *jitterState) drop() {
	if s.queue[0].dec != nil {
		s.stats.Discarded++
	}
	s.pop()
}

// pop removes the first packet of the queue, which was dealt with.
func (s *jitterState) pop() {
	s.free(s.queue[0])
	s.queue = slices.Delete(s.queue, 0, 1)
}

func (s *jitterState) free(q queued) {
	if q.dec != nil {
		s.spare = append(s.spare, q.payload)
	}
}

func (s *jitterState) report() JitterStats {
	st := s.stats
	st.Target = duration(s.delay.target)
	st.Jitter = duration(int64(s.jitter))
	if s.playing && s.level.ready() {
		st.Delay = duration(max(0, s.level.last-s.delay.base))
	}
	st.Silent += uint64(s.waited)
	return st
}

func (s *jitterState) close() {
	for _, d := range s.decoders {
		if d != nil {
			d.Close()
		}
	}
	s.closed, s.playing = true, false
	s.decoders, s.queue, s.spare, s.pcm, s.dec = nil, nil, nil, nil, nil
}
