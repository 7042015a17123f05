package si

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle/si"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// An Incoming is an offer of somebody.
type Incoming struct {
	From  jid.JID // full
	SID   string
	Offer ft.Offer

	env    ft.Env
	offer  si.SI
	answer func(any, error)
}

// Listen gives the offers of others to take, which does not wait: it calls
// [Incoming.Receive], or [Incoming.Decline]. env.ServeIQ is required.
func Listen(env ft.Env, take func(*Incoming)) (remove func()) {
	return env.ServeIQ(si.NS, func(from jid.JID, payload xml.TokenReader, answer func(any, error)) bool {
		in := &Incoming{From: from, env: env, answer: answer}
		err := xml.NewTokenDecoder(payload).Decode(&in.offer)
		switch f := in.offer.File; {
		case err != nil, in.offer.Profile != si.NSFile, f == nil,
			in.offer.ID == "" || len(in.offer.ID) > maxSID, f.Name == "" || len(f.Name) > maxName, f.Size == nil || *f.Size < 0:
			answer(nil, stanza.Error{Type: stanza.Cancel, Condition: stanza.BadRequest})
		default:
			in.SID = in.offer.ID
			in.Offer = ft.FileOffer(f.Name, *f.Size)
			take(in)
		}
		return true
	})
}

// Decline refuses the offer. XEP-0095#usecase-neg
func (in *Incoming) Decline() {
	in.answer(nil, stanza.Error{Type: stanza.Cancel, Condition: stanza.Forbidden})
}

// Receive asks cfg.Decide and takes the file. Of the functions of cfg only
// Decide and OnEvent are used.
func (in *Incoming) Receive(cfg ft.ReceiveConfig) (*Transfer, error) {
	var ways []ft.Bytestreamer
	for _, w := range bytestreamers(cfg.Carriers) {
		for _, m := range in.offer.Methods() {
			if w.Method() == m {
				ways = append(ways, w)
				break
			}
		}
	}
	if cfg.Dir == "" || len(ways) == 0 {
		in.answer(nil, stanza.Error{Type: stanza.Cancel, Condition: stanza.BadRequest}) // no-valid-streams
		return nil, fmt.Errorf("%w: it offers %s", ft.ErrUnsupported, strings.Join(in.offer.Methods(), ", "))
	}
	cfg.Env.SID, cfg.Env.Peer = in.SID, in.From
	return begin(cfg.Env, cfg.OnEvent, func(t *Transfer) (*exchange.Result, error) {
		res, err := t.receive(in, cfg, ways)
		if err != nil {
			in.Decline() // if it has no answer yet
		}
		return res, err
	}), nil
}

func (t *Transfer) receive(in *Incoming, cfg ft.ReceiveConfig, ways []ft.Bytestreamer) (*exchange.Result, error) {
	if cfg.Decide != nil {
		if err := cfg.Decide(t.ctx, in.Offer); err != nil {
			return nil, fmt.Errorf("%w: %w", ft.ErrDeclined, err)
		}
	}
	if t.ctx.Err() != nil {
		return nil, context.Cause(t.ctx)
	}
	f := in.offer.File
	offer := exchange.PlainOffer{Name: f.Name, Size: *f.Size}
	if date, err := time.Parse(time.RFC3339, f.Date); err == nil {
		offer.ModTime = date
	}
	file, err := exchange.ReceivePlain(offer, exchange.ReceiveOptions{
		Dir: cfg.Dir, Peer: in.From.Bare().String(), Progress: func(p exchange.Progress) { t.onEvent(ft.Progressing{Progress: p}) },
	})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	file.Restart() // nobody says what the part that is there was
	s, err := t.await(in, cfg.Env, ways)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	t.onEvent(ft.Carrying{Stream: s.Info()})
	if err := file.Receive(t.ctx, s); err != nil {
		return nil, err
	}
	s.SetReadDeadline(time.Now().Add(closeTimeout)) // the sender closes first, if it likes
	s.Read(make([]byte, 1))
	res, _, err := file.Commit(nil)
	return res, err
}

// await accepts the offer and waits for the bytestream: the one chosen, or
// another that the sender opens when that does not work.
func (t *Transfer) await(in *Incoming, env ft.Env, ways []ft.Bytestreamer) (ft.Stream, error) {
	ctx, cancel := context.WithTimeoutCause(t.ctx, openTimeout, fmt.Errorf("%w: the sender opens no stream", ft.ErrNoPath))
	defer cancel()
	type result struct {
		s   ft.Stream
		w   ft.Bytestreamer
		err error
	}
	results := make(chan result, len(ways))
	var stops []func()
	for _, w := range ways {
		open, stop := w.ListenStream(env, in.SID) // before the sender hears of it
		stops = append(stops, stop)
		go func() {
			s, err := open(ctx)
			results <- result{s, w, err}
		}()
	}
	in.answer(si.NewAnswer(ways[0].Method(), nil), nil)
	t.onEvent(ft.Accepted{})
	var got ft.Stream
	var errs []error
	for range ways {
		switch r := <-results; {
		case r.err == nil && got == nil:
			got = r.s
			cancel()
		case r.err == nil:
			r.s.Close()
		case ctx.Err() == nil:
			t.onEvent(ft.Failing{Kind: r.w.Namespace(), Err: r.err})
			errs = append(errs, r.err)
		}
	}
	for _, stop := range stops {
		stop()
	}
	if got == nil {
		return nil, errors.Join(append(errs, context.Cause(ctx))...)
	}
	return got, nil
}
