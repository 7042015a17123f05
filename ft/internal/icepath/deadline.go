package icepath

import (
	"sync"
	"time"
)

// A Deadline is a time that may be set while somebody waits for it. Use
// NewDeadline.
type Deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{}
}

// NewDeadline returns a deadline that is never.
func NewDeadline() *Deadline { return &Deadline{over: make(chan struct{})} }

// Passed returns a channel that is closed when the time is over. After that it
// is another one with the next Set.
func (d *Deadline) Passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

// Set changes the time; zero is never.
func (d *Deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.over // the function runs, or has run
	}
	d.timer = nil
	select {
	case <-d.over:
		d.over = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	over := d.over
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(over) })
		return
	}
	close(over)
}
