package ft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// A ReceiveConfig describes who receives, and where. Dir and Carriers are
// required.
type ReceiveConfig struct {
	Dir      string
	Carriers []Carrier
	Env      Env // SID, Content, Local and Peer are filled in
	// Decide is asked about the offer, and may take as long as a person does.
	// An error declines; only a [RefusedError] tells the sender why. Nothing of
	// ours is revealed before it returns nil. A nil Decide accepts.
	Decide func(context.Context, Offer) error
	// Accept is asked about the manifest before anything is written; an error
	// refuses, and is told to the sender.
	Accept func(exchange.Manifest) error
	// Finished, if not nil, is asked whether all of a manifest has come in an
	// earlier transfer, see [exchange.ReceiveOptions].
	Finished func(exchange.Manifest) *exchange.Result
	// Arriving, if not nil, is told what has come, just before it gets its name.
	Arriving func(exchange.Manifest, *exchange.Result)
	SHA256   bool
	OnEvent  func(Event)
	// Give, if not nil, is asked for a file that a peer wants to have of us
	// (XEP-0234#requesting): the source, of one file, or an error as that of
	// Decide. Nil refuses.
	Give func(ctx context.Context, want filetransfer.File) (*exchange.Source, error)
}

// NewReceiver returns the responder's side of a transfer.
func NewReceiver(cfg ReceiveConfig) (*Transfer, error) {
	if cfg.Dir == "" || len(cfg.Carriers) == 0 {
		return nil, errors.New("a transfer needs a folder and a way to receive")
	}
	t := newTransfer(jingle.Responder, cfg.Carriers, cfg.Env, cfg.OnEvent)
	t.work = func(ctx context.Context) error { return t.take(ctx, cfg) }
	return t, nil
}

// take answers the offer and receives over whatever the sender brings.
func (t *Transfer) take(ctx context.Context, cfg ReceiveConfig) error {
	contents, err := t.awaitOffer(ctx)
	if err != nil {
		return err
	}
	if len(contents) > 1 {
		return t.takeSeveral(ctx, cfg, contents)
	}
	content := contents[0]
	t.content = content.Name
	c := t.carrier(content.Transport.Namespace())
	if c == nil {
		return fmt.Errorf("%w: it offers %q", ErrUnsupported, content.Transport.Namespace())
	}
	description := content.Description
	d, plain := description.(*filetransfer.Description)
	if content.Senders == jingle.SendersResponder {
		if !plain || cfg.Give == nil {
			return fmt.Errorf("%w: it asks for a file", ErrUnsupported)
		}
		if description, err = t.give(ctx, cfg, d.File); err != nil {
			return err
		}
	} else if offer, ok := ReadOffer(content.Description); !ok {
		return fmt.Errorf("%w: the offer makes no sense", ErrUnsupported)
	} else if err := t.decide(ctx, cfg, offer); err != nil {
		return err
	} else if plain {
		accept, err := t.openPlain(d, t.receiveOptions(cfg))
		if err != nil {
			return err
		}
		description = accept
		defer t.plain.Close()
	}
	if own, ok := description.(*Description); ok && own.Thumbnail != nil {
		accept := *own // the answer need not show the sender its own image
		accept.Thumbnail = nil
		description = &accept
	}
	return t.takeOver(ctx, cfg, c, description, content.Transport)
}

// takeOver accepts with a description and receives by the carrier that the
// sender offers, and by those that it brings instead.
func (t *Transfer) takeOver(ctx context.Context, cfg ReceiveConfig, c Carrier, description jingle.Description, transport jingle.Transport) error {
	replacing := false
	for {
		err := t.respond(ctx, c, description, transport, replacing, cfg)
		if err == nil || !t.accepted || ctx.Err() != nil || t.ended != nil || !retry(err) {
			return err
		}
		if t.plain != nil && !errors.Is(err, ErrNoPath) && !errors.Is(err, errReplaced) {
			return err // another client does not go on where a stream broke
		}
		if !errors.Is(err, errReplaced) {
			t.onEvent(Failing{c.Namespace(), err})
		}
		replacing = true
		if c, transport, err = t.awaitReplacement(ctx, err); err != nil {
			return err
		}
	}
}

func (t *Transfer) receiveOptions(cfg ReceiveConfig) exchange.ReceiveOptions {
	return exchange.ReceiveOptions{
		Dir: cfg.Dir, Peer: t.env.Peer.Bare().String(), Accept: cfg.Accept, Finished: cfg.Finished, Arriving: cfg.Arriving, SHA256: cfg.SHA256,
		Progress: func(p exchange.Progress) { t.onEvent(Progressing{p}) },
	}
}

func (t *Transfer) awaitOffer(ctx context.Context) ([]jingle.Content, error) {
	for {
		e, err := t.next(ctx)
		if err != nil {
			return nil, err
		}
		o, ok := e.(jingle.Offered)
		if !ok {
			continue
		}
		for _, c := range o.Jingle.Contents {
			if c.Transport == nil || c.Description == nil {
				return nil, fmt.Errorf("%w: a content without transport", ErrUnsupported)
			}
		}
		if len(o.Jingle.Contents) == 0 {
			return nil, fmt.Errorf("%w: it offers nothing", ErrUnsupported)
		}
		return o.Jingle.Contents, nil
	}
}

