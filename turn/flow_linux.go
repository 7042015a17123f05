package turn

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An endpoint is an address and port as a map key, IPv4 as v4-mapped. Addresses
// with a zone are not forwarded.
type endpoint struct {
	hi, lo uint64
	port   uint16
}

func endpointOf(a netip.AddrPort) endpoint {
	ip := a.Addr().As16()
	return endpoint{binary.BigEndian.Uint64(ip[:8]), binary.BigEndian.Uint64(ip[8:]), a.Port()}
}

func (e endpoint) addrPort() netip.AddrPort {
	var ip [16]byte
	binary.BigEndian.PutUint64(ip[:8], e.hi)
	binary.BigEndian.PutUint64(ip[8:], e.lo)
	return netip.AddrPortFrom(netip.AddrFrom16(ip).Unmap(), e.port)
}

// A sockaddr is a destination as the kernel wants it.
type sockaddr struct {
	raw [unix.SizeofSockaddrInet6]byte
	n   uint32
}

func sockaddrOf(a netip.AddrPort) (s sockaddr) {
	if a.Addr().Is4() || a.Addr().Is4In6() {
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		sa.Family, sa.Addr = unix.AF_INET, a.Addr().Unmap().As4()
		s.n = unix.SizeofSockaddrInet4
	} else {
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.raw))
		sa.Family, sa.Addr = unix.AF_INET6, a.Addr().As16()
		s.n = unix.SizeofSockaddrInet6
	}
	// The port has one place in both.
	binary.BigEndian.PutUint16(s.raw[2:], a.Port())
	return s
}

// endpoint reads what the kernel wrote.
func (s *sockaddr) endpoint() (e endpoint, ok bool) {
	e.port = binary.BigEndian.Uint16(s.raw[2:])
	switch *(*uint16)(unsafe.Pointer(&s.raw)) {
	case unix.AF_INET:
		e.lo = 0xffff<<32 | uint64(binary.BigEndian.Uint32(s.raw[4:]))
		return e, true
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(&s.raw))
		e.hi, e.lo = binary.BigEndian.Uint64(sa.Addr[:8]), binary.BigEndian.Uint64(sa.Addr[8:])
		return e, sa.Scope_id == 0
	}
	return e, false
}

// A flowPermission is a permission as the loop sees it.
type flowPermission struct {
	hi, lo  uint64
	verdict verdict
}

// A flowChannel is a channel as the loop sees it.
type flowChannel struct {
	number  uint16
	peer    endpoint
	to      sockaddr
	via     *sock
	offload *offload // nil while the loop forwards it
}

// A flow is an allocation as the loop sees it. Its lists are short, since
// limits bound them; what is guarded is guarded by loop.mu.
type flow struct {
	allocation *allocation
	from       *sock // where the client is served

	relays      [2]*relaySock // of IPv4 and IPv6; guarded, like all below
	client      endpoint
	to          sockaddr
	live        bool
	permissions []flowPermission
	channels    []*flowChannel

	// Counted within one read, given to the meters at its end.
	packets, bytes, dropped int
}

// open takes a relay socket of a family.
func (f *flow) open(r *relaySock, v6 bool) error {
	if err := r.loop.add(&r.sock); err != nil {
		return err
	}
	f.from.loop.mu.Lock()
	defer f.from.loop.mu.Unlock()
	if v6 {
		f.relays[1] = r
	} else {
		f.relays[0] = r
	}
	return nil
}

// start implements forwarder.
func (f *flow) start(client netip.AddrPort) {
	l := f.from.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	f.client, f.to, f.live = endpointOf(client), sockaddrOf(client), true
	f.from.listener.flows[f.client] = f
	f.offload()
}

// stop implements forwarder: it ends all forwarding.
func (f *flow) stop() {
	l := f.from.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	f.live = false
	if f.from.listener.flows[f.client] == f {
		delete(f.from.listener.flows, f.client)
	}
	for _, c := range f.channels {
		f.recall(c)
	}
	f.permissions, f.channels, f.relays = nil, nil, [2]*relaySock{}
}

// permit implements forwarder.
func (f *flow) permit(peer netip.Addr, v verdict) {
	e := endpointOf(netip.AddrPortFrom(peer, 0))
	l := f.from.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	defer f.offload()
	for i := range f.permissions {
		if p := &f.permissions[i]; p.hi == e.hi && p.lo == e.lo {
			p.verdict = v
			return
		}
	}
	f.permissions = append(f.permissions, flowPermission{e.hi, e.lo, v})
}

// forbid implements forwarder. Channels to the peer stop too: they need a
// permission, RFC 8656#section-12.
func (f *flow) forbid(peer netip.Addr) {
	e := endpointOf(netip.AddrPortFrom(peer, 0))
	l := f.from.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	f.permissions = slices.DeleteFunc(f.permissions, func(p flowPermission) bool { return p.hi == e.hi && p.lo == e.lo })
	f.offload()
}

// bind implements forwarder.
func (f *flow) bind(number uint16, peer netip.AddrPort) {
	l := f.from.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if via := f.relays[familyIndex(peer.Addr())]; via != nil {
		f.channels = append(f.channels, &flowChannel{number: number, peer: endpointOf(peer), to: sockaddrOf(peer), via: &via.sock})
		f.offload()
	}
}

// unbind implements forwarder.
func (f *flow) unbind(number uint16) {
	l := f.from.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	f.channels = slices.DeleteFunc(f.channels, func(c *flowChannel) bool {
		if c.number == number {
			f.recall(c)
		}
		return c.number == number
	})
}

// may says whether packets pass between the client and peer.
func (f *flow) may(peer endpoint) bool {
	for i := range f.permissions {
		if p := &f.permissions[i]; p.lo == peer.lo && p.hi == peer.hi {
			return p.verdict == verdictAllowed || f.allocation.server.mayReach(p.verdict, peer.addrPort())
		}
	}
	return false
}

func (f *flow) byNumber(number uint16) *flowChannel {
	for _, c := range f.channels {
		if c.number == number {
			return c
		}
	}
	return nil
}

func (f *flow) byPeer(peer endpoint) *flowChannel {
	for _, c := range f.channels {
		if c.peer == peer {
			return c
		}
	}
	return nil
}
