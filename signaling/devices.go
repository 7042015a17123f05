package signaling

import (
	"context"

	"mellium.im/xmpp/jid"
)

// A Device is one full JID whose presence we see.
type Device struct {
	JID       jid.JID // full
	Available bool
	Show      string // "", "away", "chat", "dnd" or "xa"
	Status    string // to be shown as plain text
	Priority  int8
	CapsNode  string // the software, as a URL; "" when not told. XEP-0115
	CapsVer   string // XEP-0115; "" when not told
	// Info is what the device can do, nil when not known yet; see [Client.Devices].
	Info *Info
}

// CanCall reports whether the device can take calls of audio by Jingle.
func (d Device) CanCall() bool { panic("soon") }

// CanJMI reports whether the device can be called by a message to the bare
// JID (XEP-0353).
func (d Device) CanJMI() bool { panic("soon") }

// Devices returns the online devices of somebody, our own account included, by
// falling priority. It asks those whose features are not known yet, for as
// long as ctx allows; a device that does not answer has a nil Info.
func (c *Client) Devices(ctx context.Context, bare jid.JID) ([]Device, error) { panic("soon") }

// An Ability says whether somebody can be called, and why not.
type Ability struct {
	Can bool // at least one device takes calls
	JMI bool // it can be reached by a message to the bare JID
	// Why explains a Can of false, or what stands in the way of a good call,
	// in one lower-case line.
	Why     string
	Devices []Device
}

// CanCall says whether somebody can be called now. A Can of false does not
// forbid to try: without seeing their presence we cannot know.
func (c *Client) CanCall(ctx context.Context, bare jid.JID) (Ability, error) { panic("soon") }
