package jingle

import (
	"context"

	"mellium.im/xmpp/jid"
)

// An Application takes part in one session: a call, a file transfer. Package
// signaling drives it, as net/http drives a Handler. Its methods run on the
// session's goroutine, in order, and must not block: an application does slow
// work elsewhere and comes back with [Conn.Do].
type Application interface {
	// Attach is called once, before any effect. On the initiator's side the
	// session is StateCreated and the application initiates it, now or later,
	// with conn.Do. On the responder's side the session is StatePending and
	// [Offered] follows.
	Attach(conn Conn)
	// Handle takes each effect that is not the driver's own (Send, StartTimer
	// and StopTimer are). [Ended] is the last.
	Handle(e Effect)
}

// A Conn is a live session as its application sees it. Package signaling
// implements it over XMPP, package jingletest in memory.
type Conn interface {
	SID() string
	Role() Role
	Local() jid.JID // full JID
	Peer() jid.JID  // full JID
	// Do runs fn on the session's goroutine, carries out the effects it
	// returns, and returns its error. Application methods that already run on
	// that goroutine must use DoLater. It returns net.ErrClosed when the
	// session is over.
	Do(ctx context.Context, fn func(*Session) ([]Effect, error)) error
	// DoLater queues fn like Do without waiting; errors are logged.
	DoLater(fn func(*Session) ([]Effect, error))
	// Done is closed after Ended was handled.
	Done() <-chan struct{}
}
