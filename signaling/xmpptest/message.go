package xmpptest

import (
	"time"
)

// maxOffline bounds the messages that wait for a user who is offline.
const maxOffline = 100

// messageFrom takes a message of a client on its way. Server.mu is held.
func (s *Server) messageFrom(sess *session, m *Element, to addr) {
	toSelf := to.bare() == sess.acct.jid
	if !toSelf {
		if storable(m) {
			s.archiveMessage(sess.acct, to, m)
		}
		s.copyTo(sess.acct, "sent", m, func(other *session) bool { return other == sess })
	}
	s.messageTo(m, to)
}

// messageTo delivers a message. RFC 6121 §8.5
func (s *Server) messageTo(m *Element, to addr) {
	acct := s.accounts[to.bare()]
	from, err := parseAddr(m.Get("from"))
	if err != nil {
		return
	}
	if acct == nil {
		if to.local != "" || s.whyNoAccount(to) != "service-unavailable" {
			s.bounce(m, "cancel", s.whyNoAccount(to))
		}
		return
	}
	if acct.blocked[from.bare()] {
		s.bounce(m, "cancel", "service-unavailable") // XEP-0191#block
		return
	}
	// Only we may say what id we gave it. XEP-0359#rules
	m = m.without(func(c *Element) bool { return c.Is(nsSID, "stanza-id") && c.Get("by") == acct.jid.String() })
	if storable(m) {
		if id := s.archiveMessage(acct, from, m); id != "" {
			m.add(el(nsSID, "stanza-id", "by", acct.jid.String(), "id", id))
		}
	}
	s.fanOut(acct, m, to)
}

// redeliver takes a message, already archived, that a session which is gone
// had not acknowledged since at.
func (s *Server) redeliver(m *Element, to addr, at time.Time) {
	acct := s.accounts[to.bare()]
	if acct == nil {
		return
	}
	for _, sess := range acct.available() {
		if to.resource == "" && sess.priority >= 0 {
			return // that resource got it as well
		}
	}
	s.fanOut(acct, delayed(m, to.domain, at), to)
}

// fanOut gives a message to the resource it names, or to all of non-negative
// priority, or keeps it until the user comes.
func (s *Server) fanOut(acct *account, m *Element, to addr) {
	typ, original := m.Get("type"), m
	if m.Child(nsCarbons, "private") != nil { // XEP-0280#avoiding: for servers only
		m = m.without(func(c *Element) bool { return c.Is(nsCarbons, "private") })
	}
	if to.resource != "" {
		if sess := acct.sessions[to.resource]; sess != nil {
			s.deliver(sess, m)
			s.copyTo(acct, "received", original, func(other *session) bool { return other == sess })
			return
		}
		switch typ {
		case "error", "headline":
			return
		case "groupchat":
			s.bounce(m, "cancel", "service-unavailable")
			return
		}
	}
	switch typ {
	case "error":
		return
	case "groupchat":
		s.bounce(m, "cancel", "service-unavailable")
		return
	}
	got := make(map[*session]bool)
	for _, sess := range acct.available() {
		if sess.priority >= 0 {
			got[sess] = true
			s.deliver(sess, m)
		}
	}
	s.copyTo(acct, "received", original, func(other *session) bool { return got[other] })
	if len(got) > 0 || typ == "headline" || !storable(m) {
		return
	}
	if len(acct.offline) >= maxOffline {
		s.bounce(m, "wait", "resource-constraint")
		return
	}
	acct.offline = append(acct.offline, delayed(m, to.domain, time.Now()))
}

// delayed says when a message that comes late was sent. XEP-0203
func delayed(m *Element, from string, at time.Time) *Element {
	if m.Child(nsDelay, "delay") != nil {
		return m
	}
	return m.copy().add(el(nsDelay, "delay", "from", from, "stamp", stamp(at)))
}

// stamp formats a time as XEP-0082 wants.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// storable reports whether a message belongs into the archive and may wait for
// a user who is offline. XEP-0334, XEP-0313#business-storeret-user-archives
func storable(m *Element) bool {
	switch m.Get("type") {
	case "error", "groupchat", "headline":
		return false
	}
	if m.Child(nsHints, "no-store") != nil || m.Child(nsHints, "no-permanent-store") != nil {
		return false
	}
	return m.Child(nsHints, "store") != nil || m.Child(nsClient, "body") != nil
}

// copyTo sends carbon copies of a message to those resources of acct that want
// them and for which skip is false. XEP-0280#recommended-rules
func (s *Server) copyTo(acct *account, kind string, m *Element, skip func(*session) bool) {
	typ := m.Get("type")
	if typ != "chat" && !(typ == "" || typ == "normal") {
		return
	}
	if typ != "chat" && !storable(m) {
		return
	}
	if m.Child(nsCarbons, "private") != nil || m.Child(nsHints, "no-copy") != nil {
		return
	}
	if m.Child(nsCarbons, "sent") != nil || m.Child(nsCarbons, "received") != nil {
		return // a forgery, or a copy already
	}
	for _, sess := range acct.sessions {
		if sess.carbons && !skip(sess) {
			copied := el(nsClient, "message", "from", acct.jid.String(), "to", sess.jid.String()).with("type", typ)
			s.deliver(sess, copied.add(el(nsCarbons, kind).add(el(nsForward, "forwarded").add(m))))
		}
	}
}
