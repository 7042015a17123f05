package signaling

import (
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
)

// messageResult says how a call went that never had a session.
func (k *call) messageResult(e jmi.Ended) Result {
	r := Result{Remote: e.Remote}
	if e.Reason != nil {
		r.Reason = *e.Reason
	}
	who := k.dialed.Bare().String()
	switch e.Outcome {
	case jmi.OutcomeAnsweredElsewhere:
		r.Outcome, r.Why = AnsweredElsewhere, "another device of yours took the call"
	case jmi.OutcomeRejectedElsewhere:
		r.Outcome, r.Why = Declined, "another device of yours declined the call"
	case jmi.OutcomeDeclined:
		r.Outcome = Declined
		if e.Remote {
			r.Why = who + " declined the call"
		}
	case jmi.OutcomeBusy:
		switch {
		case e.Remote:
			r.Outcome, r.Why = Busy, who+" is busy"
		case k.busy:
			r.Outcome, r.Why = MissedCall, "you were in another call"
		default:
			r.Outcome = Declined
		}
	case jmi.OutcomeNoAnswer:
		r.Outcome, r.Why = NoAnswer, who+" did not answer"
		select {
		case <-k.ringing:
		default:
			r.Why = who + " did not answer: no device rang"
		}
		if k.dir == In {
			r.Outcome, r.Why = MissedCall, "nobody answered"
		}
	case jmi.OutcomeRetracted:
		r.Outcome = Retracted
		if k.dir == In {
			r.Outcome, r.Why = MissedCall, who+" gave up"
		}
	case jmi.OutcomeTooOld:
		r.Outcome, r.Why = MissedCall, who+" called while you were offline"
	case jmi.OutcomeTieLost:
		r.Outcome, r.Why = Retracted, who+" called at the same moment"
		if k.dir == In {
			r.Outcome = MissedCall
		}
	case jmi.OutcomeUnreachable:
		r.Outcome, r.Why = Failed, r.Reason.Text
	default: // failed, finished or migrated before there was a session
		r.Outcome, r.Why = Failed, "the call was answered but never began"
		if k.hungUp {
			r.Why = "hung up before the call began"
		} else if r.Reason.Condition == jingle.SecurityError {
			r.Why = "what " + who + " started is not what they proposed"
		}
	}
	return r
}

// sessionResult says how a call went that had a session.
func (k *call) sessionResult(e jingle.Ended) Result {
	r := Result{Reason: e.Reason, Remote: e.Remote}
	if k.finished != nil {
		r.Remote = k.finished.Remote
		if k.finished.Reason != nil {
			r.Reason = *k.finished.Reason
		}
	}
	who, cond := k.dialed.Bare().String(), r.Reason.Condition
	switch {
	case k.active:
		r.Outcome, r.Why = Answered, endText(who, r)
	case k.dir == In && k.app == nil && !k.hungUp:
		r.Outcome, r.Why = MissedCall, "nobody answered"
		switch {
		case k.busy:
			r.Why = "you were in another call"
		case r.Remote:
			r.Why = who + " gave up"
		}
	case k.dir == In && k.app == nil:
		r.Outcome = Declined
	case k.hungUp && k.dir == Out:
		r.Outcome = Retracted
	case r.Remote && cond == jingle.Decline:
		r.Outcome, r.Why = Declined, who+" declined the call"
	case r.Remote && cond == jingle.Busy:
		r.Outcome, r.Why = Busy, who+" is busy"
	case k.engine == nil && !r.Remote && cond == jingle.Timeout:
		r.Outcome, r.Why = NoAnswer, who+" did not answer"
	default:
		r.Outcome, r.Why = Failed, endText(who, r)
		if k.hungUp {
			r.Why = "hung up before the call began"
		}
	}
	return r
}

// endText says in words why a session ended, "" when that is nothing special.
func endText(who string, r Result) string {
	var s string
	switch r.Reason.Condition {
	case jingle.Success, jingle.Cancel, jingle.Decline, "":
		return ""
	case jingle.ConnectivityError, jingle.FailedTransport:
		s = "no connection between you and " + who
	case jingle.SecurityError:
		s = "the connection to " + who + " could not be secured"
	case jingle.UnsupportedApplications, jingle.UnsupportedTransports, jingle.IncompatibleParameters:
		s = "the device of " + who + " has no common way to talk with this one"
	case jingle.FailedApplication, jingle.MediaError:
		s = "sound or picture failed"
	case jingle.Timeout, jingle.Expired:
		s = "the device of " + who + " did not answer in time"
	case jingle.Gone:
		s = "the device of " + who + " went offline"
		if !r.Remote {
			s = "this device went offline"
		}
	case jingle.Busy:
		s = who + " is busy"
	default:
		s = "the call ended: " + string(r.Reason.Condition)
	}
	if r.Reason.Text != "" {
		s += " (" + r.Reason.Text + ")"
	}
	return s
}
