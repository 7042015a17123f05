package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/files"
	"github.com/carillon-im/carillon/cmd/carillon/internal/interrupt"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// maxSendings bounds the people something is sent to at once.
const maxSendings = 4

// carriers reads the names of --transport.
func (f pathFlags) carriers() ([]ft.Carrier, error) {
	var names []string
	for _, list := range f.Transport {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			if !slices.Contains(courier.Names(), name) {
				return nil, trouble.Usagef("it is one of "+strings.Join(courier.Names(), ", "), "%q is no transport", name)
			}
			names = append(names, name)
		}
	}
	return courier.Carriers(names...), nil
}

// courier goes online for transfers.
func (a *app) courier(ctx context.Context, f pathFlags, adjust func(*signaling.Config)) (*courier.Courier, error) {
	carriers, err := f.carriers()
	if err != nil {
		return nil, err
	}
	c := &courier.Courier{Carriers: carriers, RelayOnly: f.RelayOnly || a.config.RelayOnly, Loopback: f.Loopback, Log: a.log}
	for _, r := range a.config.Relays {
		s := ft.Service{URL: r.URL, Username: r.Username}
		if r.PasswordFile != "" {
			password, err := accounts.ReadPasswordFile(r.PasswordFile)
			if err != nil {
				return nil, fmt.Errorf("relay %s: %w", r.URL, err)
			}
			s.Password = ft.Secret(password)
		}
		c.Relays = append(c.Relays, s)
	}
	c.Client, err = a.dial(ctx, func(cfg *signaling.Config) {
		cfg.Registry, cfg.NoCalls, cfg.CatchUp = courier.NewRegistry(), true, -1
		cfg.Priority = -1 // messages are for devices that show them. RFC 6121 §4.7.2.3
		adjust(cfg)
		c.RootCAs = cfg.RootCAs
	})
	return c, err
}

// box keeps what is needed to go on with interrupted transfers.
func (a *app) box() outbox.Box { return outbox.Open(a.paths.State) }

func (c sendCmd) Run(ctx context.Context, a *app) error {
	paths, to, err := split(c.What)
	if err != nil {
		return err
	}
	for i := range paths {
		if paths[i], err = filepath.Abs(paths[i]); err != nil {
			return fmt.Errorf("find %s: %w", paths[i], err)
		}
	}
	return c.send(ctx, a, paths, to)
}

// split tells what is sent from those who get it: the last words are
// addresses, as many as look like one and are no files.
func split(words []string) (paths []string, to []jid.JID, err error) {
	for len(words) > 0 {
		last := words[len(words)-1]
		j, err := jid.Parse(last)
		if err != nil || j.Localpart() == "" || len(to) > 0 && exists(last) {
			break
		}
		if !slices.ContainsFunc(to, j.Equal) { // twice would be two offers, of which one ends the other
			to = append(to, j)
		}
		words = words[:len(words)-1]
	}
	switch {
	case len(to) == 0:
		return nil, nil, trouble.Usagef("an address looks like alice@example.org", "the last word must be the address of who gets it, and %q is none", words[len(words)-1])
	case len(words) == 0:
		return nil, nil, trouble.Usagef("name files and folders before the address", "nothing to send is named")
	}
	slices.Reverse(to)
	return slices.Clone(words), to, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (c sendCmd) send(ctx context.Context, a *app, paths []string, to []jid.JID) (err error) {
	var limit int64
	if c.Limit != "" {
		if limit, err = files.ParseRate(c.Limit); err != nil {
			return trouble.Usagef("", "%v", err)
		}
	}
	if _, err := c.carriers(); err != nil {
		return err
	}
	id, err := a.identity()
	if err != nil {
		return err
	}
	// Looking through large folders takes as long as logging in.
	scanned := make(chan error, 1)
	var src *exchange.Source
	go func() {
		var err error
		src, err = exchange.Scan(ctx, paths...)
		scanned <- err
	}()
	began := time.Now()
	co, err := a.courier(ctx, c.pathFlags, func(*signaling.Config) {})
	if scan := <-scanned; scan != nil {
		if err == nil {
			err = co.Client.Close()
		}
		return errors.Join(scan, err)
	}
	if err != nil {
		return err
	}
	defer closing(co.Client, &err)
	a.log.Debug("ready to send", "after", time.Since(began))
	if src.Skipped > 0 {
		a.screen.Warn("%d symbolic links and special files are not sent", src.Skipped)
	}
	view := files.NewView(a.screen, a.json)
	if a.json != nil {
		if err := a.json.Event(events.Online{JID: co.Client.JID().String()}); err != nil {
			return err
		}
	}
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, maxSendings)
		errs  = make([]error, len(to))
	)
	var kept []outbox.Path
	for _, p := range paths {
		kept = append(kept, outbox.Path(p))
	}
	for i, j := range to {
		record := outbox.Outgoing{
			Account: id.jid.Bare().String(), To: j.String(), Paths: kept, Bytes: src.Manifest.Size(),
			Transport: c.Transport, Limit: c.Limit, RelayOnly: c.RelayOnly, Plain: c.Plain, Began: time.Now().UTC(),
		}
		key, err := a.box().Put(record)
		if err != nil {
			a.screen.Warn("%s", screen.Escape(err.Error())) // it is sent all the same
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = c.sendTo(ctx, a, co, j, src, limit, view)
			if errs[i] == nil || errors.Is(errs[i], ft.ErrDeclined) || errors.Is(errs[i], exchange.ErrCancelled) {
				if err := a.box().Remove(key); err != nil {
					a.screen.Warn("%s", screen.Escape(err.Error()))
				}
			}
		})
	}
	wg.Wait()
	return worst(errs, to, a)
}

// sendTo sends to one person.
func (c sendCmd) sendTo(ctx context.Context, a *app, co *courier.Courier, to jid.JID, src *exchange.Source, limit int64, view *files.View) error {
	done, err := co.Send(ctx, to, src, courier.SendOptions{
		Limit: limit, SHA256: a.json != nil, Wait: c.Wait, Plain: c.Plain, OnEvent: view.Happened,
	})
	if err != nil {
		if errors.Is(context.Cause(ctx), interrupt.ErrInterrupted) {
			err = trouble.ErrPaused
		}
		if done.Peer.Equal(jid.JID{}) { // nobody was there
			done.Peer = to
		}
		view.Ended(done.Session, err)
		return &toldError{err}
	}
	done.Offer = ft.Summary(src.Manifest)
	view.Done(done, false)
	if failed := done.Failed(); len(failed) > 0 {
		err := &courier.IncompleteError{Files: failed}
		view.Ended(done.Session, err)
		return &toldError{err}
	}
	return nil
}

// A toldError has been told to programs already, with the session it belongs to.
type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }

// worst returns what the program fails with when there are several recipients:
// the one error, or the last after the others were shown.
func worst(errs []error, to []jid.JID, a *app) (err error) {
	for i, e := range errs {
		if e == nil {
			continue
		}
		if err != nil {
			t := trouble.Describe(err)
			a.screen.Error(t.Message, t.Hint)
		}
		err = e
		if len(to) > 1 {
			err = fmt.Errorf("%s: %w", to[i].Bare(), e)
		}
	}
	return err
}
