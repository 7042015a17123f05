package xmpptest

import (
	"testing"

	"go.uber.org/goleak"
	"mellium.im/sasl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTestServer(t testing.TB) *Server {
	return Run(t, Config{
		Domains:  []string{"example.org", "example.net"},
		Accounts: map[string]string{"alice@example.org": "secret", "bob@example.org": "secret", "carol@example.net": "secret"},
	})
}

func TestLogin(t *testing.T) {
	srv := newTestServer(t)
	for _, test := range []struct {
		name       string
		direct     bool
		mechanisms []sasl.Mechanism
		password   string
		ok         bool
	}{
		{name: "STARTTLS SCRAM-SHA-256-PLUS", mechanisms: []sasl.Mechanism{sasl.ScramSha256Plus}, password: "secret", ok: true},
		{name: "STARTTLS SCRAM-SHA-1-PLUS", mechanisms: []sasl.Mechanism{sasl.ScramSha1Plus}, password: "secret", ok: true},
		{name: "STARTTLS SCRAM-SHA-256", mechanisms: []sasl.Mechanism{sasl.ScramSha256}, password: "secret", ok: true},
		{name: "direct SCRAM-SHA-256-PLUS", direct: true, mechanisms: []sasl.Mechanism{sasl.ScramSha256Plus}, password: "secret", ok: true},
		{name: "direct SCRAM-SHA-1", direct: true, mechanisms: []sasl.Mechanism{sasl.ScramSha1}, password: "secret", ok: true},
		{name: "direct PLAIN", direct: true, mechanisms: []sasl.Mechanism{sasl.Plain}, password: "secret", ok: true},
		{name: "wrong password SCRAM", mechanisms: []sasl.Mechanism{sasl.ScramSha256}, password: "wrong"},
		{name: "wrong password PLAIN", mechanisms: []sasl.Mechanism{sasl.Plain}, password: "wrong"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := login(t, srv, "alice@example.org/phone", test.password, test.direct, test.mechanisms...)
			if (err == nil) != test.ok {
				t.Fatalf("login: error = %v, want ok %v", err, test.ok)
			}
			if err == nil && c.s.LocalAddr().String() != "alice@example.org/phone" {
				t.Errorf("bound = %v, want alice@example.org/phone", c.s.LocalAddr())
			}
		})
	}
}

func TestMessageReachesContact(t *testing.T) {
	srv := newTestServer(t)
	srv.Befriend("alice@example.org", "carol@example.net")
	alice := online(t, srv, "alice@example.org/phone")
	carol := online(t, srv, "carol@example.net/desk")
	alice.want("presence of carol", func(e *Element) bool { return e.Is("", "presence") && e.Get("from") == "carol@example.net/desk" })
	carol.want("presence of alice", func(e *Element) bool { return e.Is("", "presence") && e.Get("from") == "alice@example.org/phone" })
	alice.send(`<message type="chat" to="carol@example.net"><body>hi</body></message>`)
	m := carol.want("message", func(e *Element) bool { return e.Is("", "message") })
	if got := m.Get("from"); got != "alice@example.org/phone" {
		t.Errorf("from = %q, want alice@example.org/phone", got)
	}
	if r := alice.iq("get", "", `<query xmlns="jabber:iq:roster"/>`); len(r.payload().Children()) != 1 {
		t.Errorf("roster = %s, want one contact", r)
	}
}
