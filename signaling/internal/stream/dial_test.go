package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// names is a Resolver made of tables.
type names struct {
	srv   map[string][]*net.SRV // by service
	addrs map[string][]string   // by host
	slow  map[string]time.Duration
}

func (n names) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if r, ok := n.srv[service]; ok {
		return name, r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n names) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if d := n.slow[host]; d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var out []netip.Addr
	for _, a := range n.addrs[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

func raceTest(ctx context.Context, n names, targets []target, try func(ctx context.Context, addr string, connected func()) error) (winner string, log []string, attempts []Attempt) {
	d := &dialer{cfg: &Config{Resolver: n}}
	start := time.Now()
	var mu sync.Mutex
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprint(time.Since(start).Milliseconds(), " ", s))
	}
	winner, attempts = race(ctx, targets, d.resolve, func(ctx context.Context, t target, a netip.AddrPort, connected func()) (string, error) {
		note(a.Addr().String())
		if err := try(ctx, a.Addr().String(), connected); err != nil {
			return "", err
		}
		return a.Addr().String(), nil
	}, func(s string) { note("discard " + s) })
	note("done")
	return winner, log, attempts
}

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestHappyEyeballs(t *testing.T) {
	refused := errors.New("refused")
	targets := []target{{"one", 1, startTLS}, {"two", 2, directTLS}}
	n := names{addrs: map[string][]string{
		"one": {"2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"},
		"two": {"192.0.2.3"},
	}}
	for _, tt := range []struct {
		name   string
		n      names
		try    func(ctx context.Context, addr string, connected func()) error
		winner string
		log    []string
	}{
		{"the first works", n, func(context.Context, string, func()) error { return nil },
			"2001:db8::1", []string{"0 2001:db8::1", "0 done"}},
		{"families alternate, refusals cost nothing", n, func(_ context.Context, a string, _ func()) error {
			if a == "192.0.2.3" {
				return nil
			}
			return refused
		}, "192.0.2.3", []string{"0 2001:db8::1", "0 192.0.2.1", "0 2001:db8::2", "0 192.0.2.2", "0 192.0.2.3", "0 done"}},
		{"silence costs the stagger", n, func(ctx context.Context, a string, _ func()) error {
			if a == "192.0.2.1" {
				return nil
			}
			return hang(ctx)
		}, "192.0.2.1", []string{"0 2001:db8::1", "250 192.0.2.1", "250 done"}},
		{"a dead target costs the stagger too", names{addrs: map[string][]string{"one": {"192.0.2.1"}, "two": {"192.0.2.3"}}},
			func(ctx context.Context, a string, _ func()) error {
				if a == "192.0.2.3" {
					return nil
				}
				return hang(ctx)
			}, "192.0.2.3", []string{"0 192.0.2.1", "250 192.0.2.3", "250 done"}},
		{"a slow set-up is left in peace", n, func(ctx context.Context, a string, connected func()) error {
			connected()
			time.Sleep(time.Second)
			return nil
		}, "2001:db8::1", []string{"0 2001:db8::1", "1000 done"}},
		{"a set-up that never ends is not", n, func(ctx context.Context, a string, connected func()) error {
			connected()
			if a == "192.0.2.1" {
				return nil
			}
			return hang(ctx)
		}, "192.0.2.1", []string{"0 2001:db8::1", "2000 192.0.2.1", "2000 done"}},
		{"the slower of two winners is discarded", n, func(ctx context.Context, a string, _ func()) error {
			time.Sleep(300 * time.Millisecond) // deaf to ctx
			return nil
		}, "2001:db8::1", []string{"0 2001:db8::1", "250 192.0.2.1", "550 discard 192.0.2.1", "550 done"}},
		{"a name that takes long does not hold up the next target", names{addrs: n.addrs, slow: map[string]time.Duration{"one": time.Minute}},
			func(context.Context, string, func()) error { return nil }, "192.0.2.3", []string{"250 192.0.2.3", "250 done"}},
		{"a name that does not exist costs nothing", names{addrs: map[string][]string{"two": {"192.0.2.3"}}},
			func(context.Context, string, func()) error { return nil }, "192.0.2.3", []string{"0 192.0.2.3", "0 done"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				winner, log, attempts := raceTest(t.Context(), tt.n, targets, tt.try)
				if winner != tt.winner {
					t.Errorf("winner %q, want %q; attempts %v", winner, tt.winner, attempts)
				}
				if !slices.Equal(log, tt.log) {
					t.Errorf("log %q, want %q", log, tt.log)
				}
			})
		})
	}
}

func TestNothingToConnectTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, attempts := raceTest(t.Context(), names{}, []target{{"one", 1, startTLS}, {"two", 2, startTLS}}, nil)
		err := (&dialer{cfg: &Config{JID: jid.MustParse("a@one")}}).worst(attempts)
		var none *HostNotFoundError
		if !errors.As(err, &none) || Hint(err) != none.Hint() {
			t.Errorf("err = %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, log, attempts := raceTest(ctx, names{addrs: map[string][]string{"one": {"192.0.2.1"}}}, []target{{"one", 1, startTLS}},
			func(ctx context.Context, _ string, _ func()) error { return hang(ctx) })
		if log[len(log)-1] != "1000 done" || len(attempts) == 0 {
			t.Errorf("log %q, attempts %v", log, attempts)
		}
	})
}

func TestTargets(t *testing.T) {
	srv := func(target string, port, priority, weight uint16) *net.SRV {
		return &net.SRV{Target: target, Port: port, Priority: priority, Weight: weight}
	}
	for _, tt := range []struct {
		name, server string
		srv          map[string][]*net.SRV
		want         string
	}{
		{name: "no records", want: "example.org:5222 starttls, example.org:5223 tls"},
		{name: "merged by priority", srv: map[string][]*net.SRV{
			"xmpp-client":  {srv("b.example.", 5222, 10, 0), srv("d.example.", 5222, 30, 0)},
			"xmpps-client": {srv("a.example.", 443, 5, 0), srv("c.example.", 443, 20, 0)},
		}, want: "a.example:443 tls, b.example:5222 starttls, c.example:443 tls, d.example:5222 starttls"},
		{name: "no direct TLS", srv: map[string][]*net.SRV{
			"xmpp-client": {srv("a.example.", 5222, 0, 0)}, "xmpps-client": {srv(".", 0, 0, 0)},
		}, want: "a.example:5222 starttls"},
		{name: "no service", srv: map[string][]*net.SRV{"xmpp-client": {srv(".", 0, 0, 0)}}, want: "example.org offers no XMPP service"},
		{server: "h", want: "h:5222 starttls, h:5222 tls"},
		{server: "h:5223", want: "h:5223 tls, h:5223 starttls"},
		{server: "tls://h", want: "h:5223 tls"},
		{server: "starttls://h:1", want: "h:1 starttls"},
		{server: "[::1]:5222", want: "[::1]:5222 starttls, [::1]:5222 tls"},
		{server: "::1", want: "[::1]:5222 starttls, [::1]:5222 tls"},
		{server: "h:0", want: `server address "h:0" is not HOST or HOST:PORT`},
		{server: "h:x", want: `server address "h:x" is not HOST or HOST:PORT`},
		{server: ":1", want: `server address ":1" is not HOST or HOST:PORT`},
	} {
		t.Run(tt.name+tt.server, func(t *testing.T) {
			cfg := Config{JID: jid.MustParse("a@example.org"), Server: tt.server, Resolver: names{srv: tt.srv}, Log: slog.New(slog.DiscardHandler)}
			targets, err := (&dialer{cfg: &cfg}).targets(t.Context())
			var got []string
			for _, x := range targets {
				got = append(got, x.String()+" "+x.how.String())
			}
			if err != nil {
				got = []string{err.Error()}
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("targets %s, want %s", s, tt.want)
			}
		})
	}
}

