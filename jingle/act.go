package jingle

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// May reports whether we may send this action now, as far as the state decides.
func (s *Session) May(a Action) bool { return allowed(s.state, s.cfg.Role, a) == free }

func (s *Session) check(a Action) error {
	if !s.May(a) {
		return fmt.Errorf("jingle: %s as %s of a session that is %s: %w", a, s.cfg.Role, s.state, ErrState)
	}
	return nil
}

// submit sends actions, or queues them behind those in flight. All or none.
func (s *Session) submit(flights ...*flight) ([]Effect, error) {
	if len(s.queue)+len(flights) > MaxQueued {
		return nil, fmt.Errorf("jingle: %s: %w", flights[0].j.Action, ErrQueue)
	}
	for _, f := range flights {
		s.lastID++
		f.id = s.lastID
		f.j.SID = s.cfg.SID
		for i := range f.j.Contents {
			f.names = append(f.names, f.j.Contents[i].Name)
			// Every client says "initiator", whoever offered. Some match by it.
			f.j.Contents[i].Creator = Initiator.String()
		}
		switch f.j.Action {
		case ActionContentAdd, ActionContentModify, ActionContentRemove:
			s.changed = true
		}
	}
	s.queue = append(s.queue, flights...)
	return s.release(), nil
}

// release sends what the window allows, in order.
func (s *Session) release() []Effect {
	var out []Effect
	for len(s.queue) > 0 && len(s.flights) < MaxInFlight &&
		!slices.ContainsFunc(s.flights, func(f *flight) bool { return f.barrier }) {
		f := s.queue[0]
		s.queue = slices.Delete(s.queue, 0, 1)
		s.flights = append(s.flights, f)
		out = append(out, Send{ID: f.id, Jingle: f.j})
	}
	return out
}

// split makes one action for each content, since Dino refuses several at once.
//
// interop Dino 0.4: more than one content in a content or transport action is
// feature-not-implemented.
func split(a Action, j *Jingle) []*flight {
	flights := make([]*flight, len(j.Contents))
	for i, c := range j.Contents {
		one := *j
		one.Action = a
		one.Contents = []Content{c}
		flights[i] = &flight{j: &one}
	}
	return flights
}

// offers checks contents that we offer.
func (s *Session) offers(j *Jingle) error {
	if len(j.Contents) == 0 {
		return fmt.Errorf("no contents: %w", ErrContent)
	}
	if len(s.contents)+len(j.Contents) > MaxContents {
		return fmt.Errorf("more than %d contents: %w", MaxContents, ErrContent)
	}
	for i, c := range j.Contents {
		switch {
		case c.Name == "" || len(c.Name) > MaxName || strings.ContainsFunc(c.Name, unicode.IsSpace):
			return fmt.Errorf("content name %q is not 1 to %d bytes without space: %w", c.Name, MaxName, ErrContent)
		case s.content(c.Name) != nil || slices.ContainsFunc(j.Contents[:i], func(d Content) bool { return d.Name == c.Name }):
			return fmt.Errorf("content name %q is taken: %w", c.Name, ErrContent)
		case c.Description == nil || c.Transport == nil:
			return fmt.Errorf("content %q lacks description or transport: %w", c.Name, ErrContent)
		case !c.Senders.valid():
			return fmt.Errorf("content %q has senders %q: %w", c.Name, c.Senders, ErrContent)
		}
	}
	return nil
}

// Initiate sends the session-initiate. The engine fills Action, SID and Initiator.
func (s *Session) Initiate(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionSessionInitiate); err != nil {
		return nil, err
	}
	if err := s.offers(j); err != nil {
		return nil, fmt.Errorf("jingle: %s: %w", ActionSessionInitiate, err)
	}
	one := copyOf(ActionSessionInitiate, j)
	one.Initiator = s.cfg.Local.String()
	out, err := s.submit(&flight{j: one, barrier: true})
	if err != nil {
		return nil, err
	}
	for _, c := range j.Contents {
		s.addContent(c, Initiator)
	}
	s.state = StatePending
	var start []Effect
	s.acceptTimer, start = s.startTimer(timer{kind: timerAccept}, s.cfg.AcceptTimeout)
	return append(out, start...), nil
}

