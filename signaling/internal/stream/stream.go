package stream

import (
	"context"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// A Handler receives what happens on a stream. All functions are called from
// one goroutine, in order, and never after Done is closed. They may call Send
// and IQ; while one of them waits, at most a bounded number of stanzas is read
// ahead, and answers to IQs keep arriving until then. A nil function is not called.
type Handler struct {
	// Stanza is called with every stanza that is not an answer to one of our IQs.
	// Every iq of type get or set must be answered by the handler, soon or later.
	Stanza func(*Stanza)
	// Online is called after each login, the first included. Resumed false means
	// a new session: the server has forgotten presence, carbons and the like.
	Online func(resumed bool)
	// Offline is called when the connection was lost; the stream reconnects by itself.
	Offline func(err error)
}

// A Stream is a logged-in XMPP stream that reconnects by itself. Its methods
// may be called from any goroutine.
type Stream struct{}

// New returns a stream that is not connected yet. Until [Stream.Connect]
// succeeded, only Connect and Close may be called.
func New(cfg Config, h Handler) *Stream { panic("soon") }

// Dial is [New] and [Stream.Connect].
func Dial(ctx context.Context, cfg Config, h Handler) (*Stream, error) {
	s := New(cfg, h)
	if err := s.Connect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Connect logs in and returns once online, or with the reason why not. The
// context is for the connecting only. After an error the stream is closed.
func (s *Stream) Connect(ctx context.Context) error { panic("soon") }

// JID returns the full JID the server gave us.
func (s *Stream) JID() jid.JID { panic("soon") }

// Domain returns the domain of the account, which is also the server's address.
func (s *Stream) Domain() jid.JID { panic("soon") }

// Features returns the stream features after login, for example the server's
// entity capabilities.
func (s *Stream) Features() *Element { panic("soon") }

// Online reports whether the stream is connected now.
func (s *Stream) Online() bool { panic("soon") }

// Send queues one stanza and returns: when offline it is sent once online
// again. It waits only while the queue is full. v is marshaled by
// [encoding/xml], or is the []byte of one stanza.
func (s *Stream) Send(ctx context.Context, v any) error { panic("soon") }

// IQ sends a request and waits for its answer. payload is marshaled by
// [encoding/xml], or []byte, or nil. The zero JID asks our own account.
//
// An answer of type error is returned together with an [*AnswerError]. When
// the connection could not be resumed meanwhile the error is [ErrRebound].
func (s *Stream) IQ(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (*Stanza, error) {
	panic("soon")
}

// Flush waits until the server has acknowledged all that was handed to Send before.
func (s *Stream) Flush(ctx context.Context) error { panic("soon") }

// SetQuick makes the stream notice a dead connection sooner (Config.QuickDeadAfter).
func (s *Stream) SetQuick(on bool) { panic("soon") }

// NetworkChanged tells that the network of this machine changed: the
// connection is probed at once, or the next attempt is made at once.
func (s *Stream) NetworkChanged() { panic("soon") }

// Close says goodbye to the server, and returns when everything has stopped.
// What is queued is sent before, as far as Config.CloseTimeout allows. Later
// and blocked calls return an error that is [net.ErrClosed].
func (s *Stream) Close() error { panic("soon") }

// Done is closed when the stream is over: by Close or for a reason that
// forbids to reconnect.
func (s *Stream) Done() <-chan struct{} { panic("soon") }

// Err returns why the stream is over: nil before, net.ErrClosed after Close.
func (s *Stream) Err() error { panic("soon") }
