package jingle

import (
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
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

// A Config describes a new session. SID, Local and Peer are required.
type Config struct {
	SID   string
	Role  Role
	Local jid.JID // full
	Peer  jid.JID // full
}

// A Session is the state machine of one Jingle session. It is not safe for
// concurrent use: one goroutine owns it.
type Session struct{ state State }

// NewSession returns a session in StateCreated.
func NewSession(cfg Config) *Session { panic("todo") }

// State returns where the session is.
func (s *Session) State() State { return s.state }

// A Reply is the answer to the IQ that carried an action: nil Err acknowledges it.
type Reply struct {
	Err *Error
}

// An Error is a stanza error with its Jingle condition. XEP-0166#errors
type Error struct {
	Stanza    stanza.Error
	Condition string // in NSErrors; "" when none, for example "out-of-order", "tie-break", "unknown-session", "unsupported-info"
}

func (e *Error) Error() string { panic("todo") }

// Receive applies an action from the peer. The returned reply is the answer to
// its IQ and must be sent before any effect is carried out. XEP-0166#protocol-response
func (s *Session) Receive(j *Jingle) (Reply, []Effect) { panic("todo") }

// Sent reports how the peer answered one of our actions: nil when it was
// acknowledged, an *Error when refused, any other error when no answer came.
func (s *Session) Sent(id ActionID, err error) []Effect { panic("todo") }

// TimerFired reports that a timer asked for by StartTimer has elapsed.
func (s *Session) TimerFired(id TimerID) []Effect { panic("todo") }

// Initiate sends the session-initiate. The engine fills Action, SID and Initiator.
func (s *Session) Initiate(j *Jingle) ([]Effect, error) { panic("todo") }

// Accept sends the session-accept.
func (s *Session) Accept(j *Jingle) ([]Effect, error) { panic("todo") }

// Terminate ends the session from any state. It is never an error to call it again.
func (s *Session) Terminate(r Reason) []Effect { panic("todo") }

// TransportInfo sends candidates or new credentials.
func (s *Session) TransportInfo(j *Jingle) ([]Effect, error) { panic("todo") }

// Info sends a session-info with the payload; nil is a session-level ping.
func (s *Session) Info(p Payload) ([]Effect, error) { panic("todo") }

// DescriptionInfo sends changed descriptions.
func (s *Session) DescriptionInfo(j *Jingle) ([]Effect, error) { panic("todo") }

// AddContent asks the peer to add contents.
func (s *Session) AddContent(j *Jingle) ([]Effect, error) { panic("todo") }

// AcceptContent answers ContentOffered.
func (s *Session) AcceptContent(j *Jingle) ([]Effect, error) { panic("todo") }

// RejectContent answers ContentOffered.
func (s *Session) RejectContent(r *Reason, names ...string) ([]Effect, error) { panic("todo") }

// RemoveContent removes contents, or takes back an AddContent not yet answered.
func (s *Session) RemoveContent(r *Reason, names ...string) ([]Effect, error) { panic("todo") }

// ModifyContent changes who sends in a content.
func (s *Session) ModifyContent(name string, senders Senders) ([]Effect, error) { panic("todo") }

// ReplaceTransport asks the peer to use other transports; AcceptTransport and
// RejectTransport answer TransportReplaceReceived.
func (s *Session) ReplaceTransport(j *Jingle) ([]Effect, error) { panic("todo") }
func (s *Session) AcceptTransport(j *Jingle) ([]Effect, error)  { panic("todo") }
func (s *Session) RejectTransport(names ...string) ([]Effect, error) {
	panic("todo")
}
