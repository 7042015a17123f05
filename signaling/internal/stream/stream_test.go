package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer runs a server with alice and bob, whose passwords are "secret".
func testServer(t testing.TB, cfg xmpptest.Config) *xmpptest.Server {
	cfg.Accounts = map[string]string{"alice@example.org": "secret", "bob@example.org": "secret"}
	srv := xmpptest.Run(t, cfg)
	srv.Befriend("alice@example.org", "bob@example.org")
	return srv
}

func testConfig(srv *xmpptest.Server) Config {
	return Config{
		JID:      jid.MustParse("alice@example.org/desk"),
		Password: "secret",
		Server:   srv.Addr(),
		RootCAs:  srv.CertPool(),
		Dial:     srv.DialContext,
	}
}

// A recorder is a handler that hands everything to the test.
type recorder struct {
	stanzas chan *Stanza
	online  chan bool
	offline chan error
}

func newRecorder() *recorder {
	return &recorder{make(chan *Stanza, 10_000), make(chan bool, 100), make(chan error, 100)}
}

func (r *recorder) handler() Handler {
	return Handler{
		Stanza:  func(st *Stanza) { r.stanzas <- st },
		Online:  func(resumed bool) { r.online <- resumed },
		Offline: func(err error) { r.offline <- err },
	}
}

func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	select {
	case v = <-c:
	case <-timeout.C:
		t.Fatalf("no %s within 20 s", what)
	}
	return v
}

// Dial is [New] and [Stream.Connect].
func Dial(ctx context.Context, cfg Config, h Handler) (*Stream, error) {
	s := New(cfg, h)
	if err := s.Connect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func dialTest(t testing.TB, cfg Config) (*Stream, *recorder) {
	t.Helper()
	r := newRecorder()
	s, err := Dial(t.Context(), cfg, r.handler())
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	if within(t, "Online", r.online) {
		t.Error("the first login was resumed")
	}
	return s, r
}

func ping(ctx context.Context, s *Stream) error {
	_, err := s.IQ(ctx, s.Domain(), stanza.GetIQ, []byte(`<ping xmlns='urn:xmpp:ping'/>`))
	return err
}

func TestLogsInByEveryWay(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	for _, tt := range []struct{ name, server string }{
		{"STARTTLS", "starttls://" + srv.Addr()},
		{"direct TLS", "tls://" + srv.TLSAddr()},
		{"either, STARTTLS", srv.Addr()},
		{"either, direct TLS", srv.TLSAddr()},
		{"WebSocket", srv.WebSocketURL()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(srv)
			cfg.Server = tt.server
			s, _ := dialTest(t, cfg)
			if got := s.JID().String(); got != "alice@example.org/desk" {
				t.Errorf("JID = %s", got)
			}
			if err := ping(t.Context(), s); err != nil {
				t.Errorf("ping: %v", err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Errorf("Flush: %v", err)
			}
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("Close took %v", took)
			}
			if !errors.Is(s.Err(), net.ErrClosed) {
				t.Errorf("Err = %v", s.Err())
			}
			if err := srv.WaitSessions(t.Context(), "alice@example.org", func(left []xmpptest.Session) bool { return len(left) == 0 }); err != nil {
				t.Errorf("server keeps the session of a client that said goodbye: %v", err)
			}
		})
	}
}

func TestStanzasOnAWebSocketNameTheirNamespace(t *testing.T) {
	for in, want := range map[string]string{
		`<message/>`:                         `<message xmlns="jabber:client"/>`,
		`<iq type='get'><a xmlns='b'/></iq>`: `<iq xmlns="jabber:client" type='get'><a xmlns='b'/></iq>`,
		`<presence a=' xmlns='></presence>`:  `<presence xmlns="jabber:client" a=' xmlns='></presence>`,
		`<message xmlns='jabber:client'/>`:   `<message xmlns='jabber:client'/>`,
		"<message a='b'\n\txmlns = 'x'/>":    "<message a='b'\n\txmlns = 'x'/>",
		`<message xmlns:a='b'/>`:             `<message xmlns="jabber:client" xmlns:a='b'/>`,
		`<r xmlns='urn:xmpp:sm:3'/>`:         `<r xmlns='urn:xmpp:sm:3'/>`,
		`<open xmlns='urn:x'/>`:              `<open xmlns='urn:x'/>`,
	} {
		if got := string(withNamespace([]byte(in))); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

func TestWrongPasswordIsSaidClearly(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	cfg := testConfig(srv)
	cfg.Password = "guess"
	_, err := Dial(t.Context(), cfg, Handler{})
	var auth *AuthError
	if !errors.As(err, &auth) || !auth.WrongPassword() {
		t.Fatalf("err = %v", err)
	}
	if !strings.Contains(err.Error(), "wrong password for alice@example.org") || Hint(err) == "" {
		t.Errorf("err = %v, hint %q", err, Hint(err))
	}
}

func TestSurvivesACutConnection(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, r := dialTest(t, testConfig(srv))
	bobCfg := testConfig(srv)
	bobCfg.JID = jid.MustParse("bob@example.org/desk")
	bob, fromBob := dialTest(t, bobCfg)
	const n = 300
	go func() {
		for i := range n {
			if err := s.Send(t.Context(), fmt.Appendf(nil, `<message to='%s' id='m%d'><body>%d</body></message>`, bob.JID(), i, i)); err != nil {
				t.Errorf("Send: %v", err)
			}
			if i%50 == 25 {
				srv.Cut("alice@example.org")
			}
		}
	}()
	for i := range n {
		st := within(t, fmt.Sprint("message ", i), fromBob.stanzas)
		if got := st.ID(); got != fmt.Sprint("m", i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	for within(t, "Online", r.online) != true {
		t.Error("not resumed")
	}
	if err := ping(t.Context(), s); err != nil {
		t.Errorf("ping: %v", err)
	}
}
