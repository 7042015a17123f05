package jingle

import (
	"slices"

	"mellium.im/xmpp/stanza"
)

// A Reply is the answer to the IQ that carried an action: nil Err acknowledges it.
type Reply struct {
	Err *Error
}

// refuse returns an error reply without effects.
func refuse(err *Error) (Reply, []Effect) { return Reply{Err: err}, nil }

// badRequest refuses what is malformed.
func badRequest(text string) (Reply, []Effect) {
	return refuse(StanzaError(stanza.BadRequest, text))
}

// Receive applies an action from the peer. The returned reply is the answer to
// its IQ and must be sent before any effect is carried out. XEP-0166#protocol-response
//
// What is merely odd is acknowledged, since Conversations ends its call on almost
// any error.
func (s *Session) Receive(j *Jingle) (Reply, []Effect) {
	reply, effects := s.receive(j)
	return reply, s.unlessVoid(effects)
}

func (s *Session) receive(j *Jingle) (Reply, []Effect) {
	if !j.Action.Known() {
		return badRequest("unknown action")
	}
	if j.SID != s.cfg.SID {
		return refuse(NewError(UnknownSession))
	}
	if allowed(s.state, s.cfg.Role.Peer(), j.Action) == never {
		if s.state == StateEnded {
			return refuse(NewError(UnknownSession))
		}
		return refuse(NewError(OutOfOrder))
	}
	if s.state == StateEnded {
		return Reply{}, nil // both sides ended it
	}
	switch j.Action {
	case ActionSessionInitiate:
		return s.receiveInitiate(j)
	case ActionSessionAccept:
		return s.receiveAccept(j)
	case ActionSessionTerminate:
		r := Reason{Condition: s.endCondition(s.cfg.Role.Peer())}
		if j.Reason != nil {
			r = *j.Reason
		}
		return Reply{}, s.end(nil, r, true)
	case ActionSessionInfo:
		return s.receiveInfo(j)
	case ActionSecurityInfo:
		return refuse(StanzaError(stanza.FeatureNotImplemented, ""))
	case ActionDescriptionInfo:
		if known := s.filter(j, func(_ *content, c Content) bool { return c.Description != nil }); known != nil {
			return Reply{}, []Effect{DescriptionInfoReceived{Jingle: known}}
		}
		return Reply{}, nil
	case ActionTransportInfo:
		return s.receiveTransportInfo(j)
	case ActionContentAdd:
		return s.receiveAdd(j)
	case ActionContentAccept, ActionContentReject:
		return s.receiveAnswer(j)
	case ActionContentModify:
		return s.receiveModify(j)
	case ActionContentRemove:
		return s.receiveRemove(j)
	case ActionTransportReplace:
		return s.receiveReplace(j)
	case ActionTransportAccept, ActionTransportReject:
		return s.receiveReplaceAnswer(j)
	}
	return refuse(StanzaError(stanza.FeatureNotImplemented, ""))
}

// filter returns j with only those contents that the session has and that fit,
// or nil when none is left.
func (s *Session) filter(j *Jingle, fits func(own *content, c Content) bool) *Jingle {
	keep := func(c Content) bool {
		own := s.content(c.Name)
		return own != nil && fits(own, c)
	}
	if !slices.ContainsFunc(j.Contents, func(c Content) bool { return !keep(c) }) {
		if len(j.Contents) == 0 {
			return nil
		}
		return j
	}
	one := copyOf(j.Action, j)
	one.Contents = slices.DeleteFunc(one.Contents, func(c Content) bool { return !keep(c) })
	if len(one.Contents) == 0 {
		return nil
	}
	return one
}

// malformed says what is wrong with contents that a peer offers, or "".
func malformed(contents []Content) string {
	if len(contents) == 0 {
		return "no content"
	}
	for i, c := range contents {
		switch {
		case c.Name == "":
			return "content without name"
		case slices.ContainsFunc(contents[:i], func(d Content) bool { return d.Name == c.Name }):
			// XEP-0166#def-content calls them alternatives; nobody offers any.
			return "two contents of one name"
		case c.Description == nil:
			return "content without description"
		case c.Transport == nil:
			return "content without transport"
		case !c.Senders.valid():
			return "unknown value of senders"
		}
	}
	return ""
}

