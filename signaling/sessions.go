package signaling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
)

// NewRegistry returns a registry that decodes what calls need: RTP
// descriptions, ICE-UDP transports and informational messages. Add to it
// before it is used.
func NewRegistry() *jingle.Registry {
	reg := new(jingle.Registry)
	rtp.Register(reg)
	iceudp.Register(reg)
	return reg
}

// acceptNever lets sessions wait to be accepted for as long as their
// application does: a person may think about an offer.
const acceptNever = -1

// An Offer is a session-initiate that is not a call.
type Offer struct {
	SID    string
	From   jid.JID // full
	Known  bool    // whether the sender may see our presence
	Jingle *jingle.Jingle
}

type handlers struct {
	mu   sync.Mutex
	byNS map[string]*handler
}

type handler struct {
	offer func(Offer) jingle.Application
}

func (h *handlers) get(ns string) *handler {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byNS[ns]
}

// Handle says who takes sessions that are not calls, by the namespace of the
// description of their first content, and advertises that namespace. f runs on
// the goroutine of the session and must not block; nil declines the session. It
// returns a function that takes f away again; a later Handle of the same
// namespace replaces f.
func (c *Client) Handle(ns string, f func(Offer) jingle.Application) (remove func()) {
	h := &handler{f}
	c.handlers.mu.Lock()
	if c.handlers.byNS == nil {
		c.handlers.byNS = make(map[string]*handler)
	}
	c.handlers.byNS[ns] = h
	c.handlers.mu.Unlock()
	takeBack := c.Advertise(ns)
	return sync.OnceFunc(func() {
		c.handlers.mu.Lock()
		if c.handlers.byNS[ns] == h {
			delete(c.handlers.byNS, ns)
		}
		c.handlers.mu.Unlock()
		takeBack()
	})
}

// Advertise adds features to what contacts see of this device, and returns a
// function that takes them away again.
func (c *Client) Advertise(features ...string) (remove func()) {
	change := func(by int) {
		if !c.self.change(features, by) || c.logins.Load() == 0 {
			return
		}
		c.background(func(ctx context.Context) {
			if err := c.announce(ctx); err != nil {
				c.log.Warn("changed features not announced", "err", err)
			}
		})
	}
	change(+1)
	return sync.OnceFunc(func() { change(-1) })
}

// Open starts a session with one device without a proposal. app is attached at
// once and initiates it. sid may be empty; ctx is for the starting only. How
// long it waits to be accepted is up to app. The session is over when Done of
// the returned Conn is closed.
func (c *Client) Open(ctx context.Context, peer jid.JID, sid string, app jingle.Application) (jingle.Conn, error) {
	fail := func(err error) (jingle.Conn, error) { return nil, fmt.Errorf("open a session with %s: %w", peer, err) }
	switch {
	case app == nil:
		return fail(errors.New("no application"))
	case isBare(peer) || isZero(peer):
		return fail(errors.New("not a device"))
	case len(sid) > jingle.MaxSID:
		return fail(errors.New("session id is too long"))
	}
	if sid == "" {
		sid = newUUID()
	}
	stranger := !c.seesUs(peer)
	if stranger {
		if err := c.introduce(ctx, peer); err != nil {
			return fail(err)
		}
	}
	takeBack := func() {
		if stranger {
			c.takeBack(peer)
		}
	}
	s, err := c.newSession(jingle.Initiator, peer, sid, acceptNever, sessionWatch{ended: func(jingle.Ended) { takeBack() }})
	if err != nil {
		takeBack()
		return fail(err)
	}
	if err := s.attach(app); err != nil {
		return fail(err)
	}
	return s, nil
}

// onJingle handles a Jingle action, on a worker: those of one peer come one
// after the other. It is answered exactly once, here or by the session.
func (c *Client) onJingle(st *stream.Stanza, payload *stream.Element) {
	j, err := c.reg.Decode(payload.TokenReader())
	if err != nil || j.SID == "" || len(j.SID) > jingle.MaxSID || isBare(st.From) {
		c.log.Debug("jingle refused", "from", st.From.String(), "err", err)
		c.answer(st, nil, c.orUnavailable(st.From, errBadRequest()))
		return
	}
	if s := c.sessions.get(st.From, j.SID); s != nil {
		s.receive(st, j)
		return
	}
	if j.Action == jingle.ActionSessionInitiate {
		c.onInitiate(st, j)
		return
	}
	if c.sessions.over(st.From, j.SID) {
		c.answerLate(st, j)
		return
	}
	c.answer(st, nil, c.orUnavailable(st.From, errUnknownSession()))
}

