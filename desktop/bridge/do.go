package bridge

import (
	"context"
	"errors"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/signaling"
)

// Do does what the user wants. It does not wait and may be called from any
// goroutine; what comes of it is shown.
func (b *Bridge) Do(c state.Command) {
	b.post(func() { b.carryOut(c) })
}

func (b *Bridge) carryOut(c state.Command) {
	switch c := c.(type) {
	case state.Look:
		b.apply(c.Event)
		switch e := c.Event.(type) {
		case state.Show:
			switch e.Page {
			case state.PageSettings:
				b.findDevices()
			case state.PageTransfers:
				b.seen(func(state.Key) bool { return true })
			case state.PageCalls:
				b.looked(func(state.Key) bool { return true })
				if b.db != nil {
					b.wg.Go(func() { b.wrong(b.db.See(b.ctx, ""), "") })
				}
			}
		case state.Select:
			b.looked(func(k state.Key) bool { return k == e.Key })
			b.seen(func(k state.Key) bool { return k == e.Key })
		}
	case state.SignInTo:
		b.signIn(c)
	case state.SignOut:
		b.signOut(c.JID)
	case state.AddContact:
		b.ask(c.Key, func(ctx context.Context, client *signaling.Client, who jid.JID) error {
			return client.Befriend(ctx, who, c.Name)
		})
		b.apply(state.Select{Key: c.Key})
	case state.RenameContact:
		b.ask(c.Key, func(ctx context.Context, client *signaling.Client, who jid.JID) error {
			known, _ := client.Contact(who)
			return client.AddContact(ctx, who, c.Name, known.Groups...)
		})
	case state.RemoveContact:
		b.ask(c.Key, func(ctx context.Context, client *signaling.Client, who jid.JID) error {
			return client.RemoveContact(ctx, who)
		})
	case state.AnswerRequest:
		b.apply(state.RequestAnswered{Key: c.Key})
		b.unask() // who looks at one sees the others
		b.ask(c.Key, func(ctx context.Context, client *signaling.Client, who jid.JID) error {
			if !c.Yes {
				return client.Deny(ctx, who)
			}
			err := client.Approve(ctx, who)
			if known, ok := client.Contact(who); err == nil && (!ok || !known.SeenByUs()) {
				// Whoever agrees wants to see them, too.
				err = errors.Join(client.AddContact(ctx, who, known.Name, known.Groups...), client.RequestSubscription(ctx, who))
			}
			return err
		})
	case state.PlaceCall:
		b.place(c.Key, c.Video)
	case state.AnswerCall:
		b.take(c)
	case state.DeclineCall:
		b.decline(c.ID)
	case state.HangUp:
		if k := b.calls[c.ID]; k != nil {
			k.hangUp()
		}
	case state.Mute:
		if k := b.calls[c.ID]; k != nil {
			k.wish(func(k *call) {
				if err := k.media.Mute(c.On); err == nil {
					k.tell(state.CallMuted{ID: c.ID, On: c.On})
				}
			})
		}
	case state.Hold:
		b.hold(c.ID, c.On)
	case state.Swap:
		b.swap(c.ID)
	case state.SendPicture:
		b.sendPicture(c)
	case state.TypeKey:
		if k := b.calls[c.ID]; k != nil {
			select {
			case k.keys <- c.Key:
			default: // nobody waits for that many
			}
		}
	case state.WatchLevels:
		if k := b.calls[c.ID]; k != nil {
			k.wish(func(k *call) { k.watch(c.On) })
		}
	case state.Verified:
		b.verified(c.ID)
	case state.SendFiles:
		b.send(c.Key, c.Paths)
		if b.app.Parcel.Key == c.Key {
			b.apply(state.ParcelGone{})
		}
	case state.ChooseFiles:
		b.choose(c.Folder, func(paths []string) { b.apply(state.Packed{Key: c.Key, Paths: paths}) })
	case state.TakeFiles:
		b.answerOffer(c.ID, nil)
	case state.RefuseFiles:
		b.answerOffer(c.ID, ft.ErrDeclined)
	case state.PauseFiles:
		b.interrupt(c.ID, errPaused)
	case state.ResumeFiles:
		if s := b.sends[c.ID]; s != nil {
			b.anew(c.ID, s)
		}
	case state.CancelFiles:
		b.interrupt(c.ID, errCancelled)
	case state.OpenPlace:
		b.openPlace(c.ID)
	case state.ForgetFiles:
		for _, t := range b.app.Transfers {
			if t.Phase.Over() {
				s := b.sends[t.ID]
				delete(b.sends, t.ID)
				b.forgetTransfer(t)
				if s != nil && !b.holds(s.left.ID) {
					b.wg.Go(func() { b.wrong(outbox.Open(b.cfg.Paths.State).Remove(s.left.ID), "") })
				}
			}
		}
	case state.Change:
		b.change(c.Settings)
	case state.ChooseFolder:
		b.choose(true, func(paths []string) {
			s := b.app.Settings
			s.Folder = paths[0]
			b.change(s)
		})
	case state.FindDevices:
		b.findDevices()
	case state.WatchScreens:
		b.watchScreens(c.On)
	case state.CheckSound:
		b.checkSound(c.On)
	case state.Examine:
		b.examine(c.Key)
	case state.Quit:
		if b.cfg.Desktop.Quit != nil {
			b.cfg.OnUI(b.cfg.Desktop.Quit)
		}
	default:
		b.log.Error("command is not known")
	}
}

// sendPicture sends a camera or a screen, or nothing. Owner only.
func (b *Bridge) sendPicture(c state.SendPicture) {
	k := b.calls[c.ID]
	switch {
	case k == nil:
		return
	case c.Picture != state.NoPicture && !hasVideo():
		b.apply(state.WentWrong{Problem: state.Problem{Code: "incompatible", Detail: "this program was built without video"}})
		return
	}
	spec := ""
	switch c.Picture {
	case state.Camera:
		spec = b.camera()
	case state.Screen:
		if spec = c.Device; spec == "" {
			spec = "screen"
		}
	}
	k.wish(func(k *call) { k.picture(c.Picture, spec) })
}

// choose asks the user for files or a folder. Owner only.
func (b *Bridge) choose(folder bool, then func([]string)) {
	if b.cfg.Desktop.Choose == nil {
		return
	}
	b.wg.Go(func() {
		paths, err := b.cfg.Desktop.Choose(b.ctx, folder)
		b.wrong(err, "")
		if len(paths) > 0 {
			b.await(func() { then(paths) })
		}
	})
}
