package courier_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/datachannel"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// Another client offers several files in one session: a person sees one offer.
func TestSeveralPlainFilesAreReceived(t *testing.T) {
	for _, tt := range []struct {
		name    string
		carrier ft.Carrier
		decline bool
	}{
		{name: "SOCKS5", carrier: s5b.Carrier{}},
		{name: "in band", carrier: ibb.Carrier{}},
		{name: "data channels", carrier: datachannel.Carrier{}},
		{name: "declined", carrier: s5b.Carrier{}, decline: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{"alice@example.org": "pw", "bob@example.org": "pw"}})
			srv.Befriend("alice@example.org", "bob@example.org")
			dial := func(account string) *signaling.Client {
				return login(t, signaling.Config{JID: jid.MustParse(account), Password: "pw", Server: srv.Addr(), RootCAs: srv.CertPool()})
			}
			alice, bob := dial("alice@example.org"), dial("bob@example.org")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()

			dir, inbox := t.TempDir(), t.TempDir()
			a, b := filepath.Join(dir, "a.bin"), filepath.Join(dir, "b.bin")
			data := map[string][]byte{a: bytes.Repeat([]byte("a"), 100_000), b: bytes.Repeat([]byte("b"), 50_000)}
			for name, content := range data {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			src, err := exchange.Scan(ctx, a, b)
			if err != nil {
				t.Fatal(err)
			}

			type end struct {
				done *courier.Done
				err  error
			}
			got := make(chan end, 1)
			asked := make(chan courier.Offered, 2)
			theirs := courier.Courier{Client: bob, Carriers: []ft.Carrier{tt.carrier}, Loopback: true}
			r, err := theirs.Receive(courier.ReceiveConfig{
				Dir: inbox, OnDone: func(d *courier.Done, err error) { got <- end{d, err} },
				Decide: func(_ context.Context, o courier.Offered) error {
					asked <- o
					if tt.decline {
						return errors.New("no")
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()

			ours := courier.Courier{Client: alice, Loopback: true}
			s, err := ft.NewSeveralSender(ft.SendConfig{Source: src, Carriers: []ft.Carrier{tt.carrier}, Env: ours.Env()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := alice.Open(ctx, bob.JID(), "", s); err != nil {
				t.Fatal(err)
			}
			var e end
			select {
			case e = <-got:
			case <-ctx.Done():
				t.Fatal("the receiver does not end")
			}
			<-s.Done()
			if o := (<-asked).Offer; o.Files != 2 || o.Size != 150_000 || len(o.Names) != 2 || o.Names[0] != "a.bin" || len(asked) > 0 {
				t.Errorf("asked about %+v", o)
			}
			_, err = s.Result()
			if tt.decline {
				if !errors.Is(err, ft.ErrDeclined) || !errors.Is(e.err, ft.ErrDeclined) {
					t.Errorf("sender: %v, receiver: %v", err, e.err)
				}
				return
			}
			if err != nil || !s.Verified() || e.err != nil || !e.done.Verified || e.done.Bytes != 150_000 || len(e.done.Paths) != 2 {
				t.Fatalf("sender: %v; receiver: %+v, %v", err, e.done, e.err)
			}
			for i, name := range []string{a, b} {
				if c, err := os.ReadFile(e.done.Paths[i]); err != nil || !bytes.Equal(c, data[name]) {
					t.Errorf("%s: %d bytes, %v", name, len(c), err)
				}
			}
		})
	}
}

// What could not be read when the source was made is in the result, however it
// is sent.
func TestWhatCannotBeReadIsNamedInTheResult(t *testing.T) {
	for _, plain := range []bool{false, true} {
		srv := xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{"alice@example.org": "pw", "bob@example.org": "pw"}})
		srv.Befriend("alice@example.org", "bob@example.org")
		dial := func(account string) *signaling.Client {
			return login(t, signaling.Config{JID: jid.MustParse(account), Password: "pw", Server: srv.Addr(), RootCAs: srv.CertPool()})
		}
		alice, bob := dial("alice@example.org"), dial("bob@example.org")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		dir := filepath.Join(t.TempDir(), "docs")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := exchange.Scan(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		src.Unread = []exchange.FileResult{{Path: "docs/secret", Err: os.ErrPermission}}
		theirs := courier.Courier{Client: bob, Loopback: true}
		r, err := theirs.Receive(courier.ReceiveConfig{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		ours := courier.Courier{Client: alice, Loopback: true}
		done, err := ours.Send(ctx, bob.JID(), src, courier.SendOptions{Plain: plain})
		r.Close()
		if err != nil || done.Bytes != 1 {
			t.Fatalf("plain %t: %d bytes, %v", plain, done.Bytes, err)
		}
		failed := done.Failed()
		if len(failed) != 1 || failed[0].Path != "docs/secret" {
			t.Fatalf("plain %t: not transferred: %+v, want docs/secret", plain, failed)
		}
		if text := (&courier.IncompleteError{Files: append(failed, failed...)}).Error(); text != `2 files or folders were not transferred: "docs/secret": permission denied; "docs/secret": permission denied` {
			t.Error(text)
		}
	}
}
