package device

import "time"

// deadAfter is how long a device is waited for before silence takes the place of
// what it should have given, or what it should have taken is discarded. That
// then goes on as fast as with a good device, the wait included: who listens
// must not take time that went by for a slow network.
const deadAfter = 60 * time.Millisecond

// A beat says when a device should have given or taken the next piece of sound.
type beat struct {
	step time.Duration // of a piece
	due  time.Time     // when the next one is there if all goes well
	late bool          // the last one was not in time
}

// begin is for each piece, before it is waited for.
func (b *beat) begin(now time.Time) {
	if now.Sub(b.due) > captureWait { // the first, or whoever asks was away
		b.due, b.late = now.Add(b.step), false
	}
}

// end is until when to wait for the piece. Patience is for a device that is
// there, and once.
func (b *beat) end(there bool) time.Time {
	if there && !b.late {
		return b.due.Add(deadAfter - b.step)
	}
	return b.due
}

// kept says that the device was in time, missed that it was not.
func (b *beat) kept(now time.Time) { b.due, b.late = now.Add(b.step), false }
func (b *beat) missed()            { b.due, b.late = b.due.Add(b.step), true }
