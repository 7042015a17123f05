package turn

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"
)

// pairHold is how long the odd port beside an even one that a client asked for
// is kept from others, so that its reservation finds it. RFC 8656#section-7.2
const pairHold = 30 * time.Second

// ports is the bitmap of one address: which ports an allocation has.
type ports struct {
	min, max uint16

	mu   sync.Mutex
	used [65536 / 64]uint64
	free int
	held map[uint16]time.Time // odd ports of pairs, until when
}

func newPorts(min, max uint16) *ports {
	return &ports{min: min, max: max, free: int(max) - int(min) + 1, held: map[uint16]time.Time{}}
}

func (p *ports) isUsed(port uint16) bool { return p.used[port/64]&(1<<(port%64)) != 0 }

// inUse says whether port belongs to an allocation.
func (p *ports) inUse(port uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isUsed(port)
}

// take finds a free port, starting anywhere so that ports are hard to guess
// (RFC 6056), and takes it. With even set it is an even one.
func (p *ports) take(even bool, now time.Time) (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return 0, false
	}
	for port, until := range p.held {
		if now.After(until) {
			delete(p.held, port)
		}
	}
	span := int(p.max) - int(p.min) + 1
	start := int(p.min) + rand.IntN(span)
	const evens = 0x5555555555555555
	// Word by word from start to the end and around; the word of start twice,
	// since its first bits come last.
	for i, word := 0, start/64; i <= len(p.used); i, word = i+1, (word+1)%len(p.used) {
		open := ^p.used[word]
		if i == 0 {
			open &= ^uint64(0) << (start % 64)
		}
		if even {
			open &= evens
		}
		for ; open != 0; open &= open - 1 {
			port := word*64 + bits.TrailingZeros64(open)
			if port < int(p.min) || port > int(p.max) {
				continue
			}
			if _, held := p.held[uint16(port)]; held {
				continue
			}
			p.mark(uint16(port))
			if even {
				p.held[uint16(port)+1] = now.Add(pairHold)
			}
			return uint16(port), true
		}
	}
	return 0, false
}

// takeThis takes port if it is free.
func (p *ports) takeThis(port uint16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port < p.min || port > p.max || p.isUsed(port) {
		return false
	}
	delete(p.held, port)
	p.mark(port)
	return true
}

func (p *ports) mark(port uint16) {
	p.used[port/64] |= 1 << (port % 64)
	p.free--
}

func (p *ports) release(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isUsed(port) {
		p.used[port/64] &^= 1 << (port % 64)
		p.free++
	}
}
