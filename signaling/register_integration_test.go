//go:build integration

package signaling_test

import (
	"errors"
	"testing"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/signaling"
)

// An account is created on a real server, over every kind of connection.
func TestIntegrationRegister(t *testing.T) {
	p := lab.StartProsody(t, lab.ProsodyConfig{Domain: "example.org", Register: true})
	for name, server := range map[string]string{"one": "starttls://" + p.Addr, "two": "tls://" + p.DirectTLS, "three": p.WebSocket} {
		cfg := signaling.Config{JID: jid.MustParse(name + "@example.org"), Password: "pass & <word>", Server: server, RootCAs: p.CAs}
		if err := signaling.Register(t.Context(), cfg, nil); err != nil {
			t.Errorf("%s: %v", server, err)
			continue
		}
		login(t, cfg)
		if err := signaling.Register(t.Context(), cfg, nil); !errors.Is(err, signaling.ErrNameTaken) {
			t.Errorf("%s: again: %v, want %v", server, err, signaling.ErrNameTaken)
		}
	}
	p = lab.StartProsody(t, lab.ProsodyConfig{Domain: "example.org"})
	cfg := signaling.Config{JID: jid.MustParse("one@example.org"), Password: "x", Server: p.Addr, RootCAs: p.CAs}
	if err := signaling.Register(t.Context(), cfg, nil); !errors.Is(err, signaling.ErrNoRegistration) {
		t.Errorf("a server without registration: %v, want %v", err, signaling.ErrNoRegistration)
	}
}
