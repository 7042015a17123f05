package jingle

import "time"

// An Effect is something the session wants done or wants known. Effects are
// plain data: a driver carries out [Send], [StartTimer] and [StopTimer] and
// hands the rest, in order, to the [Application].
type Effect interface{ effect() }

// An ActionID names one of our actions in flight.
type ActionID uint64

// A TimerID names a running timer.
type TimerID uint64

// Send asks for a jingle element to be sent to the peer in an IQ set. The
// driver reports the answer with [Session.Sent]. Sends keep their order.
type Send struct {
	ID     ActionID
	Jingle *Jingle
}

// StartTimer asks for [Session.TimerFired] after a while.
type StartTimer struct {
	ID    TimerID
	After time.Duration
}

// StopTimer says that a timer is no longer wanted.
type StopTimer struct{ ID TimerID }

// Offered is the first effect of a responder: the session-initiate received.
type Offered struct{ Jingle *Jingle }

// Accepted says that the peer accepted the session we initiated; contents are
// as the peer answered them. It is also what an answer to our content set looks
// like when a client answers content actions by session-accept.
type Accepted struct{ Jingle *Jingle }

// InitiateAcknowledged says that the peer acknowledged our session-initiate,
// so that trickled candidates may follow.
type InitiateAcknowledged struct{}

// ContentOffered says that the peer wants to add contents. The application
// answers with [Session.AcceptContent] or [Session.RejectContent].
type ContentOffered struct{ Jingle *Jingle }

// ContentAccepted says that the peer accepted contents we added.
type ContentAccepted struct{ Jingle *Jingle }

// ContentRejected says that contents we added are refused: by the peer, by a
// lost tie-break, by an IQ error, or because no answer came.
type ContentRejected struct {
	Names  []string
	Reason *Reason // nil when the peer gave none
}

// ContentModified says that the peer changed who sends in a content.
type ContentModified struct {
	Name    string
	Senders Senders
}

// ContentRemoved says that the peer removed contents.
type ContentRemoved struct {
	Names  []string
	Reason *Reason
}

// TransportInfoReceived carries a transport-info: candidates, or new
// credentials for an ICE restart. It may come before Accepted.
type TransportInfoReceived struct{ Jingle *Jingle }

// RestartAcknowledged says that the peer acknowledged our RestartTransports;
// candidates may follow.
type RestartAcknowledged struct{ Jingle *Jingle }

// TransportReplaceReceived says that the peer wants other transports for
// contents; answer with AcceptTransport or RejectTransport.
type TransportReplaceReceived struct{ Jingle *Jingle }

// TransportAccepted and TransportRejected answer our transport-replace.
type (
	TransportAccepted struct{ Jingle *Jingle }
	TransportRejected struct{ Names []string }
)

// DescriptionInfoReceived carries a description-info.
type DescriptionInfoReceived struct{ Jingle *Jingle }

// InfoReceived carries one payload of a session-info.
type InfoReceived struct{ Payload Payload }

// ActionFailed says that the peer refused one of our actions, or did not
// answer it. The engine has undone what the action had begun.
type ActionFailed struct {
	Action  Action
	Names   []string // contents concerned
	Tie     bool     // refused because the peer's own action wins (XEP-0166#def-action-ties)
	Timeout bool
	Err     error
}

// Ended is the last effect of a session.
type Ended struct {
	Reason Reason
	Remote bool // the peer ended it
}

func (Send) effect()                     {}
func (StartTimer) effect()               {}
func (StopTimer) effect()                {}
func (Offered) effect()                  {}
func (Accepted) effect()                 {}
func (InitiateAcknowledged) effect()     {}
func (ContentOffered) effect()           {}
func (ContentAccepted) effect()          {}
func (ContentRejected) effect()          {}
func (ContentModified) effect()          {}
func (ContentRemoved) effect()           {}
func (TransportInfoReceived) effect()    {}
func (RestartAcknowledged) effect()      {}
func (TransportReplaceReceived) effect() {}
func (TransportAccepted) effect()        {}
func (TransportRejected) effect()        {}
func (DescriptionInfoReceived) effect()  {}
func (InfoReceived) effect()             {}
func (ActionFailed) effect()             {}
func (Ended) effect()                    {}
