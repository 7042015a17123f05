package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/signaling"
)

func (c loginCmd) Run(ctx context.Context, a *app) (err error) {
	j, err := parseJID(c.JID)
	if err != nil {
		return err
	}
	bare := j.Bare().String()
	id := identity{jid: j, account: accounts.Account{JID: bare, Server: a.flags.Server, AllowPlain: c.AllowPlain}}
	if a.flags.CAFile != "" {
		// It is read later from wherever the user then is.
		if id.account.CAFile, err = filepath.Abs(a.flags.CAFile); err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
	}
	if id.password, err = a.givenPassword(); err != nil {
		return err
	}
	if id.password == "" {
		typed, err := a.screen.AskPassword(ctx, fmt.Sprintf("Password of %s: ", screen.Escape(bare)))
		if err != nil {
			return err
		}
		if id.password = signaling.Secret(typed); typed == "" {
			return trouble.Usagef("", "no password was given")
		}
	}
	cfg, err := a.clientConfig(id)
	if err != nil {
		return err
	}
	// Whoever logs in anew says that the server may have changed.
	cfg.Pins = a.store.Pins(true)
	quietly(&cfg)
	client, err := signaling.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	online := client.JID()
	if err := client.Close(); err != nil {
		a.log.Debug("goodbye", "err", err)
	}
	if id.account.Mechanism, err = cfg.Pins.Load(bare); err != nil {
		return err
	}
	kept, err := a.store.Save(id.account, id.password)
	if err != nil {
		return fmt.Errorf("keep the account: %w", err)
	}
	if a.json != nil {
		return a.json.Object("login", struct {
			JID      string `json:"jid"`
			Password string `json:"password"`
		}{online.Bare().String(), kept.Password})
	}
	place := "in the keyring of the system"
	if kept.Password == accounts.InFile {
		place = "in " + a.store.PasswordsPath() + ", which only you can read"
	}
	a.screen.Printf("logged in as %s; the password is kept %s", screen.Escape(bare), place)
	return nil
}

func (c logoutCmd) Run(_ context.Context, a *app) error {
	named := or(c.JID, a.flags.Account)
	if named != "" {
		j, err := parseJID(named)
		if err != nil {
			return err
		}
		named = j.Bare().String()
	}
	account, known, err := a.store.Find(named)
	if err != nil {
		return err
	}
	if !known {
		return trouble.Usagef(`"carillon accounts" lists those that are`, "%s is not logged in", account.JID)
	}
	if _, err := a.store.Remove(account.JID); err != nil {
		return err
	}
	if a.json != nil {
		return a.json.Object("logout", struct {
			JID string `json:"jid"`
		}{account.JID})
	}
	a.screen.Printf("forgot %s and its password; the history of calls stays in %s", screen.Escape(account.JID), a.historyDir())
	return nil
}

func (accountsCmd) Run(_ context.Context, a *app) error {
	list, err := a.store.List()
	if err != nil {
		return err
	}
	chosen, _, err := a.store.Find(or(a.flags.Account, a.config.Account))
	var several *accounts.SeveralError
	if err != nil && !errors.As(err, &several) && !errors.Is(err, accounts.ErrNone) {
		return err
	}
	if len(list) == 0 && a.json == nil {
		a.screen.Printf(`no account is logged in; try "carillon login JID"`)
	}
	for _, account := range list {
		used := account.JID == chosen.JID
		if a.json != nil {
			err = a.json.Object("account", struct {
				JID       string `json:"jid"`
				Default   bool   `json:"default"`
				Password  string `json:"password"`
				Mechanism string `json:"mechanism,omitempty"`
				Server    string `json:"server,omitempty"`
			}{account.JID, used, account.Password, account.Mechanism, account.Server})
			if err != nil {
				return err
			}
			continue
		}
		line := screen.Escape(account.JID)
		if used {
			line += "  (used without --account)"
		}
		if account.Server != "" {
			line += "  at " + screen.Escape(account.Server)
		}
		a.screen.Printf("%s", line)
	}
	return nil
}
