package audio

import (
	"sync"
	"time"

	"github.com/carillon-im/carillon/media/internal/pace"
)

// maxBehind is how far a pacer catches up after it was held up. What is beyond
// is given up, as after a computer slept.
const maxBehind = 200 * time.Millisecond

// A pacer keeps real time from its first use on. Its deadlines are multiples of
// what it was told, so it does not drift against the clock.
type pacer struct {
	pace.Waiter
	mu  sync.Mutex // guards what follows
	due time.Time
}

func newPacer() *pacer { return &pacer{Waiter: pace.New()} }

// next returns when the present piece is due and notes that it lasts d.
func (p *pacer) next(d time.Duration) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.due.IsZero() || now.Sub(p.due) > maxBehind {
		p.due = now
	}
	due := p.due
	p.due = due.Add(d)
	return due
}
