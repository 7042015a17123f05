// Package wire helps to measure carriers on a long line: packets between two
// sockets of this machine are delayed, and there is room for so many a second.
package wire

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// A Config describes a line. Each direction is the same.
type Config struct {
	Delay time.Duration // one way
	Rate  int           // bytes a second, with headers; zero is no limit
	// Headers are bytes that a packet has on the line and not here: New takes those
	// of IP and UDP.
	Headers int
	Queue   int // bytes that wait for the line, at most
	// Drop is asked about each packet, on the goroutine of its direction.
	Drop func() bool
	// Lost counts the packets that did not arrive. Nil does not.
	Lost *atomic.Int64
}

// headers are the bytes of IPv4 and UDP around a packet.
const headers = 28

// A Wire is a line between the initiator and the responder of a session.
type Wire struct {
	cfg  Config
	ends map[jingle.Role]*net.UDPConn // as the role meets its peer

	mu   sync.Mutex
	real map[jingle.Role]netip.AddrPort
}

// New returns a line that is taken down at the end of the test.
func New(t testing.TB, cfg Config) *Wire {
	t.Helper()
	cfg.Headers = headers
	w := &Wire{cfg: cfg, ends: map[jingle.Role]*net.UDPConn{}, real: map[jingle.Role]netip.AddrPort{}}
	for _, r := range []jingle.Role{jingle.Initiator, jingle.Responder} {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadBuffer(4 << 20)
		c.SetWriteBuffer(4 << 20)
		w.ends[r] = c
	}
	var wg sync.WaitGroup
	wg.Go(func() { w.carry(jingle.Initiator, jingle.Responder) })
	wg.Go(func() { w.carry(jingle.Responder, jingle.Initiator) })
	t.Cleanup(func() {
		for _, c := range w.ends {
			c.Close()
		}
		wg.Wait()
	})
	return w
}

// Candidates replaces what one side says of itself by what the other is to
// believe.
func (w *Wire) Candidates(from jingle.Role, list []iceudp.Candidate) []iceudp.Candidate {
	for _, c := range list {
		ip, err := netip.ParseAddr(c.IP)
		if err != nil || !ip.Is4() || !ip.IsLoopback() || c.Type != iceudp.Host {
			continue
		}
		w.mu.Lock()
		w.real[from] = netip.AddrPortFrom(ip, c.Port)
		w.mu.Unlock()
		c.Port = w.ends[from.Peer()].LocalAddr().(*net.UDPAddr).AddrPort().Port()
		return []iceudp.Candidate{c}
	}
	return nil
}

type packet struct {
	data []byte
	due  time.Time
}

// grain is how exactly packets are sent. With less a line carries less than its
// rate: the system wakes us late, and what is late by more than this is not
// made up for quickly. See BenchmarkLine.
const grain = time.Millisecond

// takes returns how long the line is busy with n bytes.
func (cfg Config) takes(n int) time.Duration {
	if cfg.Rate == 0 {
		return 0
	}
	return time.Duration(float64(n+cfg.Headers) / float64(cfg.Rate) * float64(time.Second))
}

// carry takes what from sends to the other side.
func (w *Wire) carry(from, to jingle.Role) {
	w.cfg.Carry(func(buf []byte) (int, error) {
		n, _, err := w.ends[from].ReadFromUDPAddrPort(buf)
		return n, err
	}, func(p []byte) {
		w.mu.Lock()
		addr := w.real[to]
		w.mu.Unlock()
		if addr.IsValid() {
			w.ends[to].WriteToUDPAddrPort(p, addr)
		}
	})
}

// Carry takes packets from read to write, in one direction, until read fails.
func (cfg Config) Carry(read func([]byte) (int, error), write func([]byte)) {
	var wg sync.WaitGroup
	line := make(chan packet, 1<<15)
	wg.Go(func() {
		var last time.Time
		for p := range line {
			// After this goroutine was kept waiting it catches up no faster than
			// twice the rate: lines do not bring everything at once.
			if next := last.Add(cfg.takes(len(p.data)) / 2); next.After(p.due) {
				p.due = next
			}
			if early := time.Until(p.due); early > grain {
				time.Sleep(early)
			}
			if last = time.Now(); last.Before(p.due) {
				last = p.due
			}
			write(p.data)
		}
	})
	defer wg.Wait()
	defer close(line)
	var free time.Time // when the line is
	buf := make([]byte, 64<<10)
	for {
		n, err := read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if cfg.Rate > 0 {
			if waiting := int(free.Sub(now).Seconds() * float64(cfg.Rate)); waiting > cfg.Queue {
				cfg.lost()
				continue
			}
		}
		free = free.Add(cfg.takes(n))
		if cfg.Drop != nil && cfg.Drop() {
			cfg.lost()
			continue
		}
		select {
		case line <- packet{append([]byte(nil), buf[:n]...), free.Add(cfg.Delay)}:
		default:
			cfg.lost()
		}
	}
}

func (cfg Config) lost() {
	if cfg.Lost != nil {
		cfg.Lost.Add(1)
	}
}