// unsupported returns why nothing can be made of a content, or "".
func unsupported(c Content) Condition {
	if _, ok := c.Description.(*Unknown); ok {
		return UnsupportedApplications
	}
	if _, ok := c.Transport.(*Unknown); ok {
		return UnsupportedTransports
	}
	return ""
}

func (s *Session) receiveInitiate(j *Jingle) (Reply, []Effect) {
	if text := malformed(j.Contents); text != "" {
		return badRequest(text)
	}
	// XEP-0166#def-action-session-initiate
	if !slices.ContainsFunc(j.Contents, func(c Content) bool { return c.Disposition == "" || c.Disposition == "session" }) {
		return badRequest("no content of disposition session")
	}
	if len(j.Contents) > MaxContents {
		return refuse(StanzaError(stanza.ResourceConstraint, "too many contents"))
	}
	s.state = StatePending
	for _, c := range j.Contents {
		s.addContent(c, Initiator)
	}
	var why Condition
	usable := func(c Content) bool {
		why = unsupported(c)
		return why == ""
	}
	if !slices.ContainsFunc(j.Contents, usable) {
		return Reply{}, s.terminate(Reason{Condition: why}, false)
	}
	return Reply{}, []Effect{Offered{Jingle: j}}
}

func (s *Session) receiveAccept(j *Jingle) (Reply, []Effect) {
	if s.state == StateActive && !s.changed {
		return refuse(NewError(OutOfOrder))
	}
	if len(j.Contents) == 0 {
		return badRequest("no content")
	}
	for i, c := range j.Contents {
		switch {
		case s.content(c.Name) == nil && !s.wasRemoved(c.Name):
			return badRequest("unknown content")
		case slices.ContainsFunc(j.Contents[:i], func(d Content) bool { return d.Name == c.Name }):
			return badRequest("two contents of one name")
		case !c.Senders.valid():
			return badRequest("unknown value of senders")
		case s.state == StatePending && (c.Description == nil || c.Transport == nil):
			return badRequest("content without description or transport")
		}
	}
	// Only what we offered can be accepted.
	j = s.filter(j, func(own *content, c Content) bool { return own.accepted || own.creator == s.cfg.Role })
	if j == nil {
		return Reply{}, nil // all of it was removed meanwhile
	}
	out := s.acknowledged(ActionSessionInitiate, nil)
	var missing []string
	first := s.state == StatePending
	if first {
		out = append(out, s.stopTimer(&s.acceptTimer)...)
		for _, c := range s.contents {
			if c.creator == Initiator && !hasName(j.Contents, c.name) {
				missing = append(missing, c.name)
			}
		}
		s.state = StateActive
	}
	s.changed = false
	for _, c := range j.Contents {
		own := s.content(c.Name)
		out = append(out, s.acknowledged(ActionContentAdd, own)...)
		out = append(out, s.stopTimer(&own.timer)...)
		own.accepted, own.senders = true, both(c.Senders)
	}
	out = append(out, Accepted{Jingle: j})
	if len(missing) > 0 {
		for _, name := range missing {
			out = append(out, s.dropContent(name)...)
		}
		out = append(out, ContentRejected{Names: missing})
	}
	return Reply{}, append(out, s.release()...)
}

func hasName(contents []Content, name string) bool {
	return slices.ContainsFunc(contents, func(c Content) bool { return c.Name == name })
}

// acknowledged takes an answer that overtook the IQ result of the action it
// answers for that result. c is nil for actions that concern no single content.
func (s *Session) acknowledged(a Action, c *content) []Effect {
	i := slices.IndexFunc(s.flights, func(f *flight) bool {
		return f.j.Action == a && (c == nil || slices.Contains(f.names, c.name))
	})
	if i < 0 {
		return nil
	}
	f := s.flights[i]
	s.flights = slices.Delete(s.flights, i, i+1)
	if f.j.Action == ActionSessionInitiate {
		return []Effect{InitiateAcknowledged{}}
	}
	return nil
}

