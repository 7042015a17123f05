// Package pace waits for moments, as sources do that keep real time, until it
// is told to stop.
package pace

import (
	"context"
	"net"
	"sync"
	"time"
)

// A Waiter sleeps until moments come. Its methods may be called by any
// goroutine.
type Waiter struct {
	once sync.Once
	done chan struct{}
}

// New returns a Waiter.
func New() Waiter { return Waiter{done: make(chan struct{})} }

// Wait sleeps until t. It returns [net.ErrClosed] after Stop, and the cause of
// ctx when that ends.
func (w *Waiter) Wait(ctx context.Context, t time.Time) error {
	if w.Stopped() {
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
	case <-w.done:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stopped reports whether Stop was called.
func (w *Waiter) Stopped() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// Stop ends waiting and says whether it was the first call.
func (w *Waiter) Stop() (first bool) {
	w.once.Do(func() {
		close(w.done)
		first = true
	})
	return first
}
