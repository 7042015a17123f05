package signaling_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// registering is a server that lets accounts be created, and what a client needs
// to create name there.
func registering(t *testing.T, r *xmpptest.Registration, name string) (*xmpptest.Server, signaling.Config) {
	t.Helper()
	srv := xmpptest.NewServer(xmpptest.Config{Registration: r, Accounts: map[string]string{"taken@example.org": "x"}})
	t.Cleanup(srv.Close)
	return srv, signaling.Config{
		JID: jid.MustParse(name + "@example.org"), Password: "s<e>cret & more", Server: srv.Addr(), RootCAs: srv.CertPool(),
	}
}

func login(t *testing.T, cfg signaling.Config) {
	t.Helper()
	c, err := signaling.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatalf("log in to the new account: %v", err)
	}
	c.Close()
}

func TestRegister(t *testing.T) {
	_, cfg := registering(t, &xmpptest.Registration{}, "new")
	var mu sync.Mutex
	var wire strings.Builder
	cfg.LogStanza = func(_ signaling.StanzaDirection, p []byte) {
		mu.Lock()
		defer mu.Unlock()
		wire.Write(p)
	}
	if err := signaling.Register(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	login(t, cfg)
	if err := signaling.Register(t.Context(), cfg, nil); !errors.Is(err, signaling.ErrNameTaken) || signaling.Hint(err) == "" {
		t.Errorf("again: %v, want %v with a hint", err, signaling.ErrNameTaken)
	}
	cfg.JID = jid.MustParse("taken@example.org")
	if err := signaling.Register(t.Context(), cfg, nil); !errors.Is(err, signaling.ErrNameTaken) {
		t.Errorf("a name that is taken: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if log := wire.String(); strings.Contains(log, "cret") || !strings.Contains(log, "jabber:iq:register") {
		t.Errorf("the log has the password, or nothing: %s", log)
	}
}

// The server wants to know more, by a form.
func TestRegisterForm(t *testing.T) {
	_, cfg := registering(t, &xmpptest.Registration{Fields: []string{"email", "answer"}, URL: "https://example.org/new"}, "new")
	var wire strings.Builder
	cfg.LogStanza = func(_ signaling.StanzaDirection, p []byte) { wire.Write(p) }
	var fe *signaling.RegistrationFormError
	if err := signaling.Register(t.Context(), cfg, nil); !errors.As(err, &fe) || len(fe.Form.Fields) != 3 || !strings.Contains(signaling.Hint(err), "https://example.org/new") {
		t.Errorf("without answers: %v, hint %q", err, signaling.Hint(err))
	}
	refused := errors.New("the person gave up")
	err := signaling.Register(t.Context(), cfg, func(context.Context, signaling.RegistrationForm) (map[string]string, error) { return nil, refused })
	if !errors.Is(err, refused) {
		t.Errorf("when the person gives up: %v", err)
	}
	err = signaling.Register(t.Context(), cfg, func(_ context.Context, f signaling.RegistrationForm) (map[string]string, error) {
		if f.Instructions != "Tell us who you are." || f.URL != "https://example.org/new" {
			t.Errorf("form %+v", f)
		}
		// What nobody asked for is not sent, and hidden fields stay as they are.
		return map[string]string{"email": "a@b.example", "answer": "42 < 43", "FORM_TYPE": "x", "other": "y"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	login(t, cfg)
	if strings.Contains(wire.String(), "cret") || strings.Contains(wire.String(), "other") {
		t.Errorf("what was sent: %s", wire.String())
	}
}

func TestRegisterRefused(t *testing.T) {
	_, cfg := registering(t, nil, "new")
	if err := signaling.Register(t.Context(), cfg, nil); !errors.Is(err, signaling.ErrNoRegistration) || signaling.Hint(err) == "" {
		t.Errorf("a server without registration: %v", err)
	}
	cfg.Password = ""
	if err := signaling.Register(t.Context(), cfg, nil); err == nil {
		t.Error("without a password")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cfg.Password = "x"
	if err := signaling.Register(ctx, cfg, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}
