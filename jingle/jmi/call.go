package jmi

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/jingle"
)

// ErrOver is returned by Accept when there is nothing to accept any more.
var ErrOver = errors.New("call is no longer ringing")

// A State is where a call is in its life.
type State uint8

// The states of a call.
const (
	StateCreated   State = iota // nothing sent or received yet
	StateProposed               // propose sent or received; devices may ring
	StateProceeded              // one device answered; the Jingle session is due
	StateStarted                // the Jingle session runs
	StateEnded                  // final
)

func (s State) String() string {
	return [...]string{"created", "proposed", "proceeded", "started", "ended"}[s]
}

// Limits and defaults.
const (
	MaxAge     = 60 * time.Second // proposals older than this do not ring
	MaxRinging = 32               // devices of the callee that are told apart

	callerRing   = 60 * time.Second
	calleeRing   = 45 * time.Second
	startTimeout = 30 * time.Second
	rivalTimeout = 8 * time.Second // for the session, when another device of ours answered too
)

// A Config describes a call. SID, Local and Peer are required.
type Config struct {
	SID          string
	Local        jid.JID // our full JID
	Peer         jid.JID // the caller dials a JID; the callee has the caller's full JID
	Descriptions []Description
	// RingTimeout ends a call that nobody answers. Zero means 60 s for the
	// caller and 45 s for the callee, negative means never.
	RingTimeout time.Duration
	// StartTimeout ends an answered call when no session begins. Zero means
	// 30 s, negative means never.
	StartTimeout time.Duration
	// Quiet keeps the callee from sending ringing, which shows a stranger that
	// we are online. XEP-0353#security
	Quiet bool
	// Device is our OMEMO device id, for fingerprints verified with OMEMO.
	Device string
}

func (c Config) withDefaults(role jingle.Role) Config {
	if c.RingTimeout == 0 {
		c.RingTimeout = callerRing
		if role == jingle.Responder {
			c.RingTimeout = calleeRing
		}
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = startTimeout
	}
	return c
}

// A Call is one call on one device. It is not safe for concurrent use.
type Call struct {
	cfg     Config
	role    jingle.Role // the caller initiates the session
	state   State
	device  jid.JID   // full JID of the other side, once known
	ringing []jid.JID // devices heard of
	rival   bool      // another device of ours answered as well
	timers  []TimerID // running
}

// NewCaller returns a call that we make; [Call.Propose] begins it.
func NewCaller(cfg Config) *Call {
	return &Call{cfg: cfg.withDefaults(jingle.Initiator), role: jingle.Initiator}
}

// NewCallee returns a call that is made to us; [Call.Offer] begins it. Take SID
// and Descriptions from the proposal, and Peer from its sender.
func NewCallee(cfg Config) *Call {
	return &Call{cfg: cfg.withDefaults(jingle.Responder), role: jingle.Responder, device: cfg.Peer}
}

// State returns where the call is.
func (c *Call) State() State { return c.state }

// SID returns the sid that the Jingle session will have.
func (c *Call) SID() string { return c.cfg.SID }

// Role returns [jingle.Initiator] for the caller.
func (c *Call) Role() jingle.Role { return c.role }

// Peer returns the full JID of the other device once it is known, before that
// the JID dialled.
func (c *Call) Peer() jid.JID {
	if c.device.Equal(jid.JID{}) {
		return c.cfg.Peer
	}
	return c.device
}

// Propose rings all devices of the peer. XEP-0353#intent
func (c *Call) Propose() []Effect {
	if c.state != StateCreated || c.role != jingle.Initiator {
		return nil
	}
	c.state = StateProposed
	out := c.send(c.cfg.Peer.Bare(), Message{Kind: KindPropose, Descriptions: c.cfg.Descriptions})
	return append(out, c.start(TimerRing, c.cfg.RingTimeout)...)
}

// Offer begins the callee's side of a proposal that was sent age ago, which is
// zero unless the stanza was delayed or comes from an archive.
func (c *Call) Offer(age time.Duration) []Effect {
	if c.state != StateCreated || c.role != jingle.Responder {
		return nil
	}
	if age > MaxAge {
		return c.end(Ended{Outcome: OutcomeTooOld})
	}
	c.state = StateProposed
	var out []Effect
	if !c.cfg.Quiet {
		// interop Conversations 2.16.7: gives up when nothing rings within 6 s.
		out = c.send(c.device, Message{Kind: KindRinging})
	}
	left := c.cfg.RingTimeout
	if left > 0 {
		left = max(left-max(age, 0), time.Second)
	}
	out = append(out, c.start(TimerRing, left)...)
	return append(out, Incoming{From: c.device, Descriptions: c.cfg.Descriptions})
}

