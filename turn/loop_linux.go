package turn

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/turn/internal/fastpath"
)

const (
	slotCount = 32 // packets, or trains of packets, read before they are sent on
	slotSize  = 64 << 10
	// slotStride spreads the heads of packets over cache sets.
	slotStride = slotSize + 320
	// batch is how many packets one recvmmsg reads.
	batch = 16
	// trainPackets and trainBytes bound what one UDP_SEGMENT call sends.
	trainPackets = 64
	trainBytes   = 65000
	trainCount   = 64
	// trainPacketMax is what an Ethernet frame carries over IPv4 and UDP. Larger
	// packets are fragmented, which trains are not.
	trainPacketMax = 1472
	epollEvents    = 64
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// A sock is a UDP socket of a loop, of clients or of one allocation.
type sock struct {
	loop     *loop
	fd       int
	local    netip.AddrPort
	gso      bool          // trains have not failed; guarded by loop.mu, like all below
	listener *listenerSock // one of these two
	flow     *flow
	closed   bool
	first    *train // to be sent at the end of the round
	last     *train
}

// A train is packets of one size, but for the last, to one destination: one
// call sends them (UDP_SEGMENT), and they may leave the machine as they are.
type train struct {
	to      sockaddr
	size    int // of each packet on the wire
	packets int
	bytes   int
	short   bool // the last packet was smaller
	number  uint16
	vecs    [3 * trainPackets]unix.Iovec
	nvecs   int
	// The heads: of channel data of full size, of the last, smaller packet, or
	// of a Data indication, which travels alone.
	head, lastHead [channelHeader]byte
	indication     [dataIndicationMax]byte
	control        [24]byte
	next           *train
}

// A loop forwards packets with one goroutine. What the control plane changes,
// it changes with mu held, and the loop holds it while it handles what epoll
// reported: when a revocation returns, no packet passes that it forbids.
type loop struct {
	server      *Server
	epoll, wake int
	pace        pace // loop goroutine only, like random
	random      *rand.Rand
	fast        *fastpath.Path // nil without; guarded by mu

	mu      sync.Mutex
	socks   map[int32]*sock
	stopped bool

	// Of the loop goroutine, with mu held.
	events   [epollEvents]unix.EpollEvent
	memory   []byte
	messages [slotCount]mmsghdr
	names    [slotCount]sockaddr
	controls [slotCount][64]byte
	vecs     [slotCount]unix.Iovec
	used     int
	reads    int // packets, or trains of packets, of this round
	trains   [trainCount]train
	ntrains  int
	dirty    []*sock
	outgoing [trainCount]mmsghdr
	now      int64
}

func (l *loop) prepare() {
	l.memory = make([]byte, slotCount*slotStride)
	l.dirty = make([]*sock, 0, trainCount)
	for i := range l.messages {
		l.vecs[i].Base = &l.memory[i*slotStride]
		l.vecs[i].SetLen(slotSize)
		h := &l.messages[i].hdr
		h.Name = &l.names[i].raw[0]
		h.Iov = &l.vecs[i]
		h.SetIovlen(1)
		h.Control = &l.controls[i][0]
	}
}

func (l *loop) slot(i int) []byte { return l.memory[i*slotStride:][:slotSize] }

var errStopped = errors.New("forwarding has ended")

func (l *loop) add(s *sock) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return errStopped
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	l.socks[int32(s.fd)] = s
	return nil
}

// close takes s from its loop. Closing the descriptor takes it from epoll.
func (s *sock) close() error {
	s.loop.mu.Lock()
	defer s.loop.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	delete(s.loop.socks, int32(s.fd))
	return os.NewSyscallError("close", unix.Close(s.fd))
}

