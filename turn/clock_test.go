package turn

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// A calendar is a wall clock that stands still, and jumps. It begins at noon, so
// that an hour is not another day.
type calendar struct{ at atomic.Int64 }

func newCalendar() *calendar {
	c := &calendar{}
	c.at.Store(time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC).Unix())
	return c
}

func (c *calendar) now() time.Time { return time.Unix(c.at.Load(), 0) }

func (c *calendar) jump(d time.Duration) { c.at.Add(int64(d / time.Second)) }

// Jumps of the wall clock. An hour is how long nonces are good.
var jumps = map[string]time.Duration{
	"an hour forward": time.Hour + time.Second, "an hour back": -time.Hour - time.Second,
	"a year forward": 365 * 24 * time.Hour, "a year back": -365 * 24 * time.Hour,
}

// once sends a request with the nonce that the client has, and returns the
// answer whatever it is.
func (c *client) once(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	set := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
	m := stun.MustBuild(append(set, stun.NewUsername(c.user), c.realm, c.nonce, c.key)...)
	c.write(m.Raw)
	answer := &stun.Message{Raw: c.readAgain(m.Raw)}
	if err := answer.Decode(); err != nil || answer.TransactionID != m.TransactionID {
		c.t.Fatalf("%v: no answer to the request: %v", answer, err)
	}
	return answer
}

// What a client has lives on while the wall clock jumps there and back; its
// nonce does not, and the one that it gets for that is good.
func TestClockJumpsKeepCalls(t *testing.T) {
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			for _, portable := range []bool{false, true} {
				for _, tr := range []Transport{UDP, TCP} {
					clock := newCalendar()
					conf := testConfig(t)
					conf.Portable, conf.wall = portable, clock.now
					s := start(t, conf)
					c, p, other := connect(t, s, tr, "u", "p"), newPeer(t), newPeer(t)
					relayed := c.allocate()
					c.bindChannel(0x4000, p.address())
					c.permitPeer(other.address())
					for _, d := range []time.Duration{jump, -jump} {
						clock.jump(d)
						s.turnDay()
						at := fmt.Sprintf("portable %v, %s, after %v", portable, tr, d)
						for range 3 {
							c.sendChannel(0x4000, "out")
							p.expect("out")
							p.send(relayed, "in")
							c.expect("in", 0x4000)
						}
						c.sendIndication(other.address(), "by permission")
						other.expect("by permission")
						// One of the address of both; a peer is an address.
						if a := s.Status().Allocations; len(a) != 1 || a[0].Channels != 1 || a[0].Peers != 1 {
							t.Fatalf("%s: allocations %+v, want one with a channel and a peer", at, a)
						}
						stale := c.once(stun.MethodRefresh)
						if code := codeOf(stale); code != stun.CodeStaleNonce {
							t.Fatalf("%s: the old nonce is answered with %d, want 438", at, code)
						}
						if err := c.nonce.GetFrom(stale); err != nil {
							t.Fatalf("%s: %v", at, err)
						}
						for method, attrs := range map[stun.Method][]stun.Setter{
							stun.MethodRefresh: nil, stun.MethodCreatePermission: {peerAttr(p.address())},
							stun.MethodChannelBind: {channelAttr(0x4000), peerAttr(p.address())},
						} {
							if m := c.once(method, attrs...); m.Type.Class != stun.ClassSuccessResponse {
								t.Fatalf("%s: %v with the fresh nonce is answered with %d", at, method, codeOf(m))
							}
						}
					}
					if c.bindChannel(0x4001, other.address()); len(c.unexpected) > 0 {
						t.Errorf("the client got %q", c.unexpected)
					}
				}
			}
		})
	}
}

// A clock that went back does not keep anything for longer.
func TestClockJumpsDoNotDelayExpiry(t *testing.T) {
	clock := newCalendar()
	conf := testConfig(t)
	conf.wall, conf.AllocationLifetime, conf.AllocationTimeout = clock.now, time.Second, 100*time.Millisecond
	s := start(t, conf)
	c, idle := connect(t, s, UDP, "u", "p"), connect(t, s, TCP, "u", "p")
	c.allocate()
	clock.jump(-365 * 24 * time.Hour)
	await(t, "expiry of the allocation", func() bool { return s.left() == "" })
	expectClosed(t, idle.conn.(*framed).Conn)
}

