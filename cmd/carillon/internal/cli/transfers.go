package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/outbox"
	"mellium.im/xmpp/jid"
)

// transfer is what "carillon transfers --json" prints.
type transfer struct {
	ID       string    `json:"id"`
	Incoming bool      `json:"incoming"`
	Peer     string    `json:"peer"`
	Names    []string  `json:"names"`
	Bytes    int64     `json:"bytes"` // of what is sent in all; of what has been received
	Active   bool      `json:"active"`
	App      bool      `json:"app"` // the app sends it, and goes on by itself
	Since    time.Time `json:"since"`
}

func (transfersListCmd) Run(_ context.Context, a *app) error {
	out, err := a.box().Outgoing()
	if err != nil {
		return err
	}
	in, err := a.box().Incoming()
	if err != nil {
		return err
	}
	var list []transfer
	for _, o := range out {
		t := transfer{ID: o.ID, Peer: o.To, Bytes: o.Bytes, App: o.App, Since: o.Began}
		for _, p := range o.Paths {
			t.Names = append(t.Names, filepath.Base(string(p)))
		}
		list = append(list, t)
	}
	for _, p := range in {
		list = append(list, transfer{ID: p.ID, Incoming: true, Peer: p.Peer, Names: []string{p.Name}, Bytes: p.Received, Active: p.Active(), Since: p.Updated})
	}
	if len(list) == 0 && a.json == nil {
		a.screen.Printf("nothing is unfinished")
	}
	for _, t := range list {
		if a.json != nil {
			if err := a.json.Object("transfer", t); err != nil {
				return err
			}
			continue
		}
		names := screen.Escape(strings.Join(t.Names, ", "))
		switch {
		case t.Active:
			a.screen.Printf("%s  from %s  %s  is being received", t.ID, screen.Escape(t.Peer), names)
		case t.Incoming:
			a.screen.Printf("%s  from %s  %s  %s received so far", t.ID, screen.Escape(t.Peer), names, screen.Bytes(t.Bytes))
		default:
			line := fmt.Sprintf("%s  to %s  %s", t.ID, screen.Escape(t.Peer), names)
			if t.Bytes >= 0 { // the app may not have read them yet
				line += "  " + screen.Bytes(t.Bytes)
			}
			if t.App {
				line += "  by the app, which goes on by itself"
			}
			a.screen.Printf("%s", line)
		}
	}
	return nil
}

func (c transfersResumeCmd) Run(ctx context.Context, a *app) error {
	list, err := a.box().Outgoing()
	if err != nil {
		return err
	}
	// What the app sends would be offered twice; who names it wants it from here.
	wanted := slices.DeleteFunc(slices.Clone(list), func(o outbox.Outgoing) bool { return o.App })
	if len(c.ID) > 0 {
		wanted = nil
		for _, id := range c.ID {
			o, err := find(list, id)
			if err != nil {
				return err
			}
			wanted = append(wanted, o)
		}
	}
	switch {
	case len(wanted) == 0 && len(list) > 0:
		a.screen.Printf("nothing is left to send but by the app, which goes on by itself")
	case len(wanted) == 0:
		a.screen.Printf("nothing is left to send")
	}
	var errs error
	for _, o := range wanted {
		if err := c.resume(ctx, a, o); err != nil {
			if ctx.Err() != nil || len(wanted) == 1 {
				return err
			}
			t := trouble.Describe(err)
			a.screen.Error(fmt.Sprintf("%s: %s", o.ID, t.Message), t.Hint)
			errs = err
		}
	}
	return errs
}

func find(list []outbox.Outgoing, id string) (outbox.Outgoing, error) {
	for _, o := range list {
		if o.ID == id {
			return o, nil
		}
	}
	if strings.HasPrefix(id, "r") {
		return outbox.Outgoing{}, trouble.Usagef(`run "carillon receive" and ask them to send it again`, "what is received goes on when its sender offers it again")
	}
	return outbox.Outgoing{}, trouble.Usagef(`"carillon transfers" lists those that are`, "there is no transfer %s", screen.Escape(id))
}

func (c transfersResumeCmd) resume(ctx context.Context, a *app, o outbox.Outgoing) error {
	to, err := jid.Parse(o.To)
	if err != nil {
		return fmt.Errorf("transfer %s: %w", o.ID, err)
	}
	a.flags.Account = o.Account
	s := sendCmd{Wait: c.Wait, Limit: o.Limit, Plain: o.Plain}
	s.Transport, s.RelayOnly, s.Loopback = o.Transport, o.RelayOnly, c.Loopback
	var paths []string
	for _, p := range o.Paths {
		paths = append(paths, string(p))
	}
	return s.send(ctx, a, paths, []jid.JID{to})
}

func (c transfersForgetCmd) Run(_ context.Context, a *app) error {
	if c.All == (len(c.ID) > 0) {
		return trouble.Usagef(`"carillon transfers" lists them`, "name the transfers to forget, or give --all")
	}
	out, err := a.box().Outgoing()
	if err != nil {
		return err
	}
	in, err := a.box().Incoming()
	if err != nil {
		return err
	}
	known := make(map[string]func() error)
	for _, o := range out {
		known[o.ID] = func() error { return a.box().Remove(o.ID) }
	}
	for _, p := range in {
		known[p.ID] = func() error { return exchange.Forget(p.Partial) }
	}
	ids := c.ID
	if c.All {
		for id := range known {
			ids = append(ids, id)
		}
	}
	var errs error
	for _, id := range ids {
		forget := known[id]
		if forget == nil {
			return trouble.Usagef(`"carillon transfers" lists those that are`, "there is no transfer %s", screen.Escape(id))
		}
		errs = errors.Join(errs, forget())
	}
	return errs
}
