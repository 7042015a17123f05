package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// Failures in somebody's name, which anybody can send who writes his address,
// neither end his call nor keep out who has time-limited credentials.
func TestFailedLoginsOfOthersKeepNobodyOut(t *testing.T) {
	conf := testConfig(t)
	conf.Secrets = []Secret{"s"}
	s := start(t, conf)
	c := connect(t, s, UDP, "u", "p")
	c.allocate()
	for range 20 * s.limits().FailedLogins {
		s.logins.take(guess{loopback, "u"}, s.now())
		s.guesses.take(loopback, s.now())
	}
	c.mustRequest(stun.MethodRefresh)
	user, password := Credentials("s", "alice", time.Now().Add(time.Hour))
	connect(t, s, UDP, user, string(password)).allocate()
	// A password that a person chose is not to be guessed meanwhile.
	v := connect(t, s, UDP, "v", "q")
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP, stun.NewUsername("v"), c.realm, c.nonce, stun.NewLongTermIntegrity("v", testRealm, "q"))
	v.write(m.Raw)
	await(t, "the login not looked at", func() bool { return s.Status().Refusals[reasonLogins] == 1 })
}

// Refused peers and connections are logged some times a second, not each.
func TestRefusedPeersDoNotFloodTheLog(t *testing.T) {
	var log lockedBuilder
	conf := testConfig(t)
	conf.Logger = slog.New(slog.NewTextHandler(&log, nil))
	conf.HideAddresses = true
	s := start(t, conf)
	c := connect(t, s, TCP, "u", "p")
	c.mustRequest(stun.MethodAllocate, attribute{stun.AttrRequestedTransport, []byte{protocolTCP, 0, 0, 0}})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := addrPort(l.Addr())
	l.Close()
	const asked = 10 * linesPerSecond
	for range asked {
		if code := codeOf(c.request(stun.MethodCreatePermission, peerAttr(netip.MustParseAddrPort("10.0.0.1:1")))); code != stun.CodeForbidden {
			t.Fatalf("a private peer is answered with %d, want 403", code)
		}
		c.request(stun.MethodConnect, peerAttr(nobody))
	}
	for text, reason := range map[string]string{"peer refused": reasonPolicy, "connect to a peer": reasonUnreachable} {
		if n := strings.Count(log.String(), text); n == 0 || n > asked/2 {
			t.Errorf("%d lines of %q for %d", n, text, asked)
		}
		if n := s.Status().Refusals[reason]; n != asked {
			t.Errorf("%d counted as %q, want %d", n, reason, asked)
		}
	}
	if strings.Contains(log.String(), "127.0.0.1") {
		t.Errorf("a log without addresses has some: %.500s", log.String())
	}
}

// A port that a UDP allocation has, or that is kept for one, opens nothing that
// listens there by TCP, and the other way round.
func TestPortsOfAllocationsAreOfOneProtocol(t *testing.T) {
	conf := testConfig(t)
	conf.AllowPeers = nil
	s := start(t, conf)
	u := connect(t, s, UDP, "u", "p")
	m := u.mustRequest(stun.MethodAllocate, wantUDP, attribute{stun.AttrEvenPort, []byte{0x80}})
	udp := relayedOf(t, m)[0]
	tcp := relayedOf(t, connect(t, s, TCP, "u", "p").mustRequest(stun.MethodAllocate, attribute{stun.AttrRequestedTransport, []byte{protocolTCP, 0, 0, 0}}))[0]
	kept := netip.AddrPortFrom(udp.Addr(), udp.Port()+1)
	for _, c := range []struct {
		port netip.AddrPort
		tcp  bool
		want bool
	}{{udp, false, true}, {udp, true, false}, {tcp, true, true}, {tcp, false, false}, {kept, false, false}, {kept, true, false}} {
		if got := s.reaches(verdictAllocations, c.port, c.tcp); got != c.want {
			t.Errorf("%v by TCP %v: reached %v, want %v", c.port, c.tcp, got, c.want)
		}
	}
	release(u)
	await(t, "the port closed", func() bool { return !s.reaches(verdictAllocations, udp, false) })
}

