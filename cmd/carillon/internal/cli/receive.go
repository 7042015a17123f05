package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/files"
	"github.com/carillon-im/carillon/cmd/carillon/internal/interrupt"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// What --accept may say.
const (
	acceptAsk      = "ask"
	acceptContacts = "contacts"
	acceptAll      = "all"
)

// maxOutcomes bounds the ends of transfers that --once has not looked at.
const maxOutcomes = 64

// A reception is a running "carillon receive".
type reception struct {
	cmd      receiveCmd
	app      *app
	view     *files.View
	keys     chan rune // nil when nobody is asked
	asking   sync.Mutex
	outcomes chan error // of transfers that are over, for --once
	leaving  atomic.Bool
}

func (c receiveCmd) Run(ctx context.Context, a *app) (err error) {
	r := &reception{cmd: c, app: a, view: files.NewView(a.screen, a.json), outcomes: make(chan error, maxOutcomes)}
	var wanted []jid.JID // nil for everybody
	for _, s := range c.From {
		j, err := parseJID(s)
		if err != nil {
			return err
		}
		wanted = append(wanted, j.Bare())
	}
	cfg := courier.ReceiveConfig{Dir: c.Dir, Wanted: func(from jid.JID) bool { return chosen(from, wanted) }, Decide: r.decide, Ledger: a.box().Ledger(), SHA256: a.json != nil, OnEvent: r.view.Happened, OnDone: r.done}
	for _, q := range []struct {
		text string
		to   *int64
	}{{c.Quota, &cfg.Quota}, {c.QuotaPerContact, &cfg.QuotaPerContact}} {
		if q.text == "" {
			continue
		}
		if *q.to, err = files.ParseSize(q.text); err != nil {
			return trouble.Usagef("", "%v", err)
		}
	}
	if cfg.Dir, err = filepath.Abs(c.Dir); err != nil {
		return fmt.Errorf("find the folder for received files: %w", err)
	}
	if err := exchange.CheckDir(cfg.Dir); err != nil {
		return err
	}
	if err := a.box().AddFolder(cfg.Dir); err != nil {
		a.screen.Warn("%s", screen.Escape(err.Error())) // "carillon transfers" will not list it
	}
	co, err := a.courier(ctx, c.pathFlags, func(cfg *signaling.Config) {
		if c.Accept == acceptAll {
			cfg.Strangers = signaling.StrangersRing
		}
	})
	if err != nil {
		return err
	}
	defer closing(co.Client, &err)
	stop, err := r.readKeys(ctx)
	if err != nil {
		return err
	}
	defer stop()
	news := co.Client.Subscribe(maxEvents)
	defer news.Close()
	receiver, err := co.Receive(cfg)
	if err != nil {
		return err
	}
	defer receiver.Close() // before the client, so that farewells are sent
	if a.json != nil {
		if err := a.json.Event(events.Online{JID: co.Client.JID().String()}); err != nil {
			return err
		}
	}
	a.screen.Printf("online as %s, receiving into %s", screen.Escape(co.Client.JID().String()), screen.Escape(cfg.Dir))
	return r.serve(ctx, co.Client, news)
}

// serve waits until the program shall end.
func (r *reception) serve(ctx context.Context, client *signaling.Client, news *signaling.Subscription) error {
	for {
		select {
		case err := <-r.outcomes:
			if r.cmd.Once {
				return err
			}
		case e := <-news.Events():
			switch e := e.(type) {
			case signaling.StrangerOffered:
				r.stranger(e.Offer)
			case signaling.Offline:
				r.app.screen.Warn("connection to the server lost, reconnecting: %s", screen.Escape(fmt.Sprint(e.Err)))
			}
		case <-client.Done():
			return fmt.Errorf("not online any more: %w", client.Err())
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, interrupt.ErrInterrupted) {
				return err
			}
			r.leaving.Store(true)
			r.app.screen.Printf("going offline")
			return nil
		}
	}
}

// stranger shows what somebody who is no contact offers. They were told that
// nobody is here.
func (r *reception) stranger(o signaling.Offer) {
	offer, ok := ft.ReadOffers(o.Jingle.Contents)
	if !ok {
		return
	}
	r.view.Happened(courier.Offered{Session: courier.Session{SID: o.SID, Peer: o.From}, Offer: offer, Incoming: true})
	r.view.Over(o.SID)
	r.app.screen.Printf(`they do not see that you are online; "carillon contacts add %s" lets them`, screen.Escape(o.From.Bare().String()))
}

// decide says whether an offer is taken.
func (r *reception) decide(ctx context.Context, o courier.Offered) error {
	switch {
	case r.cmd.Accept == acceptAll, r.cmd.Accept == acceptContacts && o.Known:
		return nil
	case !o.Known:
		return ft.ErrDeclined
	}
	return r.ask(ctx)
}

// ask waits for a person, one offer after the other.
func (r *reception) ask(ctx context.Context) error {
	r.asking.Lock()
	defer r.asking.Unlock()
	if r.app.screen.Interactive() {
		r.app.screen.Printf("a accepts, d declines")
	} else {
		r.app.screen.Printf("write a and Enter to accept, d and Enter to decline")
	}
	for {
		select {
		case k, ok := <-r.keys:
			switch {
			case !ok:
				r.app.screen.Warn("nobody can accept: the input has ended, and --accept is ask")
				return ft.ErrDeclined
			case k == 'a' || k == 'y' || k == '\r':
				return nil
			case k == 'd' || k == 'n' || k == 'q':
				return ft.ErrDeclined
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// done shows how a transfer ended.
func (r *reception) done(d *courier.Done, err error) {
	switch {
	case err == nil:
		r.view.Done(d, true)
		if failed := d.Failed(); len(failed) > 0 {
			err = &courier.IncompleteError{Files: failed}
			r.view.Failed(d.Session, err)
		}
	case errors.Is(err, ft.ErrDeclined):
		var refused *ft.RefusedError
		if errors.As(err, &refused) {
			r.view.Declined(d.Session, "declined: "+refused.Text)
		} else {
			r.view.Declined(d.Session, "declined")
		}
		err = nil
	case courier.Superseded(err):
		r.view.Over(d.SID)
		return
	default:
		if r.leaving.Load() && errors.Is(err, exchange.ErrPaused) {
			err = trouble.ErrPaused // by us
		}
		r.view.Failed(d.Session, err)
		return // what was interrupted is waited for, also with --once
	}
	select {
	case r.outcomes <- err:
	default:
	}
}

// readKeys reads answers when somebody is to be asked.
func (r *reception) readKeys(ctx context.Context) (stop func(), err error) {
	if r.cmd.Accept != acceptAsk {
		return func() {}, nil
	}
	keys, err := r.app.screen.Keys(ctx, r.app.env.Stdin)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	closed := make(chan struct{})
	r.keys = make(chan rune)
	wg.Go(func() {
		defer close(r.keys)
		for {
			select {
			case k, ok := <-keys.C():
				if !ok {
					return
				}
				if k == screen.Interrupt {
					r.app.stop.Now()
					continue
				}
				select {
				case r.keys <- k:
				case <-closed:
					return
				}
			case <-closed:
				return
			}
		}
	})
	return func() {
		close(closed)
		wg.Wait()
		keys.Close()
	}, nil
}
