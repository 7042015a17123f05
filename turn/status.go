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
	FastForwarded bool    // packets of UDP clients bypass pion
	Total         Traffic // since the start, with ended allocations
}

// An AllocationStatus is one allocation.
type AllocationStatus struct {
	Realm     string
	User      string
	Transport Transport
	Client    netip.AddrPort
	Relayed   netip.AddrPort
	Created   time.Time
	Peers     int // with a permission
	Channels  int
	Traffic   Traffic
}

// Status returns what the relay is doing.
func (s *Server) Status() Status {
	st := Status{
		Started: s.started, Draining: s.draining.Load(),
		RefusedPeers: s.refused.Load(), FailedLogins: s.failures.Load(), FastForwarded: s.plane != nil,
	}
	s.mu.Lock()
	st.Total = s.ended
	all := make([]*allocation, 0, len(s.relayed))
	for _, a := range s.relayed {
		all = append(all, a)
	}
	s.mu.Unlock()
	for _, a := range all {
		st.Total.add(a.meter.traffic())
		a.mu.Lock()
		if a.client.IsValid() {
			st.Allocations = append(st.Allocations, AllocationStatus{
				User: a.account.name, Transport: a.entrance.transport, Client: a.client, Relayed: a.relayed, Created: a.created,
				Peers: len(a.permissions), Channels: len(a.channels), Traffic: a.meter.traffic(),
			})
		}
		a.mu.Unlock()
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
