package courier_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// A noting carrier remembers whether each stream was to hide our addresses.
type noting struct {
	ibb.Carrier
	hidden chan bool
}

func (c noting) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	c.hidden <- env.RelayOnly
	return c.Carrier.New(env, role)
}

// What waited for a device keeps to what is wanted when that comes.
func TestRelayOnlyIsThatOfTheStart(t *testing.T) {
	for name, want := range map[string]bool{"hidden": true, "shown": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for some seconds
			srv := xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{"alice@example.org": "pw", "bob@example.org": "pw"}})
			srv.Befriend("alice@example.org", "bob@example.org")
			dial := func(account string) *signaling.Client {
				return login(t, signaling.Config{JID: jid.MustParse(account), Password: "pw", Server: srv.Addr(), RootCAs: srv.CertPool()})
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			file := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			src, err := exchange.Scan(ctx, file)
			if err != nil {
				t.Fatal(err)
			}
			var hide atomic.Bool
			hide.Store(!want)
			carrier := noting{hidden: make(chan bool, 8)}
			ours := courier.Courier{Client: dial("alice@example.org"), Carriers: []ft.Carrier{carrier}, RelayOnly: !want, Loopback: true}
			waits, sent := make(chan struct{}), make(chan error, 1)
			go func() {
				_, err := ours.Send(ctx, jid.MustParse("bob@example.org"), src, courier.SendOptions{
					Wait: true, RelayOnly: hide.Load, OnEvent: func(e courier.Event) {
						if _, ok := e.(courier.Waiting); ok {
							close(waits)
						}
					},
				})
				sent <- err
			}()
			<-waits
			hide.Store(want)
			bob := dial("bob@example.org")
			theirs := courier.Courier{Client: bob, Carriers: []ft.Carrier{ibb.Carrier{}}, Loopback: true}
			r, err := theirs.Receive(courier.ReceiveConfig{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			r.Close()
			bob.Close()
			if got := <-carrier.hidden; got != want {
				t.Errorf("it was sent with RelayOnly = %v, want %v", got, want)
			}
			if ours.RelayOnly == want {
				t.Error("the courier of others was changed")
			}
		})
	}
}
