package signaling

import (
	"net"
	"sync"
)

// A mailbox is the queue of a goroutine that owns something, such as one
// session. Everything that touches it arrives here, in order.
type mailbox struct {
	wake chan struct{} // holds a token when there is something to do

	mu     sync.Mutex
	queue  []func(over bool)
	closed bool
}

// maxMailbox bounds what we post ourselves; what peers can post is bounded by
// the limit given to post.
const maxMailbox = 4096

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post queues fn, without waiting, unless limit functions wait already. When
// the mailbox is closed before its turn, fn is called with over true.
func (m *mailbox) post(limit int, fn func(over bool)) error {
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		return net.ErrClosed
	case len(m.queue) >= limit:
		m.mu.Unlock()
		return ErrTooMany
	}
	m.queue = append(m.queue, fn)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

func (m *mailbox) next() func(over bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		return nil
	}
	fn := m.queue[0]
	m.queue[0] = nil
	m.queue = m.queue[1:]
	return fn
}

// run carries out what is posted until over reports true or quit is closed;
// then it closes the mailbox.
func (m *mailbox) run(quit <-chan struct{}, over func() bool) {
	defer m.close()
	for !over() {
		if fn := m.next(); fn != nil {
			fn(false)
			continue
		}
		select {
		case <-m.wake:
		case <-quit:
			return
		}
	}
}

func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	queue := m.queue
	m.queue = nil
	m.mu.Unlock()
	for _, fn := range queue {
		fn(true)
	}
}
