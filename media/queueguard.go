package media

import (
	"sync"
	"time"
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
		seq uint16
		at  time.Time
	}
	part  float64          // of the estimate that is used; 0 is all
	least [2]time.Duration // shortest round trip of this window and the one before
	begun time.Time        // of this window
	high  int              // reports in a row of a path that is full
}

// sent notes when a packet left.
func (g *queueGuard) sent(seq uint16, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := &g.departure[seq%guardSize]
	d.seq, d.at = seq, at
}

// reported takes a report whose last packet is seq.
func (g *queueGuard) reported(seq uint16, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.departure[seq%guardSize]
	if d.seq != seq || d.at.IsZero() {
		return
	}
	g.measured(now.Sub(d.at), now)
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

// share is the part of the estimate that should be sent.
func (g *queueGuard) share() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.part == 0 {
		return 1
	}
	return g.part
}
