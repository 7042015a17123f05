package turn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// ways is every way that data takes through the relay.
func ways(t *testing.T, f func(t *testing.T, s *Server, tr Transport)) {
	for _, portable := range []bool{false, true} {
		for _, tr := range []Transport{UDP, TCP, TLS, DTLS} {
			t.Run(fmt.Sprintf("%s,portable=%v", tr, portable), func(t *testing.T) {
				c := testConfig(t)
				c.Portable = portable
				f(t, start(t, c), tr)
			})
		}
	}
}

func TestDataPassesBothWays(t *testing.T) {
	ways(t, func(t *testing.T, s *Server, tr Transport) {
		c, p := connect(t, s, tr, "u", "p"), newPeer(t)
		relayed := c.allocate()

		// Nobody passes before the client has permitted it.
		p.send(relayed, "too early")
		await(t, "a packet without permission dropped", func() bool { return s.Status().Allocations[0].Traffic.Dropped == 1 })
		c.permitPeer(p.address())
		for _, n := range []int{0, 1, 3, 4, 1000, 1472} {
			data := strings.Repeat("x", n)
			c.sendIndication(p.address(), data)
			p.expect(data)
			p.send(relayed, data)
			c.expect(data, 0)
		}
		c.bindChannel(0x4000, p.address())
		for _, n := range []int{1, 3, 4, 5, 1000, 1400} {
			data := strings.Repeat("y", n)
			c.sendChannel(0x4000, data)
			p.expect(data)
			p.send(relayed, data)
			c.expect(data, 0x4000)
		}
	})
}

func TestTwoClientsOfOneRelayMeet(t *testing.T) {
	c := testConfig(t)
	s := start(t, c)
	a, b := connect(t, s, UDP, "u", "p"), connect(t, s, TCP, "v", "q")
	atA, atB := a.allocate(), b.allocate()
	a.bindChannel(0x4001, atB)
	b.permitPeer(atA)
	a.sendChannel(0x4001, "hello")
	b.expect("hello", 0)
	b.sendIndication(atA, "hello yourself")
	a.expect("hello yourself", 0x4001)
}

// What is revoked stops at once: the packet sent behind it arrives, it does not.
func TestRevocationStopsDataAtOnce(t *testing.T) {
	for _, portable := range []bool{false, true} {
		t.Run(fmt.Sprintf("portable=%v", portable), func(t *testing.T) {
			conf := testConfig(t)
			conf.Portable = portable
			s := start(t, conf)
			c := connect(t, s, UDP, "u", "p")
			relayed := c.allocate()
			gone, stays := newPeer(t), newPeer(t)
			// The witness has an address of its own, and so a permission of its own.
			u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
			if err != nil {
				t.Skipf("127.0.0.2: %v", err)
			}
			stays.conn.Close()
			stays.conn = u
			t.Cleanup(func() { u.Close() })
			c.bindChannel(0x4000, gone.address())
			c.bindChannel(0x4001, stays.address())
			c.sendChannel(0x4000, "before")
			gone.expect("before")

			a := s.list()[0]
			check := func(what string) {
				t.Helper()
				c.sendChannel(0x4000, what+" by channel")
				c.sendIndication(gone.address(), what+" by indication")
				c.sendChannel(0x4001, "up")
				stays.expect("up")
				gone.send(relayed, what+" by peer")
				stays.send(relayed, "down")
				c.expect("down", 0x4001)
			}
			a.mu.Lock()
			a.forbidLocked(func(p *permission) bool { return p.peer == gone.address().Addr() })
			a.mu.Unlock()
			check("no permission")
			if reason := a.permit([]netip.Addr{gone.address().Addr()}, s.now()+int64(time.Minute)); reason != "" {
				t.Fatal(reason)
			}
			c.sendChannel(0x4000, "permitted again")
			gone.expect("permitted again")

			conf.DenyPeers = []netip.Prefix{netip.PrefixFrom(gone.address().Addr(), 32)}
			conf.Listeners = s.config.Load().Listeners
			if err := s.Reload(conf); err != nil {
				t.Fatal(err)
			}
			check("denied by reload")
			conf.DenyPeers = nil
			if err := s.Reload(conf); err != nil {
				t.Fatal(err)
			}
			c.sendChannel(0x4000, "allowed by reload")
			gone.expect("allowed by reload")

			a.mu.Lock()
			a.unbindLocked(func(c *channel) bool { return c.number == 0x4000 })
			a.mu.Unlock()
			c.sendChannel(0x4000, "no channel")
			c.sendIndication(gone.address(), "by indication")
			gone.expect("by indication")
			c.mustRequest(stun.MethodRefresh, attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})
			// The port is free as soon as the answer is there.
			if u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(relayed)); err != nil {
				t.Errorf("the relay socket is open: %v", err)
			} else {
				u.Close()
			}
			if n := len(s.Status().Allocations); n != 0 {
				t.Errorf("%d allocations, want none", n)
			}
		})
	}
}

