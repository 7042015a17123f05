package bridge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// owner runs f on the goroutine that owns the state, and fails when it does not.
func (u *user) owner(f func()) {
	u.t.Helper()
	done := make(chan struct{})
	u.post(func() { f(); close(done) })
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		u.t.Fatal("the owner of the state hangs")
	}
}

// account is the one that the user has.
func (u *user) account(name string) (a *account) {
	u.t.Helper()
	u.owner(func() { a = u.accounts[name+"@example.org"] })
	return a
}

func offeredBy(from, sid string) courier.Offered {
	return courier.Offered{
		Session: courier.Session{SID: sid, Peer: jid.MustParse(from)}, Known: true, Offer: ft.Offer{Names: []string{"f"}, Files: 1, Size: 1},
	}
}

// Two devices offer under one session ID, one of them takes it back: nothing
// waits for an answer that nobody reads, and each is a transfer of its own.
func TestTwoOffersWithOneSessionID(t *testing.T) {
	u := newUser(t, server(t), "ben")
	u.until("online", online)
	s := u.State().Settings
	s.TakeFiles = true
	u.Do(state.Change{Settings: s})
	a := u.account("ben")
	one, two := offeredBy("anna@example.org/one", "same"), offeredBy("anna@example.org/two", "same")
	a.receiving(one)
	a.receiving(two)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = a.decide(gone, one) // taken back at once; what comes of it matters to nobody
	if err := a.decide(t.Context(), two); err != nil {
		t.Errorf("the second is not taken: %v", err)
	}
	_ = a.decide(gone, one) // asked again about what is answered
	u.owner(func() {
		if len(u.offers) != 2 || len(u.app.Transfers) != 2 {
			t.Errorf("%d offers and %d transfers, want 2 of each", len(u.offers), len(u.app.Transfers))
		}
	})
}

// A send that begins after our addresses became secret keeps them, and what
// runs is not changed under its hands (the race detector looks).
func TestRelayOnlyWhileFilesAreSent(t *testing.T) {
	srv := server(t)
	anna, ben := newUser(t, srv, "anna"), newUser(t, srv, "ben")
	ben.until("online", online)
	anna.sees(key("anna", "ben"))
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	a := anna.account("anna")
	var before *courier.Courier
	anna.owner(func() { before = a.courier })
	for i := range 6 { // fewer than one peer may have open
		anna.Do(state.SendFiles{Key: key("anna", "ben"), Paths: []string{path}})
		ben.until("offered", func(x state.App) bool { return len(x.Transfers) == i+1 })
		s := anna.State().Settings
		s.RelayOnly = i%2 == 0
		anna.Do(state.Change{Settings: s})
		anna.until("changed", func(x state.App) bool { return x.Settings.RelayOnly == s.RelayOnly })
		anna.owner(func() {
			if a.courier.RelayOnly != s.RelayOnly {
				t.Errorf("the next send has RelayOnly = %v, want %v", a.courier.RelayOnly, s.RelayOnly)
			}
		})
	}
	if before.RelayOnly {
		t.Error("the setting was changed for what runs")
	}
}

// What was said outside the window about an offer goes away with it.
func TestNoticesOfOffersGo(t *testing.T) {
	u := newUser(t, server(t), "ben")
	u.until("online", online)
	a := u.account("ben")
	open := func(want int) {
		t.Helper()
		u.until("notices", func(state.App) bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return len(u.notices)-u.removed == want
		})
	}
	for _, sid := range []string{"answered", "over"} {
		o := offeredBy("anna@example.org/one", sid)
		a.receiving(o)
		done := make(chan struct{})
		go func() { defer close(done); _ = a.decide(t.Context(), o) }()
		open(1)
		if sid == "over" {
			a.received(&courier.Done{Session: o.Session, Offer: o.Offer}, ft.ErrDeclined, "")
		} else {
			u.Do(state.RefuseFiles{ID: a.transferID(o.Session)})
			<-done
		}
		open(0)
	}
}

// A roster is shown whole, and at once: nobody waits for the devices of others.
func TestAllOfALargeRosterAreShown(t *testing.T) {
	const n = 600
	accounts := map[string]string{"anna@example.org": "s"}
	for i := range n {
		accounts[fmt.Sprintf("c%d@example.org", i)] = "s"
	}
	s := xmpptest.Run(t, xmpptest.Config{Accounts: accounts})
	for i := range n {
		s.Befriend("anna@example.org", fmt.Sprintf("c%d@example.org", i))
	}
	u := newUser(t, s, "anna")
	u.until("all are shown", func(a state.App) bool { return len(a.Contacts) > 0 })
	if got := len(u.State().Contacts); got != n {
		t.Errorf("%d of %d contacts are shown", got, n)
	}
}

// However much happens, the user is heard, and the screen follows.
func TestAFloodDoesNotDrownTheUser(t *testing.T) {
	u := newUser(t, server(t), "")
	var over atomic.Bool
	defer over.Store(true)
	var again func()
	again = func() { // there is always more
		if !over.Load() {
			select {
			case u.do <- again:
			default:
			}
		}
	}
	for range maxAtOnce {
		u.await(again)
	}
	last := ""
	for i := range 3 * maxPosted {
		last = fmt.Sprint(i)
		u.Do(state.Look{Event: state.Searched{Text: last}})
	}
	u.until("the last wish counts", func(a state.App) bool { return a.Search == last })
}