// decide asks about the offer, and stops asking when the peer takes it back.
func (t *Transfer) decide(ctx context.Context, cfg ReceiveConfig, offer Offer) error {
	if cfg.Decide == nil {
		return nil
	}
	return t.ask(ctx, func(ctx context.Context) error { return cfg.Decide(ctx, offer) })
}

// ask asks a person, and stops when the peer ends the session. An error
// declines.
func (t *Transfer) ask(ctx context.Context, question func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answer := make(chan error, 1)
	go func() { answer <- question(ctx) }()
	for {
		select {
		case err := <-answer:
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDeclined, err)
			}
			return nil
		case e := <-t.effects:
			t.keepEarly(e)
			if end, ok := e.(jingle.Ended); ok {
				t.ended = &end
				cancel(t.endError(end))
			}
		}
	}
}

// respond tries the carrier that the sender offers.
func (t *Transfer) respond(ctx context.Context, c Carrier, d jingle.Description, remote jingle.Transport, replacing bool, cfg ReceiveConfig) error {
	neg, err := t.begin(c)
	if err != nil {
		if replacing {
			return errors.Join(err, t.refuse(ctx))
		}
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	defer neg.Close()
	if err := neg.Remote(remote); err != nil {
		return fmt.Errorf("%w: %w", ErrNoPath, err)
	}
	for _, j := range t.early {
		t.hear(neg, j)
	}
	t.early = nil
	local, err := neg.Local(ctx)
	if err != nil {
		return err
	}
	j := &jingle.Jingle{Contents: []jingle.Content{{Name: t.content, Senders: t.senders, Transport: local}}}
	t.bundle(c, j)
	if replacing {
		err = t.do(ctx, func(s *jingle.Session) ([]jingle.Effect, error) { return s.AcceptTransport(j) })
	} else {
		j.Contents[0].Description = d
		err = t.begins(ctx, j, (*jingle.Session).Accept)
	}
	if err != nil {
		return fmt.Errorf("accept transport %q: %w", c.Namespace(), err)
	}
	if !replacing {
		t.accepted = true
		t.onEvent(Accepted{})
	}
	return t.carry(ctx, neg, openTimeout, func(ctx context.Context, s Stream) error {
		var (
			res      *exchange.Result
			verified = true
			err      error
		)
		if t.given != nil {
			res, err = t.sendPlain(ctx, s, SendConfig{Source: t.given, SHA256: cfg.SHA256})
			verified = t.confirmed
		} else if p, ok := d.(*filetransfer.Description); ok {
			res, verified, err = t.receivePlain(ctx, s, p)
		} else {
			opt := t.receiveOptions(cfg)
			opt.Accept = func(m exchange.Manifest) error {
				if err := asOffered(d, m); err != nil || cfg.Accept == nil {
					return err
				}
				return cfg.Accept(m)
			}
			res, err = exchange.Receive(ctx, s, opt)
		}
		t.mu.Lock()
		res.Wire += t.result.Wire
		res.Resent += t.result.Resent
		t.result, t.verified = res, verified && err == nil
		t.mu.Unlock()
		return err
	})
}

// asOffered compares a manifest with the offer, which is what a person, free
// disk and quotas agreed to: no more may come, and under no other names.
func asOffered(d jingle.Description, m exchange.Manifest) error {
	offer, ok := ReadOffer(d)
	if !ok || m.Size() > offer.Size || m.Files() > offer.Files || len(m)-m.Files() > offer.Folders {
		return fmt.Errorf("%w: it is more than was offered", exchange.ErrManifest)
	}
	if !slices.Equal(Summary(m).Names, offer.Names) {
		return fmt.Errorf("%w: it has other names than were offered", exchange.ErrManifest)
	}
	return nil
}

// refuse tells the sender that a replacement cannot be.
func (t *Transfer) refuse(ctx context.Context) error {
	return t.do(ctx, func(s *jingle.Session) ([]jingle.Effect, error) { return s.RejectTransport(t.content) })
}

// awaitReplacement waits for the sender to bring another transport.
func (t *Transfer) awaitReplacement(ctx context.Context, why error) (Carrier, jingle.Transport, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, returnTimeout, fmt.Errorf("the sender brings no other transport: %w", why))
	defer cancel()
	for {
		j := t.replaced
		t.replaced = nil
		if j == nil {
			e, err := t.next(ctx)
			if err != nil {
				return nil, nil, err
			}
			if r, ok := e.(jingle.TransportReplaceReceived); ok {
				j = r.Jingle
			}
		}
		if j == nil {
			continue
		}
		if tr := t.transportOf(j); tr != nil {
			if c := t.carrier(tr.Namespace()); c != nil {
				return c, tr, nil
			}
		}
		if err := t.refuse(ctx); err != nil {
			return nil, nil, err
		}
	}
}