// The agenda reaches the data plane.
func TestExpiryStopsData(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"permission": func(c *Config) { c.PermissionLifetime = 300 * time.Millisecond },
		"channel":    func(c *Config) { c.ChannelLifetime = 300 * time.Millisecond },
		"allocation": func(c *Config) { c.AllocationLifetime = time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			conf := testConfig(t)
			set(&conf)
			s := start(t, conf)
			c, p := connect(t, s, UDP, "u", "p"), newPeer(t)
			relayed := c.allocate()
			c.bindChannel(0x4000, p.address())
			await(t, "expiry of the "+name, func() bool {
				st := s.Status()
				return len(st.Allocations) == 0 || st.Allocations[0].Peers == 0 || st.Allocations[0].Channels == 0
			})
			c.sendChannel(0x4000, "late")
			p.send(relayed, "late")
			switch name {
			case "allocation":
				// A new one, by the same socket; nothing of the old one came.
				c.allocate()
				c.permitPeer(p.address())
				c.sendIndication(p.address(), "new")
				p.expect("new")
			case "channel":
				c.expect("late", 0) // the permission lasts
				c.sendIndication(p.address(), "new")
				p.expect("new")
			case "permission":
				c.permitPeer(p.address())
				c.sendChannel(0x4000, "new")
				p.expect("new")
			}
			if len(c.unexpected) > 0 {
				t.Errorf("the client got %q", c.unexpected)
			}
		})
	}
}

func TestPeersRefusedByDefault(t *testing.T) {
	conf := testConfig(t)
	conf.AllowPeers = nil
	s := start(t, conf)
	for _, tr := range []Transport{UDP, TCP} {
		c := connect(t, s, tr, "u", "p")
		c.allocate()
		for _, a := range []string{"127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.1.1", "100.64.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255"} {
			at := netip.AddrPortFrom(netip.MustParseAddr(a), 80)
			if code := codeOf(c.request(stun.MethodCreatePermission, peerAttr(at))); code != stun.CodeForbidden {
				t.Errorf("%s: permission for %s answered with %d, want 403", tr, a, code)
			}
			if m := c.request(stun.MethodChannelBind, channelAttr(0x4000), peerAttr(at)); m.Type.Class != stun.ClassErrorResponse {
				t.Errorf("%s: channel to %s was bound", tr, a)
			}
		}
	}
}

