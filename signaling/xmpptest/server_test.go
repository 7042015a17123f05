package xmpptest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"mellium.im/sasl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTestServer(t testing.TB) *Server {
	return Run(t, testConfig())
}

func testConfig() Config {
	return Config{
		Domains:    []string{"example.org", "example.net"},
		Accounts:   map[string]string{"alice@example.org": "secret", "bob@example.org": "secret", "carol@example.net": "secret"},
		Iterations: 100,
	}
}

func TestLogin(t *testing.T) {
	srv := newTestServer(t)
	for _, test := range []struct {
		name      string
		way       way
		mechanism sasl.Mechanism
		password  string
		ok        bool
	}{
		{"SHA-256-PLUS", starttls, sasl.ScramSha256Plus, "secret", true},
		{"SHA-1-PLUS", starttls, sasl.ScramSha1Plus, "secret", true},
		{"SHA-256", starttls, sasl.ScramSha256, "secret", true},
		{"SHA-256-PLUS", directTLS, sasl.ScramSha256Plus, "secret", true},
		{"SHA-1", directTLS, sasl.ScramSha1, "secret", true},
		{"PLAIN", directTLS, sasl.Plain, "secret", true},
		{"SHA-256", webSocket, sasl.ScramSha256, "secret", true},
		{"SHA-256 wrong password", starttls, sasl.ScramSha256, "wrong", false},
		{"SHA-256-PLUS wrong password", directTLS, sasl.ScramSha256Plus, "wrong", false},
		{"PLAIN wrong password", webSocket, sasl.Plain, "wrong", false},
	} {
		t.Run(string(test.way)+" "+test.name, func(t *testing.T) {
			c, err := login(t, srv, "alice@example.org/phone", test.password, test.way, test.mechanism)
			if (err == nil) != test.ok {
				t.Fatalf("login: error = %v, want ok %v", err, test.ok)
			}
			if err != nil {
				if !strings.Contains(err.Error(), "not-authorized") {
					t.Errorf("login: error = %v, want not-authorized", err)
				}
				return
			}
			if c.jid != "alice@example.org/phone" {
				t.Errorf("bound = %v, want alice@example.org/phone", c.jid)
			}
			c.present()
		})
	}
}

func TestUnknownUserLooksLikeWrongPassword(t *testing.T) {
	srv := newTestServer(t)
	_, err := login(t, srv, "nobody@example.org/phone", "secret", starttls, sasl.ScramSha256)
	if err == nil || !strings.Contains(err.Error(), "not-authorized") {
		t.Errorf("login: error = %v, want not-authorized", err)
	}
}

func TestWithheldMechanismIsRefused(t *testing.T) {
	srv := newTestServer(t)
	srv.SetMechanisms(ScramSHA1)
	if _, err := login(t, srv, "alice@example.org/phone", "secret", directTLS, sasl.ScramSha256); err == nil {
		t.Error("login with SCRAM-SHA-256: no error, but only SCRAM-SHA-1 is offered")
	}
	if _, err := login(t, srv, "alice@example.org/phone", "secret", directTLS, sasl.ScramSha1); err != nil {
		t.Errorf("login with SCRAM-SHA-1: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"good", Config{}, ""},
		{"expired", Config{CertLifetime: -time.Hour}, "expired"},
		{"for another name", Config{CertNames: []string{"example.com"}}, "valid for example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := Run(t, test.cfg)
			c, err := tls.Dial("tcp", srv.TLSAddr(), &tls.Config{RootCAs: srv.CertPool(), ServerName: "example.org"})
			if err == nil {
				defer c.Close()
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("handshake: error = %v, want %q", err, test.want)
			}
		})
	}
}

func TestHostMetaNamesWebSocket(t *testing.T) {
	for _, inMemory := range []bool{false, true} {
		cfg := testConfig()
		cfg.InMemory = inMemory
		srv := Run(t, cfg)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: srv.CertPool()}, DialContext: srv.DialContext}
		defer tr.CloseIdleConnections()
		for _, url := range []string{srv.HostMetaURL(), srv.HostMetaURL() + ".json"} {
			resp, err := (&http.Client{Transport: tr}).Get(url)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || !strings.Contains(string(b), srv.WebSocketURL()) || !strings.Contains(string(b), "urn:xmpp:alt-connections:websocket") {
				t.Errorf("%s = %s, %v, want %s in it", url, b, err, srv.WebSocketURL())
			}
		}
	}
}