// Accept answers the call on this device. XEP-0353#proceed
func (c *Call) Accept() ([]Effect, error) {
	if c.state != StateProposed || c.role != jingle.Responder {
		return nil, ErrOver
	}
	c.state = StateProceeded
	out := c.stop(TimerRing)
	// Our own devices stop ringing by this even where there are no carbons.
	out = append(out, c.send(c.cfg.Local.Bare(), Message{Kind: KindAccept})...)
	out = append(out, c.send(c.device, Message{Kind: KindProceed, Device: c.cfg.Device})...)
	return append(out, c.start(TimerStart, c.cfg.StartTimeout)...), nil
}

// Reject declines the call for all devices, with [jingle.Decline] or
// [jingle.Busy]. It does nothing when the call is not ringing. XEP-0353#reject
func (c *Call) Reject(r jingle.Reason) []Effect {
	if c.state != StateProposed || c.role != jingle.Responder {
		return nil
	}
	m := Message{Kind: KindReject, Reason: &r}
	out := c.send(c.device, m)
	out = append(out, c.send(c.cfg.Local.Bare(), m)...)
	return append(out, c.end(Ended{Outcome: rejected(&r, OutcomeDeclined), Reason: &r})...)
}

// Retract takes our proposal back. It does nothing once the session began:
// terminate that instead and call Finish. XEP-0353#retract
func (c *Call) Retract(r jingle.Reason) []Effect {
	if c.role != jingle.Initiator || c.state != StateProposed && c.state != StateProceeded {
		return nil
	}
	out := c.send(c.cfg.Peer.Bare(), Message{Kind: KindRetract, Reason: &r})
	return append(out, c.end(Ended{Outcome: OutcomeRetracted, Reason: &r})...)
}

// Started says that the Jingle session exists: session-initiate was sent or came.
func (c *Call) Started() []Effect {
	if c.state != StateProceeded {
		return nil
	}
	c.state = StateStarted
	return c.stop(TimerStart)
}

// Finish says that an answered call is over; r is usually the reason of the
// session's end. XEP-0353#finish
func (c *Call) Finish(r jingle.Reason) []Effect {
	if c.state != StateStarted && c.state != StateProceeded {
		return nil
	}
	outcome := OutcomeFinished
	if c.state == StateProceeded {
		outcome = OutcomeFailed
	}
	out := c.send(c.device, Message{Kind: KindFinish, Reason: &r})
	return append(out, c.end(Ended{Outcome: outcome, Reason: &r})...)
}

// Migrate finishes the call because another session with the peer goes on in
// its place. XEP-0353#tie-break-2
func (c *Call) Migrate(sid string) []Effect {
	if c.state != StateStarted && c.state != StateProceeded {
		return nil
	}
	r := jingle.Reason{Condition: jingle.Expired, Text: "Session migrated"}
	out := c.send(c.device, Message{Kind: KindFinish, Reason: &r, MigratedTo: sid})
	return append(out, c.end(Ended{Outcome: OutcomeMigrated, Reason: &r, To: sid})...)
}

// Bounced says that our message of this kind could not be delivered; text says
// why, for people. Only a proposal that no device has answered is ended by it.
func (c *Call) Bounced(k Kind, text string) []Effect {
	if c.role != jingle.Initiator || k != KindPropose || c.state != StateProposed || len(c.ringing) > 0 {
		return nil
	}
	return c.end(Ended{Outcome: OutcomeUnreachable, Reason: &jingle.Reason{Condition: jingle.Gone, Text: text}, Remote: true})
}

