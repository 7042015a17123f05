package signaling

import (
	"context"

	"mellium.im/xmpp/jid"
)

// Blocked returns whom the server keeps away from us. XEP-0191
func (c *Client) Blocked(ctx context.Context) ([]jid.JID, error) { panic("soon") }

// Block keeps somebody away from all devices of the account. XEP-0191
func (c *Client) Block(ctx context.Context, who ...jid.JID) error { panic("soon") }

// Unblock takes Block back. XEP-0191
func (c *Client) Unblock(ctx context.Context, who ...jid.JID) error { panic("soon") }
