package ft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// contentName is the name of our one content.
//
// interop Conversations 2.19: finds its data channel only under this name.
const contentName = "0"

// A SendConfig describes what is sent. Source and Carriers are required.
type SendConfig struct {
	Source *exchange.Source
	// Carriers are tried in this order; leave out those the peer does not
	// advertise.
	Carriers []Carrier
	Env      Env // SID, Content, Local and Peer are filled in
	// Limit is the highest rate in bytes a second; zero means none.
	Limit int64
	// SHA256 asks for the SHA-256 of each file in the result.
	SHA256 bool
	// Thumbnail shows the receiver what is offered; nil sends none.
	Thumbnail *filetransfer.Thumbnail
	// Forgetful says that the peer may acknowledge an offer and lose it. It is
	// asked about it once then, see [ErrForgotten].
	Forgetful bool
	OnEvent   func(Event)
}

// NewSender returns a transfer to a peer that advertises NS. As initiator of a
// session it offers the source, and carries it by the first carrier that works.
func NewSender(cfg SendConfig) (*Transfer, error) {
	return newSender(cfg, func(t *Transfer) job {
		d := describe(cfg.Source.Manifest)
		d.Thumbnail = cfg.Thumbnail
		return job{
			description: d,
			resumable:   true,
			use: func(ctx context.Context, s Stream) (*exchange.Result, error) {
				return exchange.Send(ctx, s, cfg.Source, t.sendOptions(cfg))
			},
		}
	})
}

func newSender(cfg SendConfig, work func(*Transfer) job) (*Transfer, error) {
	if cfg.Source == nil || len(cfg.Carriers) == 0 {
		return nil, errors.New("a transfer needs something to send and a way to send it")
	}
	t := newTransfer(jingle.Initiator, cfg.Carriers, cfg.Env, cfg.OnEvent)
	t.content, t.forgetful = contentName, cfg.Forgetful
	j := work(t)
	t.work = func(ctx context.Context) error { return t.offer(ctx, j) }
	return t, nil
}

func (t *Transfer) sendOptions(cfg SendConfig) exchange.SendOptions {
	return exchange.SendOptions{
		Limit: cfg.Limit, SHA256: cfg.SHA256,
		Progress: func(p exchange.Progress) {
			t.mu.Lock()
			t.settled = max(t.settled, p.Bytes)
			t.mu.Unlock()
			t.onEvent(Progressing{p})
		},
	}
}

// A job is what is done in a session, whichever carrier it runs over.
type job struct {
	description jingle.Description
	use         func(context.Context, Stream) (*exchange.Result, error)
	resumable   bool // another stream goes on where one broke
}

// offer initiates with the first carrier that can begin, and replaces it by
// the next while there is one.
func (t *Transfer) offer(ctx context.Context, j job) error {
	var (
		initiated bool
		last      = ErrUnsupported
		fruitless int
		wire      int64 // in all streams together
		settled   int64 // the furthest that a stream came
	)
	use := func(ctx context.Context, s Stream) error {
		res, err := j.use(ctx, s)
		wire += res.Wire
		res.Wire = wire
		t.mu.Lock()
		// Only our own protocol, or the receiver's word, says that what arrived is right.
		t.result, t.verified = res, err == nil && (j.resumable || t.confirmed || t.checked)
		t.mu.Unlock()
		return err
	}
	var covered []string // transports that were tried within others
	for i := 0; i < len(t.carriers); {
		c := t.carriers[i]
		if slices.Contains(covered, c.Namespace()) {
			i++
			continue
		}
		err := t.attempt(ctx, c, j.description, &initiated, use)
		if err == nil && t.senders == jingle.SendersResponder {
			return nil // the receiver ends the session
		}
		if err == nil && t.group != nil {
			return nil // the group waits for the end
		}
		if err == nil {
			return t.awaitEnd(ctx)
		}
		if ctx.Err() != nil || t.ended != nil || !retry(err) || wire > 0 && !j.resumable {
			return err
		}
		t.onEvent(Failing{c.Namespace(), err})
		last = err
		var closed *openError
		if v, ok := c.(interface{ Covers() []string }); ok && errors.As(err, &closed) {
			covered = v.Covers()
		}
		t.mu.Lock()
		before := settled
		settled = t.settled
		t.mu.Unlock()
		// A stream that broke under way may do again, if it came further than the
		// one before: a network that has gone silent takes the same bytes for ever.
		if settled > before && !errors.Is(err, exchange.ErrStalled) {
			fruitless = 0
			continue
		}
		if fruitless++; fruitless >= maxFruitless && wire > 0 {
			return err
		}
		if wire > 0 && i == len(t.carriers)-1 {
			continue // there is no other
		}
		i++
	}
	return last
}

// retry reports whether another stream may do better.
func retry(err error) bool {
	var said *exchange.PeerError
	switch {
	case own(err), errors.Is(err, exchange.ErrPaused), errors.Is(err, exchange.ErrCancelled), errors.Is(err, ErrDeclined), errors.As(err, &said):
		return false
	}
	return true
}

