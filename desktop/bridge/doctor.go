package bridge

import (
	"context"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/doctor"
	"github.com/carillon-im/carillon/internal/trouble"
)

// examine runs the doctor. Owner only.
func (b *Bridge) examine(k state.Key) {
	if b.examining != nil {
		b.examining()
	}
	var a *account
	for _, x := range b.accounts {
		if a == nil || x.kept.JID == k.Account {
			a = x
		}
	}
	if a == nil {
		return
	}
	ctx, cancel := context.WithCancel(b.ctx)
	b.examining = cancel
	b.apply(state.DoctorBegan{})
	cfg := doctor.Config{
		Account: a.jid, Mic: b.mic(), Speaker: b.speaker(), Log: b.log,
		Describe: func(err error) (string, string) {
			t := trouble.Describe(err)
			return t.Message, t.Hint
		},
	}
	if k.JID != "" {
		cfg.Contact, _ = jid.Parse(k.JID) // the zero JID checks nobody
	}
	b.wg.Go(func() {
		defer cancel()
		var err error
		if cfg.Relays, _, err = b.relays(); err == nil {
			cfg.Signaling, err = b.signaling(a.kept, a.jid)
		}
		if err == nil {
			cfg.Signaling.NoCalls, cfg.Signaling.CatchUp, cfg.Signaling.Priority = true, -1, -1
			_, err = doctor.Run(ctx, cfg, func(c doctor.Check) {
				b.await(func() {
					if ctx.Err() == nil {
						b.apply(state.DoctorFound{Check: state.Check{
							Kind: c.Kind, Which: c.Which, Status: string(c.Status),
							Detail: state.Text{English: c.Detail, Format: c.Said.Format, Values: c.Said.Values},
							Means:  state.Text{English: c.Means, Format: c.Meant.Format, Values: c.Meant.Values},
						}})
					}
				})
			})
		}
		if ctx.Err() == nil {
			b.wrong(err, a.kept.JID)
			b.tell(state.DoctorDone{})
		}
	})
}
