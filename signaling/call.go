package signaling

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/jingle/rtp"
	"mellium.im/xmpp/jid"
)

var errSameSID = errors.New("a call with this session id exists")

// A call is what both kinds of calls have in common. One goroutine owns it; it
// runs the engine of the messages, and the session, once there is one, has a
// goroutine of its own and reports here. A direct call has no messages.
type call struct {
	c      *Client
	dir    Direction
	dialed jid.JID // the callee as given, or the caller's full JID
	media  []rtp.Media
	since  time.Time
	known  bool // the peer may see our presence
	silent bool // it does not ring here: we are busy and another device may be free
	ring   time.Duration
	box    *mailbox

	ringing   chan struct{}
	proceeded chan struct{}
	attached  chan struct{}
	cancelled chan struct{}
	done      chan struct{}

	mu     sync.Mutex
	sid    string
	peer   jid.JID
	result Result

	counted bool // as ringing; guarded by calls.mu

	// Below is the goroutine's own.
	engine     *jmi.Call // nil for a direct call
	timers     map[jmi.TimerID]*time.Timer
	ringTimer  *time.Timer // of an incoming direct call
	app        jingle.Application
	session    *session
	end        *jingle.Ended // of the session
	finished   *jmi.Ended    // by messages, while the session was still there
	tied       *jmi.Tied
	active     bool      // the session was accepted
	answered   time.Time // by proceed, or when the session was accepted
	hungUp     bool      // by our user
	busy       bool      // rejected by ourselves because we are in a call
	worthless  bool      // nothing to record: there was no call, or another one makes the record
	over       bool
	introduced bool
}

func (c *Client) newCall(dir Direction, sid string, peer jid.JID, media []rtp.Media, since time.Time) *call {
	return &call{
		c: c, dir: dir, sid: sid, peer: peer, dialed: peer, media: media, since: since,
		known: c.seesUs(peer), ring: c.cfg.RingTimeout, box: newMailbox(),
		ringing: make(chan struct{}), proceeded: make(chan struct{}), attached: make(chan struct{}),
		cancelled: make(chan struct{}), done: make(chan struct{}),
		timers: make(map[jmi.TimerID]*time.Timer),
	}
}

// begin registers a call and starts its goroutine, with first as its first act.
func (c *Client) begin(k *call, first func()) error {
	if err := c.calls.add(k); err != nil {
		return err
	}
	_ = k.box.post(maxMailbox, func(over bool) {
		if !over {
			first()
		}
	}) // it has just been made: there is room
	if !c.start(k.run) {
		c.calls.remove(k)
		return c.closedErr()
	}
	c.s.SetQuick(true)
	return nil
}

func (k *call) run() {
	k.box.run(k.c.ctx.Done(), func() bool { return k.over })
	if !k.over {
		k.abandon()
	}
}

// abandon ends the call because the client closes.
func (k *call) abandon() {
	gone := jingle.Reason{Condition: jingle.Gone}
	switch {
	case k.session != nil:
		<-k.session.done // it has noticed as well
		k.sessionEnded(jingle.Ended{Reason: gone})
	case k.engine == nil:
		k.settle(Result{Outcome: Failed, Reason: gone})
	case k.dir == Out:
		k.effects(k.engine.Retract(jingle.Reason{Condition: jingle.Cancel}))
	case k.engine.State() == jmi.StateProceeded:
		k.effects(k.engine.Finish(gone))
	}
	if !k.over { // our other devices may go on ringing
		k.settle(Result{Outcome: MissedCall, Reason: gone})
	}
}

// do runs f on the call's goroutine and waits for it; false means that the
// call is over.
func (k *call) do(f func()) bool {
	ran := make(chan bool, 1)
	err := k.box.post(maxCallInbox, func(over bool) {
		if !over {
			f()
		}
		ran <- !over
	})
	return err == nil && <-ran
}

// receive applies a message of somebody else about this call.
func (k *call) receive(env *envelope, m *jmi.Message) {
	k.do(func() {
		if k.engine != nil {
			k.effects(k.engine.Receive(env.from, env.own, m))
		}
	})
}

// received takes note that a device of the callee got our proposal.
func (k *call) received(from jid.JID) {
	k.do(func() {
		if k.dir == Out && from.Bare().Equal(k.dialed.Bare()) && k.engine != nil && k.engine.State() == jmi.StateProposed {
			k.rang()
		}
	})
}

// bounced takes note that a message of ours came back.
func (k *call) bounced(from jid.JID, kind jmi.Kind, cond string) {
	k.do(func() {
		if k.engine != nil && from.Bare().Equal(k.dialed.Bare()) {
			k.effects(k.engine.Bounced(kind, bounceText(k.dialed, cond)))
		}
	})
}

func (k *call) rang() { closeOnce(k.ringing) }

// closeOnce closes a channel that only one goroutine closes.
func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// effects carries out what the engine of the messages wants.
func (k *call) effects(list []jmi.Effect) {
	for _, e := range list {
		switch e := e.(type) {
		case jmi.Send:
			k.send(e)
		case jmi.StartTimer:
			k.startTimer(e)
		case jmi.StopTimer:
			if t := k.timers[e.ID]; t != nil {
				t.Stop()
				delete(k.timers, e.ID)
			}
		case jmi.Ringing:
			k.rang()
		case jmi.Incoming:
			k.offer()
		case jmi.Proceeded:
			k.proceed(e.From)
		case jmi.Tied:
			k.tied = &e
		case jmi.Ended:
			k.ended(e)
		}
	}
}