// attempt tries one carrier from offer to end.
func (t *Transfer) attempt(ctx context.Context, c Carrier, d jingle.Description, initiated *bool, use func(context.Context, Stream) error) error {
	neg, err := t.begin(c)
	if err != nil {
		return err
	}
	defer neg.Close()
	local, err := neg.Local(ctx)
	if err != nil {
		return err
	}
	j := &jingle.Jingle{Contents: []jingle.Content{{Name: t.content, Senders: t.senders, Transport: local}}}
	t.bundle(c, j)
	if !*initiated {
		j.Contents[0].Description = d
		err = t.begins(ctx, j, (*jingle.Session).Initiate)
	} else {
		err = t.do(ctx, func(s *jingle.Session) ([]jingle.Effect, error) { return s.ReplaceTransport(j) })
	}
	if err != nil {
		return fmt.Errorf("offer transport %q: %w", c.Namespace(), err)
	}
	remote, err := t.awaitAnswer(ctx, neg, *initiated)
	if err != nil {
		return err
	}
	if !*initiated {
		*initiated = true
		t.onEvent(Accepted{})
	}
	if remote == nil {
		return fmt.Errorf("%w: it refuses %q", ErrNoPath, c.Namespace())
	}
	if err := neg.Remote(remote); err != nil {
		return fmt.Errorf("%w: %w", ErrNoPath, err)
	}
	return t.carry(ctx, neg, t.patience(c), use)
}

// begins initiates or accepts the session: with j, or with what the others of
// a group bring to it.
func (t *Transfer) begins(ctx context.Context, j *jingle.Jingle, act func(*jingle.Session, *jingle.Jingle) ([]jingle.Effect, error)) error {
	if t.group != nil {
		return t.group.open(ctx, j.Contents[0], act)
	}
	return t.do(ctx, func(s *jingle.Session) ([]jingle.Effect, error) { return act(s, j) })
}

// patience is how long a carrier may look for a path: all the time there is,
// unless it knows sooner and another comes after it.
func (t *Transfer) patience(c Carrier) time.Duration {
	p, ok := c.(interface{ Patience() time.Duration })
	if !ok || c == t.carriers[len(t.carriers)-1] {
		return openTimeout
	}
	return min(p.Patience(), openTimeout)
}

// awaitAnswer waits for the peer's transport. A person may think about an
// offer as long as they like; a replacement is answered by a program.
func (t *Transfer) awaitAnswer(ctx context.Context, neg Negotiation, replacing bool) (jingle.Transport, error) {
	if replacing {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("%w: no answer to another transport", ErrNoPath))
		defer cancel()
	} else if t.forgetful && t.group == nil {
		defer time.AfterFunc(pingAfter, t.ping).Stop()
	}
	forgotten := false
	for {
		e, err := t.nextWith(ctx, neg)
		if err != nil && forgotten && t.ended != nil && t.ended.Reason.Condition == jingle.Gone {
			return nil, ErrForgotten // and did not say just then why it ended
		}
		if err != nil {
			return nil, err
		}
		switch e := e.(type) {
		case jingle.Accepted:
			t.answer = e.Jingle
			return t.transportOf(e.Jingle), nil
		case jingle.TransportAccepted:
			return t.transportOf(e.Jingle), nil
		case jingle.TransportRejected:
			return nil, nil
		case jingle.TransportInfoReceived: // may come before the answer
			t.hear(neg, e.Jingle)
		case jingle.ActionFailed:
			if e.Action == jingle.ActionTransportReplace {
				return nil, nil
			}
			var refused *jingle.Error
			if e.Action == jingle.ActionSessionInfo && errors.As(e.Err, &refused) {
				forgotten = refused.Condition == jingle.UnknownSession
			}
		}
	}
}

// ping asks whether the peer still knows what it acknowledged. A person thinks
// as long as they like; but a program that lost the offer asks nobody.
// XEP-0166#session-info
//
// interop Gajim 1.4.7 to 1.9: acknowledges every offer of a file, fails while
// it reads it, and answers nothing but this.
func (t *Transfer) ping() {
	t.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		if s.State() != jingle.StatePending {
			return nil, nil
		}
		return s.Info(nil)
	})
}

// nextWith is next, and sends what a negotiation has to say meanwhile: the
// candidates of ours that are found while the peer decides.
func (t *Transfer) nextWith(ctx context.Context, neg Negotiation) (jingle.Effect, error) {
	for {
		select {
		case info := <-neg.Infos():
			t.tell(info)
		case e := <-t.effects:
			return t.took(e)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// awaitEnd gives the receiver time to end a session that is done.
func (t *Transfer) awaitEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, politeTimeout)
	defer cancel()
	for t.ended == nil {
		if _, err := t.next(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil && t.ended == nil {
			return err
		}
	}
	return nil
}
