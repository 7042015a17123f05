package signaling

import (
	"context"

	"github.com/carillon-im/carillon/jingle"
	"mellium.im/xmpp/jid"
)

// NewRegistry returns a registry that decodes what calls need: RTP
// descriptions, ICE-UDP transports and informational messages. Add to it
// before it is used.
func NewRegistry() *jingle.Registry { panic("soon") }

// An Offer is a session-initiate that is not a call.
type Offer struct {
	SID    string
	From   jid.JID // full
	Known  bool    // whether the sender may see our presence
	Jingle *jingle.Jingle
}

// Handle says who takes sessions that are not calls, by the namespace of the
// description of their first content, and advertises that namespace. f runs
// while the offer waits for its acknowledgement, so it must not block; nil
// refuses the session. It returns a function that takes f away again.
func (c *Client) Handle(ns string, f func(Offer) jingle.Application) (remove func()) { panic("soon") }

// Open starts a session with one device without a proposal. app is attached at
// once and initiates it. sid may be empty. The returned channel is closed when
// the session is over.
func (c *Client) Open(ctx context.Context, peer jid.JID, sid string, app jingle.Application) (jingle.Conn, error) {
	panic("soon")
}
