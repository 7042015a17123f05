package media

import "sync"

// maxMail bounds what waits for the goroutine of a call. pion and signaling
// post at most some hundred times in a call's life; only a peer that floods us
// comes near.
const maxMail = 4096

// A mailbox hands work to the goroutine that owns a call. Posting never waits,
// since it happens inside calls of that goroutine into pion, too.
type mailbox struct {
	wake chan struct{} // has one element when there is mail

	mu     sync.Mutex // guards what follows
	queue  []func()
	closed bool
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post reports whether fn will run, unless the call ends before.
func (m *mailbox) post(fn func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.queue) >= maxMail {
		return false
	}
	m.queue = append(m.queue, fn)
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns all that waits.
func (m *mailbox) take() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = nil
	return q
}

// close refuses what comes later and drops what waits.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.queue = true, nil
}
