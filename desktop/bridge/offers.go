package bridge

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// An offer is something that somebody wants to send, until it is over.
type offer struct {
	account *account
	session courier.Session
	answer  chan error
	remove  func()    // the notification of it; nil without one
	at      time.Time // when progress was shown last
}

// unnotify takes the notification of an offer away. Owner only.
func (o *offer) unnotify() {
	if o != nil && o.remove != nil {
		o.remove()
		o.remove = nil
	}
}

// seen takes away what was said of offers that the user looks at. Owner only.
func (b *Bridge) seen(at func(state.Key) bool) {
	for _, t := range b.app.Transfers {
		if at(t.Key) {
			b.offers[t.ID].unnotify()
		}
	}
}

// receiveAnew takes files with the settings of now. Owner only.
func (a *account) receiveAnew() {
	if a.courier == nil || a.client == nil {
		return
	}
	old := a.receiver
	if old != nil {
		a.b.wg.Go(old.Close)
	}
	s := a.b.app.Settings
	anew := *a.courier // what runs goes on reading the old one
	anew.RelayOnly = s.RelayOnly
	a.courier = &anew
	if err := exchange.CheckDir(s.Folder); err != nil {
		a.b.apply(state.WentWrong{Problem: *a.b.problem(err, "")})
		return
	}
	dir := s.Folder
	r, err := a.courier.Receive(courier.ReceiveConfig{
		Dir: dir, Quota: s.Quota, Ledger: a.b.ledger,
		Decide:  func(ctx context.Context, o courier.Offered) error { return a.decide(ctx, o) },
		OnEvent: func(e courier.Event) { a.receiving(e) },
		OnDone:  func(d *courier.Done, err error) { a.received(d, err, dir) },
	})
	if err != nil {
		a.b.apply(state.WentWrong{Problem: *a.b.problem(err, "")})
		return
	}
	a.receiver = r
}

// transferID names what comes in. Peers choose their session IDs, so two
// devices may use the same.
func (a *account) transferID(s courier.Session) string {
	return fmt.Sprintf("r:%s:%q:%q", a.kept.JID, s.Peer, s.SID)
}

func (a *account) receiving(e courier.Event) {
	switch e := e.(type) {
	case courier.Offered:
		id := a.transferID(e.Session)
		phase := state.Offered
		if e.Resumed {
			phase = state.Moves
		}
		small := shown(e.Offer.Thumbnail)
		a.b.await(func() {
			if a.ctx.Err() != nil {
				return
			}
			a.b.offers[id] = &offer{account: a, session: e.Session, answer: make(chan error, 1)}
			t := state.Transfer{
				ID: id, Key: state.Key{Account: a.kept.JID, JID: e.Peer.Bare().String()}, Incoming: true,
				Names: e.Offer.Names, Files: e.Offer.Files, Size: e.Offer.Size, Phase: phase, Resumable: e.Offer.Resumable, Thumbnail: small, Began: time.Now(),
			}
			a.b.goesOn(t, e.Resumed)
			a.b.apply(state.TransferBegan{Transfer: t})
		})
	case courier.Happened:
		id := a.transferID(e.Session)
		var at time.Time
		got := make(chan struct{})
		a.b.await(func() {
			if o := a.b.offers[id]; o != nil {
				at = o.at
				if _, ok := e.What.(ft.Progressing); ok && time.Since(at) >= progressStep {
					o.at = time.Now()
				}
			}
			close(got)
		})
		select {
		case <-got:
			a.b.transferEvent(id, e, &at)
		case <-a.b.ctx.Done():
		}
	}
}

// goesOn takes away the lines of what t, which comes in, goes on with: it is one
// transfer to a person, however often it was interrupted. What was not answered
// before the sender's program ended is offered again. Owner only.
func (b *Bridge) goesOn(t state.Transfer, resumed bool) {
	for _, old := range b.app.Transfers {
		if old.Incoming && old.Key == t.Key && old.Size == t.Size && slices.Equal(old.Names, t.Names) && b.offers[old.ID] == nil &&
			(old.Unanswered || resumed && (old.Phase == state.Paused || old.Phase == state.Broke || old.Phase == state.Cancelled)) {
			b.forgetTransfer(old)
		}
	}
}

// decide waits for the user, unless files of contacts are always taken.
func (a *account) decide(ctx context.Context, o courier.Offered) error {
	id := a.transferID(o.Session)
	asked := make(chan *offer, 1)
	a.b.await(func() {
		open := a.b.offers[id]
		if open != nil && o.Known && a.b.app.Settings.TakeFiles {
			select {
			case open.answer <- nil:
			default: // answered already
			}
		} else if open != nil {
			key := state.Key{Account: a.kept.JID, JID: o.Peer.Bare().String()}
			open.unnotify()
			open.remove = a.b.notify(Notice{Title: a.b.app.Name(key), Body: strings.Join(o.Offer.Names, ", "), Offers: true, Size: o.Offer.Size, Open: func() {
				a.b.Do(state.Look{Event: state.Show{Page: state.PageTransfers}})
				a.b.raise()
			}})
		}
		asked <- open
	})
	select {
	case open := <-asked:
		if open == nil {
			return ft.ErrDeclined
		}
		select {
		case err := <-open.answer:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *account) received(d *courier.Done, err error, dir string) {
	id := a.transferID(d.Session)
	var small *filetransfer.Thumbnail
	if err == nil && len(d.Files) == 1 {
		small = lookAt(filepath.Join(dir, filepath.FromSlash(d.Files[0].Path)))
	}
	a.b.await(func() {
		a.b.offers[id].unnotify()
		delete(a.b.offers, id)
		if courier.Superseded(err) {
			a.b.apply(state.TransferGone{ID: id})
			return
		}
		a.b.transferOver(id, d, err, nil, d.Peer.Bare().String())
		if err != nil {
			return
		}
		place := dir
		if len(d.Files) == 1 {
			place = filepath.Join(dir, filepath.FromSlash(d.Files[0].Path))
		}
		a.b.changeTransfer(id, func(t *state.Transfer) {
			t.Place = place
			if small != nil {
				t.Thumbnail = small.Data
			}
		})
		a.b.keep(id)
	})
}

// answerOffer takes or refuses what is offered. Owner only.
func (b *Bridge) answerOffer(id string, err error) {
	o := b.offers[id]
	if o == nil {
		return
	}
	select {
	case o.answer <- err:
		o.unnotify()
		phase := state.Moves
		if err != nil {
			phase = state.Refused
		}
		b.apply(state.TransferChanged{ID: id, Phase: phase})
	default: // answered already
	}
}

// cancelPaused gives up what was coming in and is paused: it has no session that
// could be told. Owner only.
func (b *Bridge) cancelPaused(id string) {
	if t, _ := b.app.Transfer(id); t.Incoming && t.Phase == state.Paused {
		b.apply(state.TransferChanged{ID: id, Phase: state.Cancelled})
		b.keep(id)
	}
}

func closeReceiver(r *courier.Receiver) {
	if r != nil {
		r.Close()
	}
}
