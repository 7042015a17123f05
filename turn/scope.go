package turn

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// A budget is what bandwidth is limited by: of an allocation, a user, an
// address, or all.
type budget struct {
	up, down  rate
	perDay    atomic.Int64  // bytes; 0 is no limit
	used      atomic.Uint64 // bytes since the budget began
	before    atomic.Uint64 // of them, before today
	elsewhere atomic.Uint64 // today at other relays, as the ledger says
}

func (b *budget) set(q Quota) {
	b.up.bits.Store(int64(q.BitrateUp))
	b.down.bits.Store(int64(q.BitrateDown))
	b.perDay.Store(q.BytesPerDay)
}

// today is how many of them. What was before is read first: were a day to begin
// between the two, it would be more than all that was used.
func (b *budget) today() uint64 {
	before := b.before.Load()
	return b.used.Load() - before
}

func (b *budget) spent() bool {
	limit := b.perDay.Load()
	return limit > 0 && b.today()+b.elsewhere.Load() >= uint64(limit)
}

// newDay forgets what was used until now.
func (b *budget) newDay() {
	b.before.Store(b.used.Load())
	b.elsewhere.Store(0)
}

// A scope is whom limits are counted for besides a single allocation.
type scope struct {
	budget
	account Account    // of a user
	address netip.Addr // of a client address

	// Guarded by Server.mu.
	allocations, permissions, channels int
	reported                           uint64 // bytes that the ledger knows of
}

// forgettable says whether nothing needs a scope any more: what was used today
// counts for those who come back, and the ledger has to know of it.
func (s *Server) forgettable(x *scope) bool {
	return x.allocations == 0 && (x.perDay.Load() == 0 || x.today()+x.elsewhere.Load() == 0) &&
		(s.ledger == nil || x.account == (Account{}) || x.reported == x.used.Load())
}

// maxScopes bounds the users and the addresses that are remembered for their
// bytes of the day. Beyond, those without an allocation are forgotten.
const maxScopes = 1 << 17

// scopes of an allocation.
type scopes struct{ total, user, address *scope }

func (s scopes) all() [3]*scope { return [...]*scope{s.total, s.user, s.address} }

// spend counts relayed bytes.
func (a *allocation) spend(bytes int) {
	n := uint64(bytes)
	a.own.used.Add(n)
	a.scopes.total.used.Add(n)
	a.scopes.user.used.Add(n)
	a.scopes.address.used.Add(n)
}

// What stopped packets of an allocation, bits of allocation.stopped.
const (
	stoppedBitrate = 1 << iota
	stoppedOwn
	stoppedUser
	stoppedAddress
	stoppedTotal
	stoppedPermission
)

var stoppedReasons = [...]string{reasonBitrate, reasonOwnSpent, reasonUserSpent, reasonAddrSpent, reasonSpent, reasonNoPermission}

// admitUp says whether the budgets let bytes pass to a peer at now, which is
// Server.now.
func (a *allocation) admitUp(bytes int, now int64) bool {
	if !a.server.metered.Load() {
		return true
	}
	return !a.broke() && a.within(bytes, now, func(b *budget) *rate { return &b.up })
}

// admitDown is admitUp for what goes to the client.
func (a *allocation) admitDown(bytes int, now int64) bool {
	if !a.server.metered.Load() {
		return true
	}
	return !a.broke() && a.within(bytes, now, func(b *budget) *rate { return &b.down })
}

// broke says whether somebody's bytes of the day are used up.
func (a *allocation) broke() bool {
	switch {
	case a.own.spent():
		a.stopped.Or(stoppedOwn)
	case a.scopes.user.spent():
		a.stopped.Or(stoppedUser)
	case a.scopes.address.spent():
		a.stopped.Or(stoppedAddress)
	case a.scopes.total.spent():
		a.stopped.Or(stoppedTotal)
	default:
		return false
	}
	return true
}

func (a *allocation) within(bytes int, now int64, of func(*budget) *rate) bool {
	all := [...]*rate{of(&a.own), of(&a.scopes.user.budget), of(&a.scopes.address.budget), of(&a.scopes.total.budget)}
	for _, r := range all {
		if !r.ready(now) {
			a.stopped.Or(stoppedBitrate)
			return false
		}
	}
	for _, r := range all {
		r.charge(bytes, now)
	}
	return true
}

