package signaling

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/jingle/rtp"
	"mellium.im/xmpp/jid"
)

// discoTimeout bounds how long a call waits to learn whether the callee can be
// called by message. Without an answer it is assumed, as everybody does.
const discoTimeout = 3 * time.Second

// Call calls somebody. With a bare JID all their devices ring; with a full JID
// of a device that cannot be asked by message, that one. app is attached to
// the session once somebody answered, and initiates it; when nobody does, app
// is never called, and whoever made it has to close it.
//
// ctx is for the proposing only. The error tells what is wrong before anything
// was sent; what happens later is the [Result] of the call.
func (c *Client) Call(ctx context.Context, to jid.JID, app jingle.Application, opts CallOptions) (*Call, error) {
	fail := func(err error) (*Call, error) { return nil, fmt.Errorf("call %s: %w", to, err) }
	switch {
	case app == nil:
		return fail(errors.New("no application"))
	case isZero(to) || to.Equal(c.JID()):
		return fail(errors.New("not somebody to call"))
	case len(opts.SID) > jingle.MaxSID:
		return fail(errors.New("session id is too long"))
	}
	if len(opts.Media) == 0 {
		opts.Media = []rtp.Media{rtp.Audio}
	}
	if opts.SID == "" {
		opts.SID = newUUID()
	}
	direct, err := c.directTo(ctx, to, opts.Direct)
	if err != nil {
		return fail(err)
	}
	k := c.newCall(Out, opts.SID, to, slices.Clone(opts.Media), time.Now())
	k.app = app
	if opts.RingTimeout != 0 {
		k.ring = opts.RingTimeout
	}
	if err := k.introduce(ctx); err != nil {
		return fail(err)
	}
	if !isZero(direct) {
		k.peer = direct
		err = c.begin(k, k.startDirect)
	} else {
		k.engine = jmi.NewCaller(jmi.Config{
			SID: k.sid, Local: c.JID(), Peer: to, Descriptions: descriptions(k.media), RingTimeout: k.ring,
		})
		err = c.begin(k, func() { k.effects(k.engine.Propose()) })
	}
	if err != nil {
		if k.introduced {
			c.takeBack(to)
		}
		return fail(err)
	}
	return &Call{k}, nil
}

// directTo returns the device that gets a session-initiate without a proposal;
// the zero JID when a proposal is better: whenever a device understands one, or
// when we do not know.
func (c *Client) directTo(ctx context.Context, to jid.JID, forced bool) (jid.JID, error) {
	if forced && !isBare(to) {
		return to, nil
	}
	ctx, cancel := context.WithTimeout(ctx, discoTimeout)
	defer cancel()
	wanted := func(d Device) bool { return (isBare(to) || d.JID.Equal(to)) && !d.JID.Equal(c.JID()) }
	asks := func(d Device) bool { return d.CanJMI() && !forced && wanted(d) }
	var best jid.JID
	for _, d := range c.devicesUntil(ctx, to, asks) {
		switch {
		case d.JID.Equal(c.JID()):
		case asks(d):
			return jid.JID{}, nil
		case d.CanCall() && wanted(d) && isZero(best):
			best = d.JID
		case d.Info == nil && !forced:
			return jid.JID{}, nil // perhaps it does
		}
	}
	if forced && isZero(best) {
		return best, errors.New("no device takes direct calls")
	}
	return best, nil
}

// descriptions are what a proposal says about its media.
func descriptions(media []rtp.Media) []jmi.Description {
	var out []jmi.Description
	for _, m := range media {
		d := jmi.Description{Media: string(m)}
		d.XMLName.Space, d.XMLName.Local = rtp.NS, "description"
		out = append(out, d)
	}
	return out
}

// newUUID returns a random UUID: some clients accept nothing else. RFC 9562 §5.4
func newUUID() string {
	var b [16]byte
	crand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// startDirect begins a session without a proposal.
func (k *call) startDirect() { k.startSession(k.Peer()) }

// proceed begins the session with the device that answered.
func (k *call) proceed(from jid.JID) {
	k.mu.Lock()
	k.peer = from
	k.mu.Unlock()
	k.answered = time.Now()
	closeOnce(k.proceeded)
	k.startSession(from)
}

func (k *call) startSession(peer jid.JID) {
	accept := time.Duration(0)
	if k.engine == nil {
		accept = k.ring
	}
	s, err := k.c.newSession(jingle.Initiator, peer, k.sid, accept, k.watch())
	if err != nil {
		k.c.log.Warn("session not started", "peer", peer.String(), "err", err)
		k.sessionEnded(jingle.Ended{Reason: jingle.Reason{Condition: jingle.GeneralError, Text: err.Error()}})
		return
	}
	k.session = s
	if err := s.attach(k.app); err != nil {
		k.c.log.Warn("session over at once", "peer", peer.String(), "err", err)
	}
}

// takeTheirs ends our proposal in favour of theirs, which came at the same
// moment and won. XEP-0353#tie-break-1
func (k *call) takeTheirs() {
	t := k.tied
	k.tied = nil
	if !t.Same {
		k.worthless = true // their call makes the record
		k.settle(Result{Outcome: Retracted, Remote: true, Why: k.dialed.Bare().String() + " called at the same moment"})
		k.c.offerCall(t.From, t.Message, time.Now())
		return
	}
	// Our user wanted this call, so it is answered without asking.
	k.c.calls.rename(k, t.Message.SID)
	k.mu.Lock()
	k.sid, k.peer = t.Message.SID, t.From
	k.mu.Unlock()
	k.engine = jmi.NewCallee(jmi.Config{
		SID: k.sid, Local: k.c.JID(), Peer: t.From, Descriptions: t.Message.Descriptions, Quiet: true,
	})
	k.effects(k.engine.Offer(0))
	effects, err := k.engine.Accept()
	if err != nil { // it has just been offered
		k.settle(Result{Outcome: Failed, Why: err.Error()})
		return
	}
	k.media = proposedMedia(t.Message.Descriptions)
	k.answered = time.Now()
	k.rang()
	closeOnce(k.proceeded)
	k.effects(effects)
}