func TestEveryLimitIsReachedAndReleased(t *testing.T) {
	for name, set := range map[string]func(*Limits){
		"total":   func(l *Limits) { l.Total.Allocations = 2 },
		"user":    func(l *Limits) { l.PerUser.Allocations = 2 },
		"address": func(l *Limits) { l.PerAddress.Allocations = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			conf := testConfig(t)
			set(&conf.Limits)
			s := start(t, conf)
			a, b, c := connect(t, s, UDP, "u", "p"), connect(t, s, TCP, "u", "p"), connect(t, s, UDP, "u", "p")
			a.allocate()
			b.allocate()
			if code := codeOf(c.request(stun.MethodAllocate, wantUDP)); code != stun.CodeAllocQuotaReached {
				t.Errorf("the third allocation was answered with %d, want 486", code)
			}
			if name == "user" {
				connect(t, s, UDP, "v", "q").allocate()
			}
			release(a)
			c.allocate()
		})
	}
	t.Run("peers and channels", func(t *testing.T) {
		conf := testConfig(t)
		conf.Limits = Limits{PerAllocation: Quota{Permissions: 2, Channels: 2}}
		s := start(t, conf)
		for _, tr := range []Transport{UDP, TCP} {
			c := connect(t, s, tr, "u", "p")
			c.allocate()
			at := func(host, port int) peerAttr {
				return peerAttr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(host)}), uint16(port)))
			}
			c.mustRequest(stun.MethodCreatePermission, at(1, 1))
			c.mustRequest(stun.MethodCreatePermission, at(2, 1))
			if code := codeOf(c.request(stun.MethodCreatePermission, at(3, 1))); code != stun.CodeInsufficientCapacity {
				t.Errorf("%s: the third peer was answered with %d, want 508", tr, code)
			}
			c.mustRequest(stun.MethodChannelBind, channelAttr(0x4000), at(1, 1))
			c.mustRequest(stun.MethodChannelBind, channelAttr(0x4001), at(1, 2))
			if m := c.request(stun.MethodChannelBind, channelAttr(0x4002), at(1, 3)); m.Type.Class != stun.ClassErrorResponse {
				t.Errorf("%s: a third channel was bound", tr)
			}
			// What there is can be refreshed.
			c.mustRequest(stun.MethodChannelBind, channelAttr(0x4001), at(1, 2))
			c.mustRequest(stun.MethodCreatePermission, at(2, 1))
		}
	})
	t.Run("ports", func(t *testing.T) {
		conf := testConfig(t)
		conf.MinPort, conf.MaxPort = 61000, 61001
		s := start(t, conf)
		a, b, c := connect(t, s, UDP, "u", "p"), connect(t, s, UDP, "u", "p"), connect(t, s, UDP, "u", "p")
		a.allocate()
		b.allocate()
		if code := codeOf(c.request(stun.MethodAllocate, wantUDP)); code != stun.CodeInsufficientCapacity {
			t.Errorf("without a free port the answer is %d, want 508", code)
		}
		if n := s.Status().Refusals[reasonNoPort]; n != 1 {
			t.Errorf("refusals %v, want one for %q", s.Status().Refusals, reasonNoPort)
		}
		// Who has a port is not disturbed, and one that is given back is good.
		p := newPeer(t)
		a.bindChannel(0x4000, p.address())
		a.sendChannel(0x4000, "still served")
		p.expect("still served")
		release(b)
		c.allocate()
	})
	t.Run("bitrate", func(t *testing.T) {
		for _, portable := range []bool{false, true} {
			conf := testConfig(t)
			conf.Portable = portable
			conf.Limits.PerAllocation.BitrateUp = 80_000 // 10 kB a second
			s := start(t, conf)
			c, p := connect(t, s, UDP, "u", "p"), newPeer(t)
			c.allocate()
			c.bindChannel(0x4000, p.address())
			for range 50 {
				c.sendChannel(0x4000, strings.Repeat("x", 1000))
			}
			await(t, "all packets seen", func() bool {
				tr := s.Status().Allocations[0].Traffic
				return tr.UpPackets+tr.Dropped == 50
			})
			if tr := s.Status().Allocations[0].Traffic; tr.UpPackets < 2 || tr.UpPackets > 20 {
				t.Errorf("portable %v: %d packets of 1 kB passed at once a limit of 10 kB/s", portable, tr.UpPackets)
			}
		}
	})
}

