package stream

import "sync"

// An inbox holds what was read and not yet handled. When it is full the reader
// waits, TCP slows the server down, and memory stays bounded.
type inbox struct {
	mu    sync.Mutex
	queue []event
	bytes int
	more  chan struct{} // has a value when queue may have something
	room  chan struct{} // has a value when there may be room
}

type event struct {
	stanza *Stanza
	size   int
	call   func() // instead of a stanza
}

func newInbox() *inbox {
	return &inbox{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push waits for room and reports whether it put ev in before cancel was
// closed. Only one goroutine pushes stanzas at a time.
func (b *inbox) push(ev event, cancel <-chan struct{}) bool {
	for !b.offer(ev) {
		select {
		case <-b.room:
		case <-cancel:
			return false
		}
	}
	return true
}

// offer puts ev in if there is room.
func (b *inbox) offer(ev event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) >= maxInbox || b.bytes+ev.size > maxInboxBytes && len(b.queue) > 0 {
		return false
	}
	b.queue = append(b.queue, ev)
	b.bytes += ev.size
	signal(b.more)
	return true
}

// call puts in a call, for which there is always room: there are few.
func (b *inbox) call(f func()) {
	b.mu.Lock()
	b.queue = append(b.queue, event{call: f})
	b.mu.Unlock()
	signal(b.more)
}

// pop waits for the next event and reports false once stop is closed.
func (b *inbox) pop(stop <-chan struct{}) (event, bool) {
	for {
		select {
		case <-stop:
			return event{}, false
		default:
		}
		b.mu.Lock()
		if len(b.queue) > 0 {
			ev := b.queue[0]
			b.queue[0] = event{}
			b.queue = b.queue[1:]
			b.bytes -= ev.size
			b.mu.Unlock()
			signal(b.room)
			return ev, true
		}
		b.mu.Unlock()
		select {
		case <-b.more:
		case <-stop:
		}
	}
}
