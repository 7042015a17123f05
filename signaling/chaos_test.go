package signaling

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// chaosApp accepts, hangs up, or does nothing.
type chaosApp struct {
	r    *rand.Rand
	conn jingle.Conn
}

func (a *chaosApp) Attach(conn jingle.Conn) {
	a.conn = conn
	if conn.Role() == jingle.Initiator && a.r.IntN(8) > 0 {
		conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Initiate(contents("audio")) })
	}
}

func (a *chaosApp) Handle(e jingle.Effect) {
	offer, ok := e.(jingle.Offered)
	switch {
	case ok && a.r.IntN(8) > 0:
		a.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
			return s.Accept(&jingle.Jingle{Contents: offer.Jingle.Contents})
		})
	case a.r.IntN(6) == 0:
		a.conn.DoLater(terminate)
	}
}

// Whatever people do at the same moment, and however often the network goes
// away, every call ends, nothing hangs, and the clients can still call.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	srv := newServer(t, xmpptest.Config{})
	ring := func(cfg *Config) { cfg.RingTimeout = 2 * time.Second; cfg.Busy = BusyRing }
	clients := []*Client{login(t, srv, alice, ring), login(t, srv, bob, ring), login(t, srv, bob, ring), login(t, srv, alice, ring)}
	people := []jid.JID{jid.MustParse(bob), jid.MustParse(alice), jid.MustParse(alice), jid.MustParse(bob)}
	var takers, callers sync.WaitGroup
	quit := make(chan struct{})
	for i, c := range clients {
		takers.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := uint64(0); ; n++ {
				var k *IncomingCall
				select {
				case k = <-c.Incoming():
				case <-quit:
					return
				}
				switch what := r.IntN(5); {
				case what == 0:
					k.Reject(jingle.Reason{})
				case what == 1 || i > 1: // nobody is there
				default:
					err := k.Accept(t.Context(), &chaosApp{r: rand.New(rand.NewPCG(seed, 100*n+uint64(i)))})
					if err != nil && !errors.Is(err, ErrCancelled) {
						t.Errorf("accept: %v", err)
					}
				}
			}
		})
		if i > 1 {
			continue // only rings: of two devices that take a call one waits 8 s
		}
		callers.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(10+i)))
			for n := range uint64(40) {
				k, err := c.Call(t.Context(), people[i], &chaosApp{r: rand.New(rand.NewPCG(seed, 1000*n+uint64(i)))}, CallOptions{})
				if errors.Is(err, ErrTooMany) {
					time.Sleep(20 * time.Millisecond)
					continue
				}
				if err != nil {
					t.Errorf("call: %v", err)
					return
				}
				wait := time.Duration(r.IntN(120)) * time.Millisecond
				select {
				case <-k.Done():
				case <-k.Proceeded():
				case <-time.After(wait):
				}
				if r.IntN(3) > 0 {
					k.Hangup(jingle.Reason{})
				}
				if r.IntN(12) == 0 {
					srv.Cut(c.JID().String())
					c.NetworkChanged()
				}
				if r.IntN(40) == 0 {
					srv.Forget(c.JID().String())
					srv.Cut(c.JID().String())
					c.NetworkChanged()
				}
			}
		})
	}
	callers.Wait()
	// Calls that nobody hung up go on. The others end, at the latest when they
	// have rung or waited for their session long enough.
	left := func() (all []*call) {
		for _, c := range clients {
			c.calls.mu.Lock()
			for k := range c.calls.all {
				all = append(all, k)
			}
			c.calls.mu.Unlock()
		}
		return all
	}
	deadline := time.Now().Add(45 * time.Second)
	settling := false
	for all := left(); len(all) > 0 || !settling; all = left() {
		if len(all) == 0 { // nobody calls any more, but a proposal may be on its way
			settling = true
			for _, from := range clients {
				for _, to := range clients {
					settled(t, from, to)
				}
			}
			continue
		}
		for _, k := range all {
			if k.dir == Out {
				k.Hangup(jingle.Reason{})
			}
		}
		select {
		case <-all[0].Done():
		case <-time.After(time.Until(deadline)):
			t.Fatalf("%d calls never ended, one is %s with %s", len(all), all[0].SID(), all[0].Peer())
		}
	}
	close(quit)
	takers.Wait()
	for _, c := range clients {
		c.calls.mu.Lock()
		if c.calls.ringing != 0 || len(c.calls.byPeer) != 0 || len(c.calls.bySID) != 0 {
			t.Errorf("left over: %d ringing, %v, %v", c.calls.ringing, c.calls.byPeer, c.calls.bySID)
		}
		c.calls.mu.Unlock()
		c.sessions.mu.Lock()
		if len(c.sessions.byKey) != 0 || len(c.sessions.byPeer) != 0 {
			t.Errorf("sessions left over: %v", c.sessions.byPeer)
		}
		c.sessions.mu.Unlock()
		start := time.Now()
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
	}
}
