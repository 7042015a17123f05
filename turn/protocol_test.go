package turn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var loopback6 = netip.IPv6Loopback()

// dual serves on 127.0.0.1 and gives both families.
func dual(t *testing.T) Config {
	t.Helper()
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 on loopback: %v", err)
	} else {
		c.Close()
	}
	c := testConfig(t)
	c.Relays = []Relay{{Address: loopback}, {Address: loopback6}}
	c.AllowPeers = append(c.AllowPeers, netip.PrefixFrom(loopback6, 128))
	return c
}

// relayedOf lists the XOR-RELAYED-ADDRESS of an answer.
func relayedOf(t *testing.T, m *stun.Message) (out []netip.AddrPort) {
	t.Helper()
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORRelayedAddress {
			ap, ok := xorAddress(a.Value, m.Raw[4:stunHeader])
			if !ok {
				t.Fatal("a relayed address that cannot be read")
			}
			out = append(out, ap)
		}
	}
	return out
}

func family(b byte) attribute { return attribute{stun.AttrRequestedAddressFamily, []byte{b, 0, 0, 0}} }

var additional = attribute{stun.AttrType(attrAdditionalAddressFamily), []byte{family6, 0, 0, 0}}

// One allocation, two relayed addresses, two families of peers. RFC 8656#section-7.2
func TestDualAllocation(t *testing.T) {
	for _, portable := range []bool{false, true} {
		for _, tr := range []Transport{UDP, TCP} {
			t.Run(fmt.Sprintf("%s,portable=%v", tr, portable), func(t *testing.T) {
				conf := dual(t)
				conf.Portable = portable
				s := start(t, conf)
				c := connect(t, s, tr, "u", "p")
				at := relayedOf(t, c.mustRequest(stun.MethodAllocate, wantUDP, additional))
				if len(at) != 2 || !at[0].Addr().Is4() || !at[1].Addr().Is6() {
					t.Fatalf("relayed addresses %v, want one of each family", at)
				}
				u, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
				if err != nil {
					t.Fatal(err)
				}
				defer u.Close()
				four, six := newPeer(t), &peer{t, u}
				c.bindChannel(0x4000, four.address())
				c.bindChannel(0x4001, six.address())
				both := func() {
					t.Helper()
					c.sendChannel(0x4000, "to four")
					c.sendChannel(0x4001, "to six")
					four.expect("to four")
					six.expect("to six")
					c.sendIndication(six.address(), "again")
					six.expect("again")
					four.send(at[0], "from four")
					c.expect("from four", 0x4000)
					six.send(at[1], "from six")
					c.expect("from six", 0x4001)
				}
				both()
				// Each family has a life of its own, RFC 8656#section-8.2.
				c.mustRequest(stun.MethodRefresh, family(family4), attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})
				c.sendChannel(0x4000, "too late")
				c.sendChannel(0x4001, "still")
				six.expect("still")
				if code := codeOf(c.request(stun.MethodCreatePermission, peerAttr(four.address()))); code != stun.CodePeerAddrFamilyMismatch {
					t.Errorf("a peer of the family that is gone: %d, want 443", code)
				}
				c.mustRequest(stun.MethodRefresh, family(family6), attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})
				await(t, "nothing is left", func() bool { return s.left() == "" })
			})
		}
	}
}

