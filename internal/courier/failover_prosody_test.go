//go:build integration

package courier_test

import (
	"testing"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// Every carrier fails over to the next through a real server, with its proxy.
func TestIntegrationCarriersFailOverThroughProsody(t *testing.T) {
	for _, f := range failovers {
		t.Run(f.name, func(t *testing.T) {
			srv := lab.StartProsody(t, lab.ProsodyConfig{})
			dial := func(user string) *signaling.Client {
				return login(t, signaling.Config{JID: jid.MustParse(srv.JID(user)), Password: signaling.Secret(lab.Password(user)),
					Server: srv.Addr, RootCAs: srv.CAs})
			}
			f.run(t, dial("alice"), dial("bob"))
		})
	}
}