// Accept sends the session-accept. Contents that it leaves out are refused, which
// Conversations and Dino do not allow: decline media with Senders instead.
func (s *Session) Accept(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionSessionAccept); err != nil {
		return nil, err
	}
	if len(j.Contents) == 0 {
		return nil, fmt.Errorf("jingle: %s: no contents: %w", ActionSessionAccept, ErrContent)
	}
	for i, c := range j.Contents {
		known := s.content(c.Name)
		if known == nil || known.creator != Initiator || !c.Senders.valid() ||
			slices.ContainsFunc(j.Contents[:i], func(d Content) bool { return d.Name == c.Name }) {
			return nil, fmt.Errorf("jingle: %s: content %q: %w", ActionSessionAccept, c.Name, ErrContent)
		}
		if c.Description == nil || c.Transport == nil {
			return nil, fmt.Errorf("jingle: %s: content %q lacks description or transport: %w", ActionSessionAccept, c.Name, ErrContent)
		}
	}
	one := copyOf(ActionSessionAccept, j)
	one.Responder = s.cfg.Local.String()
	out, err := s.submit(&flight{j: one})
	if err != nil {
		return nil, err
	}
	for _, c := range slices.Clone(s.contents) {
		i := slices.IndexFunc(j.Contents, func(d Content) bool { return d.Name == c.name })
		switch {
		case i >= 0:
			c.accepted, c.senders = true, both(j.Contents[i].Senders)
		case c.creator == Initiator:
			out = append(out, s.dropContent(c.name)...)
		}
	}
	s.state = StateActive
	return out, nil
}

// Terminate ends the session from any state. It is never an error to call it
// again. A reason without condition becomes success, or cancel (as initiator) or
// decline (as responder) before the session is accepted.
func (s *Session) Terminate(r Reason) []Effect {
	if r.Condition == "" {
		r.Condition = s.endCondition(s.cfg.Role)
	}
	switch s.state {
	case StateCreated:
		return s.end(nil, r, false) // the peer has not heard of it
	case StateEnded:
		return nil
	}
	return s.terminate(r, false)
}

// endCondition is what a session-terminate of that side means by itself.
func (s *Session) endCondition(by Role) Condition {
	switch {
	case s.state == StateActive:
		return Success
	case by == Initiator:
		return Cancel
	}
	return Decline
}

// terminate overtakes what is queued: nothing of it matters any more.
func (s *Session) terminate(r Reason, remote bool) []Effect {
	s.lastID++
	send := Send{ID: s.lastID, Jingle: &Jingle{Action: ActionSessionTerminate, SID: s.cfg.SID, Reason: &r}}
	return s.end([]Effect{send}, r, remote)
}

// known checks that each content belongs to the session and carries a transport
// if that is needed.
func (s *Session) known(a Action, j *Jingle, fits func(*content, Content) bool) error {
	if len(j.Contents) == 0 {
		return fmt.Errorf("jingle: %s: no contents: %w", a, ErrContent)
	}
	for _, c := range j.Contents {
		if own := s.content(c.Name); own == nil || !c.Senders.valid() || !fits(own, c) {
			return fmt.Errorf("jingle: %s: content %q: %w", a, c.Name, ErrContent)
		}
	}
	return nil
}

func hasTransport(_ *content, c Content) bool { return c.Transport != nil }

// TransportInfo sends candidates or new credentials, one action for each content.
// Always give credentials with candidates. XEP-0176#protocol-syntax
func (s *Session) TransportInfo(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionTransportInfo); err != nil {
		return nil, err
	}
	if err := s.known(ActionTransportInfo, j, hasTransport); err != nil {
		return nil, err
	}
	return s.submit(split(ActionTransportInfo, j)...)
}

// RestartTransports sends a transport-info with all its contents in one action:
// new credentials and no candidates. It is how Conversations restarts ICE. Until
// the peer acknowledges it nothing else is sent; then comes [RestartAcknowledged],
// or [ActionFailed].
//
// interop Conversations 2.19: takes new credentials without candidates for a
// restart offer, and wants them for all contents at once.
func (s *Session) RestartTransports(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionTransportInfo); err != nil {
		return nil, err
	}
	if err := s.known(ActionTransportInfo, j, hasTransport); err != nil {
		return nil, err
	}
	return s.submit(&flight{j: copyOf(ActionTransportInfo, j), barrier: true})
}