func TestAllocateFamilies(t *testing.T) {
	six := start(t, dual(t))
	conf := testConfig(t)
	four := start(t, conf)
	for _, c := range []struct {
		name  string
		s     *Server
		attrs []stun.Setter
		code  stun.ErrorCode
		want  string // families
	}{
		{"IPv6", six, []stun.Setter{family(family6)}, 0, "6"},
		{"IPv4", six, []stun.Setter{family(family4)}, 0, "4"},
		{"nothing said", six, nil, 0, "4"},
		{"IPv6 where there is none", four, []stun.Setter{family(family6)}, stun.CodeAddrFamilyNotSupported, ""},
		{"an unknown one", six, []stun.Setter{family(9)}, stun.CodeAddrFamilyNotSupported, ""},
		{"additional where there is none", four, []stun.Setter{additional}, 0, "4 440"},
		{"additional and requested", six, []stun.Setter{additional, family(family4)}, stun.CodeBadRequest, ""},
		{"additional IPv4", six, []stun.Setter{attribute{stun.AttrType(attrAdditionalAddressFamily), []byte{family4, 0, 0, 0}}}, stun.CodeBadRequest, ""},
		{"additional and a pair", six, []stun.Setter{additional, attribute{stun.AttrEvenPort, []byte{0x80}}}, stun.CodeBadRequest, ""},
		{"a fragment bit", six, []stun.Setter{attribute{stun.AttrDontFragment, nil}}, stun.CodeUnknownAttribute, ""},
		{"SCTP", six, []stun.Setter{attribute{stun.AttrRequestedTransport, []byte{132, 0, 0, 0}}}, stun.CodeUnsupportedTransProto, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := connect(t, c.s, UDP, "u", "p").request(stun.MethodAllocate, append(c.attrs, wantUDP)...)
			if code := codeOf(m); code != c.code {
				t.Fatalf("answered with %d, want %d", code, c.code)
			}
			got := ""
			for _, at := range relayedOf(t, m) {
				got += map[bool]string{true: "4", false: "6"}[at.Addr().Is4()]
			}
			if v, err := m.Get(stun.AttrType(attrAddressErrorCode)); err == nil {
				got += fmt.Sprintf(" %d", int(v[2])*100+int(v[3]))
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What a client may not do is refused in the words of RFC 8656.
func TestErrorsAreTheSpecifications(t *testing.T) {
	s := start(t, testConfig(t))
	c, p := connect(t, s, UDP, "u", "p"), newPeer(t)
	expect := func(want stun.ErrorCode, method stun.Method, attrs ...stun.Setter) {
		t.Helper()
		if code := codeOf(c.request(method, attrs...)); code != want {
			t.Errorf("%v answered with %d, want %d", method, code, want)
		}
	}
	expect(stun.CodeAllocMismatch, stun.MethodRefresh)
	expect(stun.CodeAllocMismatch, stun.MethodCreatePermission, peerAttr(p.address()))
	expect(stun.CodeBadRequest, stun.MethodAllocate)
	c.allocate()
	expect(stun.CodeAllocMismatch, stun.MethodAllocate, wantUDP)
	expect(stun.CodeBadRequest, stun.MethodCreatePermission)
	expect(stun.CodeBadRequest, stun.MethodChannelBind, peerAttr(p.address()))
	expect(stun.CodeBadRequest, stun.MethodChannelBind, channelAttr(0x3FFF), peerAttr(p.address()))
	c.bindChannel(0x4000, p.address())
	expect(stun.CodeBadRequest, stun.MethodChannelBind, channelAttr(0x4001), peerAttr(p.address()))
	expect(stun.CodeBadRequest, stun.MethodChannelBind, channelAttr(0x4000), peerAttr(newPeer(t).address()))
	expect(stun.CodePeerAddrFamilyMismatch, stun.MethodCreatePermission, peerAttr(netip.MustParseAddrPort("[2600::1]:1")))
	expect(stun.CodePeerAddrFamilyMismatch, stun.MethodRefresh, family(family6))
	expect(stun.CodeBadRequest, stun.MethodConnect, peerAttr(p.address()))
	expect(stun.CodeBadRequest, stun.MethodConnectionBind, attribute{stun.AttrType(attrConnectionID), []byte{1, 2, 3, 4}})
	// Another user on the same socket.
	c.user, c.password, c.key = "v", "q", nil
	expect(stun.CodeWrongCredentials, stun.MethodRefresh)
}

// The answer to a retransmitted Allocate is the same again.
func TestRetransmittedAllocate(t *testing.T) {
	s := start(t, testConfig(t))
	c := connect(t, s, UDP, "u", "p")
	c.request(stun.MethodRefresh) // which fetches realm and nonce
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP, stun.NewUsername(c.user), c.realm, c.nonce, c.key)
	var first []netip.AddrPort
	for range 2 {
		c.write(m.Raw)
		answer := &stun.Message{Raw: c.read()}
		if err := answer.Decode(); err != nil || answer.Type.Class != stun.ClassSuccessResponse {
			t.Fatalf("%v, %v", answer, err)
		}
		at := relayedOf(t, answer)
		if first != nil && !slices.Equal(first, at) {
			t.Errorf("relayed at %v, then at %v", first, at)
		}
		first = at
	}
}

func TestReservedPort(t *testing.T) {
	s := start(t, testConfig(t))
	c, d, stranger := connect(t, s, UDP, "u", "p"), connect(t, s, TCP, "u", "p"), connect(t, s, UDP, "v", "q")
	m := c.mustRequest(stun.MethodAllocate, wantUDP, attribute{stun.AttrEvenPort, []byte{0x80}})
	token, err := m.Get(stun.AttrReservationToken)
	if err != nil {
		t.Fatal(err)
	}
	first := relayedOf(t, m)[0]
	reserved := attribute{stun.AttrReservationToken, token}
	if code := codeOf(stranger.request(stun.MethodAllocate, wantUDP, reserved)); code != stun.CodeInsufficientCapacity {
		t.Errorf("somebody else's reservation: %d, want 508", code)
	}
	if code := codeOf(d.request(stun.MethodAllocate, wantUDP, reserved, family(family4))); code != stun.CodeBadRequest {
		t.Errorf("a reservation and a family: %d, want 400", code)
	}
	second := relayedOf(t, d.mustRequest(stun.MethodAllocate, wantUDP, reserved))[0]
	if first.Port()%2 != 0 || second.Port() != first.Port()+1 {
		t.Errorf("ports %d and %d, want an even one and the next", first.Port(), second.Port())
	}
	if code := codeOf(connect(t, s, UDP, "u", "p").request(stun.MethodAllocate, wantUDP, reserved)); code != stun.CodeInsufficientCapacity {
		t.Errorf("a reservation twice: %d, want 508", code)
	}
}

// A modern is a client of RFC 8489: SHA-256 keys and integrity.
type modern struct {
	*client
	hashed bool // USERHASH in place of USERNAME
	md5    bool // an MD5 key under SHA-256 integrity
	strip  bool // somebody has removed SHA-256 from the offer
}

type integrity256 []byte

func (k integrity256) AddTo(m *stun.Message) error {
	const size = sha256.Size
	m.Length += 4 + size
	m.WriteLength()
	mac := hmac.New(sha256.New, k)
	mac.Write(m.Raw)
	m.Length -= 4 + size
	m.Add(stun.AttrMessageIntegritySHA256, mac.Sum(nil))
	return nil
}

func (c *modern) request(method stun.Method, attrs ...stun.Setter) *stun.Message {
	c.t.Helper()
	challenge := c.exchange(stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)...))
	offered, err := challenge.Get(stun.AttrPasswordAlgorithms)
	if err != nil || c.realm.GetFrom(challenge) != nil || c.nonce.GetFrom(challenge) != nil {
		c.t.Fatalf("challenge without realm, nonce or algorithms: %v", challenge)
	}
	algorithm, chosen := algorithmSHA256, []byte{0, 2, 0, 0}
	if c.md5 {
		algorithm, chosen = algorithmMD5, []byte{0, 1, 0, 0}
	}
	if c.strip {
		offered = []byte{0, 1, 0, 0}
	}
	key := integrity256(longTermKey(algorithm, c.user, c.realm.String(), Secret(c.password)))
	var who stun.Setter = stun.NewUsername(c.user)
	if c.hashed {
		sum := sha256.Sum256([]byte(c.user + ":" + c.realm.String()))
		who = attribute{stun.AttrUserhash, sum[:]}
	}
	set := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
	set = append(set, who, c.realm, c.nonce, attribute{stun.AttrPasswordAlgorithms, offered}, attribute{stun.AttrPasswordAlgorithm, chosen}, key)
	answer := c.exchange(stun.MustBuild(set...))
	if answer.Type.Class == stun.ClassSuccessResponse {
		m, ok := parseMessage(answer.Raw)
		if !ok || m.integrity256 == 0 || !m.signedBy(key) {
			c.t.Error("the answer is not signed as the request was")
		}
	}
	return answer
}

func (c *modern) exchange(m *stun.Message) *stun.Message {
	c.t.Helper()
	c.write(m.Raw)
	answer := &stun.Message{Raw: c.read()}
	if err := answer.Decode(); err != nil || answer.TransactionID != m.TransactionID {
		c.t.Fatalf("answer %v, %v", answer, err)
	}
	return answer
}

func TestSHA256(t *testing.T) {
	conf := testConfig(t)
	s := start(t, conf)
	conf.Secrets = []Secret{"shared"}
	withSecret := start(t, conf)
	expires, password := Credentials("shared", "alice", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		s    *Server
		m    modern
		code stun.ErrorCode
	}{
		"key and integrity":        {s, modern{client: connect(t, s, UDP, "u", "p")}, 0},
		"by hash of the name":      {s, modern{client: connect(t, s, TCP, "u", "p"), hashed: true}, 0},
		"an MD5 key":               {s, modern{client: connect(t, s, UDP, "u", "p"), md5: true}, 0},
		"wrong password":           {s, modern{client: connect(t, s, UDP, "u", "x")}, stun.CodeUnauthorized},
		"unknown hash":             {s, modern{client: connect(t, s, UDP, "nobody", "p"), hashed: true}, stun.CodeUnauthorized},
		"an offer made weaker":     {s, modern{client: connect(t, s, UDP, "u", "p"), md5: true, strip: true}, stun.CodeBadRequest},
		"time-limited":             {withSecret, modern{client: connect(t, withSecret, TLS, expires, string(password))}, 0},
		"a user beside the secret": {withSecret, modern{client: connect(t, withSecret, UDP, "u", "p")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.m.t = t
			if code := codeOf(c.m.request(stun.MethodAllocate, wantUDP)); code != c.code {
				t.Errorf("answered with %d, want %d", code, c.code)
			}
		})
	}
	// Whoever changes what the nonce says of us makes it void.
	k := s.keyring.Load()
	nonce := k.nonces.make(time.Now(), loopback, k.first.features)
	if k.first.features != featureAlgorithms|featureAnonymity || withSecret.keyring.Load().first.features != featureAlgorithms {
		t.Error("names are anonymous where all are known, and only there")
	}
	copy(nonce[len(nonceCookie):], "AAAA")
	if k.nonces.good(nonce, time.Now(), loopback, k.first.features) {
		t.Error("a nonce that promises less is good")
	}
}

func TestNonces(t *testing.T) {
	conf := testConfig(t)
	conf.NonceSecret = "shared by relays"
	one, two := start(t, conf), start(t, conf)
	conf.NonceSecret = ""
	other := start(t, conf)
	now := time.Now()
	nonce := one.keyring.Load().nonces.make(now, loopback, featureAlgorithms)
	if len(nonce) != nonceLength {
		t.Errorf("a nonce of %d bytes, want %d", len(nonce), nonceLength)
	}
	for name, c := range map[string]struct {
		s    *Server
		at   time.Time
		good bool
	}{
		"itself": {one, now, true}, "another relay": {two, now, true}, "another secret": {other, now, false},
		"in an hour": {one, now.Add(time.Hour - 2*time.Second), true}, "later": {one, now.Add(time.Hour + 2*time.Second), false},
		"a clock behind": {two, now.Add(-nonceSkew / 2), true}, "a clock far behind": {two, now.Add(-2 * nonceSkew), false},
	} {
		if got := c.s.keyring.Load().nonces.good(nonce, c.at, loopback, featureAlgorithms); got != c.good {
			t.Errorf("%s: good is %v", name, got)
		}
	}
	// It is of one address, however that is written, and of all its ports.
	for from, good := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "127.0.0.9": false, "::1": false, "2600::1": false} {
		if got := one.keyring.Load().nonces.good(nonce, now, netip.MustParseAddr(from), featureAlgorithms); got != good {
			t.Errorf("from %s: good is %v", from, got)
		}
	}
	// A client goes on at another relay with the nonce it has.
	c := connect(t, one, UDP, "u", "p")
	c.allocate()
	d := connect(t, two, UDP, "u", "p")
	d.realm, d.nonce, d.key = c.realm, c.nonce, c.key
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP, stun.NewUsername("u"), d.realm, d.nonce, d.key)
	d.write(m.Raw)
	answer := &stun.Message{Raw: d.read()}
	if err := answer.Decode(); err != nil || answer.Type.Class != stun.ClassSuccessResponse {
		t.Errorf("with the other relay's nonce: %v, %v", answer, err)
	}
	// A reload keeps a random secret.
	c = connect(t, other, UDP, "u", "p")
	c.allocate()
	conf.Listeners = other.config.Load().Listeners
	if err := other.Reload(conf); err != nil {
		t.Fatal(err)
	}
	before := c.nonce.String()
	c.mustRequest(stun.MethodRefresh)
	if c.nonce.String() != before {
		t.Error("a reload made nonces stale")
	}
	// From another address it is stale, and the nonce that comes with that is good.
	elsewhere, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
	if err != nil {
		t.Skipf("127.0.0.9: %v", err)
	}
	moved := connect(t, one, UDP, "u", "p")
	moved.conn.Close()
	moved.conn = elsewhere
	t.Cleanup(func() { elsewhere.Close() })
	m = stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP, stun.NewUsername("u"), d.realm, d.nonce, d.key)
	moved.write(m.Raw)
	answer = &stun.Message{Raw: moved.read()}
	if err := answer.Decode(); err != nil || codeOf(answer) != stun.CodeStaleNonce {
		t.Errorf("with the nonce of another address: %v, %v", answer, err)
	}
	moved.allocate()
}

