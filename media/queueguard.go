package media

import "time"

// What a queue in the path may cost.
const (
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
	part  float64          // of the estimate that is used; 0 is all
	least [2]time.Duration // shortest round trip of this window and the one before
	begun time.Time        // of this window
	high  int              // reports in a row of a path that is full
}

// moved forgets how long the way is: another one was taken.
func (g *queueGuard) moved() {
	g.least, g.begun, g.high = [2]time.Duration{}, time.Time{}, 0
}

// measured takes the round trip of a report.
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
	if g.part == 0 {
		return 1, 0
	}
	return g.part, g.high
}
