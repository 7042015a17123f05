package bridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/history"
	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/internal/thumb"
	"github.com/carillon-im/carillon/internal/trouble"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

const (
	// progressStep is the time between two looks at a transfer.
	progressStep = 200 * time.Millisecond
	// maxTries is at how many starts what failed for a reason that lasts is tried
	// again by itself: a disk may be elsewhere, or theirs be full. Logins of one
	// run count once, as a bad network has many.
	maxTries = 3
)

// Why a transfer was interrupted by our user.
var (
	errPaused    = trouble.ErrPaused
	errCancelled = errors.New("cancelled")
)

// A sending is files on their way to somebody.
type sending struct {
	key   state.Key
	paths []string
	stop  context.CancelCauseFunc // nil while it does not run
	// left is what is kept of it until it has arrived, so that it is there again
	// after the app was quit, and on the command line.
	left outbox.Outgoing
	// wait has it go on for as long as it takes: it was on its way when the app
	// was quit.
	wait bool
	// counted says that this run of the app is one of those in which it failed.
	counted bool
	// gaveUp says that it failed so often that it is not kept any more.
	gaveUp bool
}

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

// send begins a transfer, or goes on with one. Owner only.
func (b *Bridge) send(k state.Key, paths []string) {
	id := b.id("s")
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	s := &sending{key: k, paths: paths}
	began := time.Now()
	s.left = outbox.Outgoing{Account: k.Account, To: k.JID, Bytes: -1, Began: began.UTC(), App: true}
	for _, p := range paths {
		s.left.Paths = append(s.left.Paths, outbox.Path(p))
	}
	s.left.ID = s.left.Key()
	b.sends[id] = s
	b.apply(state.TransferBegan{Transfer: state.Transfer{ID: id, Key: k, Names: names, Files: len(paths), Size: -1, Phase: state.Offered, Began: began}})
	b.resume(id, s)
}