func TestRealms(t *testing.T) {
	conf := testConfig(t)
	conf.Realms = []Realm{
		{Name: "second", Users: map[string]Secret{"u": "other"}, ServerNames: []string{"Second.example"}},
		{Name: "third", Secrets: []Secret{"s"}},
	}
	conf.Listeners = append(conf.Listeners, Listener{Transport: TCP, Address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), 0), Realm: "third"})
	s := start(t, conf)
	realmOf := func(c *client) string {
		m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP)
		c.write(m.Raw)
		answer := &stun.Message{Raw: c.read()}
		if answer.Decode() != nil || c.realm.GetFrom(answer) != nil {
			t.Fatal("no challenge")
		}
		return c.realm.String()
	}
	if got := realmOf(connect(t, s, UDP, "u", "p")); got != testRealm {
		t.Errorf("asked to log in to %q, want %q", got, testRealm)
	}
	c := connectTLS(t, s, "second.EXAMPLE", "u", "other")
	if got := realmOf(c); got != "second" {
		t.Errorf("asked to log in to %q by server name, want second", got)
	}
	c.allocate()
	for _, l := range s.Addresses() {
		if l.Transport == TCP && l.Address.Addr() == netip.MustParseAddr("127.0.0.3") {
			conn, err := net.Dial("tcp4", l.Address.String())
			if err != nil {
				t.Fatal(err)
			}
			d := &client{t: t, conn: &framed{Conn: conn}, server: conn.RemoteAddr()}
			defer conn.Close()
			if got := realmOf(d); got != "third" {
				t.Errorf("asked to log in to %q by listener, want third", got)
			}
		}
	}
	// The same name in two realms is two people.
	connect(t, s, UDP, "u", "p").allocate()
	if st := s.Status().Allocations; len(st) != 2 || st[0].Realm != "second" || st[1].Realm != testRealm {
		t.Errorf("allocations %+v", st)
	}
}