func (s *Session) receiveInfo(j *Jingle) (Reply, []Effect) {
	var out []Effect
	unknown := false
	for _, p := range j.Payloads {
		if _, ok := p.(*Unknown); ok {
			unknown = true
			continue
		}
		out = append(out, InfoReceived{Payload: p})
	}
	if unknown && len(out) == 0 {
		return refuse(NewError(UnsupportedInfo))
	}
	return Reply{}, out // nothing at all is a ping
}

func (s *Session) receiveTransportInfo(j *Jingle) (Reply, []Effect) {
	known := s.filter(j, func(_ *content, c Content) bool {
		_, unknown := c.Transport.(*Unknown)
		return c.Transport != nil && !unknown
	})
	if known == nil {
		return Reply{}, nil // late, for contents that are gone
	}
	// Two restarts at once: the initiator's wins. XEP-0166#def-action-ties
	if s.cfg.Role == Initiator && offersRestart(known) &&
		slices.ContainsFunc(s.flights, func(f *flight) bool { return f.j.Action == ActionTransportInfo && f.barrier }) {
		return refuse(NewError(TieBreak))
	}
	return Reply{}, []Effect{TransportInfoReceived{Jingle: known}}
}

func offersRestart(j *Jingle) bool {
	return !slices.ContainsFunc(j.Contents, func(c Content) bool {
		t, ok := c.Transport.(interface{ OffersRestart() bool })
		return !ok || !t.OffersRestart()
	})
}

func (s *Session) receiveAdd(j *Jingle) (Reply, []Effect) {
	if text := malformed(j.Contents); text != "" {
		return badRequest(text)
	}
	var lost []*content // contents of ours that theirs take the place of
	for _, c := range j.Contents {
		for _, own := range s.contents {
			mine := s.offered(own, s.cfg.Role)
			switch {
			case own.name == c.Name && !mine:
				return badRequest("content name is taken")
			case mine && s.state == StateActive && s.cfg.Role == Initiator && (own.name == c.Name || similar(own.offer, c)):
				return refuse(NewError(TieBreak))
			case mine && s.cfg.Role == Initiator && own.name == c.Name:
				return badRequest("content name is taken")
			case mine && own.name == c.Name:
				lost = append(lost, own)
			}
		}
	}
	if len(s.contents)-len(lost)+len(j.Contents) > MaxContents {
		return refuse(StanzaError(stanza.ResourceConstraint, "too many contents"))
	}
	var out []Effect
	for _, own := range lost {
		// The initiator's content-add wins; its error for ours is on the way.
		for _, f := range append(slices.Clone(s.flights), s.queue...) {
			if f.j.Action == ActionContentAdd && slices.Contains(f.names, own.name) {
				f.lost = true
			}
		}
		s.queue = slices.DeleteFunc(s.queue, func(f *flight) bool { return f.lost })
		out = append(out, s.dropContent(own.name)...)
		out = append(out,
			ActionFailed{Action: ActionContentAdd, Names: []string{own.name}, Tie: true, Err: NewError(TieBreak)},
			ContentRejected{Names: []string{own.name}})
	}
	// What nobody here can make anything of is refused without asking.
	refused := map[Condition][]Content{}
	offer := copyOf(ActionContentAdd, j)
	offer.Contents = nil
	for _, c := range j.Contents {
		if why := unsupported(c); why != "" {
			refused[why] = append(refused[why], Content{Name: c.Name, Senders: c.Senders})
			continue
		}
		s.addContent(c, s.cfg.Role.Peer())
		offer.Contents = append(offer.Contents, c)
	}
	for _, why := range []Condition{UnsupportedApplications, UnsupportedTransports} {
		if len(refused[why]) == 0 {
			continue
		}
		send, err := s.submit(split(ActionContentReject, &Jingle{Contents: refused[why], Reason: &Reason{Condition: why}})...)
		if err == nil { // a full queue: the peer's own timeout tells it
			out = append(out, send...)
		}
	}
	if len(offer.Contents) > 0 {
		out = append(out, ContentOffered{Jingle: offer})
	}
	return Reply{}, out
}

