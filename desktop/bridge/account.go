package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/authorities"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/signaling"
)

const (
	maxEvents   = 1024             // of a client that wait for us
	commandTime = 20 * time.Second // for the server to do what the user wants
	retryFirst  = 5 * time.Second
	retryLast   = 2 * time.Minute
)

// An account is one of ours that runs.
type account struct {
	b    *Bridge
	kept accounts.Account
	jid  jid.JID
	// strangers may call, as was said at login.
	strangers bool
	ctx       context.Context
	stop      context.CancelFunc
	wg        sync.WaitGroup // of what writes down what happened

	client   *signaling.Client // owner only; nil while it is not there
	courier  *courier.Courier
	receiver *courier.Receiver

	look lookups
}

// signaling is how we log in to an account, before what a use of it needs.
func (b *Bridge) signaling(kept accounts.Account, j jid.JID) (signaling.Config, error) {
	cfg, err := b.login(kept, j)
	if err == nil {
		cfg.Password, err = b.cfg.Store.Password(kept)
	}
	cfg.Pins, cfg.Registry = b.cfg.Store.Pins(false), courier.NewRegistry()
	return cfg, err
}

// login is how the server of an account is reached and what it may see, without
// the password.
func (b *Bridge) login(kept accounts.Account, j jid.JID) (signaling.Config, error) {
	cfg := signaling.Config{
		JID: j, Server: kept.Server, AllowPlain: kept.AllowPlain || b.cfg.File.AllowPlain, Version: b.cfg.Version, RootCAs: b.cfg.RootCAs, Log: b.log,
	}
	if cfg.Server == "" {
		cfg.Server = b.cfg.File.Server
	}
	if cfg.RootCAs != nil || kept.CAFile == "" {
		return cfg, nil
	}
	var err error
	cfg.RootCAs, err = authorities.Read(kept.CAFile)
	return cfg, err
}

// start runs an account. Owner only.
func (b *Bridge) start(kept accounts.Account) {
	j, err := jid.Parse(kept.JID)
	if err != nil {
		b.log.Error("account is not understood", "jid", kept.JID, "err", err)
		return
	}
	if old := b.accounts[kept.JID]; old != nil {
		old.stop()
	}
	a := &account{b: b, kept: kept, jid: j, strangers: b.app.Settings.Strangers}
	a.look.poke = make(chan struct{}, maxLookups)
	a.look.todo, a.look.busy, a.look.listed, a.look.found = make(map[string]bool), make(map[string]bool), make(map[string]state.Contact), make(map[string]state.Contact)
	a.ctx, a.stop = context.WithCancel(b.ctx)
	b.accounts[kept.JID] = a
	b.apply(state.AccountChanged{Account: state.Account{JID: kept.JID, Link: state.Connecting}})
	a.goes(a.run)
}

// goes runs f, for which signing out waits before it forgets what was kept.
func (a *account) goes(f func()) {
	a.wg.Add(1)
	a.b.wg.Go(func() {
		defer a.wg.Done()
		f()
	})
}

// apply shows events unless the account was signed out of meanwhile.
func (a *account) apply(events ...state.Event) {
	a.b.await(func() {
		if a.b.accounts[a.kept.JID] != nil {
			a.b.apply(events...)
		}
	})
}

// run keeps the account online until it is stopped.
func (a *account) run() {
	a.loadHistory()
	wait := retryFirst
	for a.ctx.Err() == nil {
		err := a.online()
		if a.ctx.Err() != nil {
			return
		}
		link := state.Offline
		if refused(err) {
			link = state.LoggedOut
		}
		p := a.b.problem(err, a.kept.JID)
		if link == state.LoggedOut && p.Code == "wrong-password" {
			p.Code = "logged-out" // it was the right one before
		}
		a.tell(link, p)
		if link == state.LoggedOut {
			a.apply(state.WentWrong{Problem: *p})
			return
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, retryLast)
		case <-a.ctx.Done():
		}
	}
}

// refused reports whether trying to log in again would not help, and may lock the
// account.
func refused(err error) bool {
	var auth *signaling.AuthError
	return errors.As(err, &auth) && !auth.Temporary() || errors.Is(err, accounts.ErrNoPassword)
}

func (a *account) tell(link state.Link, p *state.Problem) {
	a.b.await(func() {
		if a.ctx.Err() == nil {
			old, _ := a.b.app.Account(a.kept.JID)
			a.b.apply(state.AccountChanged{Account: state.Account{JID: a.kept.JID, Link: link, Problem: p, NoRelay: old.NoRelay}})
		}
	})
}