func TestAlternateServer(t *testing.T) {
	conf := testConfig(t)
	conf.Limits.Total.Allocations = 1
	conf.Alternates = []Alternate{
		{Address: netip.MustParseAddrPort("[2001:db8::9]:3478")},
		{Address: netip.MustParseAddrPort("192.0.2.9:3478"), Domain: "other.example"},
	}
	s := start(t, conf)
	connect(t, s, UDP, "u", "p").allocate()
	try := func(what string) {
		t.Helper()
		m := connect(t, s, UDP, "v", "q").request(stun.MethodAllocate, wantUDP)
		v, err := m.Get(stun.AttrType(attrAlternateServer))
		if codeOf(m) != 300 || err != nil || !slices.Equal(v, []byte{0, 1, 0x0D, 0x96, 192, 0, 2, 9}) {
			t.Errorf("%s: %d, ALTERNATE-SERVER %x, want 300 and the one of the client's family", what, codeOf(m), v)
		}
		if v, err := m.Get(stun.AttrType(attrAlternateDomain)); err != nil || string(v) != "other.example" {
			t.Errorf("%s: ALTERNATE-DOMAIN %q, %v", what, v, err)
		}
	}
	try("full")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	try("draining")
}

// Nobody gets more than he sent, beyond the few that Limits allow.
func TestChallengesAreShort(t *testing.T) {
	conf := testConfig(t)
	conf.Realm = "turn.example.org"
	s := start(t, conf)
	c := connect(t, s, UDP, "u", "p")
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP)
	c.write(m.Raw)
	b := c.read()
	if len(b) > 96 {
		t.Errorf("a challenge of %d bytes to a request of %d", len(b), len(m.Raw))
	}
	for _, a := range []stun.AttrType{stun.AttrSoftware, stun.AttrFingerprint} {
		answer := &stun.Message{Raw: b}
		if answer.Decode() != nil || answer.Contains(a) {
			t.Errorf("%v was not asked for", a)
		}
	}
}

