package xmpptest

import (
	"maps"
	"slices"
)

// blockingIQ answers requests about the user's block list. XEP-0191
func (s *Server) blockingIQ(sess *session, iq, p *Element) *Element {
	acct := sess.acct
	if iq.Get("type") == "get" {
		sess.blocklist = true
		list := el(nsBlocking, "blocklist")
		for _, j := range slices.SortedFunc(maps.Keys(acct.blocked), byString) {
			list.add(el(nsBlocking, "item", "jid", j.String()))
		}
		return resultReply(iq, list)
	}
	var jids []addr
	for _, x := range p.Children() {
		j, err := parseAddr(x.Get("jid"))
		if err != nil || !x.Is(nsBlocking, "item") {
			return errorReply(iq, "modify", "jid-malformed")
		}
		jids = append(jids, j.bare()) // this server blocks people, not their devices
	}
	switch {
	case p.Is("", "block") && len(jids) > 0:
		for _, j := range jids {
			if it := acct.roster[j]; it != nil && it.from {
				s.hide(acct, j)
			}
			acct.blocked[j] = true
		}
	case p.Is("", "unblock"):
		if len(jids) == 0 {
			jids = slices.Collect(maps.Keys(acct.blocked))
		}
		for _, j := range jids {
			delete(acct.blocked, j)
			if it := acct.roster[j]; it != nil && it.from {
				for _, other := range acct.available() {
					s.presenceTo(other.presence.with("to", j.String()), j)
				}
			}
		}
	default:
		return errorReply(iq, "modify", "bad-request")
	}
	for _, other := range acct.sessions {
		if other.blocklist {
			s.push(other, p)
		}
	}
	return resultReply(iq, nil)
}
