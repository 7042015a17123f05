package jmi

import (
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/jingle"
)

// An Effect is something the call wants done or wants known, as plain data. A
// driver carries out [Send], [StartTimer] and [StopTimer]; the rest is news.
type Effect interface{ effect() }

// Send asks for a message of type "chat" with a store hint.
type Send struct {
	To      jid.JID
	Message *Message
}

// A TimerID names a timer of a call; at most one of each runs.
type TimerID uint8

// The timers.
const (
	TimerRing  TimerID = iota + 1 // nobody answers
	TimerStart                    // the call was answered and no session begins
)

// StartTimer asks for [Call.TimerFired] after a while.
type StartTimer struct {
	ID    TimerID
	After time.Duration
}

// StopTimer says that a timer is no longer wanted.
type StopTimer struct{ ID TimerID }

// Ringing tells the caller that a device rings. It comes once for each device.
type Ringing struct{ From jid.JID } // full JID

// Incoming tells the callee to ring.
type Incoming struct {
	From         jid.JID // full JID of the caller
	Descriptions []Description
}

// Proceeded tells the caller which device answered: initiate the Jingle session
// with it, using the same sid.
type Proceeded struct {
	From   jid.JID // full JID
	Device string  // its OMEMO device id, "" when it has none
}

// Tied tells a caller that lost a tie-break that the peer's own call takes the
// place of this one; Ended follows. The driver makes a callee's Call of Message.
type Tied struct {
	From    jid.JID // full JID of the other caller
	Message *Message
	// Same says that the peer proposes no more than we did, so that the user,
	// who wanted this very call, need not be asked again.
	Same bool
}

// An Outcome says how a call ended.
type Outcome string

// The outcomes.
const (
	OutcomeAnsweredElsewhere Outcome = "answered elsewhere" // another device of ours took it
	OutcomeBusy              Outcome = "busy"
	OutcomeDeclined          Outcome = "declined"
	OutcomeFailed            Outcome = "failed"   // answered, but no session began
	OutcomeFinished          Outcome = "finished" // after a session
	OutcomeMigrated          Outcome = "migrated" // another session takes its place
	OutcomeNoAnswer          Outcome = "no answer"
	OutcomeRejectedElsewhere Outcome = "rejected elsewhere" // another device of ours declined it
	OutcomeRetracted         Outcome = "retracted"          // the caller took it back
	OutcomeTooOld            Outcome = "too old"            // the proposal had been waiting; nothing rang
	OutcomeTieLost           Outcome = "tie lost"
	OutcomeUnreachable       Outcome = "unreachable" // the proposal could not be delivered
)

// Ended is the last effect of a call.
type Ended struct {
	Outcome Outcome
	Reason  *jingle.Reason // what was given, nil when nothing
	Remote  bool           // the peer, or another device of ours, ended it
	To      string         // OutcomeMigrated: the sid that goes on
}

func (Send) effect()       {}
func (StartTimer) effect() {}
func (StopTimer) effect()  {}
func (Ringing) effect()    {}
func (Incoming) effect()   {}
func (Proceeded) effect()  {}
func (Tied) effect()       {}
func (Ended) effect()      {}
