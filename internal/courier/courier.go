// Package courier joins package signaling and package ft: it finds the device
// of somebody that takes files best, offers them, begins again after what can
// be survived, and takes what others offer within limits.
//
//	Send                                      Receive
//	  find: a device by its features            advertises what it has
//	  offer, in one session or file by file  ->  Decide, quotas, free disk
//	  <== bytes, by the first carrier that works ==>
//	  begin again when the device comes back    goes on from NAME.part
//
// Programs of the module share it; others join the two themselves in a few
// lines, see examples/sendfile and examples/dropbox.
package courier

import (
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/datachannel"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/ft/quic"
	"github.com/carillon-im/carillon/ft/race"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	jdc "github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	jibb "github.com/carillon-im/carillon/jingle/ibb"
	"github.com/carillon-im/carillon/jingle/iceudp"
	js5b "github.com/carillon-im/carillon/jingle/s5b"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// servicesTimeout bounds how long a server may think about its relays.
const servicesTimeout = 5 * time.Second

// A way is a carrier with its name for people; a combination of others has
// none.
type way struct {
	name     string
	carrier  ft.Carrier
	register func(*jingle.Registry)
}

// ways are all carriers, best first.
var ways = []way{
	{"", race.Carrier{}, race.Register},
	{"tcp", tcp.Carrier{}, tcp.Register},
	{"quic", quic.Carrier{}, quic.Register},
	{"datachannel", datachannel.Carrier{}, jdc.Register},
	{"datachannel", datachannel.XEP0343{}, iceudp.Register},
	{"s5b", s5b.Carrier{}, js5b.Register},
	{"ibb", ibb.Carrier{}, jibb.Register},
}

// Names returns the names of all carriers, best first.
func Names() (names []string) {
	for _, w := range ways {
		if w.name != "" {
			names = append(names, w.name)
		}
	}
	return slices.Compact(names)
}

// Carriers returns the carriers with these names, in this order; all of them,
// best first, when no name is given. A name that means nothing is skipped.
func Carriers(names ...string) (list []ft.Carrier) {
	if len(names) == 0 {
		for _, w := range ways {
			list = append(list, w.carrier)
		}
	}
	for _, n := range names {
		for _, w := range ways {
			if n != "" && w.name == n {
				list = append(list, w.carrier)
			}
		}
	}
	return list
}

// NewRegistry returns a registry that decodes calls and transfers, for
// signaling.Config.
func NewRegistry() *jingle.Registry {
	reg := signaling.NewRegistry()
	ft.Register(reg)
	filetransfer.Register(reg)
	for _, w := range ways {
		w.register(reg)
	}
	return reg
}

// A Courier sends and receives files of one account. Client is required; it
// must have been dialed with [NewRegistry].
type Courier struct {
	Client *signaling.Client
	// Carriers are what may be used, best first. Nil means all.
	Carriers []ft.Carrier
	// RelayOnly keeps our addresses from others.
	RelayOnly bool
	// Loopback uses loopback addresses too. Tests and demonstrations only.
	Loopback bool
	// Relays are used besides those that the server names.
	Relays []ft.Service
	// RootCAs verify relays over TLS. Nil means those of the system.
	RootCAs *x509.CertPool
	Log     *slog.Logger // nil discards
}

func (c *Courier) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// carriers are those that may be used. A direct connection shows our address.
func (c *Courier) carriers() []ft.Carrier {
	list := c.Carriers
	if list == nil {
		list = Carriers()
	}
	if c.RelayOnly {
		list = slices.DeleteFunc(slices.Clone(list), func(c ft.Carrier) bool { return c.Namespace() == tcp.NS || c.Namespace() == race.NS })
	}
	return list
}

func (c *Courier) env() ft.Env {
	return ft.Env{
		RelayOnly: c.RelayOnly, Loopback: c.Loopback, Services: c.Relays, FindServices: c.services, RootCAs: c.RootCAs,
		Ask: c.Client.Ask, HandleIQ: c.Client.HandleIQ, ServeIQ: c.Client.ServeIQ, Logger: c.log(),
	}
}

// services asks the server for its relays. Without them most paths work too.
func (c *Courier) services(ctx context.Context) (list []ft.Service) {
	ctx, cancel := context.WithTimeout(ctx, servicesTimeout)
	defer cancel()
	found, err := c.Client.Services(ctx)
	if err != nil {
		c.log().Warn("the server does not tell its relays", "err", err)
	}
	for _, s := range found {
		list = append(list, ft.Service{URL: s.URL(), Username: s.Username, Password: ft.Secret(s.Password)})
	}
	return list
}

// A running transfer, with Jingle or without.
type running interface {
	Done() <-chan struct{}
	Result() (*exchange.Result, error)
	Verified() bool
	Pause()
	Cancel()
	Stop(error)
}

func sameBare(a, b jid.JID) bool { return a.Bare().Equal(b.Bare()) }
