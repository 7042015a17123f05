package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
)

func TestDropboxTakesWhatContactsSend(t *testing.T) {
	defer goleak.VerifyNone(t)
	srv := xmpptest.NewServer(xmpptest.Config{Accounts: map[string]string{"box@example.org": "s", "alice@example.org": "s"}})
	defer srv.Close()
	srv.Befriend("box@example.org", "alice@example.org")
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
	box, theirs := dial("box@example.org")
	defer box.Close()
	alice, ours := dial("alice@example.org")
	defer alice.Close()
	ctx, cancel := context.WithCancel(t.Context())
	inbox, done := t.TempDir(), make(chan error, 1)
	go func() { done <- serve(ctx, box, theirs, inbox) }()
	awaitFiles(t, alice, box.JID())

	file := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a.txt", "a (1).txt"} { // nothing is overwritten
		source, err := exchange.Scan(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		transfer, err := ft.NewSender(ft.SendConfig{Source: source, Carriers: []ft.Carrier{tcp.Carrier{}}, Env: ours})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Open(t.Context(), box.JID(), "", transfer); err != nil {
			t.Fatal(err)
		}
		<-transfer.Done()
		if _, err := transfer.Result(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(inbox, want)); string(got) != "hello" {
			t.Errorf("%s: %q, %v", want, got, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// awaitFiles waits until a device takes files.
func awaitFiles(t *testing.T, c *signaling.Client, device jid.JID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		info, err := c.Disco(ctx, device)
		if err != nil {
			t.Fatal(err)
		}
		if _, ours := ft.Choose(info.Features, tcp.Carrier{}); ours {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the box takes no files")
		}
	}
}