// similar reports whether two contents serve the same purpose, so that adding
// both at once is a tie. XEP-0166#def-action-ties
func similar(a, b Content) bool {
	if a.Description == nil || b.Description == nil || a.Description.Namespace() != b.Description.Namespace() {
		return false
	}
	x, ok1 := a.Description.(interface{ Kind() string })
	y, ok2 := b.Description.(interface{ Kind() string })
	return ok1 == ok2 && (!ok1 || x.Kind() == y.Kind())
}

// receiveAnswer handles content-accept and content-reject.
func (s *Session) receiveAnswer(j *Jingle) (Reply, []Effect) {
	// In a pending session the contents of the session-initiate may be refused
	// one by one as well.
	known := s.filter(j, func(own *content, c Content) bool {
		return s.offered(own, s.cfg.Role) && c.Senders.valid() &&
			(j.Action == ActionContentReject || s.state == StateActive || own.creator == Responder)
	})
	if known == nil {
		if slices.ContainsFunc(j.Contents, func(c Content) bool { return s.wasRemoved(c.Name) }) {
			return Reply{}, nil // it crossed our content-remove
		}
		return refuse(NewError(OutOfOrder))
	}
	var out []Effect
	names := namesOf(known)
	for _, c := range known.Contents {
		own := s.content(c.Name)
		out = append(out, s.acknowledged(ActionContentAdd, own)...)
		out = append(out, s.stopTimer(&own.timer)...)
		if j.Action == ActionContentAccept {
			own.accepted, own.senders = true, both(c.Senders)
		}
	}
	if j.Action == ActionContentAccept {
		out = append(out, ContentAccepted{Jingle: known})
		return Reply{}, append(out, s.release()...)
	}
	for _, name := range names {
		out = append(out, s.dropContent(name)...)
	}
	out = append(out, ContentRejected{Names: names, Reason: j.Reason})
	return Reply{}, append(out, s.voidOrRelease(j.Reason, Decline)...)
}

// voidOrRelease ends a session that has no contents left.
// XEP-0166#def-action-content-remove
func (s *Session) voidOrRelease(r *Reason, otherwise Condition) []Effect {
	if len(s.contents) == 0 {
		return s.terminate(fill(r, otherwise), true)
	}
	return s.release()
}

func namesOf(j *Jingle) []string {
	names := make([]string, len(j.Contents))
	for i, c := range j.Contents {
		names[i] = c.Name
	}
	return names
}

func (s *Session) receiveModify(j *Jingle) (Reply, []Effect) {
	if len(j.Contents) == 0 {
		return badRequest("no content")
	}
	for _, c := range j.Contents {
		if !c.Senders.valid() {
			return badRequest("unknown value of senders")
		}
		if s.content(c.Name) == nil && !s.wasRemoved(c.Name) {
			return refuse(StanzaError(stanza.ItemNotFound, "unknown content"))
		}
	}
	// XEP-0166#def-action-ties
	tied := func(f *flight) bool { return f.j.Action == ActionContentModify && hasName(j.Contents, f.names[0]) }
	if s.cfg.Role == Initiator && slices.ContainsFunc(s.flights, tied) {
		return refuse(NewError(TieBreak))
	}
	for _, f := range s.flights {
		if tied(f) {
			f.lost = true // theirs counts, whatever becomes of ours
		}
	}
	var out []Effect
	for _, c := range j.Contents {
		own := s.content(c.Name)
		if own == nil || own.senders == both(c.Senders) {
			continue
		}
		own.senders = both(c.Senders)
		out = append(out, ContentModified{Name: c.Name, Senders: own.senders})
	}
	return Reply{}, out
}

