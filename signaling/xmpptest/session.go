package xmpptest

import (
	"strconv"
	"time"
)

// A session is a bound resource. With stream management it can outlive its
// connection. Guarded by Server.mu.
type session struct {
	jid  addr
	acct *account
	conn *conn // nil while hibernating

	presence   *Element // last broadcast presence; nil while unavailable
	priority   int
	interested bool // asked for the roster, so it gets roster pushes
	carbons    bool
	blocklist  bool          // asked for the block list, so it gets its pushes
	directed   map[addr]bool // who got directed presence and hears when it ends

	sm *management // nil until enabled
}

// available reports whether the session takes messages to the bare JID.
func (s *session) available() bool { return s.presence != nil }

// attach binds j to c, and reports false when the resource is taken and the
// server keeps the older session. Server.mu is held.
func (s *Server) attach(c *conn, j addr) bool {
	if old := c.acct.sessions[j.resource]; old != nil {
		if s.cfg.RejectConflict && old.conn != nil {
			return false
		}
		oldConn := old.conn
		s.end(old)
		if oldConn != nil {
			oldConn.finish(&streamError{condition: "conflict"})
		}
	}
	c.sess = &session{jid: j, acct: c.acct, conn: c, directed: make(map[addr]bool)}
	c.jid = j.String()
	c.acct.sessions[j.resource] = c.sess
	s.observers.notify()
	return true
}

// disconnected is called when the connection has ended; clean says that the
// session ends too. Server.mu is held.
func (s *Server) disconnected(c *conn, clean bool) {
	sess := c.sess
	if sess == nil {
		return // taken over or ended before
	}
	c.sess = nil
	sess.conn = nil
	if !clean && !s.closed && sess.sm != nil && sess.sm.id != "" {
		s.hibernate(sess)
		return
	}
	s.end(sess)
}

// end removes the session. Its contacts see it leave, and what the client has not
// acknowledged goes elsewhere. Server.mu is held.
func (s *Server) end(sess *session) {
	if sess.acct.sessions[sess.jid.resource] != sess {
		return // ended before
	}
	delete(sess.acct.sessions, sess.jid.resource)
	if sess.conn != nil {
		sess.conn.sess = nil
		sess.conn = nil
	}
	var lost []unacked
	if sess.sm != nil {
		sess.stopTimer()
		delete(s.resumable, sess.sm.id)
		lost, sess.sm.unacked = sess.sm.unacked, nil
	}
	s.goOffline(sess, el(nsClient, "presence", "type", "unavailable"))
	for _, u := range lost {
		s.undelivered(u)
	}
	s.observers.notify()
}

// deliver gives a stanza to a session, which may be hibernating. Server.mu is held.
func (s *Server) deliver(sess *session, e *Element) {
	it := item{e: e}
	if sess.sm != nil {
		it.counted = true
		sess.sm.unacked = append(sess.sm.unacked, unacked{e, time.Now()})
		if len(sess.sm.unacked) > maxUnacked {
			s.drop(sess)
			return
		}
	}
	if sess.conn != nil && !sess.conn.out.push(it) {
		s.drop(sess)
	}
}

// drop ends a session whose client does not keep up.
func (s *Server) drop(sess *session) {
	if c := sess.conn; c != nil {
		c.kill()
	}
	s.end(sess)
}

// goOffline takes a session's presence away. Server.mu is held.
func (s *Server) goOffline(sess *session, unavailable *Element) {
	from := sess.jid.String()
	unavailable = unavailable.with("from", from)
	told := make(map[addr]bool)
	if sess.available() {
		sess.presence = nil
		for _, to := range s.audience(sess.acct) {
			told[to] = true
			s.presenceTo(unavailable.with("to", to.String()), to)
		}
	}
	for to := range sess.directed {
		if !told[to] && !told[to.bare()] {
			s.presenceTo(unavailable.with("to", to.String()), to)
		}
	}
	clear(sess.directed)
}

// setPriority reads the priority of presence. RFC 6121 §4.7.2.3
func (s *session) setPriority(p *Element) {
	s.priority = 0
	if c := p.Child(nsClient, "priority"); c != nil {
		if n, err := strconv.ParseInt(c.Text(), 10, 8); err == nil {
			s.priority = int(n)
		}
	}
}