// Info sends a session-info with the payload; nil is a session-level ping.
func (s *Session) Info(p Payload) ([]Effect, error) {
	if err := s.check(ActionSessionInfo); err != nil {
		return nil, err
	}
	j := &Jingle{Action: ActionSessionInfo}
	if p != nil {
		j.Payloads = []Payload{p}
	}
	return s.submit(&flight{j: j})
}

// DescriptionInfo sends changed descriptions.
func (s *Session) DescriptionInfo(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionDescriptionInfo); err != nil {
		return nil, err
	}
	fits := func(_ *content, c Content) bool { return c.Description != nil }
	if err := s.known(ActionDescriptionInfo, j, fits); err != nil {
		return nil, err
	}
	return s.submit(split(ActionDescriptionInfo, j)...)
}

// AddContent asks the peer to add contents, one action for each. Name all
// contents of a bundle in Groups: what is missing there leaves it.
func (s *Session) AddContent(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionContentAdd); err != nil {
		return nil, err
	}
	if err := s.offers(j); err != nil {
		return nil, fmt.Errorf("jingle: %s: %w", ActionContentAdd, err)
	}
	out, err := s.submit(split(ActionContentAdd, j)...)
	if err != nil {
		return nil, err
	}
	for _, c := range j.Contents {
		own := s.addContent(c, s.cfg.Role)
		var start []Effect
		own.timer, start = s.startTimer(timer{kind: timerAnswer, name: c.Name}, s.cfg.AnswerTimeout)
		out = append(out, start...)
	}
	return out, nil
}

// AcceptContent answers ContentOffered.
func (s *Session) AcceptContent(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionContentAccept); err != nil {
		return nil, err
	}
	fits := func(own *content, c Content) bool {
		return s.offered(own, s.cfg.Role.Peer()) && c.Description != nil && c.Transport != nil
	}
	if err := s.known(ActionContentAccept, j, fits); err != nil {
		return nil, err
	}
	out, err := s.submit(split(ActionContentAccept, j)...)
	if err != nil {
		return nil, err
	}
	for _, c := range j.Contents {
		own := s.content(c.Name)
		own.accepted, own.senders = true, both(c.Senders)
	}
	return out, nil
}

// offered reports whether a content-add of that side is unanswered.
func (s *Session) offered(c *content, by Role) bool { return !c.accepted && c.creator == by }

// RejectContent answers ContentOffered.
func (s *Session) RejectContent(r *Reason, names ...string) ([]Effect, error) {
	if err := s.check(ActionContentReject); err != nil {
		return nil, err
	}
	j := s.stubs(r, names)
	fits := func(own *content, _ Content) bool { return s.offered(own, s.cfg.Role.Peer()) }
	if err := s.known(ActionContentReject, j, fits); err != nil {
		return nil, err
	}
	if s.leavesNone(names) {
		return s.terminate(fill(r, Decline), false), nil
	}
	out, err := s.submit(split(ActionContentReject, j)...)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		out = append(out, s.dropContent(name)...)
	}
	return out, nil
}

// RemoveContent removes contents, or takes back an AddContent not yet answered.
// Removing all of them ends the session. XEP-0166#def-action-content-remove
//
// interop Conversations 2.19: takes content-remove only for an offer not yet
// accepted; to stop sending use ModifyContent.
func (s *Session) RemoveContent(r *Reason, names ...string) ([]Effect, error) {
	if err := s.check(ActionContentRemove); err != nil {
		return nil, err
	}
	j := s.stubs(r, names)
	if err := s.known(ActionContentRemove, j, func(*content, Content) bool { return true }); err != nil {
		return nil, err
	}
	if s.leavesNone(names) {
		return s.terminate(fill(r, s.endCondition(s.cfg.Role)), false), nil
	}
	// What was not sent yet need not be taken back.
	queue := slices.Clone(s.queue)
	unsent := make(map[string]bool)
	for _, f := range queue {
		if f.j.Action == ActionContentAdd && slices.Contains(names, f.names[0]) {
			unsent[f.names[0]] = true
		}
	}
	s.queue = slices.DeleteFunc(s.queue, func(f *flight) bool { return len(f.names) == 1 && unsent[f.names[0]] })
	j.Contents = slices.DeleteFunc(j.Contents, func(c Content) bool { return unsent[c.Name] })
	var out []Effect
	if len(j.Contents) > 0 {
		var err error
		if out, err = s.submit(split(ActionContentRemove, j)...); err != nil {
			s.queue = queue
			return nil, err
		}
	}
	for _, name := range names {
		out = append(out, s.dropContent(name)...)
	}
	return out, nil
}

