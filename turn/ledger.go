package turn

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// An Account is somebody whom limits are counted for.
type Account struct {
	Realm string
	User  string // without the time stamp of time-limited credentials
}

// ErrQuota is what a [Ledger] answers when an account has enough; the client
// gets 486 (Allocation Quota Reached).
var ErrQuota = errors.New("allocation limit of all relays reached")

// Usage is what an account has at one relay at the moment of a report.
type Usage struct {
	Account
	Allocations int
	Bytes       uint64 // relayed since the last report that was taken, both ways
	// Today is filled in by the ledger: bytes of the account on this day of UTC
	// at all relays. Zero leaves the relay's own count.
	Today uint64
}

// A Ledger counts allocations and bytes of accounts for several relays. No
// client waits for another's answer: each call has a goroutine of its own, a
// bounded number of them, and a context that ends after a second or two. A
// ledger that fails refuses nobody, and the relay logs the error; the relay's
// own limits hold besides.
type Ledger interface {
	// Acquire asks for one more allocation. Only an error that wraps [ErrQuota]
	// refuses it.
	Acquire(ctx context.Context, a Account) error
	// Release gives one back that Acquire has granted.
	Release(ctx context.Context, a Account) error
	// Report says every 10 seconds what accounts have and have used. It names
	// all accounts with allocations here, so a relay that reports no more has
	// ended, and those that have used something since.
	Report(ctx context.Context, usage []Usage) error
}

// Bounds of a ledger's answers.
const (
	ledgerTimeout  = 2 * time.Second
	ledgerInterval = 10 * time.Second
	// maxPending bounds the requests that wait for it.
	maxPending = 1024
	// maxReleases bounds what is to be given back.
	maxReleases = 1 << 16
)

// pending is the clients whose Allocate waits for the ledger. A retransmission
// meanwhile is dropped.
type pending struct {
	mu  sync.Mutex
	all map[pendingKey]struct{}
}

type pendingKey struct {
	entrance *entrance
	from     netip.AddrPort
}

func (p *pending) add(r *request) bool {
	key := pendingKey{r.entrance, r.from}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, waits := p.all[key]; waits {
		return false
	}
	if len(p.all) >= maxPending {
		r.entrance.server.refuse("allocation refused", reasonPending, "user", r.login.User)
		return false
	}
	if p.all == nil {
		p.all = map[pendingKey]struct{}{}
	}
	p.all[key] = struct{}{}
	return true
}

func (p *pending) remove(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, pendingKey{r.entrance, r.from})
}

// acquireAtLedger asks for an allocation, or says why there cannot be one.
func (s *Server) acquireAtLedger(a Account) (reason string) {
	ctx, cancel := context.WithTimeout(s.ctx, ledgerTimeout)
	defer cancel()
	switch err := s.ledger.Acquire(ctx, a); {
	case errors.Is(err, ErrQuota):
		return reasonLedger
	case err != nil:
		s.complain("ask the ledger for an allocation; granted without it", "user", a.User, "error", err)
	}
	return ""
}

// releaseAtLedger gives an allocation back, soon.
func (s *Server) releaseAtLedger(a Account) {
	if s.ledger == nil {
		return
	}
	select {
	case s.releases <- a:
	default:
		s.complain("too many allocations to give back to the ledger; it will find out by the next report", "user", a.User)
	}
}

// keepLedger reports and releases until the server ends; settleLedger does the
// rest.
func (s *Server) keepLedger() {
	tick := time.NewTicker(ledgerInterval)
	defer tick.Stop()
	for {
		select {
		case a := <-s.releases:
			// What is given back is given back at the end too.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), ledgerTimeout)
			err := s.ledger.Release(ctx, a)
			cancel()
			if err != nil {
				s.complain("give an allocation back to the ledger", "user", a.User, "error", err)
			}
		case <-tick.C:
			s.reportToLedger(s.ctx)
		case <-s.ctx.Done():
			return
		}
	}
}

// settleLedger says at the end that there are no allocations any more, and what
// was used. One report does it, however many allocations there were, so that a
// ledger that does not answer holds nobody up.
func (s *Server) settleLedger() {
	gone := map[Account]struct{}{}
	for waiting := true; waiting; {
		select {
		case a := <-s.releases:
			gone[a] = struct{}{}
		default:
			waiting = false
		}
	}
	var usage []Usage
	s.mu.Lock()
	for acc, x := range s.users {
		usage = append(usage, Usage{Account: acc, Allocations: x.allocations, Bytes: x.used.Load() - x.reported})
		delete(gone, acc)
	}
	s.mu.Unlock()
	for acc := range gone {
		usage = append(usage, Usage{Account: acc})
	}
	if s.ledger == nil || len(usage) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), ledgerTimeout)
	defer cancel()
	if err := s.ledger.Report(ctx, usage); err != nil {
		s.log().Warn("tell the ledger that the relay ends", "error", err)
	}
}

func (s *Server) reportToLedger(ctx context.Context) {
	s.mu.Lock()
	usage := make([]Usage, 0, len(s.users))
	scopes := make([]*scope, 0, len(s.users))
	used := make([]uint64, 0, len(s.users))
	for acc, x := range s.users {
		n := x.used.Load()
		if x.allocations == 0 && n == x.reported {
			continue
		}
		usage = append(usage, Usage{Account: acc, Allocations: x.allocations, Bytes: n - x.reported})
		scopes, used = append(scopes, x), append(used, n)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeout)
	defer cancel()
	if err := s.ledger.Report(ctx, usage); err != nil {
		s.complain("report to the ledger", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range scopes {
		x.reported = used[i]
		if today := usage[i].Today; today > 0 {
			x.elsewhere.Store(today - min(today, x.today()))
		}
		if s.forgettable(x) && s.users[x.account] == x {
			delete(s.users, x.account)
		}
	}
}
