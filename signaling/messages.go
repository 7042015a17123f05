package signaling

import (
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
)

// An envelope is a message and how it got here.
type envelope struct {
	msg  *stream.Element
	from jid.JID
	to   jid.JID // the zero JID when absent
	// own says that another device of our account sent it; our server vouches for that.
	own bool
	// sentAt is when it was sent, the zero time when just now. XEP-0203
	sentAt time.Time
	// archiveID is what our archive calls it, "" when unknown. XEP-0359#stanza-id
	archiveID string
	archived  bool // it comes from the archive
	copied    bool // it is a carbon copy
}

// at returns when the message was sent.
func (e *envelope) at(now time.Time) time.Time {
	if e.sentAt.IsZero() || e.sentAt.After(now) {
		return now
	}
	return e.sentAt
}

// onMessage handles a message, on a worker.
func (c *Client) onMessage(st *stream.Stanza) {
	from := st.From
	if isZero(from) {
		from = c.own
	}
	if st.Child(nsMAM, "result") != nil {
		return // of a query that is over; the others went elsewhere
	}
	env := &envelope{msg: &st.Element, from: from, to: st.To, own: c.isOwnAccount(from) && !from.Equal(c.JID())}
	if st.Type() == "error" {
		c.onBounce(env)
		return
	}
	if from.Equal(c.JID()) {
		return // our own words, as they come back when we call our own account
	}
	if copied, ok := c.carbon(st); ok {
		if copied == nil {
			return
		}
		env = copied
	}
	if env.msg.Attr("type") == "groupchat" {
		return // calls of rooms are not implemented, and anybody in it could have sent this
	}
	if delay := env.msg.Child(nsDelay, "delay"); delay != nil && env.sentAt.IsZero() {
		env.sentAt = parseStamp(delay.Attr("stamp"))
	}
	env.archiveID = c.archiveID(env.msg)
	c.handleEnvelope(env)
}

// handleEnvelope handles what a message is about: calls. Others do not concern us.
func (c *Client) handleEnvelope(env *envelope) {
	if r := env.msg.Child(nsReceipts, "received"); r != nil && !env.own {
		c.onReceipt(env.from, r.Attr("id"))
	}
	for child := range env.msg.Children() {
		if !jmi.Is(child.Start.Name) {
			continue
		}
		var m jmi.Message
		if err := child.Decode(&m); err != nil {
			c.log.Debug("call message ignored", "from", env.from.String(), "err", err)
			return
		}
		if m.Kind == jmi.KindPropose {
			if env.own && env.copied && c.isOwnAccount(env.to) {
				return // we call ourselves: it rings by the message, not by the copy
			}
			if c.wants(env.from) {
				c.sendReceipt(env) // also when a copy of it was faster
			}
		}
		if c.seen.before(env, &m) {
			return
		}
		c.marks.live(env)
		c.onCallMessage(env, &m)
		return // one message says one thing
	}
}

// archiveID returns what our own archive calls a message. What others claim
// in its name does not count. XEP-0359#security
func (c *Client) archiveID(msg *stream.Element) string {
	for child := range msg.Children() {
		if child.Start.Name.Space == nsSID && child.Start.Name.Local == "stanza-id" && child.Attr("by") == c.own.String() {
			return child.Attr("id")
		}
	}
	return ""
}

// parseStamp reads a time of XEP-0082; the zero time when it is none.
func parseStamp(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// seenMessages remembers messages, to drop those that come twice: by carbon
// and directly, or live and from the archive. XEP-0359
type seenMessages struct {
	mu    sync.Mutex
	keys  map[string]struct{}
	order []string
}

// before reports whether the message was handled already. A message without
// any id is always new.
func (s *seenMessages) before(env *envelope, m *jmi.Message) bool {
	var keys []string
	if env.archiveID != "" {
		keys = append(keys, "a "+env.archiveID)
	}
	id := env.msg.Child(nsSID, "origin-id").Attr("id")
	if id == "" {
		id = env.msg.Attr("id")
	}
	if id != "" && len(id) <= 256 {
		// The content belongs to the key: some clients count from 1 after each start.
		keys = append(keys, "m "+env.from.String()+"\n"+id+"\n"+string(m.Kind)+"\n"+m.SID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if _, ok := s.keys[k]; ok {
			return true
		}
	}
	if s.keys == nil {
		s.keys = make(map[string]struct{})
	}
	for _, k := range keys {
		if len(s.order) >= maxMessageIDs {
			delete(s.keys, s.order[0])
			s.order = s.order[1:]
		}
		s.keys[k] = struct{}{}
		s.order = append(s.order, k)
	}
	return false
}
