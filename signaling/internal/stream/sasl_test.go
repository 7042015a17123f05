package stream

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

func TestTheStrongestMechanismIsUsed(t *testing.T) {
	for _, tt := range []struct {
		offer string
		tls12 bool
		want  string // "" when none is
	}{
		{"SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN", false, "SCRAM-SHA-256-PLUS"},
		{"SCRAM-SHA-256-PLUS SCRAM-SHA-256", true, "SCRAM-SHA-256-PLUS"},
		{"SCRAM-SHA-1 SCRAM-SHA-256", false, "SCRAM-SHA-256"},
		{"PLAIN SCRAM-SHA-1-PLUS SCRAM-SHA-1", false, "SCRAM-SHA-1-PLUS"},
		{"PLAIN SCRAM-SHA-1", false, "SCRAM-SHA-1"},
		{"PLAIN", false, "PLAIN"},
	} {
		t.Run(fmt.Sprint(tt.offer, tt.tls12), func(t *testing.T) {
			srv := testServer(t, xmpptest.Config{Mechanisms: strings.Fields(tt.offer)})
			cfg := testConfig(srv)
			pins := &memoryPins{}
			cfg.Pins, cfg.AllowPlain = pins, true
			if tt.tls12 {
				cfg.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
			}
			dialTest(t, cfg)
			if got, _ := pins.Load("alice@example.org"); got != tt.want {
				t.Errorf("logged in by %q, want %q", got, tt.want)
			}
		})
	}
}

// A binding that was not announced may be why a login is refused, so it is
// tried without it as well; where it worked before, with that of an older TLS.
func TestUnannouncedBindingIsNotInsistedOn(t *testing.T) {
	srv := testServer(t, xmpptest.Config{Without: []string{nsCB}})
	for _, tt := range []struct{ pinned, by string }{
		{"", "SCRAM-SHA-256"}, {"SCRAM-SHA-256", "SCRAM-SHA-256"}, {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-PLUS"},
	} {
		cfg := testConfig(srv)
		cfg.Password = "guess"
		pins := &memoryPins{}
		if tt.pinned != "" {
			pins.Store("alice@example.org", tt.pinned)
		}
		cfg.Pins = pins
		attempts, last := 0, ""
		cfg.LogStanza = func(d Direction, p []byte) {
			if d == Sent && strings.HasPrefix(string(p), "<auth") {
				attempts++
				last = string(p)
			}
		}
		_, err := Dial(t.Context(), cfg, Handler{})
		var auth *AuthError
		if !errors.As(err, &auth) || !auth.WrongPassword() || attempts != 2 || !strings.Contains(last, "'"+tt.by+"'") {
			t.Errorf("pinned %q: %d attempts, %v", tt.pinned, attempts, err)
		}
		if want := "log in as alice@example.org: wrong password for alice@example.org"; err.Error() != want {
			t.Errorf("pinned %q: %v", tt.pinned, err)
		}
		cfg.Password = "secret"
		s, _ := dialTest(t, cfg)
		if got, _ := pins.Load("alice@example.org"); got != "SCRAM-SHA-256-PLUS" {
			t.Errorf("pinned %q", got)
		}
		s.Close()
	}
}

// Nobody is locked out because the TLS of a server was renewed. Some servers
// offer no -PLUS then, others offer what they cannot do.
func TestRenewedTLSLocksNobodyOut(t *testing.T) {
	plus := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1"}
	for _, tt := range []struct {
		name   string
		after  xmpptest.Config
		pinned string // before
		want   string // of the last login
	}{
		{"no -PLUS offered", xmpptest.Config{Mechanisms: plus[2:]}, plus[0], plus[2]},
		{"-PLUS offered, only the older binding known", xmpptest.Config{Mechanisms: plus, Without: []string{nsCB}, Bindings: []string{"tls-unique"}}, plus[0], plus[0]},
		{"the older binding announced", xmpptest.Config{Mechanisms: plus, Bindings: []string{"tls-unique"}}, plus[0], plus[0]},
		{"first login where the binding is unknown", xmpptest.Config{Mechanisms: plus, Without: []string{nsCB}, Bindings: []string{"none"}}, "", plus[2]},
		{"second login where the binding is unknown", xmpptest.Config{Mechanisms: plus, Without: []string{nsCB}, Bindings: []string{"none"}}, plus[2], plus[2]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := testServer(t, tt.after)
			cfg := testConfig(srv)
			pins := &memoryPins{}
			if tt.pinned != "" {
				pins.Store("alice@example.org", tt.pinned)
			}
			cfg.Pins = pins
			last := ""
			cfg.LogStanza = func(d Direction, p []byte) {
				if d == Sent && strings.HasPrefix(string(p), "<auth") {
					last = string(p)
				}
			}
			dialTest(t, cfg)
			if !strings.Contains(last, "mechanism='"+tt.want+"'") {
				t.Errorf("logged in by %.90s, want %q", last, tt.want)
			}
		})
	}
}

