// Package media carries calls: it answers for the media of a Jingle session,
// as [jingle.Application], with pion's ICE, DTLS and SRTP.
package media

import (
	"context"
	"time"

	"github.com/carillon-im/carillon/jingle"
)

// A Call is the media of one Jingle session. Make it early, while it rings:
// NewCall finds addresses and opens codecs, so that Attach can begin at once.
type Call struct{}

// NewCall prepares a call. It sends nothing to the peer; only the configured
// ICE servers are asked.
func NewCall(cfg Config) (*Call, error) { panic("not yet") }

// Attach takes part in a session: the initiator offers at once, the responder
// answers at once (the user has accepted before). It makes Call a
// jingle.Application.
func (c *Call) Attach(conn jingle.Conn) {}

// Handle takes an effect of the session. It makes Call a jingle.Application.
func (c *Call) Handle(e jingle.Effect) {}

// Accepted tells when the person called accepted, for SinceAccept. Without it
// that is when Attach was called.
func (c *Call) Accepted(at time.Time) {}

// Events returns what happens in the call. It is closed after Ended. A reader
// that is slow loses Stats first, and never holds up the call.
func (c *Call) Events() <-chan Event { return nil }

// Stats returns how the call is doing now.
func (c *Call) Stats() Stats { return Stats{} }

// Mute stops or resumes sending what the source says, and tells the peer.
func (c *Call) Mute(on bool) error { return nil }

// Hold stops or resumes media both ways, and tells the peer.
func (c *Call) Hold(on bool) error { return nil }

// DTMF sends keys, any of "0123456789*#ABCD", and returns when they are sent.
func (c *Call) DTMF(ctx context.Context, keys string) error { return nil }

// NetworkChanged tells that this machine's addresses changed, so that a new
// path is looked for at once.
func (c *Call) NetworkChanged() {}

// HangUp ends the call; the zero reason means success, or cancel before the
// peer accepted. It returns at once; see Done.
func (c *Call) HangUp(r jingle.Reason) {}

// Close hangs up if need be and returns when everything has stopped.
func (c *Call) Close() error { return nil }

// Done is closed when the call is over.
func (c *Call) Done() <-chan struct{} { return nil }

// Err returns what ended the call: nil while it goes on and after a hang-up of
// either side.
func (c *Call) Err() error { return nil }

var _ jingle.Application = (*Call)(nil)
