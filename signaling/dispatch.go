package signaling

import (
	"sync"
	"time"

	"github.com/carillon-im/carillon/signaling/internal/stream"
	"golang.org/x/time/rate"
)

// A dispatcher hands stanzas to a few workers. Stanzas of one sender keep
// their order and are handled one at a time; senders take turns, so that one
// who floods us waits behind himself only. What it holds is bounded: see
// maxPeers, maxPerPeer and maxPending.
type dispatcher struct {
	handle  func(*stream.Stanza)
	refused chan *stream.Stanza // requests that were not handled, to be answered
	wg      sync.WaitGroup

	mu      sync.Mutex
	wake    *sync.Cond
	peers   map[string]*peerQueue
	ready   []*peerQueue // in turn; each has stanzas and no worker
	pending int
	closed  bool
}

type peerQueue struct {
	from    string
	stanzas []*stream.Stanza
}

// maxRefused bounds the requests refused and not yet answered. A flood beyond
// it gets no answers: they would be a flood too.
const maxRefused = 64

func newDispatcher(handle, refuse func(*stream.Stanza)) *dispatcher {
	d := &dispatcher{handle: handle, peers: make(map[string]*peerQueue), refused: make(chan *stream.Stanza, maxRefused)}
	d.wake = sync.NewCond(&d.mu)
	d.wg.Go(func() {
		for st := range d.refused {
			refuse(st)
		}
	})
	for range workers {
		d.wg.Go(d.work)
	}
	return d
}

// push queues a stanza. It never waits; false means that a limit was reached.
func (d *dispatcher) push(st *stream.Stanza) bool {
	from := address(st.From)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.pending >= maxPending {
		return false
	}
	q := d.peers[from]
	switch {
	case q == nil && len(d.peers) >= maxPeers:
		return false
	case q == nil:
		q = &peerQueue{from: from}
		d.peers[from] = q
		d.ready = append(d.ready, q)
		d.wake.Signal()
	case len(q.stanzas) >= maxPerPeer:
		return false
	}
	q.stanzas = append(q.stanzas, st)
	d.pending++
	return true
}

func (d *dispatcher) work() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for len(d.ready) == 0 && !d.closed {
			d.wake.Wait()
		}
		if d.closed {
			return
		}
		q := d.ready[0]
		d.ready = d.ready[1:]
		st := q.stanzas[0]
		q.stanzas = q.stanzas[1:]
		d.pending--
		d.mu.Unlock()
		d.handle(st)
		d.mu.Lock()
		// The queue stayed in peers meanwhile, so nobody else took it up.
		if len(q.stanzas) == 0 {
			delete(d.peers, q.from)
			continue
		}
		d.ready = append(d.ready, q)
		d.wake.Signal()
	}
}

// refuse queues a request to be answered with an error. It never waits.
func (d *dispatcher) refuse(st *stream.Stanza) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	select {
	case d.refused <- st:
	default:
	}
}

// close drops what is queued and waits for the workers.
func (d *dispatcher) close() {
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.refused)
	}
	d.wake.Broadcast()
	d.mu.Unlock()
	d.wg.Wait()
}

// strangers measures how much people who are no contacts send.
type strangers struct {
	mu      sync.Mutex
	buckets map[string]*rate.Limiter // by bare JID
}

// allow reports whether a stranger may have another stanza handled.
func (s *strangers) allow(bare string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.buckets[bare]
	if l == nil {
		if len(s.buckets) >= maxStrangers {
			// Those who have been quiet for a while are like new ones.
			for b, l := range s.buckets {
				if l.TokensAt(now) >= strangerBurst {
					delete(s.buckets, b)
				}
			}
		}
		if len(s.buckets) >= maxStrangers {
			return false
		}
		if s.buckets == nil {
			s.buckets = make(map[string]*rate.Limiter)
		}
		l = rate.NewLimiter(strangerRate, strangerBurst)
		s.buckets[bare] = l
	}
	return l.AllowN(now, 1)
}
