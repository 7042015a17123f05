package xmpptest

import (
	"context"
	"slices"
	"strings"
)

// A Session describes one bound resource.
type Session struct {
	JID       string // full
	Connected bool   // false while it waits to be resumed
	Available bool   // has sent presence
	Priority  int
	Carbons   bool
}

// Sessions lists the sessions that jid covers, ordered by JID: a full JID, a
// bare one, or "" for all.
func (s *Server) Sessions(jid string) []Session {
	var out []Session
	s.each(jid, func(sess *session) {
		out = append(out, Session{
			JID:       sess.jid.String(),
			Connected: sess.conn != nil,
			Available: sess.available(),
			Priority:  sess.priority,
			Carbons:   sess.carbons,
		})
	})
	slices.SortFunc(out, func(a, b Session) int { return strings.Compare(a.JID, b.JID) })
	return out
}

// WaitSessions waits until the sessions that jid covers satisfy ok, which is
// asked again whenever one begins, ends, loses or regains its connection, or
// changes between available and unavailable.
func (s *Server) WaitSessions(ctx context.Context, jid string, ok func([]Session) bool) error {
	for {
		changed := s.observers.changed()
		if ok(s.Sessions(jid)) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// changed returns a channel that is closed at the next change of a session.
func (o *observers) changed() <-chan struct{} {
	o.changeMu.Lock()
	defer o.changeMu.Unlock()
	if o.change == nil {
		o.change = make(chan struct{})
	}
	return o.change
}

func (o *observers) notify() {
	o.changeMu.Lock()
	defer o.changeMu.Unlock()
	if o.change != nil {
		close(o.change)
		o.change = nil
	}
}