// Without -PLUS in the offer we say that we could, so that a server whose offer
// somebody changed on the way finds out. RFC 5802 §6
func TestACutOfferIsTold(t *testing.T) {
	for _, tt := range []struct{ features, want string }{
		{`<stream:features/>`, "y"},
		{`<stream:features><sasl-channel-binding xmlns='` + nsCB + `'><channel-binding type='forged'/></sasl-channel-binding></stream:features>`, "y"},
	} {
		features, err := parseElement([]byte(strings.Replace(tt.features, "stream:features", "stream:features xmlns:stream='"+nsStream+"'", 1)), nsClient)
		if err != nil {
			t.Fatal(err)
		}
		in := &login{cfg: &Config{}}
		l := &link{tls: &tls.ConnectionState{Version: tls.VersionTLS12, TLSUnique: []byte("finished")}}
		m, err := in.choose(l, features, []string{"SCRAM-SHA-256"}, "SCRAM-SHA-256-PLUS")
		if err != nil || string(m.flag) != tt.want {
			t.Errorf("%s: flag %q, %v", tt.features, m.flag, err)
		}
	}
}

// Where -PLUS is offered and can no longer be used with any TLS, who was bound
// before is not bound less without being told.
func TestBindingIsNotTakenAwaySilently(t *testing.T) {
	for _, announced := range []string{"none", "tls-unique"} {
		srv := testServer(t, xmpptest.Config{Bindings: []string{announced}, MaxTLS: tls.VersionTLS13})
		cfg := testConfig(srv)
		pins := &memoryPins{}
		pins.Store("alice@example.org", "SCRAM-SHA-256-PLUS")
		cfg.Pins = pins
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS13} // so that the older binding is impossible
		_, err := Dial(t.Context(), cfg, Handler{})
		var down *DowngradeError
		if !errors.As(err, &down) || down.Best != "SCRAM-SHA-256" || Hint(err) == "" {
			t.Errorf("%s: %v", announced, err)
		}
	}
}

func TestPlainNeedsPermission(t *testing.T) {
	srv := testServer(t, xmpptest.Config{Mechanisms: []string{"PLAIN"}})
	_, err := Dial(t.Context(), testConfig(srv), Handler{})
	var none *NoMechanismError
	if !errors.As(err, &none) || !none.Plain || Hint(err) == "" {
		t.Errorf("err = %v", err)
	}
}

