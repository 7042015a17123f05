package bridge

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/outbox"
)

// maxTries is at how many starts what failed for a reason that lasts is tried
// again by itself: a disk may be elsewhere, or theirs be full. Logins of one
// run count once, as a bad network has many.
const maxTries = 3

// A sending is files on their way to somebody.
type sending struct {
	key   state.Key
	paths []string
	stop  context.CancelCauseFunc // nil while it does not run
	// left is what is kept of it until it has arrived, so that it is there again
	// after the app was quit, and on the command line.
	left outbox.Outgoing
	// wait has it go on for as long as it takes: it was on its way when the app
	// was quit, or they are away.
	wait bool
	// counted says that this run of the app is one of those in which it failed.
	counted bool
	// gaveUp says that it failed so often that it is not kept any more.
	gaveUp bool
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
	phase := state.Offered
	if b.isAway(s.key) {
		phase = state.WaitsFor
		if !s.wait { // it is sent in this run, and the starts after it count
			s.wait, s.counted = true, true
		}
	}
	b.apply(state.TransferChanged{ID: id, Phase: phase})
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

// isAway reports whether somebody whose presence we see has no device online.
// Owner only.
func (b *Bridge) isAway(k state.Key) bool {
	c, ok := b.app.Contact(k)
	return ok && c.SeenByUs && c.Presence == state.Gone
}

// lasts reports whether a transfer that waits for as long as it takes ended with
// something that is there again when it is tried again, such as a full disk of
// theirs. What another user wanted is no such thing.
func lasts(done *courier.Done, err error) bool {
	var said *ft.DeclinedError
	switch {
	case err == nil:
		return len(done.Failed()) > 0
	case errors.As(err, &said) && noRoom[said.Text] != "":
		return true
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
		if t, ok := b.app.Transfer(id); ok && b.db != nil { // it is no more what it was
			b.wg.Go(func() { b.wrong(b.db.RemoveTransfer(b.ctx, t.Account, keptAs(t)), "") })
		}
	}
	b.resume(id, s)
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
		if t, _ := a.b.app.Transfer(id); t.Phase == state.Broke || t.Phase == state.WaitsFor {
			a.b.resume(id, s)
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
		if t, ok := b.app.Transfer(id); ok && b.isLeft(t) {
			return true
		}
	}
	return false
}

// forgetLeft forgets what is over, here and on the command line. Owner only.
func (b *Bridge) forgetLeft(id string, s *sending) {
	if t, ok := b.app.Transfer(id); ok && !b.isLeft(t) && !b.holds(s.left.ID) { // the same may be sent twice
		b.wg.Go(func() { b.wrong(outbox.Open(b.cfg.Paths.State).Remove(s.left.ID), "") })
	}
}
