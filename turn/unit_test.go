package turn

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

func TestPolicy(t *testing.T) {
	conf, err := Config{
		Realm: "r", Users: map[string]Secret{"u": "p"},
		Listeners:  []Listener{{Transport: UDP, Address: netip.MustParseAddrPort("198.51.101.1:3478")}},
		Relays:     []Relay{{Address: netip.MustParseAddr("10.9.9.9"), Public: netip.MustParseAddr("8.8.4.4")}},
		AllowPeers: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("9.9.9.0/24")},
		DenyPeers:  []netip.Prefix{netip.MustParsePrefix("9.9.9.9/32"), netip.MustParsePrefix("2620:fe::/48")},
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := newPolicy(conf)
	for peer, want := range map[string]verdict{
		"1.1.1.1": verdictAllowed, "2606:4700::1": verdictAllowed, "10.1.2.3": verdictAllowed, "::ffff:10.1.2.3": verdictAllowed,
		"9.9.9.1": verdictAllowed, "9.9.9.9": verdictRefused, "2620:fe::9": verdictRefused,
		"8.8.4.4": verdictAllocations, "10.9.9.9": verdictAllocations, "198.51.101.1": verdictAllocations,
		"10.2.0.1": verdictRefused, "127.0.0.1": verdictRefused, "::ffff:127.0.0.1": verdictRefused, "::1": verdictRefused, "::": verdictRefused,
		"::127.0.0.1": verdictRefused, "64:ff9b::7f00:1": verdictRefused, "64:ff9b:1::a00:1": verdictRefused, "2002:7f00:1::": verdictRefused,
		"2001:0:1::1": verdictRefused, "169.254.169.254": verdictRefused, "fd00:ec2::254": verdictRefused, "fe80::1": verdictRefused,
		"fe80::1%1": verdictRefused, "100.64.0.1": verdictRefused, "224.0.0.251": verdictRefused, "ff02::1": verdictRefused,
		"255.255.255.255": verdictRefused, "0.0.0.0": verdictRefused, "192.0.2.1": verdictRefused,
	} {
		got, reason := p.judge(netip.MustParseAddr(peer))
		if got != want || got != verdictAllowed && reason == "" {
			t.Errorf("judge(%s) = %d (%q), want %d", peer, got, reason, want)
		}
	}
	if v, _ := p.judge(netip.Addr{}); v != verdictRefused {
		t.Error("no address at all is allowed")
	}
}

func TestPorts(t *testing.T) {
	p := newPorts(1000, 1129)
	seen := map[uint16]bool{}
	for range 130 {
		port, ok := p.take(false, false)
		if !ok || port < 1000 || port > 1129 || seen[port] {
			t.Fatalf("took port %d, %v", port, ok)
		}
		seen[port] = true
	}
	if port, ok := p.take(false, false); ok {
		t.Fatalf("took port %d of none", port)
	}
	p.release(1063)
	p.release(1063) // twice is once
	if _, ok := p.take(true, false); ok {
		t.Error("took an even port where only an odd one is free")
	}
	if port, ok := p.take(false, false); !ok || port != 1063 {
		t.Errorf("port %d, %v, want the one that is free", port, ok)
	}
	// Pairs are an even port and the next.
	for _, port := range []uint16{1011, 1012, 1020, 1021} {
		p.release(port)
	}
	if port, ok := p.take(true, true); !ok || port != 1020 || p.free != 2 {
		t.Fatalf("pair %d, %v, %d free", port, ok, p.free)
	}
	if port, ok := p.take(true, true); ok {
		t.Errorf("took the pair %d of none", port)
	}
}

// What coturn, Prosody and ejabberd compute too.
func TestCredentials(t *testing.T) {
	user, password := Credentials("north", "alice", time.Unix(1433895918, 0))
	if user != "1433895918:alice" || string(password) != string(restPassword("north", "1433895918:alice")) || len(password) != 28 {
		t.Errorf("credentials %q %q", user, string(password))
	}
	k := &realm{name: "r", users: map[string]Secret{"bob": "b"}, secrets: []Secret{"north", "south"}}
	for _, c := range []struct {
		username, user, reason string
		keys                   int
	}{
		{"bob", "bob", "", 1}, {"1433895918:alice", "alice", "", 2}, {"1433895918", "1433895918", "", 2},
		{"1433895916:alice", "", "credentials expired", 0}, {"-5:alice", "", "unknown user", 0}, {"alice", "", "unknown user", 0},
		{"99999999999999999999:x", "", "unknown user", 0}, {strings.Repeat("x", 600), "", "unknown user", 0},
	} {
		user, keys, reason := k.passwords(c.username, time.Unix(1433895917, 0))
		if user != c.user || reason != c.reason || len(keys) != c.keys {
			t.Errorf("keys(%.20q) = %q, %d keys, %q", c.username, user, len(keys), reason)
		}
	}
	secret := Secret("do not tell")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", secret, "c", Config{Secrets: []Secret{secret}})
	if text := fmt.Sprintf("%v %+v %#v %s %s", secret, Config{Secrets: []Secret{secret}}, secret, secret, log.String()); strings.Contains(text, string(secret)) {
		t.Errorf("a secret shows itself: %s", text)
	}
}

