package xmpptest

import (
	"maps"
	"slices"
)

// presence handles what a client says about itself or about a subscription.
// RFC 6121 §3 and §4. Server.mu is held.
func (s *Server) presence(sess *session, e *Element, to addr) {
	directed := e.Get("to") != "" && to != sess.acct.jid
	switch typ := e.Get("type"); typ {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		if directed {
			s.subscription(sess.acct, e, to.bare(), typ)
		}
	case "probe":
		if directed {
			s.probe(sess, to.bare())
		}
	case "", "unavailable", "error":
		switch {
		case directed:
			if typ == "" {
				sess.directed[to] = true
			} else {
				delete(sess.directed, to)
			}
			s.presenceTo(e, to)
		case typ == "unavailable":
			s.goOffline(sess, e)
			s.observers.notify()
		case typ == "":
			s.goOnline(sess, e)
			s.observers.notify()
		}
	}
}

// audience lists who sees the presence of an account: contacts with a
// subscription, and the account itself.
func (s *Server) audience(acct *account) []addr {
	out := []addr{acct.jid}
	for j, it := range acct.roster {
		if it.from && !acct.blocked[j] {
			out = append(out, j)
		}
	}
	return out
}

// goOnline broadcasts presence. The first one is answered with everyone
// else's, and with what waited for the user.
func (s *Server) goOnline(sess *session, p *Element) {
	initial := !sess.available()
	sess.presence = p
	wasNegative := sess.priority < 0
	sess.setPriority(p)
	for _, to := range s.audience(sess.acct) {
		s.presenceTo(p.with("to", to.String()), to)
	}
	if initial {
		for _, other := range sess.acct.available() {
			if other != sess {
				s.deliver(sess, other.presence.with("to", sess.jid.String()))
			}
		}
		for j, it := range sess.acct.roster {
			if it.to {
				s.probe(sess, j)
			}
		}
		for _, request := range sess.acct.requests {
			s.deliver(sess, request)
		}
	}
	if sess.priority >= 0 && (initial || wasNegative) {
		waiting := sess.acct.offline
		sess.acct.offline = nil
		for _, m := range waiting {
			s.deliver(sess, m)
		}
	}
}

// probe gives sess the presence of a contact it is subscribed to. RFC 6121 §4.3.2
func (s *Server) probe(sess *session, contact addr) {
	acct := s.accounts[contact]
	if acct == nil || acct.blocked[sess.acct.jid] {
		return
	}
	if it := acct.roster[sess.acct.jid]; contact != sess.acct.jid && (it == nil || !it.from) {
		return
	}
	for _, other := range acct.available() {
		s.deliver(sess, other.presence.with("to", sess.jid.String()))
	}
}

// available returns the sessions that have sent presence, in a stable order.
func (a *account) available() []*session {
	var out []*session
	for _, resource := range slices.Sorted(maps.Keys(a.sessions)) {
		if sess := a.sessions[resource]; sess.available() {
			out = append(out, sess)
		}
	}
	return out
}

// presenceTo delivers presence to a full JID, or to all available resources of a bare one.
func (s *Server) presenceTo(p *Element, to addr) {
	acct := s.accounts[to.bare()]
	if acct == nil {
		return
	}
	if from, err := parseAddr(p.Get("from")); err != nil || acct.blocked[from.bare()] {
		return
	}
	if to.resource != "" {
		if sess := acct.sessions[to.resource]; sess != nil {
			s.deliver(sess, p)
		}
		return
	}
	for _, sess := range acct.available() {
		s.deliver(sess, p)
	}
}
