//go:build integration

package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/internal/lab"
)

func startProsody(t *testing.T) *lab.Prosody {
	return lab.StartProsody(t, lab.ProsodyConfig{Domain: "example.org"})
}

func prosodyConfig(p *lab.Prosody, user string) Config {
	return Config{
		JID: jid.MustParse(p.JID(user) + "/desk"), Password: Secret(lab.Password(user)),
		Server: "starttls://" + p.Addr, RootCAs: p.CAs,
	}
}

func TestIntegrationProsodyLogins(t *testing.T) {
	p := startProsody(t)
	for _, tt := range []struct {
		name, server, mechanism string
		tls                     *tls.Config
	}{
		{"STARTTLS", "starttls://" + p.Addr, "SCRAM-SHA-1", nil},
		{"STARTTLS with TLS 1.2", "starttls://" + p.Addr, "SCRAM-SHA-1-PLUS", &tls.Config{MaxVersion: tls.VersionTLS12}},
		{"direct TLS", "tls://" + p.DirectTLS, "SCRAM-SHA-1", nil},
		{"direct TLS with TLS 1.2", "tls://" + p.DirectTLS, "SCRAM-SHA-1-PLUS", &tls.Config{MaxVersion: tls.VersionTLS12}},
		{"WebSocket", p.WebSocket, "SCRAM-SHA-1", nil},
		{"guessing STARTTLS", p.Addr, "SCRAM-SHA-1", nil},
		{"guessing direct TLS", p.DirectTLS, "SCRAM-SHA-1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := prosodyConfig(p, "alice")
			cfg.Server, cfg.TLS = tt.server, tt.tls
			pins := &memoryPins{}
			cfg.Pins = pins
			start := time.Now()
			s, _ := dialTest(t, cfg)
			t.Logf("logged in within %v", time.Since(start).Round(100*time.Microsecond))
			if got := s.JID().String(); got != "alice@example.org/desk" {
				t.Errorf("JID = %s", got)
			}
			pin, _ := pins.Load("alice@example.org")
			if pin != tt.mechanism && pin != strings.Replace(tt.mechanism, "SHA-1", "SHA-256", 1) {
				t.Errorf("logged in by %s, want %s or its SHA-256 sister", pin, tt.mechanism)
			}
			t.Log("mechanism", pin)
			if err := ping(t.Context(), s); err != nil {
				t.Errorf("ping: %v", err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Errorf("Flush: %v", err)
			}
			start = time.Now()
			s.Close()
			if took := time.Since(start); took > time.Second {
				t.Errorf("Close took %v", took)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		cfg := prosodyConfig(p, "alice")
		cfg.Password = "guess"
		_, err := Dial(t.Context(), cfg, Handler{})
		var auth *AuthError
		if !errors.As(err, &auth) || !auth.WrongPassword() {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		for _, server := range []string{p.Addr, "tls://" + p.DirectTLS, p.WebSocket} {
			cfg := prosodyConfig(p, "alice")
			cfg.Server, cfg.RootCAs = server, x509.NewCertPool()
			_, err := Dial(t.Context(), cfg, Handler{})
			var cert *CertificateError
			if !errors.As(err, &cert) {
				t.Errorf("%s: %v", server, err)
			}
		}
	})
	t.Run("other domain", func(t *testing.T) {
		cfg := prosodyConfig(p, "alice")
		cfg.JID = jid.MustParse("alice@example.net")
		_, err := Dial(t.Context(), cfg, Handler{})
		var se *StreamError
		if !errors.As(err, &se) || se.Condition != "host-unknown" {
			t.Errorf("err = %v", err)
		}
	})
}

// A cutter remembers the connection, to cut it.
type cutter struct{ last net.Conn }

func (c *cutter) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	c.last = conn
	return conn, err
}

func TestIntegrationProsodyResume(t *testing.T) {
	p := startProsody(t)
	for _, server := range []string{"starttls://" + p.Addr, p.WebSocket} {
		t.Run(server[:3], func(t *testing.T) {
			var cut cutter
			cfg := prosodyConfig(p, "alice")
			cfg.Server, cfg.Dial = server, cut.Dial
			s, r := dialTest(t, cfg)
			bob, fromAlice := dialTest(t, prosodyConfig(p, "bob"))
			const n = 200
			for i := range n {
				if err := s.Send(t.Context(), fmt.Appendf(nil, `<message to='%s' id='m%d'><body>%d</body></message>`, bob.JID(), i, i)); err != nil {
					t.Fatal(err)
				}
				if i%80 == 40 {
					cut.last.Close()
					within(t, "Offline", r.offline)
					if !within(t, "Online", r.online) {
						t.Error("not resumed")
					}
				}
			}
			for i := range n {
				if id := within(t, "message", fromAlice.stanzas).ID(); id != fmt.Sprint("m", i) {
					t.Fatalf("message %d is %s", i, id)
				}
			}
			if st := s.Stats(); st.Resumed != 2 || st.Connections != 3 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// A contact's odd requests, as the real server relays them.
func TestIntegrationProsodyRelaysOddRequests(t *testing.T) {
	p := startProsody(t)
	s, r := dialTest(t, prosodyConfig(p, "alice"))
	bob, answers := dialTest(t, prosodyConfig(p, "bob"))
	for i, in := range []string{
		`<iq type='get' id='%d' to='%s'>text</iq>`,
		`<iq type='result' id='%d' to='%s'>text<a xmlns='a'/></iq>`,
		`<iq type='set' id='%d' to='%s'><a xmlns='a'/><b xmlns='b'/></iq>`,
	} {
		if err := bob.Send(t.Context(), fmt.Appendf(nil, in, i, s.JID())); err != nil {
			t.Fatal(err)
		}
	}
	if err := bob.Send(t.Context(), fmt.Appendf(nil, `<message to='%s' id='after'/>`, s.JID())); err != nil {
		t.Fatal(err)
	}
	if id := within(t, "message", r.stanzas).ID(); id != "after" {
		t.Errorf("got %s", id)
	}
	if len(r.offline)+len(answers.offline) > 0 {
		t.Error("a stream was lost")
	}
}

// A restarted server has forgotten the session, but not who we are.
func TestIntegrationProsodyRestarts(t *testing.T) {
	p := startProsody(t)
	s, r := dialTest(t, prosodyConfig(p, "alice"))
	p.Stop()
	within(t, "Offline", r.offline)
	if err := s.Send(t.Context(), []byte(`<message to='alice@example.org/desk' id='kept'/>`)); err != nil {
		t.Fatal(err)
	}
	p.Start()
	s.NetworkChanged()
	if within(t, "Online", r.online) {
		t.Error("resumed")
	}
	if id := within(t, "message", r.stanzas).ID(); id != "kept" {
		t.Errorf("got %s", id)
	}
	if got := s.JID().String(); got != "alice@example.org/desk" {
		t.Errorf("JID = %s", got)
	}
}

func TestIntegrationProsodySpeed(t *testing.T) {
	p := startProsody(t)
	s, _ := dialTest(t, prosodyConfig(p, "alice"))
	const n = 3000
	start := time.Now()
	for range n {
		if _, err := s.IQ(t.Context(), s.Domain(), stanza.GetIQ, []byte(`<ping xmlns='urn:xmpp:ping'/>`)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%.0f pings a second, one after the other", n/time.Since(start).Seconds())
}
