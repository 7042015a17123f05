package signaling

import (
	"context"
	"encoding/xml"
	"fmt"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

type blockList struct {
	XMLName xml.Name
	Items   []blockItem `xml:"item"`
}

type blockItem struct {
	JID string `xml:"jid,attr"`
}

// Blocked returns whom the server keeps away from us. XEP-0191
func (c *Client) Blocked(ctx context.Context) ([]jid.JID, error) {
	st, err := c.s.IQ(ctx, jid.JID{}, stanza.GetIQ, element(nsBlocking, "blocklist"))
	if err != nil {
		return nil, fmt.Errorf("get the block list: %w", err)
	}
	var answer blockList
	if err := st.Child(nsBlocking, "blocklist").Decode(&answer); err != nil {
		return nil, fmt.Errorf("get the block list: %w", err)
	}
	var out []jid.JID
	for _, item := range answer.Items {
		j, err := jid.Parse(item.JID)
		if err != nil {
			c.log.Warn("item of block list ignored", "jid", item.JID)
			continue
		}
		out = append(out, j)
	}
	return out, nil
}

// Block keeps somebody away from all devices of the account. XEP-0191
func (c *Client) Block(ctx context.Context, who ...jid.JID) error {
	return c.changeBlockList(ctx, "block", who)
}

// Unblock takes Block back. XEP-0191
func (c *Client) Unblock(ctx context.Context, who ...jid.JID) error {
	return c.changeBlockList(ctx, "unblock", who)
}

func (c *Client) changeBlockList(ctx context.Context, verb string, who []jid.JID) error {
	if len(who) == 0 {
		return nil // without items unblock would mean everybody
	}
	list := &blockList{XMLName: xml.Name{Space: nsBlocking, Local: verb}}
	for _, j := range who {
		list.Items = append(list.Items, blockItem{j.String()})
	}
	if _, err := c.s.IQ(ctx, jid.JID{}, stanza.SetIQ, list); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}
