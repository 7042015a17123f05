package icepath

import (
	"net"
	"net/netip"
	"sync"
)

// Limits of what one system call sends, and of what waits for it.
const (
	trainPackets = 64        // the kernel takes no more
	trainBytes   = 60 << 10  // with headers it must fit into an IP packet
	trainWaiting = 256 << 10 // then a writer waits, as for the socket
)

// A train sends packets that come while others are being sent by one system
// call, where the kernel can (UDP_SEGMENT). What fails is lost, as on the way.
type train struct {
	u     *net.UDPConn
	plain bool // the kernel cannot

	mu      sync.Mutex
	changed *sync.Cond
	data    []byte
	packets []wagon // in data, one after the other
	closed  bool
}

type wagon struct {
	size int
	to   netip.AddrPort
}

func newTrain(u *net.UDPConn) *train {
	t := &train{u: u}
	t.changed = sync.NewCond(&t.mu)
	return t
}

// write takes a packet.
func (t *train) write(p []byte, to netip.AddrPort) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.data)+len(p) > trainWaiting && len(t.data) > 0 && !t.closed {
		t.changed.Wait()
	}
	if t.closed {
		return 0, net.ErrClosed
	}
	t.data = append(t.data, p...)
	t.packets = append(t.packets, wagon{len(p), to})
	if len(t.packets) == 1 {
		t.changed.Broadcast()
	}
	return len(p), nil
}

// run sends until close, and what waits then.
func (t *train) run() {
	var data []byte
	var packets []wagon
	for {
		t.mu.Lock()
		for len(t.packets) == 0 && !t.closed {
			t.changed.Wait()
		}
		if len(t.packets) == 0 {
			t.mu.Unlock()
			return
		}
		data, t.data = t.data, data[:0]
		packets, t.packets = t.packets, packets[:0]
		t.changed.Broadcast()
		t.mu.Unlock()
		t.send(data, packets)
	}
}

// close takes nothing more. What waits is still sent.
func (t *train) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.changed.Broadcast()
}

func (t *train) send(data []byte, packets []wagon) {
	for len(packets) > 0 {
		first := packets[0]
		n, size := 1, first.size
		for n < len(packets) && n < trainPackets && !t.plain {
			next := packets[n]
			// All have the size of the first; only the last may be shorter.
			if packets[n-1].size < first.size || next.size > first.size || next.size == 0 || next.to != first.to || size+next.size > trainBytes {
				break
			}
			n, size = n+1, size+next.size
		}
		if n > 1 {
			if err := sendSegments(t.u, data[:size], first.size, first.to); err != nil {
				t.plain = true // a kernel or a device that cannot; each goes by itself from now on
				continue
			}
		} else {
			t.u.WriteToUDPAddrPort(data[:size], first.to)
		}
		data, packets = data[size:], packets[n:]
	}
}