// writeTo sends b at once, for the control plane.
func (s *sock) writeTo(b []byte, to netip.AddrPort) error {
	sa := sockaddrOf(to)
	s.loop.mu.Lock()
	defer s.loop.mu.Unlock()
	if s.closed || len(b) == 0 {
		return net.ErrClosed
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa.raw)), uintptr(sa.n))
	if errno != 0 {
		return os.NewSyscallError("sendto", errno)
	}
	return nil
}

// stop makes run return; plane.close waits for it.
func (l *loop) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	one := [8]byte{0: 1}
	// An eventfd takes this unless its counter is full, and then it wakes too.
	_, _ = unix.Write(l.wake, one[:])
}

// lingerTime is how long linger waits at most, in milliseconds.
const lingerTime = 4

// linger waits a short while for events without telling the Go scheduler.
// Being told costs more than a packet does: it makes the runtime's monitor
// wake up again and again to look after the thread. Until the wait ends the
// loop keeps its processor and delays the collector; so a loop that nothing
// happens in waits in the usual way.
func (l *loop) linger() int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])), epollEvents, lingerTime, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func (l *loop) run() {
	busy := false
	for {
		if l.pace.dense {
			if rest := l.pace.rest(time.Now()); rest > 0 {
				ts := unix.NsecToTimespec(int64(rest))
				// A signal ends it early, which does no harm.
				_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
			}
		}
		n, err := 0, error(nil)
		if busy {
			n = l.linger()
		}
		if n == 0 {
			n, err = unix.EpollWait(l.epoll, l.events[:], -1)
		}
		busy = true
		if err != nil && err != unix.EINTR {
			// Only a bug can do this; the control plane goes on and clients
			// see their packets lost.
			return
		}
		l.mu.Lock()
		if l.stopped {
			l.mu.Unlock()
			return
		}
		now := time.Now()
		l.now, l.reads = int64(now.Sub(l.server.started)), 0
		for i := range max(0, n) {
			if s := l.socks[l.events[i].Fd]; s != nil {
				l.read(s)
			}
		}
		l.flush()
		l.pace.round(now, l.reads)
		l.mu.Unlock()
	}
}

// read takes what waits at s, some of it: the rest makes epoll report it again,
// after others had their turn.
func (l *loop) read(s *sock) {
	want := batch
	if s.flow != nil {
		want = 4
	}
	if l.used+want > slotCount {
		l.flush()
	}
	first := l.used
	for i := first; i < first+want; i++ {
		h := &l.messages[i].hdr
		h.Namelen = uint32(len(l.names[i].raw))
		h.SetControllen(len(l.controls[i]))
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&l.messages[first])), uintptr(want), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return // EAGAIN, or an error of the network that concerns no packet of ours
	}
	l.used += int(n)
	l.reads += int(n)
	for i := first; i < first+int(n); i++ {
		size := int(l.messages[i].n)
		from, ok := l.names[i].endpoint()
		if !ok || l.messages[i].hdr.Flags&unix.MSG_TRUNC != 0 {
			continue
		}
		segment := size
		if int(l.messages[i].hdr.Controllen) >= unix.CmsgLen(4) {
			c := (*unix.Cmsghdr)(unsafe.Pointer(&l.controls[i]))
			if c.Level == unix.IPPROTO_UDP && c.Type == unix.UDP_GRO {
				if v := int(*(*int32)(unsafe.Pointer(&l.controls[i][unix.CmsgLen(0)]))); v > 0 {
					segment = v
				}
			}
		}
		if b := l.slot(i)[:size]; s.flow != nil {
			l.fromPeer(s.flow, from, b, segment)
		} else {
			l.fromClient(s, from, b, segment)
		}
	}
}

