package jingle

import (
	"errors"
	"slices"
	"time"

	"mellium.im/xmpp/stanza"
)

// lastWordTimeout is how long a peer that knows a session no more has to say why.
const lastWordTimeout = 2 * time.Second

// Sent reports how the peer answered one of our actions: nil when it was
// acknowledged, an *Error when refused, any other error when no answer came.
// Reports for actions that no longer matter have no effects.
func (s *Session) Sent(id ActionID, err error) []Effect {
	i := slices.IndexFunc(s.flights, func(f *flight) bool { return f.id == id })
	if i < 0 {
		return nil
	}
	f := s.flights[i]
	s.flights = slices.Delete(s.flights, i, i+1)
	var out []Effect
	if err == nil {
		out = s.sentWell(f)
	} else {
		out = s.sentInVain(f, err)
	}
	if s.state == StateEnded {
		return out
	}
	return s.unlessVoid(append(out, s.release()...))
}

func (s *Session) sentWell(f *flight) []Effect {
	switch {
	case f.j.Action == ActionSessionInitiate:
		return []Effect{InitiateAcknowledged{}}
	case f.j.Action == ActionTransportInfo && f.barrier:
		return []Effect{RestartAcknowledged{Jingle: f.j}}
	case f.j.Action == ActionContentModify && f.lost:
		// The peer sent its own content-modify before it took ours, so ours is
		// the later one with a peer that knows no tie-break.
		if c := s.content(f.names[0]); c != nil && c.senders != f.senders {
			c.senders = f.senders
			return []Effect{ContentModified{Name: c.name, Senders: c.senders}}
		}
	}
	return nil
}

// sentInVain undoes what the action had begun.
func (s *Session) sentInVain(f *flight, err error) []Effect {
	if isUnknownSession(err) && (f.j.Action == ActionTransportInfo || f.j.Action == ActionSessionInfo) {
		// Candidates and infos cross the end of a session: why it ended is on its
		// way, and a driver that handles answers at once hears of this first.
		var out []Effect
		if f.j.Action == ActionSessionInfo { // told apart from a session that the peer ended
			out = append(out, ActionFailed{Action: f.j.Action, Err: err})
		}
		if s.lastWord != 0 {
			return out
		}
		id, start := s.startTimer(timer{kind: timerLastWord, name: text(err)}, lastWordTimeout)
		s.lastWord = id
		return append(out, start...)
	}
	if isUnknownSession(err) {
		return s.end(nil, Reason{Condition: Gone, Text: text(err)}, true)
	}
	switch f.j.Action {
	case ActionSessionInitiate, ActionSessionAccept:
		return s.sessionFailed(f, err)
	}
	if f.lost {
		return nil // undone and told when the peer's own action came
	}
	failed := ActionFailed{Action: f.j.Action, Names: f.names, Tie: isTie(err), Timeout: !isRefusal(err), Err: err}
	out := []Effect{failed}
	switch f.j.Action {
	case ActionContentAdd:
		c := s.content(f.names[0])
		if c == nil || !s.offered(c, s.cfg.Role) {
			return nil // taken back, or answered all the same
		}
		out = append(out, s.dropContent(c.name)...)
		out = append(out, ContentRejected{Names: f.names})
	case ActionContentAccept:
		if s.content(f.names[0]) == nil {
			return nil
		}
		out = append(out, s.dropContent(f.names[0])...)
		out = append(out, ContentRemoved{Names: f.names})
		out = append(out, s.voidOrRelease(nil, FailedApplication)...)
	case ActionContentModify:
		if c := s.content(f.names[0]); c != nil && c.senders == f.senders {
			c.senders = f.before
		}
	case ActionTransportReplace:
		c := s.content(f.names[0])
		if c == nil || c.replace != replaceOurs {
			return nil
		}
		out = append(out, s.stopTimer(&c.replTime)...)
		c.replace = replaceNone
		out = append(out, TransportRejected{Names: f.names})
	}
	return out
}

// sessionFailed ends a session whose session-initiate or session-accept failed.
func (s *Session) sessionFailed(f *flight, err error) []Effect {
	failed := ActionFailed{Action: f.j.Action, Names: f.names, Tie: isTie(err), Timeout: !isRefusal(err), Err: err}
	r := Reason{Condition: refusal(err), Text: text(err)}
	if f.j.Action == ActionSessionInitiate && isRefusal(err) {
		return s.end([]Effect{failed}, r, true) // the peer has no session to end
	}
	// It may have arrived, so the peer is told.
	if failed.Timeout {
		r.Text = ""
	}
	return append([]Effect{failed}, s.terminate(r, !failed.Timeout)...)
}

// refusal translates the answer to session-initiate or session-accept into a
// reason. XEP-0166#protocol-response-errors
func refusal(err error) Condition {
	var e *Error
	if !errors.As(err, &e) {
		return Timeout
	}
	switch e.Stanza.Condition {
	case stanza.Conflict:
		return AlternativeSession
	case stanza.ResourceConstraint:
		return Busy
	case stanza.ServiceUnavailable, stanza.RecipientUnavailable, stanza.ItemNotFound,
		stanza.Gone, stanza.RemoteServerNotFound, stanza.RemoteServerTimeout:
		return Gone
	case stanza.FeatureNotImplemented:
		return UnsupportedApplications
	case stanza.Forbidden, stanza.NotAllowed, stanza.NotAuthorized, stanza.PolicyViolation,
		stanza.RegistrationRequired, stanza.SubscriptionRequired:
		return Decline
	}
	return GeneralError
}

func text(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return clip(e.Text())
	}
	return ""
}
