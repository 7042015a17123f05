package turn

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An allocation is what the control plane knows of one, RFC 8656#section-3.2.
type allocation struct {
	server   *Server
	entrance *entrance
	conn     *clientConn // nil for clients of a UDP socket
	client   netip.AddrPort
	account  Account
	scopes   scopes
	created  time.Time
	relayed  netip.AddrPort // the first relayed address, as the log names it
	tcp      bool           // RFC 6062
	forward  forwarder      // nil when goroutines forward

	meter   meter
	own     budget
	stopped atomic.Uint32 // what stopped packets since the log last said so

	// Of the agenda.
	due   int64
	place int

	mu          sync.Mutex
	transaction [12]byte    // of the request that made it
	reservation *[8]byte    // what that was told besides
	relays      [2]*relayed // IPv4 and IPv6; one of them may be nil
	permissions []permission
	channels    []channel
	peers       map[uint32]*peerConn // RFC 6062, by CONNECTION-ID
	dialing     int                  // Connect requests that have no answer yet
	closed      bool
}

// A relayed is a relayed transport address.
type relayed struct {
	local, public netip.AddrPort // bound, and told to the client
	ports         *ports
	socket        relaySocket
	expires       int64
}

// A relaySocket is the socket of a relayed address. Close ends forwarding by it.
type relaySocket interface{ Close() error }

// A permission lets packets of one address pass, RFC 8656#section-9.
type permission struct {
	peer    netip.Addr
	verdict verdict
	expires int64
}

// A channel is a peer with a number, RFC 8656#section-12.
type channel struct {
	number  uint16
	peer    netip.AddrPort
	expires int64
}

// A forwarder is the data plane of one allocation. When a method returns, what
// it revoked is no longer forwarded.
type forwarder interface {
	start(client netip.AddrPort)
	permit(peer netip.Addr, v verdict)
	forbid(peer netip.Addr)
	bind(number uint16, peer netip.AddrPort)
	unbind(number uint16)
	stop()
	// count brings the meters up to date.
	count()
}

func familyIndex(a netip.Addr) int { return int(familyOf(a)) - family4 }

// mayReach says whether v lets packets pass to this very port, by UDP.
func (s *Server) mayReach(v verdict, peer netip.AddrPort) bool { return s.reaches(v, peer, false) }

// mayReach is the same by the protocol of the allocation.
func (a *allocation) mayReach(v verdict, peer netip.AddrPort) bool {
	return a.server.reaches(v, peer, a.tcp)
}

func (s *Server) reaches(v verdict, peer netip.AddrPort, tcp bool) bool {
	switch v {
	case verdictAllowed:
		return true
	case verdictAllocations:
		p := s.portsOf[peer.Addr()]
		return p != nil && p.open(peer.Port(), tcp)
	}
	return false
}

// hasFamily says whether peers of a's family can be reached at all.
func (a *allocation) hasFamily(peer netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !peer.Is4In6() && a.relays[familyIndex(peer)] != nil
}

func (a *allocation) permission(peer netip.Addr) *permission {
	for i := range a.permissions {
		if a.permissions[i].peer == peer {
			return &a.permissions[i]
		}
	}
	return nil
}

// permit installs or refreshes permissions: all or, with a reason, none.
func (a *allocation) permit(peers []netip.Addr, until int64) (reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return reasonNoPermission
	}
	more := 0
	for i, p := range peers {
		if a.permission(p) == nil && !slices.Contains(peers[:i], p) {
			more++
		}
	}
	if more > 0 {
		if len(a.permissions)+more > a.server.limits().PerAllocation.Permissions {
			return reasonOwnPermissions
		}
		if reason := a.server.takePeers(a.scopes, more, 0); reason != "" {
			return reason
		}
	}
	policy := a.server.policy.Load()
	for _, peer := range peers {
		if p := a.permission(peer); p != nil {
			p.expires = until
			continue
		}
		v, _ := policy.judge(peer)
		a.permissions = append(a.permissions, permission{peer, v, until})
		if a.forward != nil {
			a.forward.permit(peer, v)
		}
	}
	a.server.agenda.at(a, until)
	return ""
}

// bind binds or refreshes a channel, and its permission.
func (a *allocation) bind(number uint16, peer netip.AddrPort, until int64) (c code, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return codeAllocationMismatch, reasonNoPermission
	}
	for i := range a.channels {
		ch := &a.channels[i]
		switch {
		case ch.number == number && ch.peer == peer:
			ch.expires = until
			return 0, ""
		case ch.number == number || ch.peer == peer: // RFC 8656#section-12.2
			return codeBadRequest, ""
		}
	}
	if len(a.channels) >= a.server.limits().PerAllocation.Channels {
		return codeInsufficientCapacity, reasonOwnChannels
	}
	if reason := a.server.takePeers(a.scopes, 0, 1); reason != "" {
		return codeInsufficientCapacity, reason
	}
	a.channels = append(a.channels, channel{number, peer, until})
	if a.forward != nil {
		a.forward.bind(number, peer)
	}
	a.server.agenda.at(a, until)
	return 0, ""
}

// forbid ends permissions that drop chooses.
func (a *allocation) forbidLocked(drop func(*permission) bool) {
	n := len(a.permissions)
	a.permissions = slices.DeleteFunc(a.permissions, func(p permission) bool {
		if !drop(&p) {
			return false
		}
		if a.forward != nil {
			a.forward.forbid(p.peer)
		}
		return true
	})
	if n -= len(a.permissions); n > 0 {
		a.server.takePeers(a.scopes, -n, 0)
	}
}

