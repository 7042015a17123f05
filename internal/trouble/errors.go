package trouble

import (
	"errors"
	"fmt"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling"
)

// ErrNoRelay is returned when calls shall go through a relay and none is known.
var ErrNoRelay = errors.New("no TURN relay found")

// A NotTakenError reports that the other side did not take the call.
type NotTakenError struct {
	Peer    string
	Outcome signaling.Outcome // Declined, Busy, NoAnswer, Retracted or Failed
	Reason  jingle.Reason
	Why     string // what is known besides; may be empty
}

func (e *NotTakenError) Error() string {
	switch e.Outcome {
	case signaling.Failed, "":
		why := e.Why
		if why == "" {
			why = string(e.Reason.Condition)
		}
		return strings.TrimSuffix("call with "+e.Peer+" failed: "+why, ": ")
	case signaling.Retracted:
		if e.Why == "" {
			return "call to " + e.Peer + " was taken back before it was answered"
		}
	}
	if e.Why != "" {
		return e.Why
	}
	switch e.Outcome {
	case signaling.Declined:
		return e.Peer + " declined the call"
	case signaling.Busy:
		return e.Peer + " is busy"
	case signaling.NoAnswer:
		return e.Peer + " did not answer"
	}
	return "call with " + e.Peer + ": " + string(e.Outcome)
}

// A BrokenError reports a call that was taken and then went wrong.
type BrokenError struct {
	Peer   string
	Reason jingle.Reason
	Remote bool  // the peer ended it
	Err    error // nil when only the reason is known
}

func (e *BrokenError) Error() string {
	who := "call with " + e.Peer + " failed: "
	switch {
	case e.Err != nil:
		return who + e.Err.Error()
	case e.Remote && e.Reason.Text != "":
		return fmt.Sprintf("%sthe other side says %s (%q)", who, e.Reason.Condition, e.Reason.Text)
	case e.Remote:
		return fmt.Sprintf("%sthe other side says %s", who, e.Reason.Condition)
	}
	return who + string(e.Reason.Condition)
}

func (e *BrokenError) Unwrap() error { return e.Err }

// Usual reports whether a call that was answered ends like this when all is well.
func Usual(c jingle.Condition) bool {
	switch c {
	case "", jingle.Success, jingle.Cancel, jingle.Decline, jingle.Busy, jingle.Gone:
		return true
	}
	return false
}
