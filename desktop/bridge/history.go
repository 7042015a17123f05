package bridge

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/carillon-im/carillon/desktop/history"
	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/signaling"
)

// What is shown of the past when an account is started.
const (
	pastCalls = 200
	pastFiles = 50
)

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

// historyPath is the file of past calls and transfers.
func historyPath(p config.Paths) string { return filepath.Join(p.State, "history.db") }

// keep stores a transfer that is over. Owner only.
func (b *Bridge) keep(id string) {
	t, ok := b.app.Transfer(id)
	a := b.accounts[t.Account]
	if !ok || b.db == nil || a == nil || b.isLeft(t) {
		return
	}
	a.goes(func() {
		err := b.db.PutTransfer(context.WithoutCancel(b.ctx), history.Transfer{
			ID: keptAs(t), Account: t.Account, Peer: t.JID, Incoming: t.Incoming, Names: t.Names, Files: t.Files,
			Size: t.Size, Done: t.Done, State: string(t.Phase), Path: string(t.Path), Place: t.Place, Verified: t.Verified, Start: t.Began,
		})
		b.wrong(err, "")
	})
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

// forgetTransfer takes a transfer off the page and out of the history. Owner only.
func (b *Bridge) forgetTransfer(t state.Transfer) {
	if a := b.accounts[t.Account]; a != nil && b.db != nil {
		a.goes(func() { b.wrong(b.db.RemoveTransfer(context.WithoutCancel(b.ctx), t.Account, keptAs(t)), "") })
	}
	b.apply(state.TransferGone{ID: t.ID})
}
