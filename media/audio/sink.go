package audio

import (
	"context"
	"net"
	"sync"
)

// Discard returns a Sink that keeps nothing but the time.
func Discard() Sink {
	return &pacedSink{pace: newPacer(), write: func(Frame) error { return nil }}
}

// NewSink returns a Sink that hands every frame to write in real time. The
// frame is write's only during the call.
func NewSink(write func(Frame) error) Sink {
	return &pacedSink{pace: newPacer(), write: write}
}

// pacedSink is a Sink on top of something that is always ready.
type pacedSink struct {
	pace *pacer

	mu    sync.Mutex // held while write runs, so that close does not interrupt it
	write func(Frame) error
	close func() error // may be nil
}

func (s *pacedSink) Write(f Frame) error {
	if err := f.check(); err != nil {
		return err
	}
	due := s.pace.next(f.Duration())
	if err := s.take(f); err != nil {
		return err
	}
	// The frame is taken first and its time waited for afterwards, so that the
	// next one is asked for when it is needed and not a frame earlier.
	return s.pace.Wait(context.Background(), due.Add(f.Duration()))
}

func (s *pacedSink) take(f Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pace.Stopped() {
		return net.ErrClosed
	}
	return s.write(f)
}

func (s *pacedSink) Close() error {
	if !s.pace.Stop() || s.close == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}
