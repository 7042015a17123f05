package xmpptest

import (
	"crypto/rand"
	"strconv"
	"time"
)

// management is a session's stream management. XEP-0198
type management struct {
	id      string    // for resumption; "" when there is none
	in      uint32    // stanzas handled, modulo 2^32
	acked   uint32    // stanzas the client has acknowledged
	unacked []unacked // sent after those
	timer   *time.Timer
}

type unacked struct {
	e  *Element
	at time.Time
}

// Bounds: what one session may leave unacknowledged, and how many expired
// sessions the server remembers.
const (
	maxUnacked = maxQueue / 2
	maxExpired = 1000
)

func (s *session) stopTimer() {
	if s.sm != nil && s.sm.timer != nil {
		s.sm.timer.Stop()
	}
}

// manage handles an element of stream management in a session. Server.mu is held.
func (s *Server) manage(sess *session, e *Element) error {
	push := func(e *Element) {
		if !sess.conn.out.push(item{e: e}) {
			s.drop(sess)
		}
	}
	switch {
	case e.Is(nsSM, "enable") && sess.sm == nil:
		sess.sm = &management{}
		answer := el(nsSM, "enabled")
		if r := e.Get("resume"); (r == "true" || r == "1") && s.cfg.Hibernation > 0 {
			sess.sm.id = rand.Text()
			s.resumable[sess.sm.id] = sess
			answer = el(nsSM, "enabled", "id", sess.sm.id, "resume", "true",
				"max", strconv.Itoa(int(s.cfg.Hibernation.Seconds())))
		}
		push(answer)
	case e.Is(nsSM, "r") && sess.sm != nil:
		push(el(nsSM, "a", "h", strconv.FormatUint(uint64(sess.sm.in), 10)))
	case e.Is(nsSM, "a") && sess.sm != nil:
		return sess.sm.acknowledge(e.Get("h"))
	case e.Is(nsSM, "enable"), e.Is(nsSM, "resume"):
		push(el(nsSM, "failed").add(el(nsStanzas, "unexpected-request")))
	default:
		return &streamError{condition: "unsupported-stanza-type"}
	}
	return nil
}

// acknowledge forgets what the client has handled.
func (m *management) acknowledge(h string) error {
	n, err := strconv.ParseUint(h, 10, 32)
	if err != nil {
		return &streamError{condition: "invalid-xml"}
	}
	fresh := uint32(n) - m.acked
	if int64(fresh) > int64(len(m.unacked)) {
		return &streamError{condition: "undefined-condition", app: el(nsSM, "handled-count-too-high",
			"h", h, "send-count", strconv.FormatUint(uint64(m.acked+uint32(len(m.unacked))), 10))}
	}
	clear(m.unacked[:fresh])
	m.unacked = m.unacked[fresh:]
	m.acked = uint32(n)
	return nil
}

// hibernate keeps a session that lost its connection. Server.mu is held.
func (s *Server) hibernate(sess *session) {
	var t *time.Timer
	t = time.AfterFunc(s.cfg.Hibernation, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed && sess.conn == nil && sess.sm.timer == t {
			if len(s.expired) == maxExpired {
				clear(s.expired)
			}
			s.expired[sess.sm.id] = sess.sm.in
			s.end(sess)
		}
	})
	sess.sm.timer = t
	s.observers.notify()
}

// resume answers a request to continue a session on c, and reports whether it
// does. XEP-0198#resumption
func (s *Server) resume(c *conn, e *Element) (bool, error) {
	s.mu.Lock()
	sess := s.resumable[e.Get("previd")]
	if sess == nil || sess.acct != c.acct {
		failed := el(nsSM, "failed").add(el(nsStanzas, "item-not-found"))
		if h, ok := s.expired[e.Get("previd")]; ok {
			failed = failed.with("h", strconv.FormatUint(uint64(h), 10))
		}
		s.mu.Unlock()
		return false, c.send(failed)
	}
	if err := sess.sm.acknowledge(e.Get("h")); err != nil {
		s.mu.Unlock()
		return false, err
	}
	if old := sess.conn; old != nil { // the client noticed the loss before we did
		old.sess = nil
		old.out.take()
		old.finish(&streamError{condition: "conflict"})
	}
	sess.stopTimer()
	sess.sm.timer = nil
	sess.conn, c.sess, c.jid = c, sess, sess.jid.String()
	h := strconv.FormatUint(uint64(sess.sm.in), 10)
	c.out.push(item{e: el(nsSM, "resumed", "previd", e.Get("previd"), "h", h)})
	for _, u := range sess.sm.unacked {
		c.out.push(item{e: u.e, counted: true})
	}
	s.observers.notify()
	s.mu.Unlock()
	return true, nil
}
