//go:build integration

package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/turn"
)

func open(t *testing.T, url string, limit int, forget time.Duration) *Redis {
	t.Helper()
	r, err := Open(Config{URL: url, Limit: func(turn.Account) int { return limit }, Forget: forget})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestIntegrationRelaysCountTogether(t *testing.T) {
	server := lab.StartRedis(t)
	a, b := open(t, server.URL, 2, 0), open(t, server.URL, 2, 0)
	ctx, alice, bob := t.Context(), turn.Account{Realm: "r", User: "alice"}, turn.Account{Realm: "r", User: "bob"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(a.Acquire(ctx, alice))
	must(b.Acquire(ctx, alice))
	for _, r := range []*Redis{a, b} {
		if err := r.Acquire(ctx, alice); !errors.Is(err, turn.ErrQuota) {
			t.Errorf("a third allocation: %v, want the quota", err)
		}
	}
	must(b.Acquire(ctx, bob))
	must(a.Acquire(ctx, turn.Account{Realm: "other", User: "alice"}))
	must(a.Release(ctx, alice))
	must(b.Acquire(ctx, alice))

	// A report says how it is, and hears what all used today.
	usage := []turn.Usage{{Account: alice, Allocations: 1, Bytes: 100}, {Account: bob, Bytes: 0}}
	must(a.Report(ctx, usage))
	must(b.Report(ctx, []turn.Usage{{Account: alice, Allocations: 0, Bytes: 50}}))
	must(a.Report(ctx, usage[:1]))
	if usage[0].Today != 250 || usage[1].Today != 0 {
		t.Errorf("today %d and %d, want 250 and 0", usage[0].Today, usage[1].Today)
	}
	must(b.Acquire(ctx, alice)) // a has one, b has none
	if err := b.Acquire(ctx, alice); !errors.Is(err, turn.ErrQuota) {
		t.Errorf("after the reports: %v, want the quota", err)
	}
	many := make([]turn.Usage, 2*batch+1)
	for i := range many {
		many[i] = turn.Usage{Account: turn.Account{User: fmt.Sprint(i)}, Allocations: 1, Bytes: uint64(i)}
	}
	must(a.Report(ctx, many))
	if got := many[2*batch].Today; got != 2*batch {
		t.Errorf("the last of many used %d today, want %d", got, 2*batch)
	}
}

// Relays count the same day, whatever their own clocks say: in a bubble it is the
// year 2000.
func TestIntegrationClocksDiffer(t *testing.T) {
	server := lab.StartRedis(t)
	usage := []turn.Usage{{Account: turn.Account{User: "alice"}, Allocations: 1, Bytes: 100}}
	if err := open(t, server.URL, 1, 0).Report(t.Context(), usage); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if err := open(t, server.URL, 1, 0).Report(t.Context(), usage); err != nil {
			t.Fatal(err)
		}
	})
	if usage[0].Today != 200 {
		t.Errorf("%d bytes today, want 200", usage[0].Today)
	}
}

// A relay that has ended without a word is forgotten.
func TestIntegrationDeadRelayIsForgotten(t *testing.T) {
	server := lab.StartRedis(t)
	dead, alive := open(t, server.URL, 1, time.Second), open(t, server.URL, 1, time.Second)
	ctx, alice := t.Context(), turn.Account{User: "alice"}
	if err := dead.Acquire(ctx, alice); err != nil {
		t.Fatal(err)
	}
	if err := alive.Acquire(ctx, alice); !errors.Is(err, turn.ErrQuota) {
		t.Errorf("while the other lives: %v, want the quota", err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := alive.Acquire(ctx, alice)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the dead relay still counts: %v", err)
		}
	}
}

// While Redis is away nobody is refused for it, and it is taken up again.
func TestIntegrationRedisAway(t *testing.T) {
	server := lab.StartRedis(t)
	r := open(t, server.URL, 1, 0)
	alice := turn.Account{User: "alice"}
	if err := r.Acquire(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := r.Acquire(ctx, alice); err == nil || errors.Is(err, turn.ErrQuota) {
		t.Errorf("without Redis: %v, want an error that is not the quota", err)
	}
	server.Start()
	if err := r.Report(t.Context(), []turn.Usage{{Account: alice, Allocations: 1}}); err != nil {
		t.Errorf("after it has come back: %v", err)
	}
	if err := r.Acquire(t.Context(), alice); !errors.Is(err, turn.ErrQuota) {
		t.Errorf("after the report: %v, want the quota", err)
	}
}