func (s *Session) receiveRemove(j *Jingle) (Reply, []Effect) {
	if len(j.Contents) == 0 {
		return badRequest("no content")
	}
	// XEP-0166#def-action-ties
	if s.cfg.Role == Initiator && slices.ContainsFunc(s.flights, func(f *flight) bool {
		return f.j.Action == ActionContentRemove && hasName(j.Contents, f.names[0])
	}) {
		return refuse(NewError(TieBreak))
	}
	known := s.filter(j, func(*content, Content) bool { return true })
	if known == nil {
		if slices.ContainsFunc(j.Contents, func(c Content) bool { return s.wasRemoved(c.Name) }) {
			return Reply{}, nil
		}
		return refuse(StanzaError(stanza.ItemNotFound, "unknown content"))
	}
	var out []Effect
	names := slices.Compact(slices.Sorted(slices.Values(namesOf(known))))
	for _, name := range names {
		out = append(out, s.dropContent(name)...)
	}
	out = append(out, ContentRemoved{Names: names, Reason: j.Reason})
	return Reply{}, append(out, s.voidOrRelease(j.Reason, Success)...)
}

func (s *Session) receiveReplace(j *Jingle) (Reply, []Effect) {
	known := s.filter(j, func(_ *content, c Content) bool { return c.Transport != nil })
	if known == nil {
		if slices.ContainsFunc(j.Contents, func(c Content) bool { return s.wasRemoved(c.Name) }) {
			return Reply{}, nil
		}
		return badRequest("no content of this session with a transport")
	}
	// XEP-0166#def-action-ties
	ours := func(c Content) bool { return s.content(c.Name).replace == replaceOurs }
	if s.cfg.Role == Initiator && slices.ContainsFunc(known.Contents, ours) {
		return refuse(NewError(TieBreak))
	}
	var out []Effect
	offer := copyOf(ActionTransportReplace, known)
	offer.Contents = nil
	var refused []Content
	for _, c := range known.Contents {
		own := s.content(c.Name)
		if own.replace == replaceOurs {
			for _, f := range s.flights {
				if f.j.Action == ActionTransportReplace && f.names[0] == c.Name {
					f.lost = true
				}
			}
			out = append(out, s.stopTimer(&own.replTime)...)
			out = append(out,
				ActionFailed{Action: ActionTransportReplace, Names: []string{c.Name}, Tie: true, Err: NewError(TieBreak)},
				TransportRejected{Names: []string{c.Name}})
		}
		own.replace = replaceNone
		if _, unknown := c.Transport.(*Unknown); unknown {
			refused = append(refused, Content{Name: c.Name})
			continue
		}
		own.replace = replaceTheirs
		offer.Contents = append(offer.Contents, c)
	}
	if len(refused) > 0 {
		if send, err := s.submit(split(ActionTransportReject, &Jingle{Contents: refused})...); err == nil {
			out = append(out, send...)
		}
	}
	if len(offer.Contents) > 0 {
		out = append(out, TransportReplaceReceived{Jingle: offer})
	}
	return Reply{}, out
}

// receiveReplaceAnswer handles transport-accept and transport-reject.
func (s *Session) receiveReplaceAnswer(j *Jingle) (Reply, []Effect) {
	known := s.filter(j, func(own *content, c Content) bool {
		return own.replace == replaceOurs && (j.Action == ActionTransportReject || c.Transport != nil)
	})
	if known == nil {
		if slices.ContainsFunc(j.Contents, func(c Content) bool { return s.wasRemoved(c.Name) }) {
			return Reply{}, nil
		}
		return refuse(NewError(OutOfOrder))
	}
	var out []Effect
	for _, c := range known.Contents {
		own := s.content(c.Name)
		out = append(out, s.acknowledged(ActionTransportReplace, own)...)
		out = append(out, s.stopTimer(&own.replTime)...)
		own.replace = replaceNone
	}
	if j.Action == ActionTransportAccept {
		out = append(out, TransportAccepted{Jingle: known})
	} else {
		out = append(out, TransportRejected{Names: namesOf(known)})
	}
	return Reply{}, append(out, s.release()...)
}
