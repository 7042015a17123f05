package xmpptest

import (
	"fmt"

	"mellium.im/xmpp/jid"
)

// An addr is a JID in a form that can be a map key.
type addr struct{ local, domain, resource string }

func parseAddr(s string) (addr, error) {
	j, err := jid.Parse(s)
	if err != nil {
		return addr{}, fmt.Errorf("parse JID %q: %w", s, err)
	}
	return addr{j.Localpart(), j.Domainpart(), j.Resourcepart()}, nil
}

// mustAddr is for JIDs written by the author of a test.
func mustAddr(s string) addr {
	a, err := parseAddr(s)
	if err != nil {
		panic("xmpptest: " + err.Error())
	}
	return a
}

func (a addr) bare() addr { return addr{a.local, a.domain, ""} }

func (a addr) String() string {
	s := a.domain
	if a.local != "" {
		s = a.local + "@" + s
	}
	if a.resource != "" {
		s += "/" + a.resource
	}
	return s
}

// covers reports whether b is a, or a is bare and b one of its resources.
// The zero addr covers everyone.
func (a addr) covers(b addr) bool {
	return a == addr{} || a == b || a == b.bare()
}
