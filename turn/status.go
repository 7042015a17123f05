package turn

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A Status is what a relay is doing at one moment.
type Status struct {
	Started      time.Time
	Draining     bool
	Allocations  []AllocationStatus // oldest first
	RefusedPeers uint64             // permissions and allocations that policy or limits refused
	FailedLogins uint64
	// Refusals counts what was refused, dropped or not answered by the reason
	// that the log names, for example "too many allocations of this user". The
	// reasons are a fixed set.
	Refusals      map[string]uint64
	Connections   int     // TCP, TLS and DTLS clients
	FastForwarded bool    // packets of UDP clients are forwarded by loops
	Total         Traffic // since the start, with ended allocations
}

// An AllocationStatus is one allocation.
type AllocationStatus struct {
	Realm       string
	User        string
	Transport   Transport
	Client      netip.AddrPort
	Relayed     netip.AddrPort
	Created     time.Time
	Additional  netip.AddrPort // the IPv6 address besides, of a dual allocation
	Peers       int            // with a permission
	Channels    int
	Connections int // to peers, of a TCP allocation
	Traffic     Traffic
}

// Status returns what the relay is doing.
func (s *Server) Status() Status {
	st := Status{
		Started: s.started, Draining: s.draining.Load(), RefusedPeers: s.refused.Load(), FailedLogins: s.failures.Load(),
		Refusals: s.reasons.snapshot(), Connections: s.connections.number(), FastForwarded: s.plane != nil,
	}
	s.mu.Lock()
	st.Total = s.ended
	all := make([]*allocation, 0, len(s.allocations))
	for a := range s.allocations {
		all = append(all, a)
	}
	s.mu.Unlock()
	for _, a := range all {
		if a.forward != nil {
			a.forward.count()
		}
		traffic := a.meter.traffic()
		st.Total.add(traffic)
		a.mu.Lock()
		as := AllocationStatus{
			Realm: a.account.Realm, User: a.account.User, Transport: a.entrance.transport, Client: a.client, Relayed: a.relayedAddr(), Created: a.created,
			Peers: len(a.permissions), Channels: len(a.channels), Connections: len(a.peers), Traffic: traffic,
		}
		if v6 := a.relays[1]; v6 != nil && v6.public != as.Relayed {
			as.Additional = v6.public
		}
		a.mu.Unlock()
		st.Allocations = append(st.Allocations, as)
	}
	slices.SortFunc(st.Allocations, func(x, y AllocationStatus) int {
		return cmp.Or(x.Created.Compare(y.Created), x.Relayed.Compare(y.Relayed))
	})
	return st
}

// Addresses returns where clients are served, ports filled in.
func (s *Server) Addresses() []Listener {
	var out []Listener
	for _, e := range s.entrances {
		l := Listener{Transport: e.transport, Address: e.local}
		if !slices.ContainsFunc(out, func(o Listener) bool { return o.Transport == l.Transport && o.Address == l.Address }) {
			out = append(out, l)
		}
	}
	return out
}

// AllocationLimit returns how many allocations there may be in total.
func (s *Server) AllocationLimit() int { return s.limits().Total.Allocations }
