package signaling

import (
	"context"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"mellium.im/xmpp/jid"
)

// CallOptions adjust a call. The zero value is a voice call.
type CallOptions struct {
	// Media that are proposed. Empty means audio. What the application
	// initiates with must be the same.
	Media []rtp.Media
	// SID is the session id. Empty makes up a UUID.
	SID string
	// Direct sends a session-initiate to one device without asking all of
	// them first. A full JID as callee chooses the device; it does not by
	// itself make the call direct.
	Direct bool
	// RingTimeout replaces Config.RingTimeout.
	RingTimeout time.Duration
}

// A Result says how a call ended.
type Result struct {
	Outcome Outcome
	Reason  jingle.Reason
	Remote  bool   // the other side ended it
	Why     string // one lower-case line for people; may be empty
}

// A Call is an outgoing call.
type Call struct{ *call }

// An IncomingCall is a call of somebody to us.
type IncomingCall struct{ *call }

// A call is what both kinds have in common.
type call struct{}

// SID returns the session id of the call, the same on all devices.
func (c *call) SID() string { panic("soon") }

// Media returns what was proposed.
func (c *call) Media() []rtp.Media { panic("soon") }

// Done is closed when the call is over.
func (c *call) Done() <-chan struct{} { panic("soon") }

// Result returns how the call ended. It is complete once Done is closed.
func (c *call) Result() Result { panic("soon") }

// Session is closed when the application was attached to a Jingle session.
func (c *call) Session() <-chan struct{} { panic("soon") }

// Hangup ends the call in whatever state it is: it takes back a proposal,
// rejects one, or terminates the session. An empty condition means what is
// usual in that state. It returns at once; Done tells when it is over.
func (c *call) Hangup(reason jingle.Reason) { panic("soon") }

// Call calls somebody. With a bare JID all their devices ring; with a full JID
// of a device that cannot be asked by message, that one. app is attached to
// the session once somebody answered, and initiates it; when nobody does, app
// is never called, and whoever made it has to close it.
//
// ctx is for the proposing only. The error tells what is wrong before anything
// was sent; what happens later is the [Result] of the call.
func (c *Client) Call(ctx context.Context, to jid.JID, app jingle.Application, opts CallOptions) (*Call, error) {
	panic("soon")
}

// Peer returns who is called: the full JID of the device that answered, and
// before that what Call was given.
func (c *Call) Peer() jid.JID { panic("soon") }

// Ringing is closed when a device of the callee rings.
func (c *Call) Ringing() <-chan struct{} { panic("soon") }

// Proceeded is closed when a device of the callee took the call.
func (c *Call) Proceeded() <-chan struct{} { panic("soon") }

// Incoming delivers the calls of others. When nobody receives, new calls are
// not answered. The channel is closed by Close.
func (c *Client) Incoming() <-chan *IncomingCall { panic("soon") }

// From returns the full JID of the device that calls.
func (c *IncomingCall) From() jid.JID { panic("soon") }

// Peer is From.
func (c *IncomingCall) Peer() jid.JID { panic("soon") }

// Known reports whether the caller may see our presence. Calls of others are
// shown without having been answered in any way (see [StrangerPolicy]).
func (c *IncomingCall) Known() bool { panic("soon") }

// Since returns when the caller proposed the call.
func (c *IncomingCall) Since() time.Time { panic("soon") }

// Accept takes the call. app is attached to the session when the caller has
// started it, which takes a round trip; when that never happens app is never
// called, and whoever made it has to close it. The error is [ErrCancelled]
// when the call had ended before.
func (c *IncomingCall) Accept(ctx context.Context, app jingle.Application) error { panic("soon") }

// Reject declines the call on all devices of the account. An empty condition
// means [jingle.Decline]; [jingle.Busy] says that we are in another call.
// After Accept it does the same as Hangup.
func (c *IncomingCall) Reject(reason jingle.Reason) { panic("soon") }

// Cancelled is closed when the call stopped ringing without our doing:
// retracted, answered or rejected on another device, or expired. Why is in
// Result, which is then complete.
func (c *IncomingCall) Cancelled() <-chan struct{} { panic("soon") }
