package lab

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Stream is the events of a program, kept, with a place up to which they
// have been waited for.
type Stream[E any] struct {
	mu     sync.Mutex
	events []E
	next   int
	closed bool
	more   chan struct{} // closed and renewed with each event
}

func newStream[E any]() *Stream[E] { return &Stream[E]{more: make(chan struct{})} }

func (s *Stream[E]) add(e E) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *Stream[E]) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	close(s.more)
	s.more = make(chan struct{})
}

func (s *Stream[E]) all() []E {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// await returns the first event not yet passed for which ok holds, and passes it.
func (s *Stream[E]) await(timeout time.Duration, ok func(E) bool) (E, error) {
	deadline := time.After(timeout)
	for {
		s.mu.Lock()
		i := slices.IndexFunc(s.events[s.next:], ok)
		if i >= 0 {
			e := s.events[s.next+i]
			s.next += i + 1
			s.mu.Unlock()
			return e, nil
		}
		closed, more := s.closed, s.more
		s.mu.Unlock()
		var zero E
		if closed {
			return zero, errExited
		}
		select {
		case <-more:
		case <-deadline:
			return zero, fmt.Errorf("not within %v", timeout)
		}
	}
}
