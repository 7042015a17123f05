package signaling

import (
	"strings"

	"github.com/carillon-im/carillon/jingle/jmi"
	"mellium.im/xmpp/jid"
)

// Ids of call messages tell, in a receipt or a bounce, which one is meant.
// interop Conversations 2.19: recognises its own by such prefixes.
func messageID(k jmi.Kind, sid string) string { return "jm-" + string(k) + "-" + sid }

// parseMessageID is the reverse of messageID.
func parseMessageID(id string) (k jmi.Kind, sid string, ok bool) {
	rest, ok := strings.CutPrefix(id, "jm-")
	if !ok {
		return "", "", false
	}
	kind, sid, ok := strings.Cut(rest, "-")
	return jmi.Kind(kind), sid, ok && sid != "" && jmi.Kind(kind).Known()
}

// sendReceipt says that a call message arrived, to those who may know that we
// are online. XEP-0184#security The body-less messages of calls are
// all that this client understands, so others get no receipt from it.
func (c *Client) sendReceipt(env *envelope) {
	id := env.msg.Attr("id")
	if id == "" || len(id) > 1024 || isBare(env.from) || env.copied || env.archived || env.own ||
		env.msg.Child(nsReceipts, "request") == nil || !c.mayKnow(env.from) {
		return
	}
	if c.cfg.Busy == BusyReject && c.calls.busy(env.from) {
		return // callers take a receipt for a sign that it rings
	}
	r := &message{To: env.from.String(), ID: newID(), Type: "chat",
		Payloads: []any{&receipt{ID: id}, element(nsHints, "store")}}
	if err := c.s.Send(c.ctx, r); err != nil {
		c.log.Debug("receipt not sent", "to", r.To, "err", err)
	}
}

// onReceipt takes the receipt of a proposal for a sign that a device rings, as
// Conversations does: some devices send nothing else.
func (c *Client) onReceipt(from jid.JID, id string) {
	kind, sid, ok := parseMessageID(id)
	if !ok || kind != jmi.KindPropose || isBare(from) {
		return
	}
	for _, call := range c.calls.find(sid) {
		call.received(from)
	}
}

// onBounce handles a message of ours that came back. XEP-0353 has no more for it.
func (c *Client) onBounce(env *envelope) {
	kind, sid, ok := parseMessageID(env.msg.Attr("id"))
	if !ok {
		return
	}
	cond := "undefined-condition"
	for child := range env.msg.Child(env.msg.Start.Name.Space, "error").Children() {
		if child.Start.Name.Space == nsStanzas && child.Start.Name.Local != "text" {
			cond = child.Start.Name.Local
		}
	}
	for _, call := range c.calls.find(sid) {
		call.bounced(env.from, kind, cond)
	}
}

// bounceText says in words why a proposal came back.
func bounceText(who jid.JID, cond string) string {
	bare := who.Bare().String()
	switch cond {
	case "service-unavailable", "recipient-unavailable", "item-not-found":
		return bare + " cannot be reached: offline, or no such account"
	case "remote-server-not-found":
		return "the server of " + bare + " does not exist"
	case "remote-server-timeout":
		return "the server of " + bare + " does not answer"
	case "not-acceptable":
		return "you have blocked " + bare
	case "forbidden", "not-allowed", "policy-violation", "not-authorized":
		return "the server does not allow to call " + bare
	case "gone":
		return "the account " + bare + " does not exist any more"
	}
	return "the call to " + bare + " came back: " + cond
}
