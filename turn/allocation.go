package turn

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// An account is who limits are counted for.
type account struct {
	name     string
	count    int // allocations, guarded by Server.mu
	meter    meter
	up, down rate
}

// An allocation is what the control plane knows of one, RFC 8656#section-3.2.
// pion keeps its lifetime and tells us of permissions and channels.
type allocation struct {
	server   *Server
	entrance *entrance
	account  *account
	ports    *ports
	local    netip.AddrPort // bound
	relayed  netip.AddrPort // told to the client
	created  time.Time
	forward  forwarder // nil when pion forwards

	meter    meter
	up, down rate

	mu          sync.Mutex
	client      netip.AddrPort
	permissions map[netip.Addr]verdict
	channels    map[uint16]netip.AddrPort
	refuseBind  bool // the request at hand binds one channel too many
	closed      bool
}

// started says whether the allocation got as far as an answer to its client.
func (a *allocation) started() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.client.IsValid()
}

// A forwarder is the data plane of one allocation. When a method returns, what
// it revoked is no longer forwarded.
type forwarder interface {
	start(client netip.AddrPort)
	permit(peer netip.Addr, v verdict)
	forbid(peer netip.Addr)
	bind(number uint16, peer netip.AddrPort)
	unbind(number uint16)
}

// mayReach says whether v lets packets pass to this very port.
func (s *Server) mayReach(v verdict, peer netip.AddrPort) bool {
	switch v {
	case verdictAllowed:
		return true
	case verdictAllocations:
		p := s.portsOf[peer.Addr()]
		return p != nil && p.inUse(peer.Port())
	}
	return false
}

func (a *allocation) permit(peer netip.Addr) {
	v, _ := a.server.policy.Load().judge(peer)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.permissions[peer] = v
	if a.forward != nil {
		a.forward.permit(peer, v)
	}
}

func (a *allocation) forbid(peer netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.permissions, peer)
	if a.forward != nil {
		a.forward.forbid(peer)
	}
}

func (a *allocation) bind(number uint16, peer netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.channels[number] = peer
	if a.forward != nil {
		a.forward.bind(number, peer)
	}
}

func (a *allocation) unbind(number uint16) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.channels, number)
	if a.forward != nil {
		a.forward.unbind(number)
	}
}

// judgeAgain applies a new policy to what was permitted under an old one.
func (a *allocation) judgeAgain(p *policy) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for peer := range a.permissions {
		v, _ := p.judge(peer)
		a.permissions[peer] = v
		if a.forward != nil {
			a.forward.permit(peer, v)
		}
	}
}

// allows says whether a packet may pass between the client and peer.
func (a *allocation) allows(peer netip.AddrPort) bool {
	a.mu.Lock()
	v := a.permissions[peer.Addr()]
	a.mu.Unlock()
	return a.server.mayReach(v, peer)
}

// admit says whether the rates of the allocation and its account let bytes pass.
func (a *allocation) admitUp(bytes int, now int64) bool {
	return a.up.admit(bytes, now) && a.account.up.admit(bytes, now)
}

func (a *allocation) admitDown(bytes int, now int64) bool {
	return a.down.admit(bytes, now) && a.account.down.admit(bytes, now)
}

// close forgets the allocation; its relay socket is closed by the caller.
func (a *allocation) close() {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return
	}
	a.closed = true
	client := a.client
	a.mu.Unlock()
	a.ports.release(a.local.Port())
	a.server.forget(a, client)
	if client.IsValid() {
		t := a.meter.traffic()
		a.server.log().Info("allocation ended", "user", a.account.name, a.server.addr("client", client), a.server.addr("relayed", a.relayed),
			slog.Duration("after", time.Since(a.created).Round(time.Millisecond)),
			"up-bytes", t.UpBytes, "down-bytes", t.DownBytes, "up-packets", t.UpPackets, "down-packets", t.DownPackets, "dropped", t.Dropped)
	}
}
