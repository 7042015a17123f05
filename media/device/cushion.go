package device

import "time"

const (
	// cushionLeast and cushionMost bound a cushion, in bytes. With 20 ms a
	// process may be late by 10 ms.
	cushionLeast = 2 * pieceBytes
	cushionMost  = 6 * pieceBytes
	// A cushion grows by a piece when the speaker ran dry underrunLimit times
	// in underrunSpan.
	underrunLimit = 2
	underrunSpan  = 10 * time.Second
	// It shrinks by a piece after calmFirst without running dry. When that was
	// too early the next attempt waits twice as long, up to calmLast.
	calmFirst = 20 * time.Second
	calmLast  = 5 * time.Minute
	// tooEarly is how soon after shrinking running dry is blamed on it.
	tooEarly = 10 * time.Second
)

// A cushion is what lies in the sound server before it is played: as little as
// this machine can do with.
type cushion struct {
	size   uint32        // bytes
	dry    []time.Time   // when the speaker ran dry, of late
	since  time.Time     // it was neither dry nor resized since
	shrunk time.Time     // when it was made smaller last
	wait   time.Duration // before it is made smaller
}

func newCushion(now time.Time) cushion {
	return cushion{size: cushionLeast, since: now, wait: calmFirst}
}

// ranDry notes that there was nothing to play, and reports whether size changed.
func (c *cushion) ranDry(now time.Time) bool {
	c.since = now
	c.dry = append(c.dry, now)
	for now.Sub(c.dry[0]) > underrunSpan {
		c.dry = c.dry[1:]
	}
	if len(c.dry) < underrunLimit {
		return false
	}
	c.dry = c.dry[:0]
	if !c.shrunk.IsZero() && now.Sub(c.shrunk) <= tooEarly {
		c.wait = min(2*c.wait, calmLast)
	}
	if c.size >= cushionMost {
		return false
	}
	c.size += pieceBytes
	return true
}

// calm is asked now and then, and reports whether size changed.
func (c *cushion) calm(now time.Time) bool {
	if c.size <= cushionLeast || now.Sub(c.since) < c.wait {
		return false
	}
	c.size -= pieceBytes
	c.since, c.shrunk = now, now
	return true
}

// pause says that nothing is played, from which nothing can be learned.
func (c *cushion) pause(now time.Time) { c.since = now }