func TestSoftwareWhenWanted(t *testing.T) {
	conf := testConfig(t)
	conf.Software = "Carillon"
	s := start(t, conf)
	m := connect(t, s, UDP, "u", "p").mustRequest(stun.MethodBinding)
	var name stun.Software
	if err := name.GetFrom(m); err != nil || name.String() != "Carillon" {
		t.Errorf("software %q, %v", name, err)
	}
}

// A request with FINGERPRINT is answered with one.
func TestFingerprint(t *testing.T) {
	s := start(t, testConfig(t))
	c := connect(t, s, UDP, "u", "p")
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	c.write(m.Raw)
	answer := &stun.Message{Raw: c.read()}
	if err := answer.Decode(); err != nil || stun.Fingerprint.Check(answer) != nil {
		t.Errorf("%v, %v", answer, err)
	}
	m.Raw[len(m.Raw)-1] ^= 1
	c.write(m.Raw)
	c.mustRequest(stun.MethodBinding) // which is what is answered next
}

// discovering serves with a second address. The four sockets answer for each
// other. RFC 5780#section-6.1
func discovering(t *testing.T) (s *Server, first, second netip.AddrPort) {
	t.Helper()
	for range 10 {
		conf := testConfig(t)
		port := func(ip string) uint16 {
			u, err := net.ListenPacket("udp4", ip+":0")
			if err != nil {
				t.Skipf("%s: %v", ip, err)
			}
			defer u.Close()
			return addrPort(u.LocalAddr()).Port()
		}
		first = netip.AddrPortFrom(loopback, port("127.0.0.1"))
		second = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.4"), port("127.0.0.4"))
		if first.Port() == second.Port() {
			continue
		}
		conf.Listeners = []Listener{{Transport: UDP, Address: first}}
		conf.Discovery = second
		s, err := New(conf)
		if err != nil {
			continue // somebody took a port meanwhile
		}
		t.Cleanup(func() { s.Close() })
		return s, first, second
	}
	t.Fatal("no four ports are free")
	return nil, first, second
}

