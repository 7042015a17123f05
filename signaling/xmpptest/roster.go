package xmpptest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
)

// A rosterItem is one contact. RFC 6121 §2.1.2
type rosterItem struct {
	name     string
	groups   []string
	from, to bool // they see us; we see them
	asked    bool // our request is not answered yet
}

func (it *rosterItem) subscription() string {
	switch {
	case it.from && it.to:
		return "both"
	case it.from:
		return "from"
	case it.to:
		return "to"
	}
	return "none"
}

func (it *rosterItem) element(j addr) *Element {
	e := el(nsRoster, "item", "jid", j.String(), "subscription", it.subscription())
	if it.name != "" {
		e = e.with("name", it.name)
	}
	if it.asked {
		e = e.with("ask", "subscribe")
	}
	for _, g := range it.groups {
		e.add(el(nsRoster, "group").add(g))
	}
	return e
}

// Befriend makes every pair of the accounts contacts of each other, as if both had asked and agreed.
// It panics when one of them does not exist.
func (s *Server) Befriend(jids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range jids {
		for _, b := range jids {
			if a != b {
				s.befriend(mustAddr(a), mustAddr(b))
			}
		}
	}
}

func (s *Server) befriend(a, b addr) {
	acct := s.accounts[a]
	if acct == nil || s.accounts[b] == nil {
		panic(fmt.Sprintf("xmpptest: befriend %s and %s: no such account", a, b))
	}
	it := acct.item(b)
	it.from, it.to, it.asked = true, true, false
	delete(acct.requests, b)
	s.pushItem(acct, b)
	for _, sess := range acct.available() {
		s.presenceTo(sess.presence.with("to", b.String()), b)
	}
}

// item returns the roster item of j and makes it if there is none.
func (a *account) item(j addr) *rosterItem {
	it := a.roster[j]
	if it == nil {
		it = &rosterItem{}
		a.roster[j] = it
	}
	return it
}

// rosterIQ answers a request about the user's own roster.
func (s *Server) rosterIQ(sess *session, iq, query *Element) *Element {
	acct := sess.acct
	if iq.Get("type") == "get" {
		sess.interested = true
		q := el(nsRoster, "query")
		for _, j := range slices.SortedFunc(maps.Keys(acct.roster), byString) {
			q.add(acct.roster[j].element(j))
		}
		return resultReply(iq, q)
	}
	x := query.Child(nsRoster, "item")
	if x == nil || len(query.Children()) != 1 {
		return errorReply(iq, "modify", "bad-request")
	}
	j, err := parseAddr(x.Get("jid"))
	if err != nil {
		return errorReply(iq, "modify", "jid-malformed")
	}
	j = j.bare()
	if j == acct.jid {
		return errorReply(iq, "cancel", "not-allowed")
	}
	if x.Get("subscription") == "remove" {
		it := acct.roster[j]
		if it == nil {
			return errorReply(iq, "modify", "item-not-found")
		}
		if it.to || it.asked {
			s.subscription(acct, el(nsClient, "presence", "type", "unsubscribe"), j, "unsubscribe")
		}
		if it.from {
			s.subscription(acct, el(nsClient, "presence", "type", "unsubscribed"), j, "unsubscribed")
		}
		delete(acct.roster, j)
		s.pushItem(acct, j)
		return resultReply(iq, nil)
	}
	it := acct.item(j)
	it.name, it.groups = x.Get("name"), nil
	for _, g := range x.Children() {
		if g.Is(nsRoster, "group") && g.Text() != "" {
			it.groups = append(it.groups, g.Text())
		}
	}
	s.pushItem(acct, j)
	return resultReply(iq, nil)
}

func byString(a, b addr) int {
	if a.String() < b.String() {
		return -1
	}
	return 1
}

// pushItem tells the user's clients about one item. RFC 6121 §2.1.6
func (s *Server) pushItem(acct *account, j addr) {
	item := el(nsRoster, "item", "jid", j.String(), "subscription", "remove")
	if it := acct.roster[j]; it != nil {
		item = it.element(j)
	}
	for _, sess := range acct.sessions {
		if sess.interested {
			s.push(sess, el(nsRoster, "query").add(item))
		}
	}
}

// push sends an IQ of the account itself; like most servers without `from`.
func (s *Server) push(sess *session, payload *Element) {
	s.deliver(sess, el(nsClient, "iq", "type", "set", "id", "push-"+rand.Text()[:10], "to", sess.jid.String()).add(payload))
}

// subscription handles the four subscription stanzas on both sides: acct is the
// sender, contact the other one. RFC 6121 §3
func (s *Server) subscription(acct *account, p *Element, contact addr, typ string) {
	p = p.with("from", acct.jid.String()).with("to", contact.String())
	peer := s.accounts[contact] // nil when there is nobody
	var theirs *rosterItem
	if peer != nil {
		theirs = peer.roster[acct.jid]
		if peer.blocked[acct.jid] {
			peer = nil
		}
	}
	switch typ {
	case "subscribe":
		it := acct.item(contact)
		if !it.to {
			it.asked = true
		}
		s.pushItem(acct, contact)
		switch {
		case peer == nil:
		case theirs != nil && theirs.from: // granted before
			s.subscription(peer, el(nsClient, "presence", "type", "subscribed"), acct.jid, "subscribed")
		default:
			peer.requests[acct.jid] = p
			s.presenceTo(p, contact)
		}
	case "subscribed":
		if acct.requests[contact] == nil && (theirs == nil || !theirs.asked) {
			return // nobody asked, and we do not offer pre-approval
		}
		delete(acct.requests, contact)
		acct.item(contact).from = true
		s.pushItem(acct, contact)
		if peer != nil && theirs != nil && theirs.asked {
			theirs.asked, theirs.to = false, true
			s.presenceTo(p, contact)
			s.pushItem(peer, acct.jid)
		}
		for _, sess := range acct.available() {
			s.presenceTo(sess.presence.with("to", contact.String()), contact)
		}
	case "unsubscribe":
		if it := acct.roster[contact]; it != nil {
			it.to, it.asked = false, false
			s.pushItem(acct, contact)
		}
		if peer == nil {
			return
		}
		delete(peer.requests, acct.jid)
		if theirs != nil && theirs.from {
			theirs.from = false
			s.presenceTo(p, contact)
			s.pushItem(peer, acct.jid)
			s.hide(peer, acct.jid)
		}
	case "unsubscribed":
		it := acct.roster[contact]
		if acct.requests[contact] == nil && (it == nil || !it.from) {
			return
		}
		delete(acct.requests, contact)
		if it != nil && it.from {
			s.hide(acct, contact)
			it.from = false
			s.pushItem(acct, contact)
		}
		if peer != nil && theirs != nil && (theirs.to || theirs.asked) {
			theirs.to, theirs.asked = false, false
			s.presenceTo(p, contact)
			s.pushItem(peer, acct.jid)
		}
	}
}

// hide sends unavailable presence of all of acct's resources to someone.
func (s *Server) hide(acct *account, from addr) {
	for _, sess := range acct.available() {
		s.presenceTo(el(nsClient, "presence", "type", "unavailable", "from", sess.jid.String(), "to", from.String()), from)
	}
}