// answerLate answers an action of a session that is over. That both sides end
// it at the same moment is no error.
func (c *Client) answerLate(st *stream.Stanza, j *jingle.Jingle) {
	if j.Action == jingle.ActionSessionTerminate {
		c.answer(st, nil, nil)
		return
	}
	c.answer(st, nil, c.orUnavailable(st.From, errUnknownSession()))
}

func (c *Client) onInitiate(st *stream.Stanza, j *jingle.Jingle) {
	// Also before the user has answered the stranger's own proposal: even a
	// refusal would say that we are here. Once it is answered they may know.
	if !c.mayKnow(st.From) {
		c.strangerOffers(st.From, j)
		c.answer(st, nil, errUnavailable())
		return
	}
	for _, k := range c.calls.find(j.SID) {
		if k.initiate(st, j) {
			return
		}
	}
	if len(j.Contents) == 0 {
		c.answer(st, nil, errBadRequest())
		return
	}
	if d := j.Contents[0].Description; d != nil {
		if h := c.handlers.get(d.Namespace()); h != nil {
			c.handOver(st, j, h)
			return
		}
	}
	media := offeredMedia(j)
	if media == nil || c.cfg.NoCalls || !c.wants(st.From) {
		c.refuseSession(st, j, jingle.Reason{Condition: jingle.UnsupportedApplications})
		return
	}
	c.directCall(st, j, media)
}

// strangerOffers tells what a stranger wants that Handle would take. They are
// told that nobody is here.
func (c *Client) strangerOffers(from jid.JID, j *jingle.Jingle) {
	if c.cfg.Strangers != StrangersQuiet || len(j.Contents) == 0 || j.Contents[0].Description == nil {
		return
	}
	if c.handlers.get(j.Contents[0].Description.Namespace()) != nil {
		c.hub.emit(StrangerOffered{Offer{SID: j.SID, From: from, Jingle: j}})
	}
}

// handOver gives a session to the application that wants its kind.
func (c *Client) handOver(st *stream.Stanza, j *jingle.Jingle, h *handler) {
	var s *session
	s, err := c.newSession(jingle.Responder, st.From, j.SID, 0, sessionWatch{effect: func(e jingle.Effect) {
		if _, ok := e.(jingle.Offered); !ok {
			return
		}
		app := h.offer(Offer{SID: j.SID, From: st.From, Known: c.seesUs(st.From), Jingle: j})
		if app == nil {
			s.terminate(jingle.Reason{Condition: jingle.Decline})
			return
		}
		s.attachNow(app)
	}})
	if err != nil {
		c.log.Warn("session refused", "from", st.From.String(), "err", err)
		c.answer(st, nil, errConstraint())
		return
	}
	s.receive(st, j)
}

// refuseSession acknowledges a session-initiate and ends the session: what is
// said in an error of the first answer, some peers do not understand.
func (c *Client) refuseSession(st *stream.Stanza, j *jingle.Jingle, r jingle.Reason) {
	s, err := c.newSession(jingle.Responder, st.From, j.SID, 0, sessionWatch{})
	if err != nil {
		c.answer(st, nil, errConstraint())
		return
	}
	s.receive(st, j)
	s.terminate(r)
}

// directCall rings for a session without a proposal.
func (c *Client) directCall(st *stream.Stanza, j *jingle.Jingle, media []rtp.Media) {
	k := c.newCall(In, j.SID, st.From, media, time.Now())
	k.worthless = true // until it turns out to be well-formed
	k.busy = c.cfg.Busy == BusyReject && c.calls.busy(st.From)
	s, err := c.newSession(jingle.Responder, st.From, j.SID, 0, k.watch())
	if err == nil {
		k.session = s
		if err = c.begin(k, func() {}); err != nil {
			s.receive(st, j)
			s.terminate(jingle.Reason{Condition: jingle.Busy})
			return
		}
		s.receive(st, j)
		return
	}
	c.log.Warn("call refused", "from", st.From.String(), "err", err)
	c.answer(st, nil, errConstraint())
}
