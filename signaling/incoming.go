package signaling

import (
	"errors"
	"slices"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
)

// directRing is how long a direct call rings by default, like others.
const directRing = 45 * time.Second

// onCallMessage handles a message about a call, live or from the archive.
func (c *Client) onCallMessage(env *envelope, m *jmi.Message) {
	if !env.archived {
		c.follow(env, m)
	}
	if m.Kind != jmi.KindPropose {
		if env.own {
			c.outrun.note(env.from, m) // before the look for the call, see offerCall
		}
		for _, k := range c.calls.find(m.SID) {
			k.receive(env, m)
		}
		return
	}
	if isBare(env.from) || env.own && (env.copied || env.archived) {
		return // a call of another device of ours to somebody else
	}
	// Perhaps we are calling them. XEP-0353#tie-break-1 What they proposed a while
	// ago and reached us late is no tie: it may be taken back long since.
	for _, k := range c.calls.with(env.from) {
		tie := false
		if time.Since(env.at(time.Now())) > tieWindow {
			break
		}
		k.do(func() {
			if tie = k.engine != nil && k.engine.Role() == jingle.Initiator && k.engine.State() == jmi.StateProposed; tie {
				k.effects(k.engine.Receive(env.from, env.own, m))
			}
		})
		if tie {
			return
		}
	}
	c.offerCall(env.from, m, env.at(time.Now()))
}

// wants reports whether calls of somebody are taken at all.
func (c *Client) wants(from jid.JID) bool { return c.cfg.Wanted == nil || c.cfg.Wanted(from.Bare()) }

// offerCall rings, if that is wanted.
func (c *Client) offerCall(from jid.JID, m *jmi.Message, sentAt time.Time) {
	media := proposedMedia(m.Descriptions)
	if media == nil || c.cfg.NoCalls || !c.wants(from) {
		c.log.Debug("proposal ignored, no call for us", "from", from.String())
		return
	}
	k := c.newCall(In, m.SID, from, media, sentAt)
	if !k.known && c.cfg.Strangers == StrangersNone {
		c.log.Info("call of a stranger ignored", "from", from.String())
		return
	}
	mayKnow := c.mayKnow(from)
	reject := false
	if c.cfg.Busy == BusyReject && c.calls.busy(from) {
		// Only the last device that could take the call says that nobody can.
		reject = mayKnow && !c.anotherDevice()
		k.busy, k.silent = true, !reject
	}
	cfg := jmi.Config{
		SID: m.SID, Local: c.JID(), Peer: from, Descriptions: m.Descriptions, RingTimeout: k.ring,
		Quiet: !mayKnow || k.busy,
	}
	k.engine = jmi.NewCallee(cfg)
	err := c.begin(k, func() {
		// The call is registered by now: what another device of ours says from
		// here on finds it, and what it said before is remembered.
		if past, ok := c.outrun.about(m.SID); ok {
			k.busy, cfg.Quiet = true, true
			k.engine = jmi.NewCallee(cfg)
			k.effects(k.engine.Offer(time.Since(sentAt)))
			k.effects(k.engine.Receive(past.from, true, past.m))
			return
		}
		k.effects(k.engine.Offer(time.Since(sentAt)))
		if reject {
			k.effects(k.engine.Reject(jingle.Reason{Condition: jingle.Busy}))
		}
	})
	if err != nil && !errors.Is(err, errSameSID) {
		c.log.Warn("call ignored", "from", from.String(), "err", err)
	}
}

// anotherDevice reports whether another device of the account can take calls.
func (c *Client) anotherDevice() bool {
	return slices.ContainsFunc(c.presence.of(c.own), func(d Device) bool {
		if d.JID.Equal(c.JID()) {
			return false
		}
		d.Info = c.knownInfo(d)
		return d.CanCall() && d.CanJMI()
	})
}

// offer shows the call to the user.
func (k *call) offer() {
	if k.dir == Out || k.busy {
		return // answered without asking, or not at all
	}
	select {
	case k.c.incoming <- &IncomingCall{k}:
	default:
		k.c.log.Warn("call not shown, nobody takes incoming calls", "from", k.Peer().String())
		k.settle(Result{Outcome: MissedCall, Why: "too many calls wait"})
	}
}

// offered shows a direct call, which has no proposal.
func (k *call) offered() {
	if k.dir == Out || k.engine != nil || k.session == nil {
		return
	}
	k.worthless = false
	if k.busy {
		k.session.terminate(jingle.Reason{Condition: jingle.Busy})
		return
	}
	// XEP-0167#info-ringing
	k.session.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Info(rtp.NewInfo("ringing")) })
	ring := k.ring
	if ring == 0 {
		ring = directRing
	}
	if ring > 0 {
		s := k.session
		k.ringTimer = time.AfterFunc(ring, func() {
			_ = k.box.post(maxMailbox, func(over bool) {
				if !over && k.app == nil {
					s.terminate(jingle.Reason{Condition: jingle.Timeout})
				}
			}) // a call that is over does not ring
		})
	}
	k.offer()
}