func TestWeakerOfferThanBeforeIsRefused(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	cfg := testConfig(srv)
	cfg.Pins, cfg.AllowPlain = &memoryPins{}, true
	s, _ := dialTest(t, cfg)
	s.Close()
	for _, offer := range []string{"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS SCRAM-SHA-1", "PLAIN"} {
		srv.SetMechanisms(strings.Fields(offer)...)
		_, err := Dial(t.Context(), cfg, Handler{})
		var down *DowngradeError
		if !errors.As(err, &down) || down.Pinned != "SCRAM-SHA-256-PLUS" || down.Best != strings.Fields(offer)[0] || Hint(err) == "" {
			t.Errorf("%s: %v", offer, err)
		}
	}
	// On a WebSocket there is no TLS of ours to bind to.
	srv.SetMechanisms("SCRAM-SHA-256", "SCRAM-SHA-1")
	cfg.Server = srv.WebSocketURL()
	s, _ = dialTest(t, cfg)
	s.Close()
	srv.SetMechanisms("SCRAM-SHA-1")
	var down *DowngradeError
	if _, err := Dial(t.Context(), cfg, Handler{}); !errors.As(err, &down) {
		t.Errorf("WebSocket: %v", err)
	}
}

// A server whose words in SASL are given, after TLS was skipped on a pipe.
func TestSASLGarbage(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	const ns = `xmlns='urn:ietf:params:xml:ns:xmpp-sasl'`
	for _, tt := range []struct{ name, answer, want string }{
		{"short field", `<challenge ` + ns + `>` + b64([]byte("r=x,s=y,z")) + `</challenge>`, "nonce"},
		{"not base64", `<challenge ` + ns + `>!!!</challenge>`, "not base64"},
		{"success at once", `<success ` + ns + `/>`, "unexpected success"},
		{"empty challenge", `<challenge ` + ns + `/>`, "too few fields"},
		{"other element", `<message/>`, "expected an answer"},
		{"unknown sasl element", `<wave ` + ns + `/>`, "unexpected wave"},
		{"failure without condition", `<failure ` + ns + `/>`, "undefined-condition"},
		{"disabled", `<failure ` + ns + `><account-disabled/><text>call us</text></failure>`, `account alice@example.org is disabled (server: "call us")`},
		{"stream error", `<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`, "policy-violation"},
		{"end", `</stream:stream>`, "closed the stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dial(t.Context(), scripted(t,
				`<stream:features><mechanisms `+ns+`><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>`, tt.answer), Handler{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestFeaturesOfLittleUse(t *testing.T) {
	const ns = `xmlns='urn:ietf:params:xml:ns:xmpp-sasl'`
	for _, tt := range []struct{ name, features, want string }{
		{"none", `<stream:features/>`, "offers no way to log in"},
		{"empty mechanisms", `<stream:features><mechanisms ` + ns + `/></stream:features>`, "offers no way to log in"},
		{"unknown mechanisms", `<stream:features><mechanisms ` + ns + `><mechanism>X</mechanism></mechanisms></stream:features>`, "that we accept, only X"},
		{"not features", `<iq type='get' id='1'/>`, "expected stream features"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dial(t.Context(), scripted(t, tt.features), Handler{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	srv := testServer(t, xmpptest.Config{Mechanisms: []string{"PLAIN"}})
	cfg := testConfig(srv)
	cfg.AllowPlain = true
	var mu sync.Mutex
	var log strings.Builder
	cfg.LogStanza = func(d Direction, p []byte) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&log, "%s %s\n", d, p)
	}
	s, _ := dialTest(t, cfg)
	if err := s.Send(t.Context(), []byte(`<iq type='set' id='1'><query xmlns='jabber:iq:register'><password>hunter2</password></query></iq>`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), []byte(`<message to='bob@example.org'><x xmlns='urn:example' ufrag='u' pwd="hunter3" password = 'hunter4'/></message>`)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	text := log.String()
	for _, secret := range []string{"secret", "hunter", base64.StdEncoding.EncodeToString([]byte("\x00alice\x00secret"))} {
		if strings.Contains(text, secret) {
			t.Errorf("%q in the log:\n%s", secret, text)
		}
	}
	for _, want := range []string{"sent <auth", "[redacted]", "received <stream:stream", "ufrag='u'", "<enable"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the log:\n%s", want, text)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg.Password); strings.Contains(got, `secret`) {
		t.Errorf("password in %s", got)
	}
}
