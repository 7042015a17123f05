package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/history"
	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/authorities"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/signaling"
)

const (
	maxEvents    = 1024             // of a client that wait for us
	maxLookups   = 4                // contacts whose devices are asked at once
	featuresWait = 5 * time.Second  // for devices to say what they can do
	commandTime  = 20 * time.Second // for the server to do what the user wants
	retryFirst   = 5 * time.Second
	retryLast    = 2 * time.Minute
	pastCalls    = 200
	pastFiles    = 50
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

// lookups are the contacts whose devices changed, and what was found. The
// roster bounds them: each is in it once.
type lookups struct {
	poke chan struct{} // there is somebody in todo

	mu     sync.Mutex
	todo   map[string]bool // bare JIDs
	busy   map[string]bool // likewise, that are asked now: what they said before must not come last
	listed map[string]state.Contact
	found  map[string]state.Contact
	told   bool // the owner will take what was found
}

// signaling is how we log in to an account, before what a use of it needs.
func (b *Bridge) signaling(kept accounts.Account, j jid.JID) (signaling.Config, error) {
	password, err := b.cfg.Store.Password(kept)
	cfg := signaling.Config{
		JID: j, Password: password, Server: kept.Server, Pins: b.cfg.Store.Pins(false), Version: b.cfg.Version,
		RootCAs: b.cfg.RootCAs, Registry: courier.NewRegistry(), Log: b.log,
	}
	if cfg.Server == "" {
		cfg.Server = b.cfg.File.Server
	}
	if cfg.RootCAs == nil && kept.CAFile != "" {
		if cfg.RootCAs, err = authorities.Read(kept.CAFile); err != nil {
			return cfg, err
		}
	}
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
		var auth *signaling.AuthError
		if errors.As(err, &auth) || errors.Is(err, accounts.ErrNoPassword) {
			link = state.LoggedOut // trying again would not help and may lock the account
		}
		a.tell(link, a.b.problem(err, a.kept.JID))
		if link == state.LoggedOut {
			return
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, retryLast)
		case <-a.ctx.Done():
		}
	}
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

// lookAt asks for what is known of a contact, soon and once.
func (a *account) lookAt(bare string) {
	a.look.mu.Lock()
	a.look.todo[bare] = true
	a.look.mu.Unlock()
	select {
	case a.look.poke <- struct{}{}:
	default: // all that look are told already
	}
}

// lookUp asks devices what they can do, one contact after the other.
func (a *account) lookUp(ctx context.Context, client *signaling.Client) {
	for {
		select {
		case <-a.look.poke:
			for j, ok := a.look.next(); ok && ctx.Err() == nil; j, ok = a.look.next() {
				if c, ok := a.contact(ctx, client, j); ok {
					a.show(client, func(l *lookups) { l.found[j] = c })
				}
				a.look.done(j)
			}
		case <-ctx.Done():
			return
		}
	}
}

// next returns somebody who is to be asked. Whoever asked them is done with
// them before it asks for the next.
func (l *lookups) next() (bare string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for j := range l.todo {
		if !l.busy[j] { // no more than maxLookups are
			delete(l.todo, j)
			l.busy[j] = true
			return j, true
		}
	}
	return "", false
}

func (l *lookups) done(bare string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, bare)
}

// show has the owner take what was found, and with it what is found until then:
// one change of the list of contacts costs as much as a thousand.
func (a *account) show(client *signaling.Client, put func(*lookups)) {
	l := &a.look
	l.mu.Lock()
	put(l)
	told := l.told
	l.told = true
	l.mu.Unlock()
	if told {
		return
	}
	a.b.await(func() {
		l.mu.Lock()
		listed, found := l.listed, l.found
		l.listed, l.found, l.told = make(map[string]state.Contact), make(map[string]state.Contact), false
		l.mu.Unlock()
		if a.ctx.Err() != nil {
			return // signed out meanwhile
		}
		a.b.apply(state.ContactsListed{Contacts: still(client, listed)}, state.ContactsChanged{Contacts: still(client, found)})
	})
}

// still leaves those who are contacts: some may have been removed meanwhile.
func still(client *signaling.Client, list map[string]state.Contact) (left []state.Contact) {
	for bare, c := range list {
		if j, err := jid.Parse(bare); err == nil {
			if _, ok := client.Contact(j); ok {
				left = append(left, c)
			}
		}
	}
	return left
}

func closeReceiver(r *courier.Receiver) {
	if r != nil {
		r.Close()
	}
}

// contact is what is known of somebody.
func (a *account) contact(ctx context.Context, client *signaling.Client, bare string) (state.Contact, bool) {
	j, err := jid.Parse(bare)
	if err != nil {
		return state.Contact{}, false
	}
	known, ok := client.Contact(j)
	if !ok {
		return state.Contact{}, false
	}
	c := a.known(known)
	ctx, cancel := context.WithTimeout(ctx, featuresWait)
	defer cancel()
	devices, err := client.Devices(ctx, j)
	if err != nil {
		a.b.log.Debug("devices are not known", "of", bare, "err", err)
	}
	best := map[state.Presence]int{state.Gone: 0, state.Busy: 1, state.Away: 2, state.Available: 3}
	c.NoDevice = len(devices) > 0
	for _, d := range devices {
		p := state.Available
		switch d.Show {
		case "away", "xa":
			p = state.Away
		case "dnd":
			p = state.Busy
		}
		if best[p] > best[c.Presence] {
			c.Presence, c.Status = p, d.Status
		}
		if d.Info == nil {
			c.NoDevice = false // not known is no reason
			continue
		}
		if d.CanCall() || d.CanJMI() {
			c.NoDevice = false
		}
		c.Video = c.Video || d.Info.Has("urn:xmpp:jingle:apps:rtp:video")
		usable, _ := ft.Choose(d.Info.Features, courier.Carriers()...)
		c.Files = c.Files || len(usable) > 0
	}
	return c, true
}

