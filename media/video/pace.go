package video

import (
	"context"
	"net"
	"sync"
	"time"
)

// A pacer says when the next of a series of pictures is due. Pictures that
// nobody asked for in time are left out.
type pacer struct {
	once sync.Once
	done chan struct{}

	mu    sync.Mutex // guards what follows
	start time.Time
}

func newPacer() *pacer { return &pacer{done: make(chan struct{})} }

// began returns the moment of the first call.
func (p *pacer) began() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start.IsZero() {
		p.start = time.Now()
	}
	return p.start
}

// wait sleeps until t.
func (p *pacer) wait(ctx context.Context, t time.Time) error {
	if p.stopped() {
		return net.ErrClosed
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

func (p *pacer) stopped() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
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
