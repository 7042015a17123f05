// Package interrupt turns Ctrl-C into a polite end: the first one ends a
// context, so that calls are hung up and the server is told goodbye, the
// second one quits.
package interrupt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// ErrInterrupted is the cause of a context that Ctrl-C has ended.
var ErrInterrupted = errors.New("interrupted")

// An Interrupt listens to SIGINT and SIGTERM until Stop.
type Interrupt struct {
	cancel  context.CancelCauseFunc
	quit    func()
	signals chan os.Signal
	pipe    chan os.Signal // never read
	done    chan struct{}  // closed when the listener has ended
	stop    chan struct{}
	once    sync.Once

	mu    sync.Mutex
	count int
}

// Context returns a context that the first interruption ends, with
// [ErrInterrupted] as its cause. quit is called by the second one and should
// not return.
func Context(parent context.Context, quit func()) (context.Context, *Interrupt) {
	ctx, cancel := context.WithCancelCause(parent)
	i := &Interrupt{
		cancel: cancel, quit: quit,
		signals: make(chan os.Signal, 2), pipe: make(chan os.Signal, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	signal.Notify(i.signals, os.Interrupt, syscall.SIGTERM)
	// Whoever read our output has left: the write fails and tells so, instead of
	// the signal ending the program without a goodbye. The channel is read by
	// nobody, because sockets raise the signal as well.
	signal.Notify(i.pipe, syscall.SIGPIPE)
	go func() {
		defer close(i.done)
		for {
			select {
			case <-i.signals:
				i.Now()
			case <-i.stop:
				return
			}
		}
	}()
	return ctx, i
}

// Now does what a signal does. Keys of a terminal that we read ourselves come
// this way.
func (i *Interrupt) Now() {
	i.mu.Lock()
	i.count++
	n := i.count
	i.mu.Unlock()
	i.cancel(ErrInterrupted)
	if n > 1 {
		i.quit()
	}
}

// End ends the context politely with another cause.
func (i *Interrupt) End(cause error) { i.cancel(cause) }

// Stop ends the listening and gives the signals back. It may be called twice.
func (i *Interrupt) Stop() {
	i.once.Do(func() {
		signal.Stop(i.signals)
		signal.Stop(i.pipe)
		close(i.stop)
		<-i.done
		i.cancel(context.Canceled)
	})
}
