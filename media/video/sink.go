package video

import (
	"net"
	"sync"
)

// Discard returns a Sink that keeps nothing.
func Discard() Sink { return NewSink(func(Frame) error { return nil }) }

// NewSink returns a Sink that hands every picture to write, which keeps nothing
// of it after it returned.
func NewSink(write func(Frame) error) Sink { return &funcSink{write: write} }

type funcSink struct {
	mu     sync.Mutex // held while write runs, so that close does not interrupt it
	write  func(Frame) error
	close  func() error // may be nil
	closed bool
}

func (s *funcSink) Write(f Frame) error {
	if err := f.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	return s.write(f)
}

func (s *funcSink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.close == nil {
		return nil
	}
	return s.close()
}