// The addresses of the machine come and go; a listener on all of them stays what
// it was.
func TestReloadWhereAddressesHaveChanged(t *testing.T) {
	conf := testConfig(t)
	s := start(t, conf)
	old := *s.config.Load()
	old.Listeners = append(slices.Clone(old.Listeners), Listener{Transport: UDP, Address: netip.MustParseAddrPort("192.0.2.7:3478")})
	old.Relays = append(slices.Clone(old.Relays), Relay{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.7")})
	s.config.Store(&old)
	conf.Software = "new"
	if err := s.Reload(conf); err != nil {
		t.Fatal(err)
	}
	if now := s.config.Load(); now.Software != "new" || len(now.Relays) != len(old.Relays) || len(now.Listeners) != len(old.Listeners) {
		t.Errorf("%d relays, %d listeners after the reload, want %d and %d", len(now.Relays), len(now.Listeners), len(old.Relays), len(old.Listeners))
	}
	conf.Listeners = conf.Listeners[:1]
	if s.Reload(conf) == nil {
		t.Error("a listener less was taken over")
	}
}

// An address that the machine gets while the relay runs is its own too.
func TestNewAddressesAreOwn(t *testing.T) {
	conf := testConfig(t)
	conf.AllowPeers = nil
	s := start(t, conf)
	s.policy.Store(&policy{allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}) // of before it had any
	c := connect(t, s, UDP, "u", "p")
	c.allocate()
	c.permitPeer(netip.AddrPortFrom(loopback, 9))
	s.renewPolicy()
	if p := s.policy.Load(); !p.own[loopback] {
		t.Errorf("own addresses are %v", p.own)
	}
	if a := s.list()[0]; a.allows(netip.AddrPortFrom(loopback, 9)) {
		t.Error("what was permitted before is still reached")
	}
}

// A ledger that does not answer holds nobody up at the end, however many
// allocations there are; one that does hears that there are none.
func TestLedgerAtTheEnd(t *testing.T) {
	l := &testLedger{taken: map[Account]int{}, limit: 100}
	conf := testConfig(t)
	conf.Ledger = mute{l}
	s, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		connect(t, s, UDP, "u", "p").allocate()
	}
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d >= 5*ledgerTimeout {
		t.Errorf("closing took %v", d)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.reported, func(u Usage) bool { return u.User == "u" && u.Allocations == 0 }); i < 0 {
		t.Errorf("reported %+v, want that u has none", l.reported)
	}
}

// mute answers reports alone.
type mute struct{ *testLedger }

func (mute) Release(ctx context.Context, _ Account) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestMappedPrefixes(t *testing.T) {
	conf := testConfig(t)
	conf.AllowPeers = nil
	conf.DenyPeers = []netip.Prefix{netip.MustParsePrefix("::ffff:8.8.8.0/120")}
	c, err := conf.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := newPolicy(c).judge(netip.MustParseAddr("8.8.8.8")); v != verdictRefused {
		t.Error("a v4-mapped prefix denies nothing")
	}
}

// Handshakes that one address never ends leave room for others'.
func TestHandshakesOfOneAddress(t *testing.T) {
	conf := testConfig(t)
	conf.Limits.Handshakes = 2 * handshakeShare
	s := start(t, conf)
	at := addressOf(t, s, TLS)
	for range 3 {
		conn, err := net.Dial("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	await(t, "one too many", func() bool { return s.Status().Refusals[reasonHandshakes] == 1 })
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := tls.DialWithDialer(&other, "tcp4", at, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("another address: %v", err)
	}
	conn.Close()
}

// Clients are given the address that others can reach, whatever comes first.
func TestRelaysArePublicFirst(t *testing.T) {
	conf := testConfig(t)
	conf.Listeners = nil
	for _, a := range []string{"172.17.0.1:1", "8.8.4.4:1", "10.0.0.1:1", "9.9.9.9:1"} {
		conf.Listeners = append(conf.Listeners, Listener{Transport: UDP, Address: netip.MustParseAddrPort(a)})
	}
	c, err := conf.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.Relays {
		got = append(got, r.Address.String())
	}
	if want := "8.8.4.4 9.9.9.9 172.17.0.1 10.0.0.1"; strings.Join(got, " ") != want {
		t.Errorf("relays %v, want %s", got, want)
	}
}

// Users connect to nothing below port 1024, and by TCP to nobody at all where
// the operator says so; both without a restart.
func TestTCPPeers(t *testing.T) {
	conf := testConfig(t)
	s := start(t, conf)
	wantTCP := attribute{stun.AttrRequestedTransport, []byte{protocolTCP, 0, 0, 0}}
	c := connect(t, s, TCP, "u", "p")
	c.mustRequest(stun.MethodAllocate, wantTCP)
	mail := netip.AddrPortFrom(loopback, 1023)
	if code := codeOf(c.request(stun.MethodConnect, peerAttr(mail))); code != stun.CodeForbidden {
		t.Errorf("port 1023 by TCP: %d, want 403", code)
	}
	conf.Listeners = s.config.Load().asked.listeners
	reload := func(change func(*Config)) {
		t.Helper()
		change(&conf)
		if err := s.Reload(conf); err != nil {
			t.Fatal(err)
		}
	}
	reload(func(c *Config) { c.MinTCPPort = 1 })
	if code := codeOf(c.request(stun.MethodConnect, peerAttr(mail))); code == stun.CodeForbidden {
		t.Error("port 1023 by TCP is refused although all are allowed")
	}
	reload(func(c *Config) { c.MinTCPPort = 50000 })
	if code := codeOf(c.request(stun.MethodConnect, peerAttr(netip.AddrPortFrom(loopback, 49999)))); code != stun.CodeForbidden {
		t.Errorf("a port below the lowest: %d, want 403", code)
	}
	reload(func(c *Config) { c.NoTCP = true })
	d := connect(t, s, TCP, "u", "p")
	if code := codeOf(d.request(stun.MethodAllocate, wantTCP)); code != stun.CodeUnsupportedTransProto {
		t.Errorf("a TCP allocation where there are none: %d, want 442", code)
	}
	d.allocate() // over UDP from then on
	if n := s.Status().RefusedPeers; n < 2 {
		t.Errorf("%d refused peers counted", n)
	}
}

// A ledger that is away is said to be, not with each request.
func TestComplaintsDoNotFloodTheLog(t *testing.T) {
	var log lockedBuilder
	conf := testConfig(t)
	conf.Logger = slog.New(slog.NewTextHandler(&log, nil))
	conf.Ledger = &testLedger{taken: map[Account]int{}, broken: errors.New("away")}
	s := start(t, conf)
	for range 1000 {
		s.acquireAtLedger(Account{testRealm, "u"})
	}
	if n := strings.Count(log.String(), "granted without it"); n != 1 {
		t.Errorf("%d lines for 1000 requests, want 1", n)
	}
	s.complaints.mu.Lock()
	for _, c := range s.complaints.all {
		if c.skipped != 999 {
			t.Errorf("%d were not logged, want 999", c.skipped)
		}
		c.next = s.now() // the interval is over
	}
	s.complaints.mu.Unlock()
	s.acquireAtLedger(Account{testRealm, "u"})
	if text := log.String(); strings.Count(text, "granted without it") != 2 || !strings.Contains(text, "not-logged=999") {
		t.Errorf("after the interval the log says %s", text)
	}
}
