package signaling

import (
	"sync"

	"mellium.im/xmpp/jid"
)

// An Event says that something happened to a [Client]. Events are plain data;
// they are [Online], [Offline], [RosterChanged], [PresenceChanged],
// [SubscriptionRequest], [CallRecorded], [ServicesChanged], [StrangerOffered]
// and [Missed].
type Event interface{ event() }

// Online says that the client is logged in, for the first time or again.
type Online struct {
	JID jid.JID // the full JID of this device
	// Resumed is true when the old stream goes on: nothing was lost. When
	// false this is a new login, and other devices saw us go and come.
	Resumed bool
}

// Offline says that the connection was lost. The client reconnects by itself.
type Offline struct{ Err error }

// RosterChanged says that a contact was added, changed or removed (then
// Contact.Subscription is [SubscriptionRemove]).
type RosterChanged struct{ Contact Contact }

// PresenceChanged says that a device came, changed or went (then
// Device.Available is false).
type PresenceChanged struct{ Device Device }

// SubscriptionRequest says that somebody asks to see our presence. Answer with
// [Client.Approve] or [Client.Deny].
type SubscriptionRequest struct {
	From   jid.JID // bare
	Status string  // what they wrote, to be shown as plain text
}

// CallRecorded says that a call is over, here or on another device of the
// account, or that the archive told of one. Records with the same SID replace
// each other.
type CallRecorded struct{ Record CallRecord }

// ServicesChanged says that the server pushed a change of its STUN and TURN
// services; [Client.Services] returns the new ones.
type ServicesChanged struct{}

// StrangerOffered says that somebody who may not know that we are online
// offered a session that [Client.Handle] would take, and was answered as if
// nobody were here. See [StrangersQuiet].
type StrangerOffered struct{ Offer Offer }

// Missed says that a subscriber was too slow and lost events, the oldest first.
type Missed struct{ Count int }

func (Online) event()              {}
func (Offline) event()             {}
func (RosterChanged) event()       {}
func (PresenceChanged) event()     {}
func (SubscriptionRequest) event() {}
func (CallRecorded) event()        {}
func (ServicesChanged) event()     {}
func (StrangerOffered) event()     {}
func (Missed) event()              {}

// A Subscription delivers events until it is closed.
type Subscription struct {
	hub  *hub
	out  chan Event
	wake chan struct{}
	quit chan struct{}
	once sync.Once

	mu     sync.Mutex
	queue  []Event // oldest first, at most size
	missed int
	size   int
}

// Events returns the channel of the subscription. It is closed after
// [Subscription.Close] or [Client.Close].
func (s *Subscription) Events() <-chan Event { return s.out }

// Close ends the subscription. It is safe to call twice.
func (s *Subscription) Close() {
	s.once.Do(func() { close(s.quit) })
	s.hub.remove(s)
}

func (s *Subscription) push(e Event) {
	s.mu.Lock()
	if len(s.queue) == s.size {
		s.queue = s.queue[1:]
		s.missed++
	}
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Subscription) next() (Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed > 0 {
		e := Missed{Count: s.missed}
		s.missed = 0
		return e, true
	}
	if len(s.queue) == 0 {
		return nil, false
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	return e, true
}

func (s *Subscription) run() {
	defer s.hub.wg.Done()
	defer close(s.out)
	for {
		e, ok := s.next()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-s.quit:
				return
			}
		}
		select {
		case s.out <- e:
		case <-s.quit:
			return
		}
	}
}

// A hub hands events to its subscribers without ever waiting for them.
type hub struct {
	mu     sync.Mutex
	subs   map[*Subscription]struct{}
	closed bool
	wg     sync.WaitGroup
}

func newHub() *hub { return &hub{subs: make(map[*Subscription]struct{})} }

func (h *hub) subscribe(size int) *Subscription {
	size = max(1, min(size, maxEvents))
	s := &Subscription{
		hub: h, size: size,
		out: make(chan Event), wake: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		s.once.Do(func() { close(s.quit) })
		close(s.out)
		return s
	}
	h.subs[s] = struct{}{}
	h.wg.Add(1)
	go s.run()
	return s
}

func (h *hub) emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		s.push(e)
	}
}

func (h *hub) remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

// close ends all subscriptions and waits for their goroutines.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	subs := h.subs
	h.subs = nil
	h.mu.Unlock()
	for s := range subs {
		s.once.Do(func() { close(s.quit) })
	}
	h.wg.Wait()
}