// accept takes the call for our user.
func (k *call) accept(app jingle.Application) error {
	switch {
	case app == nil:
		return errors.New("accept a call: no application")
	case k.app != nil:
		return errors.New("accept a call: it is accepted already")
	}
	c := k.c
	if k.engine == nil {
		if k.session == nil || k.hungUp {
			return ErrCancelled
		}
		if err := k.introduce(c.sendCtx); err != nil {
			return err
		}
		if k.session.attach(app) != nil {
			return ErrCancelled // the caller has just given up
		}
		k.takeApp(app)
		return nil
	}
	if k.engine.State() != jmi.StateProposed {
		return ErrCancelled
	}
	// The caller may look up our features before it begins the session, so
	// presence goes first. XEP-0353#proceed
	if err := k.introduce(c.sendCtx); err != nil {
		return err
	}
	effects, err := k.engine.Accept()
	if err != nil {
		return ErrCancelled
	}
	k.takeApp(app)
	// A call that was running with them is continued by this one. XEP-0353#tie-break-2
	for _, old := range c.calls.with(k.dialed) {
		if old != k && !c.cfg.sideBySide {
			old.migrate(k.SID())
		}
	}
	k.effects(effects)
	return nil
}

func (k *call) takeApp(app jingle.Application) {
	k.app = app
	k.answered = time.Now()
	k.c.calls.answered(k)
	if k.ringTimer != nil {
		k.ringTimer.Stop()
	}
}

// migrate ends a running call because another one continues it. It does not
// wait: the caller is another call.
func (k *call) migrate(sid string) {
	_ = k.box.post(maxMailbox, func(over bool) {
		if !over && k.engine != nil && k.session != nil {
			k.effects(k.engine.Migrate(sid))
		}
	}) // a call that is over needs no migration
}

// initiate takes the session-initiate that a proceed of ours asked for. It
// reports false when the call has nothing to do with it.
func (k *call) initiate(st *stream.Stanza, j *jingle.Jingle) (handled bool) {
	k.do(func() {
		if k.engine == nil || k.engine.Role() != jingle.Responder || !st.From.Bare().Equal(k.dialed.Bare()) {
			return
		}
		handled = true
		refuse := jingle.Reason{Condition: jingle.SecurityError}
		switch {
		case k.engine.State() != jmi.StateProceeded || k.session != nil || k.app == nil:
			refuse.Text = "nobody was told to begin this session"
		case !st.From.Equal(k.engine.Peer()):
			refuse.Text = "another device was told to begin this session"
		case !sameMedia(j, k.media):
			refuse.Text = "not the media that were proposed"
			k.c.refuseSession(st, j, refuse)
			k.effects(k.engine.Finish(jingle.Reason{Condition: jingle.SecurityError}))
			return
		default:
			k.takeSession(st, j)
			return
		}
		k.c.refuseSession(st, j, refuse)
	})
	return handled
}

func (k *call) takeSession(st *stream.Stanza, j *jingle.Jingle) {
	s, err := k.c.newSession(jingle.Responder, st.From, k.sid, 0, k.watch())
	if err != nil {
		k.c.log.Warn("session refused", "from", st.From.String(), "err", err)
		k.c.answer(st, nil, errConstraint())
		k.effects(k.engine.Finish(jingle.Reason{Condition: jingle.GeneralError}))
		return
	}
	k.session = s
	s.receive(st, j)
	if err := s.attach(k.app); err != nil {
		k.c.log.Debug("session over at once", "from", st.From.String(), "err", err)
	}
	k.effects(k.engine.Started())
}

// sameMedia reports whether a session offers exactly the media proposed.
func sameMedia(j *jingle.Jingle, media []rtp.Media) bool {
	offered := offeredMedia(j)
	if len(offered) != len(media) {
		return false
	}
	return !slices.ContainsFunc(media, func(m rtp.Media) bool { return !slices.Contains(offered, m) })
}

// offeredMedia returns the media of a session-initiate, each once; nil when
// anything in it is not RTP.
func offeredMedia(j *jingle.Jingle) []rtp.Media {
	var media []rtp.Media
	for _, content := range j.Contents {
		d, ok := content.Description.(*rtp.Description)
		if !ok || d == nil {
			return nil
		}
		if !slices.Contains(media, d.Media) {
			media = append(media, d.Media)
		}
	}
	return media
}
