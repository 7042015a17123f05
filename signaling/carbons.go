package signaling

import (
	"context"
	"fmt"
	"time"

	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// enableCarbons asks the server for copies of what other devices of the
// account send and get: how we learn that one of them took a call. XEP-0280#enabling
func (c *Client) enableCarbons(ctx context.Context) error {
	if _, err := c.s.IQ(ctx, jid.JID{}, stanza.SetIQ, element(nsCarbons, "enable")); err != nil {
		return fmt.Errorf("enable carbons: %w", err)
	}
	return nil
}

// carbon unwraps a copy. ok is false for a message that is none; a copy that
// is forged or broken is ok and nil.
func (c *Client) carbon(st *stream.Stanza) (env *envelope, ok bool) {
	for _, kind := range []string{"sent", "received"} {
		wrap := st.Child(nsCarbons, kind)
		if wrap == nil {
			continue
		}
		// Only our own account may send copies: everybody else could otherwise put
		// words into anybody's mouth. XEP-0280#security
		if !c.fromOwnAccount(st.From) {
			c.log.Warn("carbon copy of a stranger ignored", "from", st.From.String())
			return nil, true
		}
		env, err := forwarded(wrap)
		if err != nil {
			c.log.Debug("carbon copy ignored", "err", err)
			return nil, true
		}
		if isZero(env.from) {
			env.from = c.own
		}
		sentByUs := c.isOwnAccount(env.from)
		if sentByUs != (kind == "sent") {
			// A message to ourselves is sent and received; the copy of the one is enough.
			return nil, true
		}
		if env.from.Equal(c.JID()) || env.msg.Attr("type") == "error" {
			return nil, true
		}
		env.own, env.copied = sentByUs, true
		return env, true
	}
	return nil, false
}

// forwarded reads the message inside a carbon copy or an archive result. XEP-0297
func forwarded(wrap *stream.Element) (*envelope, error) {
	f := wrap.Child(nsForward, "forwarded")
	msg := f.Child(nsClient, "message")
	if msg == nil {
		return nil, fmt.Errorf("forwarded message: none inside")
	}
	env := &envelope{msg: msg}
	var err error
	if s := msg.Attr("from"); s != "" {
		if env.from, err = jid.Parse(s); err != nil {
			return nil, fmt.Errorf("forwarded message: sender: %w", err)
		}
	}
	if s := msg.Attr("to"); s != "" {
		if env.to, err = jid.Parse(s); err != nil {
			return nil, fmt.Errorf("forwarded message: recipient: %w", err)
		}
	}
	if d := f.Child(nsDelay, "delay"); d != nil {
		env.sentAt = parseStamp(d.Attr("stamp"))
		// A copy made just now carries a stamp too.
		if time.Since(env.sentAt).Abs() < time.Second {
			env.sentAt = time.Time{}
		}
	}
	return env, nil
}
