package turn

import (
	"math/bits"
	"math/rand/v2"
	"sync"
)

// ports is the bitmap of one address: which ports an allocation has.
type ports struct {
	min, max uint16

	mu   sync.Mutex
	used portSet
	// Of them, those that have a socket: others, kept for a reservation or of
	// the other protocol, may be somebody else's on this machine.
	udp, tcp portSet
	free     int
}

// A portSet is a bitmap of ports.
type portSet [65536 / 64]uint64

func (s *portSet) has(port uint16) bool { return s[port/64]&(1<<(port%64)) != 0 }
func (s *portSet) add(port uint16)      { s[port/64] |= 1 << (port % 64) }
func (s *portSet) remove(port uint16)   { s[port/64] &^= 1 << (port % 64) }

func newPorts(min, max uint16) *ports {
	return &ports{min: min, max: max, free: int(max) - int(min) + 1}
}

// serve notes that a port which is taken has a socket now.
func (p *ports) serve(port uint16, tcp bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served(tcp).add(port)
}

func (p *ports) served(tcp bool) *portSet {
	if tcp {
		return &p.tcp
	}
	return &p.udp
}

// open says whether port is the relayed address of an allocation of a protocol.
func (p *ports) open(port uint16, tcp bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served(tcp).has(port)
}

// take finds a free port, starting anywhere so that ports are hard to guess
// (RFC 6056), and takes it. With even set it is an even one, and with pair set
// it takes the next one too.
func (p *ports) take(even, pair bool) (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return 0, false
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
			if pair {
				if port == int(p.max) || p.used.has(uint16(port+1)) {
					continue
				}
				p.mark(uint16(port + 1))
			}
			p.mark(uint16(port))
			return uint16(port), true
		}
	}
	return 0, false
}

func (p *ports) mark(port uint16) {
	p.used.add(port)
	p.free--
}

func (p *ports) release(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used.has(port) {
		p.used.remove(port)
		p.udp.remove(port)
		p.tcp.remove(port)
		p.free++
	}
}