func TestRate(t *testing.T) {
	var r rate
	r.bits.Store(8000) // 1000 bytes a second
	passed := 0
	for ms := range 10_000 {
		if now := int64(ms) * 1e6; r.ready(now) {
			r.charge(100, now)
			passed += 100
		}
	}
	if passed < 9_900 || passed > 10_500 {
		t.Errorf("%d bytes passed in 10 s at 1000 bytes/s", passed)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	good := Config{Realm: "r", Users: map[string]Secret{"u": "p"}, Listeners: []Listener{{Transport: UDP, Address: netip.MustParseAddrPort("127.0.0.1:0")}}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, break_ := range map[string]func(*Config){
		"no realm":          func(c *Config) { c.Realm = "" },
		"no credentials":    func(c *Config) { c.Users = nil },
		"no listener":       func(c *Config) { c.Listeners = nil },
		"unknown transport": func(c *Config) { c.Listeners = []Listener{{Transport: "sctp", Address: good.Listeners[0].Address}} },
		"TLS needs":         func(c *Config) { c.Listeners = []Listener{{Transport: TLS, Address: good.Listeners[0].Address}} },
		"empty secret":      func(c *Config) { c.Secrets = []Secret{""} },
		"are none":          func(c *Config) { c.MinPort, c.MaxPort = 10, 9 },
		"two families": func(c *Config) {
			c.Relays = []Relay{{Address: netip.MustParseAddr("10.0.0.1"), Public: netip.MustParseAddr("2001:db8::1")}}
		},
	} {
		c := good
		break_(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate says %v, want %q", err, want)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x40\x00\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAttr(netip.MustParseAddrPort("1.2.3.4:5")), attribute{stun.AttrData, []byte("hello")}).Raw)
	f.Add(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodChannelBind, stun.ClassRequest),
		channelAttr(0x4000), peerAttr(netip.MustParseAddrPort("[2001:db8::1]:5"))).Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := frameLength(b); ok && n > maxFrame || n < 0 || n > 0 && n < channelHeader {
			t.Errorf("a frame of %d bytes", n)
		}
		if number, data, ok := channelData(b); ok && (number < minChannel || len(data) > len(b)-channelHeader) {
			t.Errorf("channel %#x with %d bytes", number, len(data))
		}
		typ, ok := stunType(b)
		if !ok {
			return
		}
		peer, data, ok := sendIndication(b)
		if !ok || typ != typeSendIndication {
			return
		}
		// pion's decoder sees the same peer and data.
		m := &stun.Message{Raw: append([]byte(nil), b...)}
		if m.Decode() != nil {
			return
		}
		// pion minds a byte that RFC 8489#section-14.1 tells it to ignore.
		if v, err := m.Get(stun.AttrXORPeerAddress); err == nil && v[0] != 0 {
			return
		}
		var a stun.XORMappedAddress
		if err := a.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
			t.Fatalf("pion sees no peer where we see %v: %v", peer, err)
		}
		if ip := ipAddr(a.IP); ip != peer.Addr().Unmap() || a.Port != int(peer.Port()) {
			t.Fatalf("pion sees peer %v, we see %v", a, peer)
		}
		if v, err := m.Get(stun.AttrData); err != nil || string(v) != string(data) {
			t.Fatalf("pion sees data %q (%v), we see %q", v, err, data)
		}
	})
}

func FuzzDataIndication(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, uint16(5), []byte("hello"))
	f.Fuzz(func(t *testing.T, ip []byte, port uint16, data []byte) {
		a, ok := netip.AddrFromSlice(ip)
		if !ok || a.Is4In6() || len(data) > 60000 {
			return
		}
		peer := netip.AddrPortFrom(a, port)
		var head [dataIndicationMax]byte
		n := dataIndication(&head, peer, len(data), 1, 2)
		b := append(head[:n:n], data...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		m := &stun.Message{Raw: b}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		var got stun.XORMappedAddress
		if err := got.GetFromAs(m, stun.AttrXORPeerAddress); err != nil || ipAddr(got.IP) != a || got.Port != int(port) {
			t.Fatalf("peer %v, %v", got, err)
		}
		if v, err := m.Get(stun.AttrData); err != nil || string(v) != string(data) {
			t.Fatalf("data %q, %v", v, err)
		}
	})
}