// unbind ends channels that drop chooses.
func (a *allocation) unbindLocked(drop func(*channel) bool) {
	n := len(a.channels)
	a.channels = slices.DeleteFunc(a.channels, func(c channel) bool {
		if !drop(&c) {
			return false
		}
		if a.forward != nil {
			a.forward.unbind(c.number)
		}
		return true
	})
	if n -= len(a.channels); n > 0 {
		a.server.takePeers(a.scopes, 0, -n)
	}
}

// dropLocked ends one relayed address, with what needs it.
func (a *allocation) dropLocked(family int) {
	r := a.relays[family]
	if r == nil {
		return
	}
	a.relays[family] = nil
	a.forbidLocked(func(p *permission) bool { return familyIndex(p.peer) == family })
	a.unbindLocked(func(c *channel) bool { return familyIndex(c.peer.Addr()) == family })
	r.socket.Close()
	r.ports.release(r.local.Port())
}

// judgeAgain applies a new policy to what was permitted under an old one.
func (a *allocation) judgeAgain(p *policy) {
	var over []*peerConn
	a.mu.Lock()
	for i := range a.permissions {
		q := &a.permissions[i]
		q.verdict, _ = p.judge(q.peer)
		if a.forward != nil {
			a.forward.permit(q.peer, q.verdict)
		}
	}
	for _, c := range a.peers {
		if v, _ := p.judge(c.peer.Addr()); !a.mayReach(v, c.peer) {
			over = append(over, c)
		}
	}
	a.mu.Unlock()
	for _, c := range over {
		c.Close()
	}
}

// allows says whether a packet may pass between the client and peer.
func (a *allocation) allows(peer netip.AddrPort) bool {
	a.mu.Lock()
	v := verdictRefused
	if p := a.permission(peer.Addr()); p != nil && !a.closed {
		v = p.verdict
	}
	a.mu.Unlock()
	return a.mayReach(v, peer)
}

// peerOf is the peer of a channel.
func (a *allocation) peerOf(number uint16) (netip.AddrPort, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.channels {
		if a.channels[i].number == number {
			return a.channels[i].peer, true
		}
	}
	return netip.AddrPort{}, false
}

// channelOf is the channel of a peer, or 0.
func (a *allocation) channelOf(peer netip.AddrPort) uint16 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.channels {
		if a.channels[i].peer == peer {
			return a.channels[i].number
		}
	}
	return 0
}

// expire ends what is over at now and returns when it has to look again.
func (a *allocation) expire(now int64) (due int64) {
	a.mu.Lock()
	due = never
	if a.closed {
		a.mu.Unlock()
		return never
	}
	a.unbindLocked(func(c *channel) bool { return c.expires <= now })
	a.forbidLocked(func(p *permission) bool { return p.expires <= now })
	for family, r := range a.relays {
		if r != nil && r.expires <= now {
			a.dropLocked(family)
		}
	}
	over := a.relays == [2]*relayed{}
	for _, r := range a.relays {
		if r != nil {
			due = min(due, r.expires)
		}
	}
	for i := range a.permissions {
		due = min(due, a.permissions[i].expires)
	}
	for i := range a.channels {
		due = min(due, a.channels[i].expires)
	}
	a.mu.Unlock()
	if over {
		a.close("expired")
		return never
	}
	return due
}

// refresh changes when relayed addresses of a family, or with 0 of both, expire.
// Without a lifetime they end at once. It is not ok when there are none.
func (a *allocation) refresh(family byte, lifetime time.Duration) (ok bool) {
	a.mu.Lock()
	until := a.server.now() + int64(lifetime)
	for i, r := range a.relays {
		if r == nil || family != 0 && int(family)-family4 != i {
			continue
		}
		ok = true
		if lifetime <= 0 {
			a.dropLocked(i)
			continue
		}
		r.expires = until
		a.server.agenda.at(a, until)
	}
	over := a.relays == [2]*relayed{}
	a.mu.Unlock()
	if over {
		a.close("deleted by the client")
	}
	return ok
}

// close ends the allocation with everything it has.
func (a *allocation) close(why string) {
	s := a.server
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return
	}
	a.closed = true
	if a.forward != nil {
		a.forward.stop()
	}
	for family := range a.relays {
		a.dropLocked(family)
	}
	a.forbidLocked(func(*permission) bool { return true })
	a.unbindLocked(func(*channel) bool { return true })
	peers := a.peers
	a.peers = nil
	a.mu.Unlock()
	for _, p := range peers {
		p.Close()
	}
	s.agenda.at(a, never)
	a.entrance.forget(a)
	if a.conn != nil {
		a.conn.forget(a)
	}
	s.mu.Lock()
	delete(s.allocations, a)
	s.ended.add(a.meter.traffic())
	s.mu.Unlock()
	s.leave(a.scopes)
	s.releaseAtLedger(a.account)
	a.explain()
	t := a.meter.traffic()
	s.log().Info("allocation ended", "user", a.account.User, s.addr("client", a.client), s.addr("relayed", a.relayed), "why", why,
		slog.Duration("after", time.Since(a.created).Round(time.Millisecond)),
		"up-bytes", t.UpBytes, "down-bytes", t.DownBytes, "up-packets", t.UpPackets, "down-packets", t.DownPackets, "dropped", t.Dropped)
}

func (a *allocation) ended() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}

// relayedAddr is the first relayed address there is, with a.mu held; the zero
// AddrPort when there is none.
func (a *allocation) relayedAddr() netip.AddrPort {
	for _, r := range a.relays {
		if r != nil {
			return r.public
		}
	}
	return netip.AddrPort{}
}

// explain logs why packets were dropped since it last did.
func (a *allocation) explain() {
	why := a.stopped.Swap(0)
	for i, reason := range stoppedReasons {
		if why&(1<<i) != 0 {
			a.server.refuse("packets dropped", reason, "user", a.account.User, a.server.addr("client", a.client))
		}
	}
}
