package media

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// A lipSync knows when what arrives was said and seen, by the clock of the
// peer, and so how long pictures are to wait for their sound. The peer's sender
// reports tell which moment an RTP timestamp is. RFC 3550 §6.4.1
type lipSync struct {
	mu     sync.Mutex // guards what follows
	clocks map[uint32]senderClock
	sound  time.Duration // from being said to being heard, plus the difference of the clocks
	heard  time.Time     // when sound was known last
	hold   time.Duration // smoothed
}

// A senderClock is what a sender report says.
type senderClock struct {
	rate uint32
	ntp  uint64
	rtp  uint32
}

const (
	// maxClocks bounds the sources of a peer that are kept in mind.
	maxClocks = 16
	// soundFresh is how long sound tells something of the present.
	soundFresh = 2 * time.Second
	// holdSmooth is the part of a difference that is followed with each picture.
	holdSmooth = 0.05
)

func newLipSync() *lipSync { return &lipSync{clocks: make(map[uint32]senderClock)} }

// report takes a sender report about a stream with the given clock rate.
func (l *lipSync) report(p *rtcp.SenderReport, rate uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.clocks[p.SSRC]; !ok && len(l.clocks) >= maxClocks {
		clear(l.clocks)
	}
	l.clocks[p.SSRC] = senderClock{rate: rate, ntp: p.NTPTime, rtp: p.RTPTime}
}

// transit is the time from a moment of a stream by the peer's clock to arrived
// by ours. It requires l.mu.
func (l *lipSync) transit(ssrc, timestamp uint32, arrived time.Time) (time.Duration, bool) {
	c, ok := l.clocks[ssrc]
	if !ok || c.rate == 0 {
		return 0, false
	}
	at := fromNTP(c.ntp).Add(time.Duration(int64(int32(timestamp-c.rtp)) * int64(time.Second) / int64(c.rate)))
	return arrived.Sub(at), true
}

// said takes the arrival of sound that will be heard after delay.
func (l *lipSync) said(ssrc, timestamp uint32, arrived time.Time, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d, ok := l.transit(ssrc, timestamp, arrived); ok {
		l.sound, l.heard = d+delay, arrived
	}
}

// wait is how long after it arrived a picture is to be shown.
func (l *lipSync) wait(ssrc, timestamp uint32, arrived time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen, ok := l.transit(ssrc, timestamp, arrived)
	if !ok || arrived.Sub(l.heard) > soundFresh {
		l.hold = 0
		return 0
	}
	want := min(max(l.sound-seen, 0), maxHold)
	if l.hold == 0 {
		l.hold = want
	}
	l.hold += time.Duration(holdSmooth * float64(want-l.hold))
	return l.hold
}
