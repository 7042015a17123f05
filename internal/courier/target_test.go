package courier

import (
	"testing"

	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// Only Gajim is asked about its offers.
func TestWhoMayLoseAnOffer(t *testing.T) {
	c := &Courier{}
	features := []string{"urn:xmpp:jingle:1", "urn:xmpp:jingle:apps:file-transfer:5", s5b.Carrier{}.Namespace()}
	for _, tt := range []struct {
		category, name string
		want           bool
	}{{"client", "Gajim", true}, {"client", "Psi", false}, {"client", "Dino", false}, {"gateway", "Gajim", false}} {
		info := signaling.Info{Features: features, Identities: []signaling.Identity{{Category: tt.category, Type: "pc", Name: tt.name}}}
		got := c.target(jid.MustParse("bob@example.org/b"), info)
		if len(got.Carriers) == 0 || got.SI || got.forgetful != tt.want {
			t.Errorf("%s %s: %+v, want forgetful %v", tt.category, tt.name, got, tt.want)
		}
	}
}
