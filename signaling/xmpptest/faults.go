package xmpptest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Direction says who sent a stanza, seen from the server.
type Direction int

const (
	FromClient Direction = iota
	ToClient
)

func (d Direction) String() string {
	if d == FromClient {
		return "->"
	}
	return "<-"
}

// A Stanza is one top-level element of a logged-in client's stream: a stanza,
// or one of stream management such as <r/>.
type Stanza struct {
	Dir Direction
	JID string // full JID of the client
	*Element
}

// String is one line of a transcript.
func (s Stanza) String() string { return s.JID + " " + s.Dir.String() + " " + s.Element.String() }

// A Verdict is what to do with a stanza. The zero Verdict lets it pass.
type Verdict struct {
	Drop  bool          // lose it: the server does not see it, or the client does not get it
	Delay time.Duration // keep it, and what comes after it, for so long
	Cut   bool          // lose it and close the connection at once
}

type observer struct{ see func(Stanza) Verdict }

// observers are the functions that see every stanza, called one at a time.
type observers struct {
	calling sync.Mutex // held during a call

	mu    sync.Mutex
	funcs atomic.Pointer[[]*observer] // replaced under mu, never changed

	changeMu sync.Mutex
	change   chan struct{} // closed when sessions change
}

func (o *observers) see(d Direction, jid string, e *Element) (v Verdict) {
	if funcs := o.funcs.Load(); funcs == nil || len(*funcs) == 0 {
		return Verdict{}
	}
	o.calling.Lock()
	defer o.calling.Unlock()
	for _, f := range *o.funcs.Load() {
		w := f.see(Stanza{d, jid, e})
		v.Drop = v.Drop || w.Drop
		v.Cut = v.Cut || w.Cut
		v.Delay = max(v.Delay, w.Delay)
	}
	return v
}

// Intercept calls f for every stanza, just before the server handles what a
// client sent and just before it writes what a client gets. Calls come one at
// a time, so f must not wait for a client; it may call methods of the server. With stream management what f drops counts as lost
// on the way and comes again after a resumption.
func (s *Server) Intercept(f func(Stanza) Verdict) (remove func()) {
	o, added := &s.observers, &observer{f}
	o.update(func(all []*observer) []*observer { return append(all, added) })
	return func() {
		o.update(func(all []*observer) []*observer {
			return slices.DeleteFunc(all, func(x *observer) bool { return x == added })
		})
	}
}

// update replaces the list, so that an observer can remove itself.
func (o *observers) update(f func([]*observer) []*observer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*observer
	if old := o.funcs.Load(); old != nil {
		all = slices.Clone(*old)
	}
	all = f(all)
	o.funcs.Store(&all)
}

// Tap calls f for every stanza, as [Server.Intercept] does, to record it.
func (s *Server) Tap(f func(Stanza)) (remove func()) {
	return s.Intercept(func(st Stanza) Verdict { f(st); return Verdict{} })
}

// Expect begins to look for a stanza for which match is true. The function it
// returns waits for it.
func (s *Server) Expect(match func(Stanza) bool) (wait func(context.Context) (Stanza, error)) {
	found := make(chan Stanza, 1)
	remove := s.Tap(func(st Stanza) {
		if match(st) {
			select {
			case found <- st:
			default: // only the first counts
			}
		}
	})
	return func(ctx context.Context) (Stanza, error) {
		defer remove()
		select {
		case st := <-found:
			return st, nil
		case <-ctx.Done():
			return Stanza{}, fmt.Errorf("expect a stanza: %w", context.Cause(ctx))
		}
	}
}

// Gate says what happens to new connections.
type Gate int32

const (
	Admit  Gate = iota // serve them
	Refuse             // reset them at once
	Silent             // accept them and never say anything
)

type gate struct{ v atomic.Int32 }

func (g *gate) mode() Gate { return Gate(g.v.Load()) }

// SetGate decides about new connections; those that exist go on.
func (s *Server) SetGate(g Gate) { s.accepting.v.Store(int32(g)) }

// reset closes a connection so that the client sees an error, not an end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// each calls f for the sessions that jid covers: a full JID, a bare one, or ""
// for everybody. It returns how many there were.
func (s *Server) each(jid string, f func(*session)) int {
	var who addr
	if jid != "" {
		who = mustAddr(jid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, acct := range s.accounts {
		for _, sess := range acct.sessions {
			if who.covers(sess.jid) {
				n++
				f(sess)
			}
		}
	}
	return n
}

// Cut closes the connections of the sessions that jid covers: a full JID, a
// bare one, or "" for all, then also of those still logging in. What the server has queued but not written is lost,
// and so is what it has not read. Cut returns how many sessions there were.
func (s *Server) Cut(jid string) int {
	if jid == "" {
		s.mu.Lock()
		for c := range s.conns {
			c.kill()
		}
		s.mu.Unlock()
	}
	return s.each(jid, func(sess *session) {
		if sess.conn != nil {
			sess.conn.kill()
		}
	})
}

// Freeze makes the connections that jid covers swallow what clients send and
// carry nothing to them, without closing them, as when a network has silently
// gone away. Follow it with [Server.Cut] to lose exactly what was sent in between.
func (s *Server) Freeze(jid string) int {
	return s.each(jid, func(sess *session) {
		if sess.conn != nil {
			sess.conn.frozen.Store(true)
		}
	})
}

// Expel ends the sessions that jid covers with a stream error such as "conflict" or "system-shutdown".
func (s *Server) Expel(jid, condition string) int {
	return s.each(jid, func(sess *session) {
		c := sess.conn
		s.end(sess)
		if c != nil {
			c.finish(&streamError{condition: condition})
		}
	})
}

// Forget makes the sessions that jid covers impossible to resume, as a restart
// of the server does. Those without a connection end at once.
func (s *Server) Forget(jid string) int {
	return s.each(jid, func(sess *session) {
		if sess.conn == nil {
			s.end(sess)
		} else if sess.sm != nil {
			delete(s.resumable, sess.sm.id)
			sess.sm.id = ""
		}
	})
}

// Inject sends an element to the sessions that jid covers just as it is: with
// any `from`, routed by nobody. A stanza counts for stream management.
func (s *Server) Inject(jid, stanza string) (int, error) {
	e, err := Parse(stanza)
	if err != nil {
		return 0, fmt.Errorf("inject: %w", err)
	}
	return s.each(jid, func(sess *session) { s.deliver(sess, e) }), nil
}

// InjectRaw writes bytes to the connections that jid covers, well formed or
// not. Stream management does not count them.
func (s *Server) InjectRaw(jid string, raw []byte) int {
	return s.each(jid, func(sess *session) {
		if sess.conn != nil {
			sess.conn.out.push(item{raw: raw})
		}
	})
}
