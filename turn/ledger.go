package turn

import (
	"context"
	"errors"
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