// online logs in and stays until the client is over.
func (a *account) online() error {
	cfg, err := a.b.signaling(a.kept, a.jid)
	if err != nil {
		return err
	}
	cfg.Busy = signaling.BusyRing
	if db := a.b.db; db != nil {
		cfg.History = db.Account(a.kept.JID)
	}
	cfg.Features = signaling.CallFeatures(hasVideo())
	if !a.strangers {
		cfg.Strangers = signaling.StrangersNone
	}
	client, err := signaling.Dial(a.ctx, cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	sub := client.Subscribe(maxEvents)
	defer sub.Close()
	_, services, err := a.b.relays()
	if err != nil {
		a.b.wrong(err, "")
	}
	a.b.await(func() {
		a.client = client
		a.courier = &courier.Courier{Client: client, RelayOnly: a.b.app.Settings.RelayOnly, Loopback: a.b.cfg.Loopback, Relays: services, RootCAs: cfg.RootCAs, Log: a.b.log}
		a.receiveAnew()
		a.goOn()
	})
	defer func() {
		// Everything of this client ends before the client does.
		gone := make(chan *courier.Receiver, 1)
		a.b.post(func() {
			a.client = nil
			gone <- a.receiver
			a.receiver = nil
		})
		select {
		case r := <-gone:
			closeReceiver(r)
		case <-a.b.ended: // nobody owns these any more, and nobody else closes it
			select {
			case r := <-gone:
				closeReceiver(r)
			default:
				closeReceiver(a.receiver)
				a.receiver = nil
			}
		}
	}()
	a.tell(state.Online, nil)
	a.roster(client)
	a.b.wg.Go(func() { a.services(client) })
	looking, stop := context.WithCancel(a.ctx)
	defer stop()
	for range maxLookups {
		a.b.wg.Go(func() { a.lookUp(looking, client) })
	}
	for {
		select {
		case e, ok := <-sub.Events():
			if !ok {
				return fmt.Errorf("not online any more: %w", client.Err())
			}
			a.happened(client, e)
		case in, ok := <-client.Incoming():
			if ok {
				a.b.await(func() { a.b.incoming(a, in) })
			}
		case <-client.Done():
			return fmt.Errorf("not online any more: %w", client.Err())
		case <-a.ctx.Done():
			return a.ctx.Err()
		}
	}
}

func (a *account) happened(client *signaling.Client, e signaling.Event) {
	key := func(j jid.JID) state.Key { return state.Key{Account: a.kept.JID, JID: j.Bare().String()} }
	switch e := e.(type) {
	case signaling.Online:
		a.tell(state.Online, nil)
		a.roster(client)
	case signaling.Offline:
		a.tell(state.Offline, a.b.problem(e.Err, a.kept.JID))
	case signaling.RosterChanged:
		if e.Contact.Subscription == signaling.SubscriptionRemove {
			a.b.tell(state.ContactRemoved{Key: key(e.Contact.JID)})
			return
		}
		c := a.known(e.Contact)
		a.show(client, func(l *lookups) { l.listed[c.JID] = c })
		a.lookAt(e.Contact.JID.Bare().String())
	case signaling.PresenceChanged:
		a.lookAt(e.Device.JID.Bare().String())
	case signaling.SubscriptionRequest:
		a.b.await(func() { a.b.requested(a, state.Request{Key: key(e.From), Text: e.Status}) })
	case signaling.CallRecorded:
		a.apply(state.Recorded{Line: line(a.kept.JID, e.Record), Archived: e.Record.Archived})
	case signaling.ServicesChanged:
		a.b.wg.Go(func() { a.services(client) })
	case signaling.Missed:
		a.roster(client)
	}
}

// requested shows that somebody wants to be a contact. The first is said outside
// the window as well: anybody may send many, and the server sends those that
// are open again with each login. Owner only.
func (b *Bridge) requested(a *account, r state.Request) {
	if b.accounts[a.kept.JID] == nil {
		return // signed out meanwhile
	}
	first := len(b.app.Requests) == 0
	b.apply(state.Requested{Request: r})
	if first {
		b.unask()
		b.asking = b.notify(Notice{Title: r.JID, Asks: true, Open: func() {
			b.Do(state.Look{Event: state.Show{Page: state.PageContacts}})
			b.raise()
		}})
	}
}

// unask takes away what was said of a request. Owner only.
func (b *Bridge) unask() {
	if b.asking != nil {
		b.asking()
		b.asking = nil
	}
}

// services finds out whether there is a relay.
func (a *account) services(client *signaling.Client) {
	ctx, cancel := context.WithTimeout(a.ctx, servicesTime)
	defer cancel()
	list, err := client.Services(ctx)
	if err != nil {
		return
	}
	relay := len(a.b.cfg.File.Relays) > 0
	for _, s := range list {
		relay = relay || s.Type == "turn" || s.Type == "turns"
	}
	a.b.await(func() {
		if old, ok := a.b.app.Account(a.kept.JID); ok {
			old.NoRelay = !relay
			a.b.apply(state.AccountChanged{Account: old})
		}
	})
}

// roster shows all contacts at once, and asks their devices what they can do.
func (a *account) roster(client *signaling.Client) {
	var list []state.Contact
	for _, c := range client.Roster() {
		list = append(list, a.known(c))
	}
	a.b.await(func() {
		if a.ctx.Err() == nil {
			a.b.apply(state.RosterLoaded{Account: a.kept.JID, Contacts: list})
		}
	})
	for _, c := range list {
		a.lookAt(c.JID)
	}
}

// known is what the roster says of somebody.
func (a *account) known(c signaling.Contact) state.Contact {
	return state.Contact{
		Key: state.Key{Account: a.kept.JID, JID: c.JID.Bare().String()}, Name: c.Name,
		SeenByUs: c.SeenByUs(), SeesUs: c.SeesUs(), Asked: c.Asked,
	}
}

// ask does something with the server of an account. Owner only.
func (b *Bridge) ask(k state.Key, f func(ctx context.Context, client *signaling.Client, who jid.JID) error) {
	a := b.accounts[k.Account]
	j, err := jid.Parse(k.JID)
	switch {
	case a == nil || a.client == nil:
		b.apply(state.WentWrong{Problem: state.Problem{Code: "offline"}})
		return
	case err != nil || j.Localpart() == "":
		b.apply(state.WentWrong{Problem: state.Problem{Code: "bad-address"}})
		return
	}
	client := a.client
	b.wg.Go(func() {
		ctx, cancel := context.WithTimeout(a.ctx, commandTime)
		defer cancel()
		b.wrong(f(ctx, client, j.Bare()), k.JID)
	})
}