// loadHistory shows what is past.
func (a *account) loadHistory() {
	defer a.showLeft()
	db := a.b.db
	if db == nil {
		return
	}
	calls, err := db.Calls(a.ctx, history.Query{Account: a.kept.JID, Limit: pastCalls})
	if err != nil {
		a.b.wrong(err, a.kept.JID)
	}
	var lines []state.Line
	for _, c := range calls {
		l := line(a.kept.JID, c.CallRecord)
		l.Seen = c.Seen
		lines = append(lines, l)
	}
	a.apply(state.HistoryLoaded{Account: a.kept.JID, Lines: lines})
	files, err := db.Transfers(a.ctx, history.Query{Account: a.kept.JID, Limit: pastFiles})
	if err != nil {
		a.b.wrong(err, a.kept.JID)
	}
	a.b.await(func() {
		if a.ctx.Err() != nil {
			return
		}
		live := make(map[string]bool) // of this run: they are kept, and shown already
		for _, t := range a.b.app.Transfers {
			live[keptAs(t)] = true
		}
		for i := len(files) - 1; i >= 0; i-- { // the oldest first, for the newest is added at the top
			if !live[files[i].ID] {
				a.b.apply(state.TransferBegan{Transfer: pastTransfer(files[i])})
			}
		}
	})
}

func line(account string, r signaling.CallRecord) state.Line {
	l := state.Line{
		ID: r.SID, Key: state.Key{Account: account, JID: r.Peer.Bare().String()}, Incoming: r.Direction == signaling.In,
		Outcome: state.Outcome(r.Outcome), Start: r.Start, Duration: r.Duration,
	}
	for _, m := range r.Media {
		l.Video = l.Video || m == "video"
	}
	return l
}

// signIn logs in to an account and keeps it. Owner only.
func (b *Bridge) signIn(c state.SignInTo) {
	b.apply(state.SigningIn{})
	j, err := jid.Parse(c.JID)
	if err != nil || j.Localpart() == "" {
		b.apply(state.SignedIn{Problem: &state.Problem{Code: "bad-address"}})
		return
	}
	j = j.Bare()
	leaving := b.leaving[j.String()]
	b.wg.Go(func() {
		if leaving != nil {
			<-leaving
		}
		kept, err := b.tryAccount(j, c)
		b.await(func() {
			b.apply(state.SignedIn{Problem: b.signInProblem(err, j.String())})
			if err == nil {
				b.start(kept)
			}
		})
	})
}

func (b *Bridge) signInProblem(err error, who string) *state.Problem {
	if p := registerProblem(err); p != nil {
		return p
	}
	return b.problem(err, who)
}

func (b *Bridge) tryAccount(j jid.JID, c state.SignInTo) (accounts.Account, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 2*commandTime)
	defer cancel()
	kept := accounts.Account{JID: j.String(), Server: c.Server}
	cfg := signaling.Config{
		JID: j, Password: signaling.Secret(c.Password), Server: c.Server, RootCAs: b.cfg.RootCAs, Version: b.cfg.Version, Log: b.log,
		// Whoever logs in anew says that the server may have changed.
		Pins: b.cfg.Store.Pins(true), NoCalls: true, CatchUp: -1, Invisible: true,
	}
	if cfg.Server == "" {
		cfg.Server = b.cfg.File.Server
	}
	if c.Create {
		if err := signaling.Register(ctx, cfg, nil); err != nil {
			return kept, err
		}
	}
	client, err := signaling.Dial(ctx, cfg)
	if err != nil {
		return kept, err
	}
	if err := client.Close(); err != nil {
		b.log.Debug("goodbye", "err", err)
	}
	if kept.Mechanism, err = cfg.Pins.Load(kept.JID); err != nil {
		return kept, err
	}
	kept, err = b.cfg.Store.Save(kept, signaling.Secret(c.Password))
	if err != nil {
		return kept, fmt.Errorf("keep the account: %w", err)
	}
	return kept, nil
}

// signOut forgets an account. Owner only.
func (b *Bridge) signOut(bare string) {
	a := b.accounts[bare]
	if a == nil {
		return
	}
	delete(b.accounts, bare)
	a.stop()
	for id, s := range b.sends {
		if s.key.Account == bare {
			delete(b.sends, id)
		}
	}
	for id, o := range b.offers {
		if o.account == a {
			o.unnotify()
			delete(b.offers, id)
		}
	}
	b.looked(func(k state.Key) bool { return k.Account == bare })
	b.apply(state.AccountRemoved{JID: bare})
	gone := make(chan struct{})
	b.leaving[bare] = gone
	b.wg.Go(func() {
		_, err := b.cfg.Store.Remove(bare)
		a.wg.Wait() // its last call is written down when it ends
		b.wrong(errors.Join(err, b.forget(bare)), bare)
		close(gone)
		b.await(func() {
			if b.leaving[bare] == gone {
				delete(b.leaving, bare)
			}
		})
	})
}

// forget removes what is kept of an account besides its password: its calls and
// transfers, those that the command line left unfinished, which files had
// arrived, the keys of people, and its own. It does so also while the program
// ends.
func (b *Bridge) forget(bare string) error {
	errs := []error{outbox.Open(b.cfg.Paths.State).Forget(bare), b.ledger.Forget(bare)}
	if b.db != nil {
		errs = append(errs, b.db.Account(bare).Forget(context.WithoutCancel(b.ctx)))
	}
	if b.keys != nil {
		errs = append(errs, b.keys.Forget(bare, ""))
	}
	if err := os.Remove(identityPath(b.cfg.Paths, bare)); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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