// leavesNone reports whether the session is void without these contents.
func (s *Session) leavesNone(names []string) bool {
	return !slices.ContainsFunc(s.contents, func(c *content) bool { return !slices.Contains(names, c.name) })
}

// ModifyContent changes who sends in a content.
func (s *Session) ModifyContent(name string, senders Senders) ([]Effect, error) {
	if err := s.check(ActionContentModify); err != nil {
		return nil, err
	}
	c := s.content(name)
	if c == nil || !senders.valid() {
		return nil, fmt.Errorf("jingle: %s of %q to senders %q: %w", ActionContentModify, name, senders, ErrContent)
	}
	if c.senders == both(senders) {
		return nil, nil
	}
	f := &flight{
		j:       &Jingle{Action: ActionContentModify, Contents: []Content{{Name: name, Senders: both(senders)}}},
		senders: both(senders),
		before:  c.senders,
	}
	out, err := s.submit(f)
	if err != nil {
		return nil, err
	}
	c.senders = f.senders
	return out, nil
}

// ReplaceTransport asks the peer to use other transports. The answer is
// [TransportAccepted] or [TransportRejected].
func (s *Session) ReplaceTransport(j *Jingle) ([]Effect, error) {
	if err := s.check(ActionTransportReplace); err != nil {
		return nil, err
	}
	fits := func(own *content, c Content) bool { return own.replace == replaceNone && c.Transport != nil }
	if err := s.known(ActionTransportReplace, j, fits); err != nil {
		return nil, err
	}
	out, err := s.submit(split(ActionTransportReplace, j)...)
	if err != nil {
		return nil, err
	}
	for _, c := range j.Contents {
		own := s.content(c.Name)
		own.replace = replaceOurs
		var start []Effect
		own.replTime, start = s.startTimer(timer{kind: timerReplace, name: c.Name}, s.cfg.AnswerTimeout)
		out = append(out, start...)
	}
	return out, nil
}

// AcceptTransport answers TransportReplaceReceived.
func (s *Session) AcceptTransport(j *Jingle) ([]Effect, error) {
	return s.answerReplace(ActionTransportAccept, j)
}

// RejectTransport answers TransportReplaceReceived.
func (s *Session) RejectTransport(names ...string) ([]Effect, error) {
	return s.answerReplace(ActionTransportReject, s.stubs(nil, names))
}

func (s *Session) answerReplace(a Action, j *Jingle) ([]Effect, error) {
	if err := s.check(a); err != nil {
		return nil, err
	}
	fits := func(own *content, c Content) bool {
		return own.replace == replaceTheirs && (a == ActionTransportReject || c.Transport != nil)
	}
	if err := s.known(a, j, fits); err != nil {
		return nil, err
	}
	out, err := s.submit(split(a, j)...)
	if err != nil {
		return nil, err
	}
	for _, c := range j.Contents {
		s.content(c.Name).replace = replaceNone
	}
	return out, nil
}

// stubs returns contents that only point out which ones are meant.
//
// interop Conversations 2.19: reads description and transport even of a content
// that is rejected or removed, so stubs of them go along when there are any.
func (s *Session) stubs(r *Reason, names []string) *Jingle {
	j := &Jingle{Reason: r}
	for _, name := range names {
		stub := Content{Name: name}
		if c := s.content(name); c != nil {
			if d, ok := c.offer.Description.(interface{ Stub() Description }); ok {
				stub.Description = d.Stub()
			}
			if t, ok := c.offer.Transport.(interface{ Stub() Transport }); ok {
				stub.Transport = t.Stub()
			}
			stub.Senders = c.senders
		}
		j.Contents = append(j.Contents, stub)
	}
	return j
}

// copyOf returns a copy whose attributes and contents may be filled in.
func copyOf(a Action, j *Jingle) *Jingle {
	one := *j
	one.Action = a
	one.Contents = slices.Clone(j.Contents)
	return &one
}

// fill returns the reason, or one with the condition when there is none.
func fill(r *Reason, c Condition) Reason {
	if r == nil || r.Condition == "" {
		return Reason{Condition: c}
	}
	return *r
}