// Time-limited credentials are judged by the time that it is now.
func TestClockJumpsJudgeCredentials(t *testing.T) {
	clock := newCalendar()
	conf := testConfig(t)
	conf.Secrets, conf.wall = []Secret{"s"}, clock.now
	s := start(t, conf)
	user, password := Credentials("s", "alice", clock.now().Add(30*time.Minute))
	expired, expiredPassword := Credentials("s", "bob", clock.now().Add(-30*time.Minute))
	allocate := func(user string, password Secret) stun.ErrorCode {
		c := connect(t, s, UDP, user, string(password))
		defer c.conn.Close()
		return codeOf(c.request(stun.MethodAllocate, wantUDP))
	}
	trusted := func(user string) bool {
		u, err := net.ResolveUDPAddr("udp4", "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		r := request{entrance: s.entrances[0], keys: s.keyring.Load(), from: u.AddrPort()}
		return r.trusted(Account{testRealm, user})
	}
	c, p := connect(t, s, UDP, user, string(password)), newPeer(t)
	c.allocate()
	c.bindChannel(0x4000, p.address())
	for _, step := range []struct {
		jump        time.Duration
		alice, bob  bool
		description string
	}{
		{0, true, false, "at first"},
		{time.Hour, false, false, "an hour later"}, {-time.Hour, true, false, "back from it"},
		{-time.Hour, true, true, "an hour before"}, {time.Hour, true, false, "forward from it"},
		{365 * 24 * time.Hour, false, false, "a year later"}, {-2 * 365 * 24 * time.Hour, true, true, "a year before"},
		{365 * 24 * time.Hour, true, false, "at last"},
	} {
		clock.jump(step.jump)
		for name, x := range map[string]struct {
			user     string
			password Secret
			good     bool
		}{"alice": {user, password, step.alice}, "bob": {expired, expiredPassword, step.bob}} {
			before := s.Status().Refusals[reasonExpired]
			code := allocate(x.user, x.password)
			switch refused := s.Status().Refusals[reasonExpired] - before; {
			case x.good && code != 0:
				t.Errorf("%s: %s is answered with %d", step.description, name, code)
			case !x.good && (code != stun.CodeUnauthorized || refused == 0):
				t.Errorf("%s: %s is answered with %d, %d refused as expired, want 401", step.description, name, code, refused)
			}
			if got := trusted(x.user); got != x.good {
				t.Errorf("%s: %s is looked at although others failed: %v, want %v", step.description, name, got, x.good)
			}
		}
		// Who is there stays.
		c.sendChannel(0x4000, step.description)
		p.expect(step.description)
	}
}

// Another hour is no new day, and one that the clock has shown by mistake gives
// the bytes of one day, not more, and keeps nobody out when it is over.
func TestClockJumpsKeepBytesOfTheDay(t *testing.T) {
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			for _, tr := range []Transport{UDP, TCP} {
				clock := newCalendar()
				conf := testConfig(t)
				conf.wall, conf.Limits.PerUser.BytesPerDay = clock.now, 100
				s := start(t, conf)
				c, p := connect(t, s, tr, "u", "p"), newPeer(t)
				c.allocate()
				c.bindChannel(0x4000, p.address())
				half, dropped := strings.Repeat("x", 50), uint64(0)
				// spend uses up the day; the limit holds at once, and goes on to hold.
				spend := func() {
					for range 2 {
						c.sendChannel(0x4000, half)
						p.expect(half)
					}
				}
				refused := func(when string) {
					t.Helper()
					c.sendChannel(0x4000, "too much")
					dropped++
					await(t, when+": no bytes left", func() bool { return s.Status().Allocations[0].Traffic.Dropped == dropped })
					s.mu.Lock()
					defer s.mu.Unlock()
					if n := s.users[Account{testRealm, "u"}].today(); n != 100 {
						t.Errorf("%s: %d bytes of the day, want 100", when, n)
					}
				}
				spend()
				refused("before")
				for _, d := range []time.Duration{jump, -jump} {
					clock.jump(d)
					s.turnDay()
					if d.Abs() > 24*time.Hour {
						spend()
					}
					refused(fmt.Sprint("after ", d))
					s.turnDay() // looks again, on the same day
					refused(fmt.Sprint("later after ", d))
				}
			}
		})
	}
}