func TestBehaviourDiscovery(t *testing.T) {
	_, first, second := discovering(t)
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	plain := func(m *stun.Message, typ stun.AttrType) netip.AddrPort {
		v, err := m.Get(typ)
		if err != nil || len(v) != 8 {
			t.Fatalf("%v: %x, %v", typ, v, err)
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(v[4:])), binary.BigEndian.Uint16(v[2:]))
	}
	for flags, from := range map[byte]netip.AddrPort{
		0: first, changePort: netip.AddrPortFrom(first.Addr(), second.Port()),
		changeIP: netip.AddrPortFrom(second.Addr(), first.Port()), changeIP | changePort: second,
	} {
		m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, attribute{stun.AttrChangeRequest, []byte{0, 0, 0, flags}})
		if _, err := u.WriteToUDPAddrPort(m.Raw, first); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1500)
		u.SetReadDeadline(time.Now().Add(patience))
		n, got, err := u.ReadFromUDPAddrPort(b)
		if err != nil {
			t.Fatal(err)
		}
		answer := &stun.Message{Raw: b[:n]}
		if err := answer.Decode(); err != nil {
			t.Fatal(err)
		}
		if got != from || plain(answer, stun.AttrType(attrResponseOrigin)) != from || plain(answer, stun.AttrType(attrOtherAddress)) != second {
			t.Errorf("flags %d: from %v, origin %v, other %v; want %v and %v", flags, got, plain(answer, stun.AttrType(attrResponseOrigin)), plain(answer, stun.AttrType(attrOtherAddress)), from, second)
		}
	}
	s := start(t, testConfig(t))
	if code := codeOf(connect(t, s, UDP, "u", "p").request(stun.MethodBinding, attribute{stun.AttrChangeRequest, []byte{0, 0, 0, changeIP}})); code != stun.CodeUnknownAttribute {
		t.Errorf("CHANGE-REQUEST without a second address: %d, want 420", code)
	}
}

// A slow ledger makes its user wait, and nobody else.
type testLedger struct {
	mu       sync.Mutex
	taken    map[Account]int
	limit    int
	hold     map[string]chan struct{}
	broken   error
	reported []Usage
}

func (l *testLedger) Acquire(ctx context.Context, a Account) error {
	l.mu.Lock()
	hold := l.hold[a.User]
	l.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	if l.taken[a] >= l.limit {
		return fmt.Errorf("user has %d: %w", l.taken[a], ErrQuota)
	}
	l.taken[a]++
	return nil
}

func (l *testLedger) Release(_ context.Context, a Account) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[a]--
	return nil
}

func (l *testLedger) Report(_ context.Context, usage []Usage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reported = append(l.reported, usage...)
	for i := range usage {
		usage[i].Today = 1 << 40 // elsewhere, mostly
	}
	return nil
}