func TestInternationalDomainsAreLookedUpAsDNSSpellsThem(t *testing.T) {
	if got, err := toASCII("bücher.example"); got != "xn--bcher-kva.example" || err != nil {
		t.Errorf("toASCII = %q, %v", got, err)
	}
	if got, err := toASCII("under_score.Example"); got != "under_score.example" || err != nil {
		t.Errorf("toASCII = %q, %v", got, err)
	}
}

func TestWeightsOfSRVRecords(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	first := map[string]int{}
	const n = 10_000
	for range n {
		r := []srvRecord{
			{&net.SRV{Target: "late", Priority: 2, Weight: 100}, startTLS},
			{&net.SRV{Target: "small", Priority: 1, Weight: 10}, startTLS},
			{&net.SRV{Target: "big", Priority: 1, Weight: 30}, directTLS},
			{&net.SRV{Target: "zero", Priority: 1, Weight: 0}, startTLS},
		}
		byPriority(r, rng.IntN)
		first[r[0].Target]++
		if r[3].Target != "late" {
			t.Fatal("priority is not kept")
		}
		seen := map[string]bool{}
		for _, x := range r {
			seen[x.Target] = true
		}
		if len(seen) != 4 {
			t.Fatalf("records got lost: %v", seen)
		}
	}
	if got := float64(first["big"]) / float64(first["small"]); got < 2.7 || got > 3.3 || first["zero"] > n/20 {
		t.Errorf("first of all %v, want big three times as often as small, zero hardly ever", first)
	}
}

func TestCertificates(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   xmpptest.Config
		roots bool
	}{
		{"other name", xmpptest.Config{CertNames: []string{"example.net"}}, true},
		{"expired", xmpptest.Config{CertLifetime: -time.Hour}, true},
		{"unknown authority", xmpptest.Config{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := testServer(t, tt.cfg)
			for _, server := range []string{srv.Addr(), "tls://" + srv.TLSAddr()} {
				cfg := testConfig(srv)
				cfg.Server = server
				cfg.TLS = &tls.Config{InsecureSkipVerify: true} // is not obeyed
				if !tt.roots {
					cfg.RootCAs = nil
				}
				_, err := Dial(t.Context(), cfg, Handler{})
				var cert *CertificateError
				if !errors.As(err, &cert) || cert.Domain != "example.org" || Hint(err) == "" {
					t.Errorf("%s: %v", server, err)
				}
			}
		})
	}
}

func TestUnreachableServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = Dial(t.Context(), Config{JID: jid.MustParse("alice@example.org"), Password: "x", Server: l.Addr().String()}, Handler{})
	var u *UnreachableError
	if !errors.As(err, &u) || len(u.Attempts) != 2 || Hint(err) == "" {
		t.Errorf("err = %v", err)
	}
}

// What answers in place of the server's first words.
func TestServersThatAreNone(t *testing.T) {
	header := `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='1'>`
	for _, tt := range []struct {
		name, says string
		want       error // nil: any
	}{
		{"web server", "HTTP/1.1 400 Bad Request\r\n\r\n", errNotXMPP},
		{"closes", "", io.EOF},
		{"other root", `<html><body>`, errNotXMPP},
		{"no encryption", header + `<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>`, ErrNoEncryption},
		{"empty features", header + `<stream:features/>`, ErrNoEncryption},
		{"refuses encryption", header + `<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`, ErrNoEncryption},
		{"words before encryption", header + `<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:features/>`, nil},
		{"no features", header + `<message/>`, nil},
		{"stream error", header + `<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`, &StreamError{}},
		{"endless header", `<stream:stream a='` + strings.Repeat("x", 20<<20), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{JID: jid.MustParse("alice@example.org"), Password: "secret", Server: "starttls://192.0.2.1:5222", AllowPlain: true,
				Dial: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						defer theirs.Close()
						heard := make(chan struct{})
						go func() {
							defer close(heard)
							io.Copy(io.Discard, theirs)
						}()
						io.WriteString(theirs, tt.says)
						if tt.says != "" {
							<-heard // until the client hangs up
						}
					}()
					return ours, nil
				}}
			_, err := Dial(t.Context(), cfg, Handler{})
			var se *StreamError
			switch {
			case err == nil:
				t.Fatal("logged in")
			case tt.want == nil:
			case errors.As(tt.want, &se):
				if !errors.As(err, &se) || se.Condition != "host-unknown" {
					t.Errorf("err = %v", err)
				}
			case !errors.Is(err, tt.want):
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
}

// Behind a firewall: TCP is refused, the web server of the domain knows the WebSocket.
func TestWebSocketIsFoundWhenTCPFails(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	web, err := url.Parse(srv.HostMetaURL())
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(srv)
	cfg.Server = ""
	cfg.Resolver = names{addrs: map[string][]string{"example.org": {"192.0.2.1"}, "localhost": {"127.0.0.1"}}}
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		switch addr {
		case "192.0.2.1:5222", "192.0.2.1:5223":
			return nil, errors.New("refused")
		case "192.0.2.1:443":
			addr = web.Host
		}
		return srv.DialContext(ctx, network, addr)
	}
	s, _ := dialTest(t, cfg)
	if err := ping(t.Context(), s); err != nil {
		t.Errorf("ping: %v", err)
	}
	cfg.WebSocket = WebSocketNever
	var u *UnreachableError
	if _, err := Dial(t.Context(), cfg, Handler{}); !errors.As(err, &u) {
		t.Errorf("err = %v", err)
	}
}