func TestMetersCountPayload(t *testing.T) {
	ways(t, func(t *testing.T, s *Server, tr Transport) {
		c, p := connect(t, s, tr, "u", "p"), newPeer(t)
		relayed := c.allocate()
		c.bindChannel(0x4000, p.address())
		c.sendChannel(0x4000, "12345")
		p.expect("12345")
		p.send(relayed, "123")
		c.expect("123", 0x4000)
		want := Traffic{UpBytes: 5, UpPackets: 1, DownBytes: 3, DownPackets: 1}
		if got := s.Status().Allocations[0].Traffic; got != want {
			t.Errorf("meters say %+v, want %+v", got, want)
		}
		if got := s.Status().Total; got != want {
			t.Errorf("in total %+v, want %+v", got, want)
		}
	})
}

func TestEvenPort(t *testing.T) {
	s := start(t, testConfig(t))
	c := connect(t, s, UDP, "u", "p")
	m := c.mustRequest(stun.MethodAllocate, wantUDP, attribute{stun.AttrEvenPort, []byte{0x80}})
	var first stun.XORMappedAddress
	if err := first.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil || first.Port%2 != 0 {
		t.Fatalf("relayed at port %d, want an even one (%v)", first.Port, err)
	}
	if _, err := m.Get(stun.AttrReservationToken); err != nil {
		t.Fatal(err)
	}
}

func TestDrainWaitsForTheLastAllocation(t *testing.T) {
	s := start(t, testConfig(t))
	c := connect(t, s, UDP, "u", "p")
	c.allocate()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Drain returned %v with a call running", err)
	}
	if code := codeOf(connect(t, s, UDP, "u", "p").request(stun.MethodAllocate, wantUDP)); code != stun.CodeAllocQuotaReached {
		t.Errorf("a draining relay answers Allocate with %d, want 486", code)
	}
	p := newPeer(t)
	c.bindChannel(0x4000, p.address())
	c.sendChannel(0x4000, "still talking")
	p.expect("still talking")
	c.mustRequest(stun.MethodRefresh, attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestReloadKeepsCallsAndTakesCredentials(t *testing.T) {
	conf := testConfig(t)
	s := start(t, conf)
	c, p := connect(t, s, UDP, "u", "p"), newPeer(t)
	c.allocate()
	c.bindChannel(0x4000, p.address())
	conf.Listeners = s.config.Load().Listeners
	conf.Users = map[string]Secret{"u": "p", "new": "n"}
	if err := s.Reload(conf); err != nil {
		t.Fatal(err)
	}
	c.sendChannel(0x4000, "goes on")
	p.expect("goes on")
	connect(t, s, UDP, "new", "n").allocate()
	if code := codeOf(connect(t, s, UDP, "v", "q").request(stun.MethodAllocate, wantUDP)); code != stun.CodeUnauthorized {
		t.Errorf("a removed user is answered with %d, want 401", code)
	}
	conf.Realm = "other"
	if err := s.Reload(conf); err == nil {
		t.Error("a new realm was taken over")
	}
}

func TestAnySecretIsGoodAndExpires(t *testing.T) {
	conf := testConfig(t)
	conf.Secrets = []Secret{"new", "old"}
	s := start(t, conf)
	for _, tr := range []Transport{UDP, TCP, TLS} {
		for _, secret := range conf.Secrets {
			user, password := Credentials(secret, "alice", time.Now().Add(time.Hour))
			connect(t, s, tr, user, string(password)).allocate()
		}
		for name, c := range map[string]struct {
			secret Secret
			after  time.Duration
		}{"another secret": {"wrong", time.Hour}, "expired": {"new", -time.Minute}} {
			user, password := Credentials(c.secret, "alice", time.Now().Add(c.after))
			if code := codeOf(connect(t, s, tr, user, string(password)).request(stun.MethodAllocate, wantUDP)); code != stun.CodeUnauthorized {
				t.Errorf("%s, %s: answered with %d, want 401", tr, name, code)
			}
		}
	}
	if got := s.Status().Allocations; len(got) != 6 || got[0].User != "alice" {
		t.Errorf("allocations %+v, want six of alice", got)
	}
}
