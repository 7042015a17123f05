package xmpptest

import (
	"slices"
)

// receive handles one element of a logged-in client. An error ends its stream.
func (s *Server) receive(c *conn, e *Element) error {
	if e.Name.Space == nsSM && s.knows(nsSM) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.sess == nil {
			return nil
		}
		return s.manage(c.sess, e)
	}
	if e.Name.Space != nsClient || !slices.Contains([]string{"iq", "message", "presence"}, e.Name.Local) {
		return &streamError{condition: "unsupported-stanza-type"}
	}
	var answer *Element
	handler := s.handlerFor(c, e)
	if handler != nil {
		answer = handler.answer(e.with("from", c.jid))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.sess == nil {
		return nil // another connection has taken the session over
	}
	if c.sess.sm != nil {
		c.sess.sm.in++
	}
	if handler != nil {
		if answer != nil {
			s.deliver(c.sess, answer)
		}
		return nil
	}
	return s.route(c.sess, e)
}

// route sends a stanza of sess on its way. Server.mu is held.
func (s *Server) route(sess *session, e *Element) error {
	if from := e.Get("from"); from != "" {
		a, err := parseAddr(from)
		if err != nil || (a != sess.jid && a != sess.acct.jid) {
			return &streamError{condition: "invalid-from"} // RFC 6120 §4.9.3.9
		}
	}
	e = e.with("from", sess.jid.String())
	to := sess.acct.jid
	if t := e.Get("to"); t != "" {
		var err error
		if to, err = parseAddr(t); err != nil {
			s.bounce(e, "modify", "jid-malformed")
			return nil
		}
	}
	if to.bare() != sess.acct.jid && sess.acct.blocked[to.bare()] && e.Get("type") != "unavailable" {
		if answer := errorReply(e, "cancel", "not-acceptable"); answer != nil && e.Name.Local != "presence" {
			answer.Child(nsClient, "error").add(el(nsBlockErr, "blocked")) // XEP-0191#block
			s.deliver(sess, answer)
		}
		return nil
	}
	switch e.Name.Local {
	case "iq":
		s.iq(sess, e, to)
	case "message":
		s.messageFrom(sess, e.with("to", to.String()), to)
	case "presence":
		s.presence(sess, e, to)
	}
	return nil
}

// iq answers what is meant for the server or an account and passes on the rest.
func (s *Server) iq(sess *session, e *Element, to addr) {
	if to.resource == "" && slices.Contains(s.domains, to.domain) {
		if typ := e.Get("type"); typ == "get" || typ == "set" {
			if answer := s.serverIQ(sess, e, to); answer != nil {
				s.deliver(sess, answer)
			}
		}
		return
	}
	acct := s.accounts[to.bare()]
	if acct == nil {
		s.bounce(e, "cancel", s.whyNoAccount(to))
		return
	}
	target := acct.sessions[to.resource]
	if target == nil || acct.blocked[sess.acct.jid] {
		s.bounce(e, "cancel", "service-unavailable")
		return
	}
	s.deliver(target, e)
}

func (s *Server) whyNoAccount(a addr) string {
	if slices.Contains(s.domains, a.domain) {
		return "service-unavailable"
	}
	return "remote-server-not-found"
}

// bounce returns a stanza to its sender as an error; errors and results are
// dropped instead, and so is presence.
func (s *Server) bounce(e *Element, typ, condition string) {
	if e.Name.Local == "presence" {
		return
	}
	from, err := parseAddr(e.Get("from"))
	answer := errorReply(e, typ, condition)
	if answer == nil || err != nil {
		return
	}
	if acct := s.accounts[from.bare()]; acct != nil {
		if sess := acct.sessions[from.resource]; sess != nil {
			s.deliver(sess, answer)
		}
	}
}

// undelivered takes a stanza whose session is gone. XEP-0198#resumption
func (s *Server) undelivered(u unacked) {
	e := u.e
	to, err := parseAddr(e.Get("to"))
	if err != nil {
		return
	}
	switch e.Name.Local {
	case "iq":
		s.bounce(e, "cancel", "service-unavailable")
	case "message":
		if e.Child(nsCarbons, "received") == nil && e.Child(nsCarbons, "sent") == nil {
			s.redeliver(e, to, u.at)
		}
	}
}

// resultReply answers iq, with payload unless it is nil.
func resultReply(iq *Element, payload *Element) *Element {
	r := el(nsClient, "iq", "type", "result", "id", iq.Get("id"))
	r = r.with("from", iq.Get("to")).with("to", iq.Get("from"))
	if payload != nil {
		r.add(payload)
	}
	return r
}

// errorReply turns a stanza into an error to its sender, or nil if it must not
// be answered with one. RFC 6120 §8.3
func errorReply(e *Element, typ, condition string) *Element {
	if t := e.Get("type"); t == "error" || (e.Name.Local == "iq" && t == "result") {
		return nil
	}
	r := el(nsClient, e.Name.Local, "type", "error").with("id", e.Get("id"))
	r = r.with("from", e.Get("to")).with("to", e.Get("from"))
	return r.add(el(nsClient, "error", "type", typ).add(el(nsStanzas, condition)))
}