// A firewall that swallows what it does not like must not use up all the time
// there is for logging in.
func TestWebSocketIsFoundWhenTCPIsSwallowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{cfg: &Config{JID: jid.MustParse("alice@example.org")}}
		cfg := d.cfg.withDefaults()
		d.cfg = &cfg
		cfg.Resolver = names{addrs: map[string][]string{"example.org": {"192.0.2.1"}}}
		start, asked := time.Now(), make(chan time.Duration, 10)
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "192.0.2.1:443" {
				asked <- time.Since(start)
				return nil, errors.New("refused")
			}
			return nil, hang(ctx)
		}
		ctx, cancel := d.deadline(t.Context())
		defer cancel()
		if _, _, err := d.connect(ctx); err == nil {
			t.Error("connected")
		}
		if after := <-asked; after != webHeadStart {
			t.Errorf("the web was asked after %v, want %v", after, webHeadStart)
		}
	})
}

func TestHostMeta(t *testing.T) {
	const want = "wss://a/ws,wss://b/ws"
	got, err := parseHostMetaJSON([]byte(`{"links":[{"rel":"urn:xmpp:alt-connections:xbosh","href":"https://a"},
		{"rel":"urn:xmpp:alt-connections:websocket","href":"ws://unsafe"},
		{"rel":"urn:xmpp:alt-connections:websocket","href":"wss://a/ws"},
		{"rel":"urn:xmpp:alt-connections:websocket","href":"wss://b/ws"},
		{"rel":"urn:xmpp:alt-connections:websocket","href":"wss://a/ws"}]}`))
	if err != nil || strings.Join(got, ",") != want {
		t.Errorf("JSON: %v, %v", got, err)
	}
	got, err = parseHostMetaXRD([]byte(`<?xml version='1.0' encoding='utf-8'?><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>
		<Link rel="urn:xmpp:alt-connections:xbosh" href="https://a"/><Link rel="urn:xmpp:alt-connections:websocket" href="ws://unsafe"/>
		<Link rel="urn:xmpp:alt-connections:websocket" href="wss://a/ws"/><Link rel="urn:xmpp:alt-connections:websocket" href="wss://b/ws"/></XRD>`))
	if err != nil || strings.Join(got, ",") != want {
		t.Errorf("XRD: %v, %v", got, err)
	}
}

func TestHostMetaOfStrangers(t *testing.T) {
	for _, in := range []string{"", "{", "[]", `{"links":null}`, `{"links":[{"rel":"urn:xmpp:alt-connections:websocket","href":"ws://x"}]}`} {
		if got, err := parseHostMetaJSON([]byte(in)); len(got) > 0 {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "<XRD/>", `<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>`} {
		if got, err := parseHostMetaXRD([]byte(in)); len(got) > 0 {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}