// fromClient handles packets of one client.
func (l *loop) fromClient(s *sock, from endpoint, b []byte, segment int) {
	f := s.listener.flows[from]
	for ; len(b) > 0; b = b[min(segment, len(b)):] {
		p := b[:min(segment, len(b))]
		switch p[0] & 0xC0 {
		case 0x40:
			if f == nil {
				continue
			}
			number, data, ok := channelData(p)
			if !ok {
				continue
			}
			c := f.byNumber(number)
			if c == nil || !f.may(c.peer) || !f.allocation.admitUp(len(data), l.now) {
				f.dropped++
				continue
			}
			f.packets++
			f.bytes += len(data)
			l.send(c.via, &c.to, 0, data)
		case 0x00:
			typ, ok := stunType(p)
			switch {
			case !ok:
			case typ == typeSendIndication:
				if f != nil {
					l.sendIndication(f, p)
				}
			case typ&classMask == classRequest:
				s.listener.hand(from, p)
			}
		}
	}
	if f != nil && f.packets+f.dropped > 0 {
		f.allocation.meter.up(f.packets, f.bytes)
		f.settle()
	}
}

// settle counts what one read has brought.
func (f *flow) settle() {
	f.allocation.spend(f.bytes)
	if f.dropped > 0 {
		f.allocation.meter.dropped.Add(uint64(f.dropped))
	}
	f.packets, f.bytes, f.dropped = 0, 0, 0
}

func (l *loop) sendIndication(f *flow, p []byte) {
	peer, data, ok := sendIndication(p)
	if !ok || peer.Addr().Is4In6() {
		return
	}
	via := f.relays[familyIndex(peer.Addr())]
	if via == nil {
		return // an address of a family that the allocation is not of
	}
	if !f.may(endpointOf(peer)) || !f.allocation.admitUp(len(data), l.now) {
		f.dropped++
		return
	}
	f.packets++
	f.bytes += len(data)
	to := sockaddrOf(peer)
	l.send(&via.sock, &to, 0, data)
}

// hand gives a request to the goroutine that answers, unless too many wait.
func (ls *listenerSock) hand(from endpoint, p []byte) {
	if len(p) > maxRequest {
		return
	}
	r := ls.spare.Get().(*packet)
	r.from, r.n = from.addrPort(), copy(r.b[:], p)
	select {
	case ls.requests <- r:
	default:
		ls.spare.Put(r)
	}
}

// fromPeer handles packets of one peer.
func (l *loop) fromPeer(f *flow, from endpoint, b []byte, segment int) {
	if !f.live {
		return
	}
	may := f.may(from)
	c := f.byPeer(from)
	// An empty packet is a packet too.
	for again := true; again; again = len(b) > 0 {
		p := b[:min(segment, len(b))]
		b = b[len(p):]
		if !may || !f.allocation.admitDown(len(p), l.now) {
			f.dropped++
			continue
		}
		f.packets++
		f.bytes += len(p)
		if c != nil {
			l.send(f.from, &f.to, c.number, p)
		} else {
			l.sendData(f, from, p)
		}
	}
	f.allocation.meter.down(f.packets, f.bytes)
	f.settle()
}

// padding follows attributes that are not a multiple of 4 bytes long.
var padding [4]byte

// sendData sends p to the client as a Data indication.
func (l *loop) sendData(f *flow, peer endpoint, p []byte) {
	pad := -len(p) & 3
	t := l.newTrain(f.from, &f.to)
	head := dataIndication(&t.indication, peer.addrPort(), len(p), l.random.Uint64(), l.random.Uint32())
	t.size, t.packets, t.bytes, t.short = head+len(p)+pad, 1, head+len(p)+pad, true
	t.add(&t.indication[0], head)
	if len(p) > 0 {
		t.add(&p[0], len(p))
	}
	if pad > 0 {
		t.add(&padding[0], pad)
	}
}

func (t *train) add(b *byte, n int) {
	t.vecs[t.nvecs].Base = b
	t.vecs[t.nvecs].SetLen(n)
	t.nvecs++
}

