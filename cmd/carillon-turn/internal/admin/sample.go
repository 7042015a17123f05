package admin

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/turn"
)

const (
	sampleEvery = 2 * time.Second
	// keptSamples are ten minutes.
	keptSamples = 300
	// maxBusiest is how many allocations the page lists.
	maxBusiest = 50
)

// A Summary is what the page shows.
type Summary struct {
	Now         time.Time              `json:"now"`
	State       string                 `json:"state"` // "serving" or "draining"
	Realm       string                 `json:"realm"`
	Version     string                 `json:"version"`
	Started     time.Time              `json:"started"`
	FastPath    bool                   `json:"fastPath"`
	Allocations int                    `json:"allocations"`
	Limit       int                    `json:"limit"`
	Connections int                    `json:"connections"`
	Transports  map[turn.Transport]int `json:"transports"`
	Rates       Rates                  `json:"rates"`
	Totals      turn.Traffic           `json:"totals"`
	Refused     uint64                 `json:"refused"`
	FailedLogin uint64                 `json:"failedLogins"`
	Refusals    []Refusal              `json:"refusals"` // most frequent first
	Busiest     []Busy                 `json:"busiest"`  // most traffic now first
}

// Rates are a second's.
type Rates struct {
	UpBits       float64 `json:"upBits"`
	DownBits     float64 `json:"downBits"`
	UpPackets    float64 `json:"upPackets"`
	DownPackets  float64 `json:"downPackets"`
	Dropped      float64 `json:"dropped"`
	Refused      float64 `json:"refused"`
	FailedLogins float64 `json:"failedLogins"`
}

// A Refusal is how often something was refused for one reason.
type Refusal struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// A Busy allocation.
type Busy struct {
	User      string         `json:"user"`
	Transport turn.Transport `json:"transport"`
	Client    string         `json:"client,omitempty"`
	Relayed   string         `json:"relayed,omitempty"`
	Peers     int            `json:"peers"`
	Seconds   float64        `json:"seconds"` // since it was made
	UpBits    float64        `json:"upBits"`  // a second
	DownBits  float64        `json:"downBits"`
	Bytes     uint64         `json:"bytes"` // since it was made, both ways
	Dropped   uint64         `json:"dropped"`
}

// A Point is one moment of the history.
type Point struct {
	Time        time.Time `json:"time"`
	Allocations int       `json:"allocations"`
	Rates
}

// A sampler compares what a relay is doing with what it did before.
type sampler struct {
	relay *Relay

	mu     sync.Mutex
	at     time.Time
	last   turn.Status
	bytes  map[netip.AddrPort]turn.Traffic // of each allocation in last
	rates  Rates
	busy   []Busy
	points []Point // oldest first
}

func (s *sampler) sample(now time.Time) {
	st := s.relay.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	first, old, oldBytes := s.at.IsZero(), s.last, s.bytes
	seconds := now.Sub(s.at).Seconds()
	s.at, s.last, s.bytes = now, st, make(map[netip.AddrPort]turn.Traffic, len(st.Allocations))
	for _, a := range st.Allocations {
		s.bytes[a.Relayed] = a.Traffic
	}
	if first || seconds <= 0 {
		s.busy = s.busiest(st, nil, 1, now)
		return
	}
	per := func(now, before uint64) float64 {
		if now < before { // another allocation on the same port
			before = 0
		}
		return float64(now-before) / seconds
	}
	s.rates = Rates{
		UpBits: 8 * per(st.Total.UpBytes, old.Total.UpBytes), DownBits: 8 * per(st.Total.DownBytes, old.Total.DownBytes),
		UpPackets: per(st.Total.UpPackets, old.Total.UpPackets), DownPackets: per(st.Total.DownPackets, old.Total.DownPackets),
		Dropped: per(st.Total.Dropped, old.Total.Dropped), Refused: per(st.RefusedPeers, old.RefusedPeers),
		FailedLogins: per(st.FailedLogins, old.FailedLogins),
	}
	s.busy = s.busiest(st, oldBytes, seconds, now)
	if s.points = append(s.points, Point{Time: now, Allocations: len(st.Allocations), Rates: s.rates}); len(s.points) > keptSamples {
		s.points = slices.Delete(s.points, 0, len(s.points)-keptSamples)
	}
}

func (s *sampler) busiest(st turn.Status, before map[netip.AddrPort]turn.Traffic, seconds float64, now time.Time) []Busy {
	hide := s.relay.HideAddresses()
	all := make([]Busy, 0, len(st.Allocations))
	for _, a := range st.Allocations {
		old, known := before[a.Relayed]
		if !known || a.Traffic.UpBytes < old.UpBytes || a.Traffic.DownBytes < old.DownBytes {
			old = turn.Traffic{}
		}
		b := Busy{
			User: a.User, Transport: a.Transport, Peers: a.Peers, Seconds: now.Sub(a.Created).Seconds(),
			Bytes: a.Traffic.UpBytes + a.Traffic.DownBytes, Dropped: a.Traffic.Dropped,
		}
		if before != nil {
			b.UpBits = 8 * float64(a.Traffic.UpBytes-old.UpBytes) / seconds
			b.DownBits = 8 * float64(a.Traffic.DownBytes-old.DownBytes) / seconds
		}
		if !hide {
			b.Client, b.Relayed = a.Client.String(), a.Relayed.String()
		}
		all = append(all, b)
	}
	slices.SortStableFunc(all, func(x, y Busy) int {
		return cmp.Or(cmp.Compare(y.UpBits+y.DownBits, x.UpBits+x.DownBits), cmp.Compare(y.Bytes, x.Bytes))
	})
	return slices.Clone(all[:min(len(all), maxBusiest)])
}

func (s *sampler) summary(now time.Time) Summary {
	st := s.relay.Status() // counts of now, rates of the last sample
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := Summary{
		Now: now, State: "serving", Realm: s.relay.Realm, Version: s.relay.Version, Started: st.Started, FastPath: st.FastForwarded,
		Allocations: len(st.Allocations), Limit: s.relay.Limit(), Connections: st.Connections, Transports: byTransport(st),
		Rates: s.rates, Totals: st.Total, Refused: st.RefusedPeers, FailedLogin: st.FailedLogins,
		Refusals: []Refusal{}, Busiest: s.busy,
	}
	if sum.Busiest == nil {
		sum.Busiest = []Busy{}
	}
	if st.Draining {
		sum.State = "draining"
	}
	for reason, n := range st.Refusals {
		if n > 0 {
			sum.Refusals = append(sum.Refusals, Refusal{reason, n})
		}
	}
	slices.SortFunc(sum.Refusals, func(x, y Refusal) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Reason, y.Reason))
	})
	return sum
}

// A History is the last ten minutes, oldest first.
type History struct {
	Every  float64 `json:"every"` // seconds
	Points []Point `json:"points"`
}

func (s *sampler) history() History {
	s.mu.Lock()
	defer s.mu.Unlock()
	points := slices.Clone(s.points)
	if points == nil {
		points = []Point{}
	}
	return History{Every: sampleEvery.Seconds(), Points: points}
}
