package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
)

func TestSendfileSendsAFolder(t *testing.T) {
	defer goleak.VerifyNone(t)
	srv := xmpptest.NewServer(xmpptest.Config{Accounts: map[string]string{"alice@example.org": "s", "bob@example.org": "s"}})
	defer srv.Close()
	srv.Befriend("alice@example.org", "bob@example.org")
	dial := func(account string) (*signaling.Client, ft.Env) {
		t.Helper()
		c, err := signaling.Dial(t.Context(), signaling.Config{
			JID: jid.MustParse(account), Password: "s", Server: srv.Addr(), RootCAs: srv.CertPool(), Registry: registry(), NoCalls: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return c, ft.Env{Ask: c.Ask, HandleIQ: c.HandleIQ, Loopback: true}
	}
	alice, ours := dial("alice@example.org")
	defer alice.Close()
	bob, theirs := dial("bob@example.org")
	defer bob.Close()
	inbox := t.TempDir()
	bob.Advertise(jingle.NS, tcp.NS)
	bob.Handle(ft.NS, func(signaling.Offer) jingle.Application {
		r, err := ft.NewReceiver(ft.ReceiveConfig{Dir: inbox, Carriers: []ft.Carrier{tcp.Carrier{}}, Env: theirs})
		if err != nil {
			t.Error(err)
			return nil
		}
		return r
	})

	photos := filepath.Join(t.TempDir(), "photos")
	if err := errors.Join(os.Mkdir(photos, 0o700), os.WriteFile(filepath.Join(photos, "a.jpg"), []byte("picture"), 0o600)); err != nil {
		t.Fatal(err)
	}
	result, err := send(t.Context(), alice, ours, jid.MustParse("bob@example.org"), []string{photos})
	if err != nil || result.Bytes != 7 {
		t.Fatalf("result = %+v, %v", result, err)
	}
	if got, err := os.ReadFile(filepath.Join(inbox, "photos", "a.jpg")); string(got) != "picture" {
		t.Errorf("arrived: %q, %v", got, err)
	}
}