func TestStreamErrors(t *testing.T) {
	const open = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='example.org'>"
	srv := newTestServer(t)
	for _, test := range []struct{ name, in, want string }{
		{"unknown host", strings.Replace(open, "example.org", "example.com", 1), "host-unknown"},
		{"no version", strings.Replace(open, "version='1.0'", "", 1), "unsupported-version"},
		{"other namespace", "<stream xmlns='nonsense' to='example.org' version='1.0'>", "invalid-namespace"},
		{"not XML", "GET / HTTP/1.1\r\n\r\n<<", "not-well-formed"},
		{"stanza before login", open + "<message/>", "not-authorized"},
		{"login before TLS", open + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>", "not-authorized"},
		{"comment", open + "<!-- hello -->", "restricted-xml"},
		{"too large", open + "<message>" + strings.Repeat("x", 300<<10), "policy-violation"},
		{"too deep", open + strings.Repeat("<a>", 100), "policy-violation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go io.WriteString(conn, test.in) // ends with the connection
			conn.SetReadDeadline(time.Now().Add(patience))
			got, err := io.ReadAll(conn)
			if err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			if !strings.Contains(string(got), "<stream:error><"+test.want+" ") {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if !strings.HasPrefix(string(got), "<?xml") {
				t.Errorf("got %s, want a stream header first", got)
			}
		})
	}
}

func TestOversizedStanzaEndsOnlyItsStream(t *testing.T) {
	srv := newTestServer(t)
	alice := rawClient(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	go alice.write("<message to='bob@example.org'><body>" + strings.Repeat("x", 300<<10) + "</body></message>")
	if got := alice.wantEnd(); got != "policy-violation" {
		t.Errorf("stream error = %q, want policy-violation", got)
	}
	bob.quiet("after an oversized stanza")
}

func TestTooManyFailedLoginsEndTheStream(t *testing.T) {
	srv := newTestServer(t)
	conn, err := tls.Dial("tcp", srv.TLSAddr(), &tls.Config{RootCAs: srv.CertPool(), ServerName: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='example.org'>"+
		strings.Repeat("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>", maxAuthAttempts))
	conn.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(got), "not-authorized"); n != maxAuthAttempts || !strings.Contains(string(got), "policy-violation") {
		t.Errorf("got %s, want %d failures, then policy-violation", got, maxAuthAttempts)
	}
}

func TestConflict(t *testing.T) {
	t.Run("ends the older session", func(t *testing.T) {
		srv := newTestServer(t)
		older := rawClient(t, srv, "alice@example.org/phone")
		newer := rawClient(t, srv, "alice@example.org/phone")
		if got := older.wantEnd(); got != "conflict" {
			t.Errorf("older stream ended with %q, want conflict", got)
		}
		newer.present()
	})
	t.Run("or refuses the newer", func(t *testing.T) {
		cfg := testConfig()
		cfg.RejectConflict = true
		srv := Run(t, cfg)
		older := rawClient(t, srv, "alice@example.org/phone")
		newer := rawLogin(t, srv, "alice@example.org/phone")
		newer.send(bindRequest("phone"))
		if e := newer.want("refusal", func(e *Element) bool { return e.Get("id") == "bind" }); condition(e) != "conflict" {
			t.Errorf("second binding = %s, want conflict", e)
		}
		newer.send(bindRequest("other"))
		newer.want("binding", func(e *Element) bool { return e.Get("type") == "result" })
		older.present()
	})
}

func TestGate(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	srv.SetGate(Refuse)
	for _, w := range []way{starttls, directTLS, webSocket} {
		if _, err := login(t, srv, "bob@example.org/phone", "secret", w); err == nil {
			t.Errorf("login over %s: no error while new connections are refused", w)
		}
	}
	srv.SetGate(Silent)
	conn, err := net.Dial("tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='example.org'>")
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Errorf("read from a silent server: %d, %v, want a timeout", n, err)
	}
	srv.SetGate(Admit)
	online(t, srv, "bob@example.org/phone")
	alice.quiet("while others were kept out") // still online
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestCloseIsSafeTwiceAndWithClients(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	ws, err := login(t, srv, "bob@example.org/web", "secret", webSocket, sasl.ScramSha256)
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	srv.Close()
	alice.wantEnd()
	ws.wantEnd()
}

// In a bubble time is virtual: a session hibernates for its minute at once.
func TestInMemoryWithVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.InMemory = true
		srv := Run(t, cfg)
		srv.Befriend("alice@example.org", "bob@example.org")
		alice := rawClient(t, srv, "alice@example.org/phone")
		alice.send(`<enable xmlns="urn:xmpp:sm:3" resume="true"/>`)
		alice.want("enabled", func(e *Element) bool { return e.Is(nsSM, "enabled") })
		alice.present()
		bob := rawClient(t, srv, "bob@example.org/phone")
		bob.present()
		bob.want("alice", func(e *Element) bool { return e.Get("from") == alice.jid })

		cut := time.Now()
		srv.Cut("alice@example.org")
		if err := srv.WaitSessions(t.Context(), "alice@example.org", func(s []Session) bool { return len(s) == 0 }); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(cut); got != time.Minute {
			t.Errorf("alice left after %v, want 1m0s", got)
		}
		bob.want("alice leaving", func(e *Element) bool { return e.Get("type") == "unavailable" })
	})
}
