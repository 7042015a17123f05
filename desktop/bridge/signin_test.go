package bridge

import (
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/signaling"
)

// What the command line was told of an account counts in the app, too: which
// authorities verify its server, and that it may see the password.
func TestAccountsOfTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	store := accounts.Open(dir, nil)
	b := &Bridge{cfg: Config{Store: store}, log: slog.New(slog.DiscardHandler)}
	j := jid.MustParse("anna@example.org")
	kept, err := store.Save(accounts.Account{JID: j.String(), Server: "xmpp.example.org:5222", CAFile: ca, AllowPlain: true}, "s")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := b.signaling(kept, j)
	if err != nil || cfg.RootCAs == nil || !cfg.AllowPlain || cfg.Password != "s" {
		t.Errorf("%+v, %v", cfg, err)
	}
	// They sign in again, as where the password is another one.
	for _, tt := range []struct {
		server string
		again  bool
		want   string
	}{{"", true, kept.Server}, {"other.example.org", true, "other.example.org"}, {"", false, ""}} {
		again, err := b.anewAs(j, tt.server, tt.again)
		if err != nil || again.CAFile != ca || !again.AllowPlain || again.Server != tt.want {
			t.Errorf("signed in again at %q: %+v, %v", tt.server, again, err)
		}
	}
	// That the password is gone is said, although the certificates are there.
	if err := os.Remove(store.PasswordsPath()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.signaling(kept, j); !errors.Is(err, accounts.ErrNoPassword) {
		t.Errorf("without a password: %v, want %v", err, accounts.ErrNoPassword)
	}
}

// A server that was started a moment ago may not reach where it keeps passwords:
// nobody has to type theirs for that.
func TestALoginThatMayWorkLaterIsTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{&signaling.AuthError{Condition: "not-authorized"}, true},
		{&signaling.AuthError{Condition: "account-disabled"}, true},
		{fmt.Errorf("log in: %w", &signaling.AuthError{Condition: "temporary-auth-failure"}), false},
		{accounts.ErrNoPassword, true},
		{errors.New("connection refused"), false},
	} {
		if got := refused(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}
