package signaling

import (
	"context"

	"mellium.im/xmpp/jid"
)

// A SubscriptionState says who sees whose presence. RFC 6121 §2.1.2.5
type SubscriptionState string

// The states of a subscription.
const (
	SubscriptionNone   SubscriptionState = "none"
	SubscriptionTo     SubscriptionState = "to"   // we see theirs
	SubscriptionFrom   SubscriptionState = "from" // they see ours
	SubscriptionBoth   SubscriptionState = "both"
	SubscriptionRemove SubscriptionState = "remove" // only in RosterChanged
)

// A Contact is one item of the roster. RFC 6121 §2.1.2
type Contact struct {
	JID          jid.JID // bare
	Name         string  // given by the user; may be empty
	Groups       []string
	Subscription SubscriptionState
	Asked        bool // we asked to see their presence and they have not answered
}

// SeesUs reports whether the contact may see our presence.
func (c Contact) SeesUs() bool {
	return c.Subscription == SubscriptionFrom || c.Subscription == SubscriptionBoth
}

// SeenByUs reports whether we may see the presence of the contact.
func (c Contact) SeenByUs() bool {
	return c.Subscription == SubscriptionTo || c.Subscription == SubscriptionBoth
}

// Roster returns the contacts, ordered by JID.
func (c *Client) Roster() []Contact { panic("soon") }

// Contact returns the roster item of a JID, bare or full.
func (c *Client) Contact(j jid.JID) (Contact, bool) { panic("soon") }

// AddContact adds or changes a contact: its name and groups. RFC 6121 §2.3
// It does not ask to see their presence: see [Client.RequestSubscription].
func (c *Client) AddContact(ctx context.Context, j jid.JID, name string, groups ...string) error {
	panic("soon")
}

// RemoveContact removes a contact and both subscriptions. RFC 6121 §2.5
func (c *Client) RemoveContact(ctx context.Context, j jid.JID) error { panic("soon") }

// RequestSubscription asks to see somebody's presence, and lets them see ours
// when they ask in turn. RFC 6121 §3.1
func (c *Client) RequestSubscription(ctx context.Context, j jid.JID) error { panic("soon") }

// Approve lets somebody see our presence. RFC 6121 §3.1.5
func (c *Client) Approve(ctx context.Context, j jid.JID) error { panic("soon") }

// Deny refuses a request to see our presence, or takes the permission back.
// RFC 6121 §3.2
func (c *Client) Deny(ctx context.Context, j jid.JID) error { panic("soon") }

// Unsubscribe stops seeing somebody's presence. RFC 6121 §3.3
func (c *Client) Unsubscribe(ctx context.Context, j jid.JID) error { panic("soon") }
