package icepath

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/pion/ice/v4"
	"github.com/pion/turn/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// own returns an element as it is.
func own(t *iceudp.Transport) jingle.Transport { return t }

func newPath(t *testing.T, cfg Config) *Path {
	t.Helper()
	cfg.Element = own
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func loopback() turn.RelayAddressGenerator {
	return &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
}

// server starts a STUN and TURN server with these listeners.
func server(t *testing.T, cfg turn.ServerConfig) {
	t.Helper()
	cfg.Realm = "test"
	cfg.AuthHandler = func(ra *turn.RequestAttributes) (string, []byte, bool) {
		return ra.Username, turn.GenerateAuthKey(ra.Username, ra.Realm, "secret"), true
	}
	s, err := turn.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
}

// udpServer is one on loopback.
func udpServer(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server(t, turn.ServerConfig{PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: c, RelayAddressGenerator: loopback()}}})
	return c.LocalAddr().String()
}

func TestEveryAddressOfTheSocketIsTold(t *testing.T) {
	at := udpServer(t)
	p := newPath(t, Config{Inline: true, Env: ft.Env{Loopback: true, Services: []ft.Service{
		{URL: "stun:" + at}, {URL: "turn:" + at, Username: "ab", Password: "secret"}, {URL: "http://example.org"}, {URL: "turn:" + at},
	}}})
	el, err := p.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[iceudp.CandidateType]int{}
	ids, foundations := map[string]bool{}, map[string]bool{}
	for _, c := range el.Candidates {
		kinds[c.Type]++
		ids[c.ID] = true
		if c.Type == iceudp.Host {
			foundations[c.Foundation] = true
			ip := netip.MustParseAddr(c.IP)
			if !slices.Contains(p.hosts, ip) {
				t.Errorf("%v is not ours", ip)
			}
			if int(c.Port) != p.socket.LocalAddr().(*net.UDPAddr).Port {
				t.Errorf("port %d is not that of the socket", c.Port)
			}
		}
		if c.Component != 1 || c.Protocol != "udp" || c.Priority == 0 || c.Foundation == "" {
			t.Errorf("candidate %+v", c)
		}
	}
	if kinds[iceudp.Host] != len(p.hosts) || kinds[iceudp.SRflx] == 0 || kinds[iceudp.Relay] != 1 {
		t.Errorf("kinds: %v, with %d addresses", kinds, len(p.hosts))
	}
	if len(ids) != len(el.Candidates) || len(foundations) != kinds[iceudp.Host] {
		t.Errorf("%d ids and %d foundations for %d candidates", len(ids), len(foundations), len(el.Candidates))
	}
}

