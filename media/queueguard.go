package media

import (
	"iter"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// What a queue in the path may cost.
const (
	// guardSize is how many packets are remembered until they are reported.
	guardSize = 2048
	// guardFull is how long packets may wait on the way before less is sent, and
	// guardFree when all is well again.
	guardFull = 60 * time.Millisecond
	guardFree = 30 * time.Millisecond
	// guardLess and guardMore change the share with each report, some ten a
	// second.
	guardLess  = 0.90
	guardMore  = 1.03
	guardLeast = 0.4
	// guardWindow is after what time a shorter way is forgotten.
	guardWindow = 20 * time.Second
)

// A queueGuard keeps the path from being full all the time: the estimator of
// pion looks at whether packets wait longer and longer, and is content with a
// queue that stays. Sound waits in it.
type queueGuard struct {
	mu        sync.Mutex // guards what follows
	departure [guardSize]struct {
		seq  uint16
		bits int
		at   time.Time
	}
	part  float64          // of the estimate that is used; 0 is all
	least [2]time.Duration // shortest round trip of this window and the one before
	begun time.Time        // of this window
	high  int              // reports in a row of a path that is full
}

// sent notes when a packet left and how much of pictures it has. Sound is in the
// same numbers, and may be what a report ends with.
func (g *queueGuard) sent(seq uint16, bits int, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := &g.departure[seq%guardSize]
	d.seq, d.bits, d.at = seq, bits, at
}

// reported takes a report and tells what it says of packets that were sent.
func (g *queueGuard) reported(cc *rtcp.TransportLayerCC, now time.Time) pathReport {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := pathReport{at: now}
	seq := cc.BaseSequenceNumber
	for arrived := range arrivals(cc) {
		if seq-cc.BaseSequenceNumber >= guardSize {
			break // no more are remembered, whatever the peer counts
		}
		if d := &g.departure[seq%guardSize]; d.seq == seq && d.bits > 0 {
			r.packets++
			if arrived {
				r.received += d.bits
			} else {
				r.lost++
			}
			d.bits = 0 // counted once
		}
		seq++
	}
	last := cc.BaseSequenceNumber + cc.PacketStatusCount - 1
	if d := g.departure[last%guardSize]; d.seq == last && !d.at.IsZero() {
		g.measured(now.Sub(d.at), now)
	}
	return r
}

// moved forgets how long the way is, and what is on it: another one was taken.
func (g *queueGuard) moved() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.departure {
		g.departure[i].bits, g.departure[i].at = 0, time.Time{}
	}
	g.least, g.begun, g.high = [2]time.Duration{}, time.Time{}, 0
}

// arrivals tells of each packet of a report, from the first one on, whether it
// arrived. draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1
func arrivals(cc *rtcp.TransportLayerCC) iter.Seq[bool] {
	return func(yield func(bool) bool) {
		left := int(cc.PacketStatusCount)
		for _, c := range cc.PacketChunks {
			switch c := c.(type) {
			case *rtcp.RunLengthChunk:
				for range min(int(c.RunLength), left) {
					if !yield(c.PacketStatusSymbol != rtcp.TypeTCCPacketNotReceived) {
						return
					}
				}
				left -= min(int(c.RunLength), left)
			case *rtcp.StatusVectorChunk:
				for _, s := range c.SymbolList[:min(len(c.SymbolList), left)] {
					if !yield(s != rtcp.TypeTCCPacketNotReceived) {
						return
					}
				}
				left -= min(len(c.SymbolList), left)
			}
		}
	}
}

// measured takes a round trip. It requires g.mu.
func (g *queueGuard) measured(rtt time.Duration, now time.Time) {
	if g.begun.IsZero() || now.Sub(g.begun) > guardWindow {
		g.begun = now
		g.least[1], g.least[0] = g.least[0], rtt
	}
	g.least[0] = min(g.least[0], rtt)
	base := g.least[0]
	if g.least[1] > 0 {
		base = min(base, g.least[1])
	}
	if g.part == 0 {
		g.part = 1
	}
	switch waits := rtt - base; {
	case waits > guardFull:
		if g.high++; g.high > 1 { // one may be a late report
			g.part = max(g.part*guardLess, guardLeast)
		}
	case waits < guardFree:
		g.high = 0
		g.part = min(g.part*guardMore, 1)
	default:
		g.high = 0
	}
}

// share is the part of the estimate that should be sent, and high how many
// reports in a row told of a queue.
func (g *queueGuard) share() (part float64, high int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.part == 0 {
		return 1, 0
	}
	return g.part, g.high
}