func TestLedger(t *testing.T) {
	hold := make(chan struct{})
	l := &testLedger{taken: map[Account]int{}, limit: 1, hold: map[string]chan struct{}{"u": hold}}
	conf := testConfig(t)
	conf.Ledger = l
	conf.Limits.PerUser.BytesPerDay = 1 << 30
	s := start(t, conf)
	slow := connect(t, s, UDP, "u", "p")
	done := make(chan netip.AddrPort)
	go func() { done <- slow.allocate() }()
	await(t, "the ledger is asked", func() bool { s.pending.mu.Lock(); defer s.pending.mu.Unlock(); return len(s.pending.all) == 1 })
	other, p := connect(t, s, UDP, "v", "q"), newPeer(t)
	other.allocate() // meanwhile
	close(hold)
	<-done
	if code := codeOf(connect(t, s, TCP, "v", "q").request(stun.MethodAllocate, wantUDP)); code != stun.CodeAllocQuotaReached {
		t.Errorf("one more than the ledger grants: %d, want 486", code)
	}
	release(slow)
	await(t, "the allocation given back", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.taken[Account{testRealm, "u"}] == 0 })
	l.mu.Lock()
	l.broken = errors.New("out of order")
	l.mu.Unlock()
	connect(t, s, UDP, "u", "p").allocate() // a ledger that fails refuses nobody
	other.bindChannel(0x4000, p.address())
	other.sendChannel(0x4000, "counted")
	p.expect("counted")
	s.reportToLedger(t.Context())
	l.mu.Lock()
	i := slices.IndexFunc(l.reported, func(u Usage) bool { return u.User == "v" && u.Bytes == 7 && u.Allocations == 1 })
	l.mu.Unlock()
	if i < 0 {
		t.Errorf("reported %+v, want 7 bytes of v", l.reported)
	}
	// What was used elsewhere counts here.
	other.sendChannel(0x4000, "too much")
	await(t, "bytes of the day used up", func() bool {
		for _, a := range s.Status().Allocations {
			if a.User == "v" && a.Traffic.Dropped == 1 {
				return true
			}
		}
		return false
	})
}

// A peer that does not answer delays nobody, not even its own client's other
// requests. RFC 6062#section-5.2
func TestConnectWaitsAlone(t *testing.T) {
	conf := testConfig(t)
	conf.DialTimeout = 30 * time.Second
	s := start(t, conf)
	c := connect(t, s, TCP, "u", "p")
	c.mustRequest(stun.MethodAllocate, attribute{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}})
	// A listener whose queue is full answers no SYN.
	hole := blackHole(t)
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodConnect, stun.ClassRequest), peerAttr(hole), stun.NewUsername("u"), c.realm, c.nonce, c.key)
	c.write(m.Raw)
	await(t, "the relay dials", func() bool {
		a := s.list()[0]
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.dialing == 1
	})
	begin := time.Now()
	c.mustRequest(stun.MethodRefresh)
	connect(t, s, TCP, "v", "q").allocate()
	connect(t, s, UDP, "v", "q").allocate()
	if d := time.Since(begin); d > patience {
		t.Errorf("others waited %v", d)
	}
	// It ends with its allocation, and with the server.
}

// blackHole is an address of this machine where connections are not made and
// not refused.
func blackHole(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	at := addrPort(l.Addr())
	shrink(t, l)
	for range 64 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp4", at.String())
		cancel()
		if err != nil {
			return at
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Skip("this system's queue of connections does not fill")
	return at
}

func TestFailedLoginsAreThrottled(t *testing.T) {
	conf := testConfig(t)
	conf.Limits.FailedLogins = 3
	s := start(t, conf)
	guesser := connect(t, s, UDP, "u", "wrong")
	answers := 0
	for range 3 {
		guesser.key = nil
		if codeOf(guesser.request(stun.MethodAllocate, wantUDP)) == stun.CodeUnauthorized {
			answers++
		}
	}
	if answers != 3 {
		t.Fatalf("%d answers to guesses, want 3", answers)
	}
	// Now not even the right password is looked at; another name is.
	guesser.key = stun.NewLongTermIntegrity("u", testRealm, "p")
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), wantUDP, stun.NewUsername("u"), guesser.realm, guesser.nonce, guesser.key)
	guesser.write(m.Raw)
	await(t, "the guess counted", func() bool { return s.Status().Refusals[reasonLogins] == 1 })
	connect(t, s, UDP, "v", "q").allocate()
	if n := len(s.Status().Allocations); n != 1 {
		t.Errorf("%d allocations, want that of the other name", n)
	}
}

