package bridge

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/thumb"
	"github.com/carillon-im/carillon/internal/trouble"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// progressStep is the time between two looks at a transfer.
const progressStep = 200 * time.Millisecond

// Why a transfer was interrupted by our user.
var (
	errPaused    = trouble.ErrPaused
	errCancelled = errors.New("cancelled")
)

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

// changeTransfer changes what is known of one. Owner only.
func (b *Bridge) changeTransfer(id string, f func(*state.Transfer)) {
	if t, ok := b.app.Transfer(id); ok {
		f(&t)
		b.apply(state.TransferBegan{Transfer: t})
	}
}

// transferEvent shows what happens to a transfer. at is when progress was shown.
func (b *Bridge) transferEvent(id string, e courier.Event, at *time.Time) {
	switch e := e.(type) {
	case courier.Offered:
		b.await(func() {
			b.changeTransfer(id, func(t *state.Transfer) {
				t.Resumable = e.Offer.Resumable
				if t.Phase == state.WaitsFor {
					t.Phase = state.Offered
				}
			})
		})
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

// noRoom are the problems of who sends, by what a Carillon says that has no room
// for an offer.
var noRoom = map[string]string{exchange.ErrDiskFull.Error(): "no-room-there", courier.ErrQuota.Error(): "quota-there"}

// transferOver shows how it ended. Owner only.
func (b *Bridge) transferOver(id string, done *courier.Done, err, cause error, who string) {
	over := state.TransferChanged{ID: id, Phase: state.Arrived}
	var said *ft.DeclinedError
	var gaveUp *exchange.PeerError
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
	case errors.Is(err, courier.ErrQuota):
		over.Phase, over.Problem = state.Broke, &state.Problem{Code: "quota"}
	case errors.Is(err, ft.ErrDeclined) && errors.Is(err, exchange.ErrDiskFull):
		over.Phase, over.Problem = state.Broke, &state.Problem{Code: "no-room"}
	case errors.As(err, &said) && noRoom[said.Text] != "":
		over.Phase, over.Problem = state.Broke, &state.Problem{Code: noRoom[said.Text]}
	case errors.As(err, &gaveUp) && noRoom[gaveUp.Text] != "":
		over.Phase, over.Problem = state.Broke, &state.Problem{Code: noRoom[gaveUp.Text]}
	case errors.Is(err, ft.ErrDeclined):
		over.Phase = state.Refused
	case b.ctx.Err() != nil:
		return
	default:
		if t, ok := b.app.Transfer(id); ok {
			who = b.app.Name(t.Key)
		}
		over.Phase, over.Problem = state.Broke, b.problem(err, who)
	}
	if s := b.sends[id]; s != nil && over.Phase == state.Broke {
		over.GivenUp = s.gaveUp
	}
	b.apply(over)
	b.keep(id)
	b.tellSender(id)
}

// tellSender says that what our user sent was not taken, where they do not look at
// it: files are dropped on a name, and nothing else is opened. Owner only.
func (b *Bridge) tellSender(id string) {
	t, ok := b.app.Transfer(id)
	s := b.sends[id]
	looks := !b.app.Stage && (b.app.Page == state.PageTransfers || b.app.Page == state.PageContacts && b.app.Selected == t.Key)
	if !ok || s == nil || s.wait || looks {
		return
	}
	p := state.Problem{Code: "declined", Who: b.app.Name(t.Key), Detail: strings.Join(t.Names, ", ")}
	switch {
	case t.Phase == state.Broke && t.Problem != nil:
		p.Code = t.Problem.Code
		if p.Code == "failed" { // there is no other word for it than its own
			p.Detail = t.Problem.Detail
		}
	case t.Phase != state.Refused:
		return
	}
	b.apply(state.WentWrong{Problem: p})
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

// openPlace shows a received file. Owner only.
func (b *Bridge) openPlace(id string) {
	t, _ := b.app.Transfer(id)
	if t.Place == "" || b.cfg.Desktop.Open == nil {
		return
	}
	b.wg.Go(func() {
		place := t.Place
		if info, err := os.Stat(place); err == nil && !info.IsDir() {
			place = filepath.Dir(place)
		}
		if err := b.cfg.Desktop.Open(place); err != nil {
			b.tell(state.WentWrong{Problem: state.Problem{Code: "no-opener", Detail: err.Error()}})
		}
	})
}
