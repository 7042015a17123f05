package signaling

import (
	"context"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"mellium.im/xmpp/jid"
)

// An Outcome says how a call went.
type Outcome string

// The outcomes of calls.
const (
	// Answered: the call was answered, here if it came in.
	Answered Outcome = "answered"
	// AnsweredElsewhere: another device of the account took it.
	AnsweredElsewhere Outcome = "answered elsewhere"
	// Declined: the person called did not want it.
	Declined Outcome = "declined"
	// Busy: the person called is in another call.
	Busy Outcome = "busy"
	// NoAnswer: the outgoing call rang, or did not even, until we gave up.
	NoAnswer Outcome = "no answer"
	// MissedCall: the incoming call ended before anybody answered.
	MissedCall Outcome = "missed"
	// Retracted: we took the outgoing call back before it was answered.
	Retracted Outcome = "retracted"
	// Failed: the call could not be set up. Reason says why.
	Failed Outcome = "failed"
)

// A Direction says who called.
type Direction string

// The directions of a call.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// A CallRecord is one line of the call history.
type CallRecord struct {
	SID       string // the session id: the same on all devices
	Peer      jid.JID
	Direction Direction
	Outcome   Outcome
	Reason    jingle.Reason // as far as known
	Media     []rtp.Media
	Start     time.Time     // of the proposal
	Duration  time.Duration // from the answer to the end; zero when unanswered or unknown
	Archived  bool          // learned from the archive, not seen live
}

// A History keeps call records and the place up to which the archive of the
// server was read. The client calls it from one goroutine at a time.
type History interface {
	// Record stores r. A record with the same SID is replaced.
	Record(ctx context.Context, r CallRecord) error
	// Mark returns what SetMark stored last, "" at first.
	Mark(ctx context.Context) (string, error)
	// SetMark stores an opaque text.
	SetMark(ctx context.Context, mark string) error
}