func (k *call) send(e jmi.Send) {
	id := messageID(e.Message.Kind, e.Message.SID)
	m := &message{To: e.To.String(), ID: id, Type: "chat", Payloads: []any{e.Message}}
	if e.Message.Kind == jmi.KindPropose {
		m.Payloads = append(m.Payloads, element(nsReceipts, "request"))
	}
	m.Payloads = append(m.Payloads, &originID{ID: id}, element(nsHints, "store"))
	if err := k.c.s.Send(k.c.sendCtx, m); err != nil {
		k.c.log.Warn("call message not sent", "kind", string(e.Message.Kind), "to", m.To, "err", err)
	}
}

func (k *call) startTimer(e jmi.StartTimer) {
	engine := k.engine // a tie may replace it
	k.timers[e.ID] = time.AfterFunc(e.After, func() {
		_ = k.box.post(maxMailbox, func(over bool) {
			if !over && k.engine == engine {
				delete(k.timers, e.ID)
				k.effects(engine.TimerFired(e.ID))
			}
		}) // a call that is over has no timers
	})
}

// watch connects the call with its session.
func (k *call) watch() sessionWatch {
	post := func(f func()) {
		_ = k.box.post(maxMailbox, func(over bool) {
			if !over {
				f()
			}
		}) // a call that is over does not mind
	}
	accepted := func() {
		k.active = true
		if k.answered.IsZero() {
			k.answered = time.Now()
		}
	}
	return sessionWatch{
		attached: func() { post(func() { closeOnce(k.attached) }) },
		sending: func(a jingle.Action) {
			switch a {
			case jingle.ActionSessionInitiate:
				post(func() {
					if k.engine != nil {
						k.effects(k.engine.Started())
					}
				})
			case jingle.ActionSessionAccept:
				post(accepted)
			}
		},
		effect: func(e jingle.Effect) {
			switch e := e.(type) {
			case jingle.Accepted:
				post(func() {
					closeOnce(k.proceeded)
					accepted()
				})
			case jingle.Offered:
				post(k.offered)
			case jingle.InfoReceived:
				if info, ok := e.Payload.(*rtp.Info); ok && info.XMLName.Local == "ringing" {
					post(k.rang)
				}
			}
		},
		ended: func(e jingle.Ended) { post(func() { k.sessionEnded(e) }) },
	}
}

// sessionEnded takes note that the session is over, which is the end of the call.
func (k *call) sessionEnded(e jingle.Ended) {
	k.session, k.end = nil, &e
	if k.engine != nil && k.engine.State() == jmi.StateProceeded && k.dir == Out && k.engine.Role() == jingle.Initiator {
		// We never began it, so there is nothing to finish.
		k.effects(k.engine.Retract(jingle.Reason{Condition: jingle.Cancel}))
	} else if k.engine != nil {
		k.effects(k.engine.Finish(e.Reason))
	}
	if !k.over {
		k.settle(k.sessionResult(e))
	}
}

// ended takes note that the messages are over.
func (k *call) ended(e jmi.Ended) {
	switch {
	case k.tied != nil && e.Outcome == jmi.OutcomeTieLost:
		k.takeTheirs()
	case k.session != nil && k.hungUp:
		// Their answer to what we sent, which may overtake that of their server.
	case k.session != nil:
		// interop Monal 6: finish may be all that comes.
		k.finished = &e
		var r jingle.Reason
		if e.Reason != nil {
			r.Condition = e.Reason.Condition
		}
		k.session.terminate(r)
	case k.end == nil:
		k.worthless = k.worthless || e.Outcome == jmi.OutcomeTieLost // their call makes the record
		k.settle(k.messageResult(e))
	}
}

// hangUp ends the call for our user.
func (k *call) hangUp(r jingle.Reason) {
	k.hungUp = true
	or := func(c jingle.Condition) jingle.Reason {
		if r.Condition == "" {
			r.Condition = c
		}
		return r
	}
	switch {
	case k.session != nil:
		k.session.terminate(r) // the engine knows what is usual
	case k.engine == nil:
		k.settle(Result{Outcome: Failed, Reason: or(jingle.Cancel)})
	case k.engine.Role() == jingle.Initiator:
		k.effects(k.engine.Retract(or(jingle.Cancel)))
	case k.engine.State() == jmi.StateProposed:
		k.effects(k.engine.Reject(or(jingle.Decline)))
	default:
		k.effects(k.engine.Finish(or(jingle.Cancel)))
	}
}

// settle is the end of the call.
func (k *call) settle(r Result) {
	if k.over {
		return
	}
	k.over = true
	for _, t := range k.timers {
		t.Stop()
	}
	if k.ringTimer != nil {
		k.ringTimer.Stop()
	}
	k.mu.Lock()
	k.result = r
	k.mu.Unlock()
	c := k.c
	c.calls.remove(k)
	if k.dir == In && k.app == nil && !k.hungUp {
		close(k.cancelled)
	}
	if k.introduced {
		c.takeBack(k.dialed)
	}
	if c.calls.count() == 0 {
		c.s.SetQuick(false)
	}
	if !k.worthless {
		c.record(k.recordOf(r))
	}
	close(k.done)
}

func (k *call) recordOf(r Result) CallRecord {
	rec := CallRecord{
		SID: k.SID(), Peer: k.dialed.Bare(), Direction: k.dir, Outcome: r.Outcome, Reason: r.Reason,
		Media: slices.Clone(k.media), Start: k.since,
	}
	if r.Outcome == Answered && !k.answered.IsZero() {
		rec.Duration = time.Since(k.answered)
	}
	return rec
}

// introduce lets a stranger see us for the time of the call.
func (k *call) introduce(ctx context.Context) error {
	if k.introduced || k.c.seesUs(k.dialed) {
		return nil
	}
	if err := k.c.introduce(ctx, k.dialed); err != nil {
		return err
	}
	k.introduced = true
	return nil
}