// TimerFired reports that a timer asked for by StartTimer has elapsed.
func (c *Call) TimerFired(id TimerID) []Effect {
	i := slices.Index(c.timers, id)
	if i < 0 {
		return nil
	}
	c.timers = slices.Delete(c.timers, i, i+1)
	switch {
	case id == TimerRing && c.state == StateProposed && c.role == jingle.Initiator:
		// Cancel is what peers expect of a retract, whatever the cause.
		r := jingle.Reason{Condition: jingle.Cancel}
		out := c.send(c.cfg.Peer.Bare(), Message{Kind: KindRetract, Reason: &r})
		return append(out, c.end(Ended{Outcome: OutcomeNoAnswer})...)
	case id == TimerRing && c.state == StateProposed:
		// Silently: a reject would stop our other devices, which may ring longer.
		return c.end(Ended{Outcome: OutcomeNoAnswer})
	case id == TimerStart && c.state == StateProceeded:
		if c.rival {
			// Silently: a finish would end the call of the device that was chosen.
			return c.end(Ended{Outcome: OutcomeAnsweredElsewhere, Remote: true})
		}
		r := jingle.Reason{Condition: jingle.ConnectivityError}
		out := c.send(c.device, Message{Kind: KindFinish, Reason: &r})
		return append(out, c.end(Ended{Outcome: OutcomeFailed, Reason: &r})...)
	}
	return nil
}

// Receive applies a message. The driver gives it each message with the call's
// sid, and to a caller also every proposal from the peer, whatever its sid.
// own says that another device of ours sent it, as a carbon or to our bare JID;
// the driver has checked that our own server says so.
func (c *Call) Receive(from jid.JID, own bool, m *Message) []Effect {
	if c.state == StateEnded || from.Equal(c.cfg.Local) {
		return nil // our own words come back by carbons and through the bare JID
	}
	self := c.cfg.Local.Bare().Equal(c.cfg.Peer.Bare()) // we call another device of ours
	if own && !self && !from.Bare().Equal(c.cfg.Local.Bare()) {
		return nil
	}
	if (!own || self) && !from.Bare().Equal(c.cfg.Peer.Bare()) {
		return nil
	}
	if c.role == jingle.Initiator {
		if own && !self {
			return nil // our other devices have no say in our call
		}
		if m.Kind == KindPropose && c.state == StateProposed {
			return c.tie(from, m)
		}
		if m.SID != c.cfg.SID {
			return nil
		}
		return c.receiveCaller(from, m)
	}
	if m.SID != c.cfg.SID {
		return nil
	}
	if own && !(self && from.Equal(c.device)) {
		return c.receiveOwn(m)
	}
	return c.receiveCallee(m)
}

// receiveCaller handles what devices of the callee say.
func (c *Call) receiveCaller(from jid.JID, m *Message) []Effect {
	full := from.Resourcepart() != ""
	switch m.Kind {
	case KindRinging:
		if c.state != StateProposed || !full || len(c.ringing) >= MaxRinging || slices.ContainsFunc(c.ringing, from.Equal) {
			return nil
		}
		c.ringing = append(c.ringing, from)
		return []Effect{Ringing{From: from}}
	case KindProceed:
		// The first device wins; one that comes later learns it from the
		// carbon of the winner's, and by its timer.
		if c.state != StateProposed || !full {
			return nil
		}
		c.state, c.device = StateProceeded, from
		out := c.stop(TimerRing)
		out = append(out, c.start(TimerStart, c.cfg.StartTimeout)...)
		return append(out, Proceeded{From: from, Device: m.Device})
	case KindReject:
		if c.state != StateProposed && !(c.state == StateProceeded && from.Equal(c.device)) {
			return nil
		}
		outcome := rejected(m.Reason, OutcomeDeclined)
		if m.TieBreak {
			outcome = OutcomeTieLost
		}
		return c.end(Ended{Outcome: outcome, Reason: m.Reason, Remote: true})
	case KindFinish:
		return c.finished(from, m)
	}
	return nil
}

// receiveCallee handles what the caller says.
func (c *Call) receiveCallee(m *Message) []Effect {
	switch m.Kind {
	case KindRetract:
		if c.state != StateProposed && c.state != StateProceeded {
			return nil
		}
		outcome := OutcomeRetracted
		if m.TieBreak {
			outcome = OutcomeTieLost // theirs; our own proposal goes on
		}
		return c.end(Ended{Outcome: outcome, Reason: m.Reason, Remote: true})
	case KindFinish:
		return c.finished(c.device, m)
	}
	return nil
}

// receiveOwn handles what another device of ours said about a call to us.
func (c *Call) receiveOwn(m *Message) []Effect {
	if c.state == StateProceeded && (m.Kind == KindAccept || m.Kind == KindProceed) {
		return c.compete()
	}
	if c.state != StateProposed {
		return nil
	}
	switch m.Kind {
	case KindAccept, KindProceed:
		return c.end(Ended{Outcome: OutcomeAnsweredElsewhere, Remote: true})
	case KindReject:
		return c.end(Ended{Outcome: OutcomeRejectedElsewhere, Reason: m.Reason, Remote: true})
	case KindFinish:
		return c.end(Ended{Outcome: OutcomeAnsweredElsewhere, Reason: m.Reason, Remote: true})
	}
	return nil
}