// block is what an address is counted as: of IPv6 the /64 that one host has
// to itself.
func block(a netip.Addr) netip.Addr {
	if a.Is6() && !a.Is4In6() {
		return netip.PrefixFrom(a.WithZone(""), 64).Masked().Addr()
	}
	return a.Unmap()
}

// perUser is how many allocations an account may have.
func (s *Server) perUser(a Account) int {
	if n := s.limits().PerUser.Allocations; n != 0 {
		return n
	}
	if r := s.keyring.Load().realms[a.Realm]; r != nil {
		if _, fixed := r.users[a.User]; fixed {
			return orInt(-1, 0)
		}
	}
	return DefaultAllocationsPerUser
}

// enter counts a new allocation, or says why there cannot be one.
func (s *Server) enter(acc Account, client netip.Addr) (sc scopes, reason string) {
	limits, perUser, client := s.limits(), s.perUser(acc), block(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	sc = scopes{&s.total, s.users[acc], s.addresses[client]}
	switch {
	case s.closed || s.draining.Load():
		return sc, reasonDraining
	case s.total.allocations >= limits.Total.Allocations:
		return sc, reasonAllocations
	case sc.user != nil && sc.user.allocations >= perUser:
		return sc, reasonUserAllocations
	case sc.address != nil && sc.address.allocations >= limits.PerAddress.Allocations:
		return sc, reasonAddrAllocations
	case sc.user != nil && sc.user.spent():
		return sc, reasonUserSpent
	case sc.address != nil && sc.address.spent():
		return sc, reasonAddrSpent
	case s.total.spent():
		return sc, reasonSpent
	}
	if sc.user == nil {
		sc.user = &scope{account: acc}
		sc.user.set(limits.PerUser)
		s.users[acc] = sc.user
	}
	if sc.address == nil {
		sc.address = &scope{address: client}
		sc.address.set(limits.PerAddress)
		s.addresses[client] = sc.address
	}
	for _, x := range sc.all() {
		x.allocations++
	}
	return sc, ""
}

// leave gives back what enter has counted.
func (s *Server) leave(sc scopes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range sc.all() {
		x.allocations--
	}
	if s.forgettable(sc.user) || sc.user.allocations == 0 && len(s.users) > maxScopes {
		delete(s.users, sc.user.account)
	}
	if s.forgettable(sc.address) || sc.address.allocations == 0 && len(s.addresses) > maxScopes {
		delete(s.addresses, sc.address.address)
	}
	if s.total.allocations == 0 && s.draining.Load() {
		close(s.empty)
	}
}

// takePeers counts permissions and channels more (or fewer), or says why not.
func (s *Server) takePeers(sc scopes, permissions, channels int) (reason string) {
	limits := s.limits()
	s.mu.Lock()
	defer s.mu.Unlock()
	if permissions > 0 {
		switch {
		case sc.user.permissions+permissions > limits.PerUser.Permissions:
			return reasonUserPermissions
		case sc.address.permissions+permissions > limits.PerAddress.Permissions:
			return reasonAddrPermissions
		case sc.total.permissions+permissions > limits.Total.Permissions:
			return reasonPermissions
		}
	}
	if channels > 0 {
		switch {
		case sc.user.channels+channels > limits.PerUser.Channels:
			return reasonUserChannels
		case sc.address.channels+channels > limits.PerAddress.Channels:
			return reasonAddrChannels
		case sc.total.channels+channels > limits.Total.Channels:
			return reasonChannels
		}
	}
	for _, x := range sc.all() {
		x.permissions += permissions
		x.channels += channels
	}
	return ""
}

// day numbers the days of UTC.
func day(now time.Time) int64 { return now.Unix() / (24 * 60 * 60) }

// turnDay begins a new day when the calendar shows another. It need not be a
// later one: were days that a clock has shown by mistake to count, nobody would
// get new bytes until they come.
func (s *Server) turnDay() {
	if d := day(s.wall()); s.date.Swap(d) != d {
		s.newDay()
	}
}

// newDay begins the bytes of the day anew.
func (s *Server) newDay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.newDay()
	for key, x := range s.users {
		x.newDay()
		if s.forgettable(x) {
			delete(s.users, key)
		}
	}
	for key, x := range s.addresses {
		x.newDay()
		if s.forgettable(x) {
			delete(s.addresses, key)
		}
	}
	for a := range s.allocations {
		a.own.newDay()
	}
}