func TestCandidatesTrickleOneByOne(t *testing.T) {
	p := newPath(t, Config{Env: ft.Env{Loopback: true}})
	el, err := p.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(el.Candidates) > 0 || el.Trickle == nil {
		t.Errorf("first element: %+v", el)
	}
	for range p.hosts {
		select {
		case info := <-p.Infos():
			got := info.(*iceudp.Transport)
			if len(got.Candidates) != 1 || got.Ufrag != el.Ufrag || got.Pwd != el.Pwd {
				t.Errorf("info: %+v", got)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no more infos")
		}
	}
}

func TestRelayOnlyTellsOneThing(t *testing.T) {
	at := udpServer(t)
	p := newPath(t, Config{Inline: true, Env: ft.Env{RelayOnly: true, Loopback: true, Services: []ft.Service{
		{URL: "stun:" + at}, {URL: "turn:" + at, Username: "ab", Password: "secret"},
	}}})
	el, err := p.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.socket != nil {
		t.Error("a socket is open that nobody is to know")
	}
	if len(el.Candidates) != 1 || el.Candidates[0].Type != iceudp.Relay || el.Candidates[0].RelAddr != "0.0.0.0" || el.Candidates[0].RelPort != 0 {
		t.Errorf("candidates: %+v", el.Candidates)
	}
}

// A relay over TLS is trusted when its authority is one that we are given.
func TestRelayOverTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	server(t, turn.ServerConfig{ListenerConfigs: []turn.ListenerConfig{{Listener: l, RelayAddressGenerator: loopback()}}})
	for _, tt := range []struct {
		name  string
		roots *x509.CertPool
		want  int
	}{{"ours", roots, 1}, {"another", x509.NewCertPool(), 0}} {
		p := newPath(t, Config{Inline: true, Env: ft.Env{RelayOnly: true, Loopback: true, RootCAs: tt.roots, Services: []ft.Service{
			{URL: "turns:" + l.Addr().String() + "?transport=tcp", Username: "ab", Password: "secret"},
		}}})
		el, err := p.Local(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(el.Candidates) != tt.want {
			t.Errorf("with %s authority: %d relays, want %d", tt.name, len(el.Candidates), tt.want)
		}
	}
}

func TestCandidatesOfThePeer(t *testing.T) {
	good := iceudp.Candidate{Component: 1, Foundation: "1", IP: "192.0.2.3", Port: 5, Priority: 1, Protocol: "udp", Type: iceudp.Host}
	for _, tt := range []struct {
		name     string
		edit     func(*iceudp.Candidate)
		loopback bool
		ok       bool
	}{
		{name: "good", edit: func(*iceudp.Candidate) {}, ok: true},
		{name: "IPv6", edit: func(c *iceudp.Candidate) { c.IP = "2001:db8::1" }, ok: true},
		{name: "srflx", edit: func(c *iceudp.Candidate) { c.Type = iceudp.SRflx }, ok: true},
		{name: "prflx", edit: func(c *iceudp.Candidate) { c.Type = iceudp.PRflx }, ok: true},
		{name: "relay", edit: func(c *iceudp.Candidate) { c.Type = iceudp.Relay }, ok: true},
		{name: "loopback when it is tried", edit: func(c *iceudp.Candidate) { c.IP = "127.0.0.1" }, loopback: true, ok: true},
		{name: "loopback", edit: func(c *iceudp.Candidate) { c.IP = "127.0.0.1" }},
		{name: "mapped loopback", edit: func(c *iceudp.Candidate) { c.IP = "::ffff:127.0.0.1" }},
		{name: "name", edit: func(c *iceudp.Candidate) { c.IP = "example.org" }},
		{name: "mDNS name", edit: func(c *iceudp.Candidate) { c.IP = "f00.local" }},
		{name: "link-local", edit: func(c *iceudp.Candidate) { c.IP = "fe80::1" }},
		{name: "zone", edit: func(c *iceudp.Candidate) { c.IP = "2001:db8::1%eth0" }},
		{name: "multicast", edit: func(c *iceudp.Candidate) { c.IP = "224.0.0.1" }},
		{name: "broadcast", edit: func(c *iceudp.Candidate) { c.IP = "255.255.255.255" }},
		{name: "unspecified", edit: func(c *iceudp.Candidate) { c.IP = "::" }},
		{name: "TCP", edit: func(c *iceudp.Candidate) { c.Protocol = "tcp" }},
		{name: "second component", edit: func(c *iceudp.Candidate) { c.Component = 2 }},
		{name: "no port", edit: func(c *iceudp.Candidate) { c.Port = 0 }},
		{name: "unknown type", edit: func(c *iceudp.Candidate) { c.Type = "magic" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.edit(&c)
			got, err := remoteCandidate(c, tt.loopback)
			if (err == nil) != tt.ok {
				t.Fatalf("candidate = %v, %v", got, err)
			}
			if tt.ok && (kind(got.Type()) != c.Type || got.Priority() != c.Priority || got.Address() != c.IP || got.Port() != int(c.Port)) {
				t.Errorf("candidate = %v of %+v", got, c)
			}
		})
	}
}

func TestCandidatesAreBounded(t *testing.T) {
	p := newPath(t, Config{Env: ft.Env{}})
	for i := range 100 {
		el := &iceudp.Transport{Ufrag: "u", Pwd: "p"}
		for j := range 10 {
			el.Candidates = append(el.Candidates, iceudp.Candidate{Component: 1, IP: fmt.Sprintf("192.0.%d.%d", i, j), Port: 1, Priority: 1, Protocol: "udp", Type: iceudp.Host})
		}
		if err := p.Remote(el); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.early) != maxRemote {
		t.Errorf("%d candidates are kept, want %d", len(p.early), maxRemote)
	}
}

// A path that goes quiet is told to be lost, and ends what waits for it.
func TestLost(t *testing.T) {
	p := newPath(t, Config{})
	p.changed(ice.ConnectionStateDisconnected)
	select {
	case <-p.Lost():
		t.Error("lost too early")
	default:
	}
	p.failed()
	p.failed()
	<-p.Lost()
}

func TestConnectGivesUp(t *testing.T) {
	p := newPath(t, Config{Env: ft.Env{Loopback: true}})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, _, err := p.Connect(ctx); !errors.Is(err, ft.ErrNoPath) || !errors.Is(err, why) {
		t.Errorf("without an answer: %v", err)
	}
	if err := p.Remote(&iceudp.Transport{Ufrag: "u", Pwd: "p"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Connect(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("without Local: %v", err)
	}
	if _, err := p.Local(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Connect(ctx); !errors.Is(err, ft.ErrNoPath) || !errors.Is(err, why) {
		t.Errorf("without a path: %v", err)
	}
}

func TestPins(t *testing.T) {
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	lower := id.Fingerprint
	lower.Value, lower.Hash, lower.Setup = strings.ToLower(lower.Value), "SHA-256", iceudp.Active
	pin, setup, err := NewPin([]iceudp.Fingerprint{{Hash: "sha-1", Value: "AA"}, lower})
	if err != nil || setup != iceudp.Active {
		t.Fatalf("setup %q, %v", setup, err)
	}
	if err := pin.Check(id.Certificate.Certificate); err != nil {
		t.Error(err)
	}
	for name, certs := range map[string][][]byte{"none": nil, "another": other.Certificate.Certificate, "the right one second": {other.Certificate.Certificate[0], id.Certificate.Certificate[0]}} {
		if pin.Check(certs) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if (Pin{}).Check(id.Certificate.Certificate) == nil {
		t.Error("no pin takes anything")
	}
}