// resume runs a transfer of ours. Owner only.
func (b *Bridge) resume(id string, s *sending) {
	a := b.accounts[s.key.Account]
	to, err := jid.Parse(s.key.JID)
	if s.stop != nil {
		return // it runs
	}
	if a == nil || a.courier == nil || a.client == nil || err != nil {
		b.apply(state.TransferChanged{ID: id, Phase: state.Broke, Problem: &state.Problem{Code: "offline"}})
		if left := s.left; a != nil {
			a.goes(func() { b.keepLeft(left) })
		}
		return
	}
	ctx, stop := context.WithCancelCause(a.ctx)
	s.stop = stop
	b.apply(state.TransferChanged{ID: id, Phase: state.Offered})
	left, wait := s.left, s.wait
	a.goes(func() {
		b.keepLeft(left)
		src, err := exchange.Scan(ctx, s.paths...)
		var done *courier.Done
		if err == nil {
			summary := ft.Summary(src.Manifest)
			left.Bytes = summary.Size
			b.keepLeft(left)
			small := look(src)
			b.await(func() {
				b.changeTransfer(id, func(t *state.Transfer) {
					t.Files, t.Size = summary.Files, summary.Size
					if small != nil {
						t.Thumbnail = small.Data
					}
				})
			})
			// Reading takes a while; what the user chose meanwhile counts.
			now, hidden := make(chan *courier.Courier, 1), false
			b.await(func() {
				hidden = b.app.Settings.NoPreview
				now <- s.with(a.courier)
			})
			select {
			case c := <-now:
				offered := small
				if hidden {
					offered = nil
				}
				var at time.Time
				done, err = c.Send(ctx, to, src, courier.SendOptions{
					Thumbnail: offered, Plain: left.Plain, Wait: wait,
					RelayOnly: func() bool { return s.hidden(b.State().Settings) },
					OnEvent:   func(e courier.Event) { b.transferEvent(id, e, &at) },
				})
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		cause := context.Cause(ctx)
		stop(nil)
		if errors.Is(cause, errPaused) || errors.Is(err, exchange.ErrPaused) {
			paused := left
			paused.Paused = true
			b.keepLeft(paused)
		}
		b.await(func() {
			s.stop, s.left.Bytes = nil, left.Bytes
			if wait && cause == nil && !s.counted && lasts(done, err) {
				s.counted = true
				if s.left.Tries++; s.left.Tries >= maxTries {
					s.wait, s.gaveUp = false, true
				} else {
					tried := s.left
					a.goes(func() { b.keepLeft(tried) })
				}
			}
			b.transferOver(id, done, err, cause, s.key.JID)
			b.forgetLeft(id, s)
		})
	})
}

// lasts reports whether a transfer that waits for as long as it takes ended with
// something that is there again when it is tried again. What another user wanted
// is no such thing.
func lasts(done *courier.Done, err error) bool {
	switch {
	case err == nil:
		return len(done.Failed()) > 0
	case errors.Is(err, exchange.ErrPaused), errors.Is(err, exchange.ErrCancelled), errors.Is(err, ft.ErrDeclined):
		return false
	}
	return true
}

// anew goes on with a transfer because our user wants it. Owner only.
func (b *Bridge) anew(id string, s *sending) {
	s.left.Tries = 0
	if s.gaveUp {
		s.gaveUp = false
		for _, t := range b.app.Transfers {
			if t.ID == id && b.db != nil { // it is no more what it was
				b.wg.Go(func() { b.wrong(b.db.RemoveTransfer(b.ctx, t.Account, keptAs(t)), "") })
			}
		}
	}
	b.resume(id, s)
}

// look returns a small image of the file in a source that holds one, or nil
// when that is no image.
func look(src *exchange.Source) *filetransfer.Thumbnail {
	if len(src.Manifest) != 1 || src.Manifest[0].Dir {
		return nil
	}
	return lookAt(src.Local(0))
}

func lookAt(path string) *filetransfer.Thumbnail {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png", ".jpg", ".jpeg":
		if t, err := thumb.Make(path); err == nil {
			return t
		}
	}
	return nil // it is shown as any file
}

// shown is the image in an offer, when it is one.
func shown(t *filetransfer.Thumbnail) []byte {
	if !t.Usable() {
		return nil
	}
	if _, err := thumb.Decode(t.Data); err != nil {
		return nil
	}
	return t.Data
}

// with returns the courier that carries s: one that keeps to what the command
// line was told.
func (s *sending) with(c *courier.Courier) *courier.Courier {
	own := *c
	if len(s.left.Transport) > 0 {
		own.Carriers = courier.Carriers(s.left.Transport...)
	}
	return &own
}

// hidden reports whether s keeps our addresses from others.
func (s *sending) hidden(now state.Settings) bool {
	return now.RelayOnly || s.left.RelayOnly
}

// keepLeft keeps what the app sends until it has arrived. What the command line
// left is kept already.
func (b *Bridge) keepLeft(o outbox.Outgoing) {
	if !o.App {
		return
	}
	if _, err := outbox.Open(b.cfg.Paths.State).Put(o); err != nil {
		b.wrong(err, "") // it is sent all the same
	}
}

// isLeft reports whether a transfer is there again after the app was quit.
// Owner only.
func (b *Bridge) isLeft(t state.Transfer) bool {
	s := b.sends[t.ID]
	return s != nil && !s.gaveUp && t.Phase != state.Arrived && t.Phase != state.Refused && t.Phase != state.Cancelled
}

// goOn resumes what was on its way when the app was quit. Owner only.
func (a *account) goOn() {
	for id, s := range a.b.sends {
		if s.key.Account != a.kept.JID || !s.wait {
			continue
		}
		for _, t := range a.b.app.Transfers {
			if t.ID == id && (t.Phase == state.Broke || t.Phase == state.WaitsFor) {
				a.b.resume(id, s)
				break
			}
		}
	}
}

// showLeft shows what was left unfinished from an account, by "carillon send"
// or when the app was quit. What the command line was to send slowly stays with
// it, as the app knows no limits.
func (a *account) showLeft() {
	b, account := a.b, a.kept.JID
	list, err := outbox.Open(b.cfg.Paths.State).Outgoing()
	b.wrong(err, account)
	b.await(func() {
		if a.ctx.Err() != nil {
			return // signed out meanwhile
		}
		for _, o := range list {
			to, err := jid.Parse(o.To)
			id := "o:" + o.ID
			if o.Account != account || o.Limit != "" || err != nil || b.holds(o.ID) {
				continue
			}
			var names []string
			var paths []string
			for _, p := range o.Paths {
				paths = append(paths, string(p))
				names = append(names, filepath.Base(string(p)))
			}
			key := state.Key{Account: account, JID: to.Bare().String()}
			phase, wait := state.Paused, o.App && !o.Paused
			if wait {
				phase = state.WaitsFor // and goes on as soon as we are online
			}
			o.Paused = false // when it goes on
			b.sends[id] = &sending{key: key, paths: paths, left: o, wait: wait}
			b.apply(state.TransferBegan{Transfer: state.Transfer{
				ID: id, Key: key, Names: names, Files: len(names), Size: o.Bytes, Phase: phase, Resumable: !o.Plain, Began: o.Began,
			}})
		}
	})
}

// holds reports whether what is kept under an id is shown already. Owner only.
func (b *Bridge) holds(left string) bool {
	for id, s := range b.sends {
		if s.left.ID != left {
			continue
		}
		for _, t := range b.app.Transfers {
			if t.ID == id && b.isLeft(t) {
				return true
			}
		}
	}
	return false
}

// forgetLeft forgets what is over, here and on the command line. Owner only.
func (b *Bridge) forgetLeft(id string, s *sending) {
	for _, t := range b.app.Transfers {
		if t.ID == id && !b.isLeft(t) && !b.holds(s.left.ID) { // the same may be sent twice
			b.wg.Go(func() { b.wrong(outbox.Open(b.cfg.Paths.State).Remove(s.left.ID), "") })
		}
	}
}

// changeTransfer changes what is known of one. Owner only.
func (b *Bridge) changeTransfer(id string, f func(*state.Transfer)) {
	for _, t := range b.app.Transfers {
		if t.ID == id {
			f(&t)
			b.apply(state.TransferBegan{Transfer: t})
			return
		}
	}
}

// transferEvent shows what happens to a transfer. at is when progress was shown.
func (b *Bridge) transferEvent(id string, e courier.Event, at *time.Time) {
	switch e := e.(type) {
	case courier.Offered:
		b.await(func() { b.changeTransfer(id, func(t *state.Transfer) { t.Resumable = e.Offer.Resumable }) })
	case courier.Waiting:
		b.tell(state.TransferChanged{ID: id, Phase: state.WaitsFor})
	case courier.Happened:
		switch e := e.What.(type) {
		case ft.Progressing:
			// The last one always counts.
			if now := time.Now(); now.Sub(*at) >= progressStep || e.Bytes == e.Total {
				*at = now
				b.tell(state.TransferMoved{ID: id, Done: e.Bytes, Size: e.Total, At: now})
			}
		case ft.Carrying:
			path := state.PathDirect
			if e.Stream.Relayed {
				path = state.PathRelay
			}
			b.tell(state.TransferCarried{ID: id, Path: path})
		}
	}
}

// transferOver shows how it ended. Owner only.
func (b *Bridge) transferOver(id string, done *courier.Done, err, cause error, who string) {
	over := state.TransferChanged{ID: id, Phase: state.Arrived}
	if err == nil && len(done.Failed()) > 0 {
		err = &courier.IncompleteError{Files: done.Failed()}
	}
	switch {
	case err == nil:
		over.Verified = done.Verified
	case errors.Is(cause, errPaused), errors.Is(err, exchange.ErrPaused):
		over.Phase = state.Paused
	case errors.Is(cause, errCancelled), errors.Is(err, exchange.ErrCancelled):
		over.Phase = state.Cancelled
	case errors.Is(err, ft.ErrDeclined):
		over.Phase = state.Refused
	case errors.Is(err, courier.ErrQuota):
		over.Phase, over.Problem = state.Broke, &state.Problem{Code: "quota"}
	case b.ctx.Err() != nil:
		return
	default:
		over.Phase, over.Problem = state.Broke, b.problem(err, b.app.Name(state.Key{JID: who}))
	}
	if s := b.sends[id]; s != nil && over.Phase == state.Broke {
		over.GivenUp = s.gaveUp
	}
	b.apply(over)
	b.keep(id)
}

// keep stores a transfer that is over. Owner only.
func (b *Bridge) keep(id string) {
	for _, t := range b.app.Transfers {
		a := b.accounts[t.Account]
		if t.ID != id || b.db == nil || a == nil || b.isLeft(t) {
			continue
		}
		a.goes(func() {
			err := b.db.PutTransfer(context.WithoutCancel(b.ctx), history.Transfer{
				ID: keptAs(t), Account: t.Account, Peer: t.JID, Incoming: t.Incoming, Names: t.Names, Files: t.Files,
				Size: t.Size, Done: t.Done, State: string(t.Phase), Path: string(t.Path), Place: t.Place, Verified: t.Verified, Start: t.Began,
			})
			b.wrong(err, "")
		})
	}
}

// keptAs is the name of a transfer in the history.
func keptAs(t state.Transfer) string {
	if past, ok := strings.CutPrefix(t.ID, pastID(t.Account, "")); ok {
		return past
	}
	return fmt.Sprintf("%s-%d", t.ID, t.Began.UnixNano())
}

// pastID names a transfer of an earlier run, which the history keeps as kept.
func pastID(account, kept string) string { return "h:" + account + ":" + kept }

// pastTransfer is one of an earlier run of the app.
func pastTransfer(t history.Transfer) state.Transfer {
	s := state.Transfer{
		ID: pastID(t.Account, t.ID), Key: state.Key{Account: t.Account, JID: t.Peer}, Incoming: t.Incoming, Names: t.Names, Files: t.Files,
		Size: t.Size, Done: t.Done, Phase: state.Moving(t.State), Path: state.Path(t.Path), Place: t.Place, Verified: t.Verified, Began: t.Start,
	}
	if !s.Phase.Over() && !(s.Incoming && s.Phase == state.Paused) { // which the sender may go on with
		s.Phase = state.Broke // nothing of it runs any more
	}
	return s
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
			if e.Resumed {
				a.b.goesOn(t)
			}
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
// transfer to a person, however often it was interrupted. Owner only.
func (b *Bridge) goesOn(t state.Transfer) {
	for _, old := range b.app.Transfers {
		if old.Incoming && old.Key == t.Key && old.Size == t.Size && slices.Equal(old.Names, t.Names) && b.offers[old.ID] == nil &&
			(old.Phase == state.Paused || old.Phase == state.Broke || old.Phase == state.Cancelled) {
			b.forgetTransfer(old)
		}
	}
}

// forgetTransfer takes a transfer off the page and out of the history. Owner only.
func (b *Bridge) forgetTransfer(t state.Transfer) {
	if a := b.accounts[t.Account]; a != nil && b.db != nil {
		a.goes(func() { b.wrong(b.db.RemoveTransfer(context.WithoutCancel(b.ctx), t.Account, keptAs(t)), "") })
	}
	b.apply(state.TransferGone{ID: t.ID})
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

// interrupt pauses or cancels a transfer. Owner only.
func (b *Bridge) interrupt(id string, why error) {
	if s := b.sends[id]; s != nil {
		s.wait = false
		switch {
		case s.stop != nil:
			s.stop(why)
		case errors.Is(why, errPaused): // it waits for us to be online
			paused := s.left
			paused.Paused = true
			b.apply(state.TransferChanged{ID: id, Phase: state.Paused})
			if a := b.accounts[s.key.Account]; a != nil {
				a.goes(func() { b.keepLeft(paused) })
			}
		case errors.Is(why, errCancelled):
			b.apply(state.TransferChanged{ID: id, Phase: state.Cancelled})
			b.forgetLeft(id, s)
		}
		return
	}
	o := b.offers[id]
	if o == nil && errors.Is(why, errCancelled) {
		b.cancelPaused(id)
	}
	if o == nil || o.account.receiver == nil {
		return
	}
	if errors.Is(why, errCancelled) {
		o.account.receiver.Cancel(o.session)
	} else {
		o.account.receiver.Pause(o.session)
	}
}

// cancelPaused gives up what was coming in and is paused: it has no session that
// could be told. Owner only.
func (b *Bridge) cancelPaused(id string) {
	for _, t := range b.app.Transfers {
		if t.ID == id && t.Incoming && t.Phase == state.Paused {
			b.apply(state.TransferChanged{ID: id, Phase: state.Cancelled})
			b.keep(id)
		}
	}
}

// openPlace shows a received file. Owner only.
func (b *Bridge) openPlace(id string) {
	for _, t := range b.app.Transfers {
		if t.ID == id && t.Place != "" && b.cfg.Desktop.Open != nil {
			place := t.Place
			b.wg.Go(func() {
				if info, err := os.Stat(place); err == nil && !info.IsDir() {
					place = filepath.Dir(place)
				}
				if err := b.cfg.Desktop.Open(place); err != nil {
					b.tell(state.WentWrong{Problem: state.Problem{Code: "no-opener", Detail: err.Error()}})
				}
			})
		}
	}
}
