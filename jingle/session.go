package jingle

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mellium.im/xmpp/jid"
)

// A State is where a session is in its life. XEP-0166#session
type State uint8

// The states of a session.
const (
	StateCreated State = iota // nothing sent or received yet
	StatePending              // session-initiate sent or received
	StateActive               // session-accept sent or received
	StateEnded                // final
)

func (s State) String() string {
	switch s {
	case StateCreated:
		return "created"
	case StatePending:
		return "pending"
	case StateActive:
		return "active"
	case StateEnded:
		return "ended"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Limits of a session.
const (
	MaxContents = 16 // contents at a time
	MaxName     = 16 // bytes of a content name that we choose; it becomes an SDP mid
	MaxInFlight = 8  // our actions not yet acknowledged
	MaxQueued   = 128

	maxRemoved = 32 // names of removed contents that are remembered
)

// Errors of the methods of Session.
var (
	ErrState   = errors.New("not allowed in this state")
	ErrContent = errors.New("no such content")
	ErrQueue   = errors.New("too many actions wait for the peer")
)

// A Config describes a new session. SID, Local and Peer are required.
type Config struct {
	SID   string
	Role  Role
	Local jid.JID // full
	Peer  jid.JID // full
	// AcceptTimeout ends a session that we initiated and nobody accepts. Zero
	// means 60 s, negative means never.
	AcceptTimeout time.Duration
	// AnswerTimeout takes back a content-add or transport-replace of ours that
	// the peer does not answer. Zero means 30 s, negative means never.
	AnswerTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.AcceptTimeout == 0 {
		c.AcceptTimeout = 60 * time.Second
	}
	if c.AnswerTimeout == 0 {
		c.AnswerTimeout = 30 * time.Second
	}
	return c
}

// A Session is the state machine of one Jingle session. It is not safe for
// concurrent use: one goroutine owns it.
type Session struct {
	cfg      Config
	state    State
	contents []*content // in order of appearance
	removed  []string   // names that late messages may still mention
	flights  []*flight  // our actions sent and not acknowledged, oldest first
	queue    []*flight  // our actions that wait for the window
	lastID   ActionID
	timers   map[TimerID]timer
	lastTime TimerID
	lastWord TimerID // see timerLastWord; zero while the peer knows the session
	// acceptTimer runs while our session-initiate is not accepted.
	acceptTimer TimerID
	// changed is set by our content actions. It tells a session-accept that
	// answers them from one out of order.
	changed bool
}

// A content is what the engine knows of a content.
type content struct {
	name     string
	creator  Role // who offered it, whatever the creator attribute says
	accepted bool
	senders  Senders
	offer    Content // as offered, for stubs and to compare
	timer    TimerID // our offer waits for an answer; 0 when none
	replace  replacement
	replTime TimerID
}

// A replacement says whose transport-replace of a content is unanswered.
type replacement uint8

const (
	replaceNone replacement = iota
	replaceOurs
	replaceTheirs
)

// A flight is one of our actions on its way.
type flight struct {
	id    ActionID
	j     *Jingle
	names []string
	// barrier holds later actions back until this one is acknowledged.
	barrier bool
	// senders is what content-modify asked for, before what it undoes.
	senders, before Senders
	// lost says that the peer's own action has won already; what this one began
	// is undone.
	lost bool
}

// NewSession returns a session in StateCreated.
func NewSession(cfg Config) *Session {
	return &Session{cfg: cfg.withDefaults(), timers: make(map[TimerID]timer)}
}

// State returns where the session is.
func (s *Session) State() State { return s.state }

// SID returns the session id.
func (s *Session) SID() string { return s.cfg.SID }

// Role returns our side.
func (s *Session) Role() Role { return s.cfg.Role }

// Unheard returns how many of our actions the peer has not acknowledged, those
// that wait to be sent included.
func (s *Session) Unheard() int { return len(s.flights) + len(s.queue) }

// A ContentStatus describes a content of a session.
type ContentStatus struct {
	Name     string
	Creator  Role // who offered it
	Accepted bool // false while it is only offered
	Senders  Senders
}

// Contents returns the contents of the session in order of appearance.
func (s *Session) Contents() []ContentStatus {
	list := make([]ContentStatus, len(s.contents))
	for i, c := range s.contents {
		list[i] = ContentStatus{Name: c.name, Creator: c.creator, Accepted: c.accepted, Senders: c.senders}
	}
	return list
}

func (s *Session) content(name string) *content {
	for _, c := range s.contents {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (s *Session) addContent(c Content, creator Role) *content {
	n := &content{name: c.Name, creator: creator, senders: both(c.Senders), offer: c}
	s.contents = append(s.contents, n)
	return n
}

// dropContent forgets a content and stops its timers.
func (s *Session) dropContent(name string) []Effect {
	i := slices.IndexFunc(s.contents, func(c *content) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	c := s.contents[i]
	s.contents = slices.Delete(s.contents, i, i+1)
	if len(s.removed) == maxRemoved {
		s.removed = slices.Delete(s.removed, 0, 1)
	}
	s.removed = append(s.removed, name)
	return append(s.stopTimer(&c.timer), s.stopTimer(&c.replTime)...)
}

// wasRemoved reports whether the session had a content of that name.
func (s *Session) wasRemoved(name string) bool { return slices.Contains(s.removed, name) }

// unlessVoid ends a session whose last content went without anyone removing it,
// for example because an offer failed. XEP-0166#def-action-content-remove
func (s *Session) unlessVoid(effects []Effect) []Effect {
	if len(s.contents) == 0 && (s.state == StatePending || s.state == StateActive) {
		return append(effects, s.terminate(Reason{Condition: FailedApplication}, false)...)
	}
	return effects
}

// both fills in the default of senders. XEP-0166#def-content
func both(s Senders) Senders {
	if s == "" {
		return SendersBoth
	}
	return s
}

// end makes the session final. The effects begin with before.
func (s *Session) end(before []Effect, r Reason, remote bool) []Effect {
	s.state = StateEnded
	ids := make([]TimerID, 0, len(s.timers))
	for id := range s.timers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []Effect
	for _, id := range ids {
		out = append(out, StopTimer{ID: id})
	}
	out = append(out, before...)
	s.contents, s.removed, s.flights, s.queue = nil, nil, nil, nil
	clear(s.timers)
	return append(out, Ended{Reason: r, Remote: remote})
}

// A timer is a running timer and what it is for.
type timer struct {
	kind timerKind
	name string // content; of timerLastWord what the peer said
}

type timerKind uint8

const (
	timerAccept   timerKind = iota // session-accept is due
	timerAnswer                    // the answer to content-add is due
	timerReplace                   // the answer to transport-replace is due
	timerLastWord                  // the session-terminate of a peer that has ended is due
)

func (s *Session) startTimer(t timer, after time.Duration) (TimerID, []Effect) {
	if after < 0 {
		return 0, nil
	}
	s.lastTime++
	s.timers[s.lastTime] = t
	return s.lastTime, []Effect{StartTimer{ID: s.lastTime, After: after}}
}

// stopTimer stops the timer, if it runs, and sets *id to zero.
func (s *Session) stopTimer(id *TimerID) []Effect {
	stopped := *id
	*id = 0
	if _, ok := s.timers[stopped]; !ok {
		return nil
	}
	delete(s.timers, stopped)
	return []Effect{StopTimer{ID: stopped}}
}

// TimerFired reports that a timer asked for by StartTimer has elapsed.
func (s *Session) TimerFired(id TimerID) []Effect {
	return s.unlessVoid(s.timerFired(id))
}

func (s *Session) timerFired(id TimerID) []Effect {
	t, ok := s.timers[id]
	if !ok {
		return nil
	}
	delete(s.timers, id)
	switch t.kind {
	case timerAccept:
		return s.Terminate(Reason{Condition: Timeout})
	case timerAnswer:
		c := s.content(t.name)
		if c == nil || c.accepted {
			return nil
		}
		r := &Reason{Condition: Timeout}
		out, err := s.RemoveContent(r, t.name)
		if err != nil {
			out = s.dropContent(t.name) // the window is full: then let it go unsaid
		}
		if s.state == StateEnded {
			return out
		}
		return append(out, ContentRejected{Names: []string{t.name}, Reason: r})
	case timerLastWord:
		return s.end(nil, Reason{Condition: Gone, Text: t.name}, true)
	case timerReplace:
		if c := s.content(t.name); c != nil && c.replace == replaceOurs {
			c.replace, c.replTime = replaceNone, 0
			return []Effect{TransportRejected{Names: []string{t.name}}}
		}
	}
	return nil
}