// newTrain begins a train at the end of what s has to send. Trains with another
// destination may overtake nothing either: they leave in this order.
func (l *loop) newTrain(s *sock, to *sockaddr) *train {
	if l.ntrains == trainCount {
		l.flushKeep()
	}
	t := &l.trains[l.ntrains]
	l.ntrains++
	t.to, t.nvecs, t.packets, t.bytes, t.short, t.number, t.next = *to, 0, 0, 0, false, 0, nil
	if s.first == nil {
		s.first = t
		l.dirty = append(l.dirty, s)
	} else {
		s.last.next = t
	}
	s.last = t
	return t
}

// send queues data, behind the head of channel number unless that is 0. The
// data stays where it was read until flush.
func (l *loop) send(s *sock, to *sockaddr, number uint16, data []byte) {
	size := len(data)
	if number != 0 {
		size += channelHeader
	}
	t := s.last
	if t == nil || t.short || !s.gso || size > t.size || t.size > trainPacketMax || t.number != number || t.packets == trainPackets ||
		t.bytes+size > trainBytes || size == 0 || t.to != *to {
		t = l.newTrain(s, to)
		t.size, t.number = size, number
		if number != 0 {
			binary.BigEndian.PutUint16(t.head[:], number)
			binary.BigEndian.PutUint16(t.head[2:], uint16(len(data)))
		}
	}
	head := &t.head
	if size < t.size {
		t.short = true
		head = &t.lastHead
		binary.BigEndian.PutUint16(head[:], number)
		binary.BigEndian.PutUint16(head[2:], uint16(len(data)))
	}
	t.packets++
	t.bytes += size
	if number != 0 {
		t.add(&head[0], channelHeader)
	}
	if len(data) > 0 {
		t.add(&data[0], len(data))
	}
}

// flush sends what is queued and frees what was read.
func (l *loop) flush() {
	l.flushKeep()
	l.used = 0
}

// flushKeep sends what is queued.
func (l *loop) flushKeep() {
	for _, s := range l.dirty {
		n := 0
		for t := s.first; t != nil; t = t.next {
			t.message(&l.outgoing[n].hdr)
			n++
		}
		l.transmit(s, n)
		s.first, s.last = nil, nil
	}
	l.dirty = l.dirty[:0]
	l.ntrains = 0
}

func (t *train) message(h *unix.Msghdr) {
	h.Name, h.Namelen = &t.to.raw[0], t.to.n
	h.Iov = &t.vecs[0]
	h.SetIovlen(t.nvecs)
	if t.packets < 2 {
		h.Control = nil
		h.SetControllen(0)
		return
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&t.control))
	c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(t.control[unix.CmsgLen(0):], uint16(t.size))
	h.Control = &t.control[0]
	h.SetControllen(unix.CmsgSpace(2))
}

// transmit sends the n messages of s. UDP promises nothing, so what the kernel
// cannot take now is lost, as on any full link.
func (l *loop) transmit(s *sock, n int) {
	t := s.first
	for i := 0; i < n; {
		var sent uintptr
		var errno syscall.Errno
		if n-i == 1 {
			_, _, errno = syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&l.outgoing[i].hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			sent = 1
		} else {
			sent, _, errno = syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&l.outgoing[i])), uintptr(n-i), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		}
		if errno != 0 {
			l.retry(s, t, errno)
			sent = 1
		}
		for range sent {
			t = t.next
			i++
		}
	}
}

// retry sends the packets of a train one by one where the network device or
// the path does not take trains.
func (l *loop) retry(s *sock, t *train, errno syscall.Errno) {
	if t.packets < 2 || errno == unix.EAGAIN || errno == unix.ENOBUFS {
		return
	}
	if errno != unix.EMSGSIZE { // too large for this path alone
		s.gso = false
	}
	each := 1
	if t.number != 0 {
		each = 2
	}
	var h unix.Msghdr
	h.Name, h.Namelen = &t.to.raw[0], t.to.n
	for i := 0; i < t.nvecs; i += each {
		h.Iov = &t.vecs[i]
		h.SetIovlen(each)
		_, _, _ = syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
}
