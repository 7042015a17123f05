package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/signaling"
)

// signIn logs in to an account and keeps it. Owner only.
func (b *Bridge) signIn(c state.SignInTo) {
	b.apply(state.SigningIn{})
	j, err := jid.Parse(c.JID)
	if err != nil || j.Localpart() == "" {
		b.apply(state.SignedIn{Problem: &state.Problem{Code: "bad-address"}})
		return
	}
	j = j.Bare()
	leaving, again := b.leaving[j.String()], b.app.SignIn.JID == j.String()
	b.wg.Go(func() {
		if leaving != nil {
			<-leaving
		}
		kept, err := b.tryAccount(j, c, again)
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

func (b *Bridge) tryAccount(j jid.JID, c state.SignInTo, again bool) (accounts.Account, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 2*commandTime)
	defer cancel()
	kept, err := b.anewAs(j, c.Server, again)
	if err != nil {
		return kept, err
	}
	cfg, err := b.login(kept, j)
	if err != nil {
		return kept, err
	}
	// Whoever logs in anew says that the server may have changed.
	cfg.Password, cfg.Pins = signaling.Secret(c.Password), b.cfg.Store.Pins(true)
	cfg.NoCalls, cfg.CatchUp, cfg.Invisible = true, -1, true
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

// anewAs is an account before it is logged in to. What the command line was told
// of one that is kept, and nobody is asked here, stays. So does its server where
// only the password is asked for again.
func (b *Bridge) anewAs(j jid.JID, server string, again bool) (accounts.Account, error) {
	known, _, err := b.cfg.Store.Find(j.String())
	if again && server == "" {
		server = known.Server
	}
	return accounts.Account{JID: j.String(), Server: server, CAFile: known.CAFile, AllowPlain: known.AllowPlain}, err
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

// registerProblem says why an account could not be created.
func registerProblem(err error) *state.Problem {
	var form *signaling.RegistrationFormError
	switch {
	case errors.Is(err, signaling.ErrNoRegistration):
		return &state.Problem{Code: "register-closed"}
	case errors.Is(err, signaling.ErrNameTaken):
		return &state.Problem{Code: "register-taken"}
	case errors.As(err, &form):
		return &state.Problem{Code: "register-form", Detail: err.Error()}
	}
	return nil
}
