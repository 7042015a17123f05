package audio

import (
	"context"
	"net"
	"sync"
	"time"
)

// maxBehind is how far a pacer catches up after it was held up. What is beyond
// is given up, as after a computer slept.
const maxBehind = 200 * time.Millisecond

// A pacer keeps real time from its first use on. Its deadlines are multiples of
// what it was told, so it does not drift against the clock.
type pacer struct {
	mu   sync.Mutex
	due  time.Time
	once sync.Once
	done chan struct{}
}

func newPacer() *pacer { return &pacer{done: make(chan struct{})} }

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

// wait sleeps until t.
func (p *pacer) wait(ctx context.Context, t time.Time) error {
	select {
	case <-p.done:
		return net.ErrClosed
	default:
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	left := time.Until(t)
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.done:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop ends waiting and says whether it was the first call.
func (p *pacer) stop() (first bool) {
	p.once.Do(func() {
		close(p.done)
		first = true
	})
	return first
}