// compete shortens the wait for the session: two devices of ours answered, and
// the caller, who chooses, tells only the chosen one.
func (c *Call) compete() []Effect {
	if c.rival {
		return nil
	}
	c.rival = true
	if c.cfg.StartTimeout < 0 || c.cfg.StartTimeout <= rivalTimeout {
		return nil
	}
	return append(c.stop(TimerStart), c.start(TimerStart, rivalTimeout)...)
}

// finished answers a finish with our own, since both sides send one.
func (c *Call) finished(from jid.JID, m *Message) []Effect {
	if c.state == StateProposed && c.role == jingle.Responder {
		return c.end(Ended{Outcome: OutcomeRetracted, Reason: m.Reason, Remote: true})
	}
	if c.state != StateStarted && c.state != StateProceeded || !from.Equal(c.device) {
		return nil
	}
	e := Ended{Outcome: OutcomeFinished, Reason: m.Reason, Remote: true}
	switch {
	case m.MigratedTo != "":
		e.Outcome, e.To = OutcomeMigrated, m.MigratedTo
	case c.state == StateProceeded:
		e.Outcome = OutcomeFailed
	}
	out := c.send(c.device, Message{Kind: KindFinish, Reason: m.Reason})
	return append(out, c.end(e)...)
}

// tie handles a proposal from the peer we are proposing to: the lower sid wins.
// XEP-0353#tie-break-1
//
// interop Conversations 2.19: compares the same way; as the winner it is silent,
// as the loser it takes our call by itself.
func (c *Call) tie(from jid.JID, m *Message) []Effect {
	if from.Resourcepart() == "" {
		return nil
	}
	r := jingle.Reason{Condition: jingle.Expired, Text: "Tie-Break"}
	if wins(c.cfg.SID, c.cfg.Local, m.SID, from) {
		lost := Message{Kind: KindReject, SID: m.SID, Reason: &r, TieBreak: true}
		return c.send(from, lost)
	}
	out := c.send(c.cfg.Peer.Bare(), Message{Kind: KindRetract, Reason: &r, TieBreak: true})
	same := !slices.ContainsFunc(m.Descriptions, func(d Description) bool {
		return !slices.Contains(c.cfg.Descriptions, d)
	})
	out = append(out, c.stop(TimerRing)...)
	out = append(out, Tied{From: from, Message: m, Same: same})
	return append(out, c.end(Ended{Outcome: OutcomeTieLost, Reason: &r, Remote: true})...)
}

// wins compares sids, then JIDs, byte by byte ("i;octet", RFC 4790 §9.3).
func wins(ourSID string, our jid.JID, theirSID string, their jid.JID) bool {
	if c := bytes.Compare([]byte(ourSID), []byte(theirSID)); c != 0 {
		return c < 0
	}
	return our.String() < their.String()
}

// rejected tells busy from declined.
//
// interop Monal 2024-10: declines with busy, so that a person may have meant either.
func rejected(r *jingle.Reason, otherwise Outcome) Outcome {
	if r != nil && r.Condition == jingle.Busy {
		return OutcomeBusy
	}
	return otherwise
}

func (c *Call) send(to jid.JID, m Message) []Effect {
	if m.SID == "" {
		m.SID = c.cfg.SID
	}
	return []Effect{Send{To: to, Message: &m}}
}

func (c *Call) start(id TimerID, after time.Duration) []Effect {
	if after < 0 {
		return nil
	}
	c.timers = append(c.timers, id)
	return []Effect{StartTimer{ID: id, After: after}}
}

func (c *Call) stop(id TimerID) []Effect {
	i := slices.Index(c.timers, id)
	if i < 0 {
		return nil
	}
	c.timers = slices.Delete(c.timers, i, i+1)
	return []Effect{StopTimer{ID: id}}
}

func (c *Call) end(e Ended) []Effect {
	c.state = StateEnded
	var out []Effect
	for _, id := range c.timers {
		out = append(out, StopTimer{ID: id})
	}
	c.timers = nil
	return append(out, e)
}