func TestBytesOfTheDay(t *testing.T) {
	for name, set := range map[string]func(*Limits){
		reasonOwnSpent:  func(l *Limits) { l.PerAllocation.BytesPerDay = 100 },
		reasonUserSpent: func(l *Limits) { l.PerUser.BytesPerDay = 100 },
		reasonAddrSpent: func(l *Limits) { l.PerAddress.BytesPerDay = 100 },
		reasonSpent:     func(l *Limits) { l.Total.BytesPerDay = 100 },
	} {
		t.Run(name, func(t *testing.T) {
			for _, tr := range []Transport{UDP, TCP} {
				conf := testConfig(t)
				set(&conf.Limits)
				s := start(t, conf)
				c, p := connect(t, s, tr, "u", "p"), newPeer(t)
				relayed := c.allocate()
				c.bindChannel(0x4000, p.address())
				c.sendChannel(0x4000, strings.Repeat("x", 60))
				p.expect(strings.Repeat("x", 60))
				p.send(relayed, strings.Repeat("y", 60))
				c.expect(strings.Repeat("y", 60), 0x4000)
				c.sendChannel(0x4000, "too much")
				p.send(relayed, "too much")
				await(t, "two packets dropped", func() bool { return s.Status().Allocations[0].Traffic.Dropped == 2 })
				s.list()[0].explain()
				if n := s.Status().Refusals[name]; n != 1 {
					t.Errorf("%s: refusals %v, want one for %q", tr, s.Status().Refusals, name)
				}
				// Somebody who comes back has used them up all the same.
				release(c)
				code := codeOf(c.request(stun.MethodAllocate, wantUDP))
				if name != reasonOwnSpent && code == 0 {
					t.Errorf("%s: an allocation without bytes left", tr)
				}
				s.newDay()
				if code != 0 {
					c.allocate()
				}
				c.bindChannel(0x4000, p.address())
				c.sendChannel(0x4000, "tomorrow")
				p.expect("tomorrow")
			}
		})
	}
}

func TestPeersAndChannelsByScope(t *testing.T) {
	at := func(host, port int) peerAttr {
		return peerAttr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(host)}), uint16(port)))
	}
	for reason, set := range map[string]func(*Limits){
		reasonPermissions:     func(l *Limits) { l.Total.Permissions = 2 },
		reasonUserPermissions: func(l *Limits) { l.PerUser.Permissions = 2 },
		reasonAddrPermissions: func(l *Limits) { l.PerAddress.Permissions = 2 },
		reasonChannels:        func(l *Limits) { l.Total.Channels = 2 },
		reasonUserChannels:    func(l *Limits) { l.PerUser.Channels = 2 },
		reasonAddrChannels:    func(l *Limits) { l.PerAddress.Channels = 2 },
	} {
		t.Run(reason, func(t *testing.T) {
			conf := testConfig(t)
			set(&conf.Limits)
			s := start(t, conf)
			a, b := connect(t, s, UDP, "u", "p"), connect(t, s, TCP, "u", "p")
			a.allocate()
			b.allocate()
			a.mustRequest(stun.MethodChannelBind, channelAttr(0x4000), at(1, 1))
			b.mustRequest(stun.MethodChannelBind, channelAttr(0x4000), at(2, 2))
			if code := codeOf(b.request(stun.MethodChannelBind, channelAttr(0x4001), at(3, 3))); code != stun.CodeInsufficientCapacity {
				t.Errorf("the third was answered with %d, want 508", code)
			}
			if n := s.Status().Refusals[reason]; n != 1 {
				t.Errorf("refusals %v, want one for %q", s.Status().Refusals, reason)
			}
			release(a)
			b.mustRequest(stun.MethodChannelBind, channelAttr(0x4001), at(3, 3))
		})
	}
}

// Handshakes that do not go on are bounded, and end.
func TestHandshakesAreBounded(t *testing.T) {
	conf := testConfig(t)
	conf.Limits.Handshakes = 1
	conf.HandshakeTimeout = 300 * time.Millisecond
	s := start(t, conf)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp4", addressOf(t, s, TLS))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	first := dial()
	shaking := func(n int) func() bool {
		return func() bool {
			s.connections.mu.Lock()
			defer s.connections.mu.Unlock()
			return s.connections.handshakes == n
		}
	}
	await(t, "the first shakes hands", shaking(1))
	expectClosed(t, dial())
	if n := s.Status().Refusals[reasonHandshakes]; n != 1 {
		t.Errorf("refusals %v, want one for %q", s.Status().Refusals, reasonHandshakes)
	}
	expectClosed(t, first)
	await(t, "room for another", shaking(0))
	connect(t, s, TLS, "u", "p").allocate()
}

// Ports that are kept and never asked for are bounded.
func TestReservationsAreBounded(t *testing.T) {
	s := start(t, testConfig(t))
	pair := attribute{stun.AttrEvenPort, []byte{0x80}}
	c := connect(t, s, UDP, "u", "p")
	for range maxUserReservations {
		c.mustRequest(stun.MethodAllocate, wantUDP, pair)
		release(c)
	}
	if code := codeOf(c.request(stun.MethodAllocate, wantUDP, pair)); code != stun.CodeInsufficientCapacity {
		t.Errorf("one more reservation: %d, want 508", code)
	}
	c.allocate() // an ordinary port
	connect(t, s, UDP, "v", "q").mustRequest(stun.MethodAllocate, wantUDP, pair)
}
