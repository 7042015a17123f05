// Package jingletest helps to test what is built on package jingle, as httptest
// does for net/http. [Pair] joins two applications in memory, [Run] plays
// transcripts of conversations, and [RoundTrip] checks how elements are written.
//
// A transcript reads like this; [Run] says what each word means.
//
//	# Responder adds video while initiator adds video: initiator keeps its own.
//	given  active audio, we are initiator
//	do     add video
//	->     content-add video
//	<-     content-add video
//	reply  conflict tie-break
//	<-     content-accept video
//	event  content-accepted video
package jingletest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/jingle"
)

// A PairConfig adjusts a Pair. The zero PairConfig decodes every description and
// transport to *jingle.Unknown, so give it a Registry.
type PairConfig struct {
	// Registry decodes what travels. Everything is written to XML and read
	// again, so that the two sides share no memory.
	Registry *jingle.Registry
	// Delay is how long actions and their answers travel, each way.
	Delay time.Duration
	// Tap sees every action as it is sent, on the goroutine of its sender. It
	// may change it.
	Tap func(from jingle.Role, j *jingle.Jingle)
	// Timeout is how long a sender waits for the answer to an action. Zero means
	// 10 s.
	Timeout time.Duration
	// AcceptTimeout and AnswerTimeout are those of jingle.Config.
	AcceptTimeout, AnswerTimeout time.Duration
}

// The addresses of the two sides of a Pair.
var (
	InitiatorJID = jid.MustParse("romeo@montague.example/orchard")
	ResponderJID = jid.MustParse("juliet@capulet.example/balcony")
)

// Pair joins two applications by a session in memory, as package signaling would
// over XMPP. The initiator's is attached before Pair returns; the responder's
// when a session-initiate came that its engine took. At the end of the test both
// sides are terminated and waited for.
//
// Each side has a goroutine, and timers are those of package time, so that a test
// may run in a testing/synctest bubble.
func Pair(t testing.TB, cfg PairConfig, initiator, responder jingle.Application) (*Conn, *Conn) {
	t.Helper()
	if cfg.Registry == nil {
		cfg.Registry = new(jingle.Registry)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	side := func(role jingle.Role, local, peer jid.JID, app jingle.Application) *Conn {
		return &Conn{
			t: t, pair: cfg, app: app,
			cfg: jingle.Config{
				SID: "a73sjjvkla37jfea", Role: role, Local: local, Peer: peer,
				AcceptTimeout: cfg.AcceptTimeout, AnswerTimeout: cfg.AnswerTimeout,
			},
			wake:   make(chan struct{}, 1),
			done:   make(chan struct{}),
			timers: make(map[jingle.TimerID]*time.Timer),
			wait:   make(map[jingle.ActionID]*time.Timer),
		}
	}
	a := side(jingle.Initiator, InitiatorJID, ResponderJID, initiator)
	b := side(jingle.Responder, ResponderJID, InitiatorJID, responder)
	a.peer, b.peer = b, a
	for _, c := range []*Conn{a, b} {
		c.session = jingle.NewSession(c.cfg)
	}
	a.attached = true
	initiator.Attach(a)
	for _, c := range []*Conn{a, b} {
		go c.run()
	}
	t.Cleanup(func() {
		for _, c := range []*Conn{a, b} {
			c.Close()
		}
	})
	return a, b
}

// A Conn is one side of a Pair. It implements jingle.Conn.
type Conn struct {
	t    testing.TB
	pair PairConfig
	cfg  jingle.Config
	app  jingle.Application
	peer *Conn
	wake chan struct{} // something was posted
	done chan struct{}

	// The session's goroutine owns these.
	session  *jingle.Session
	attached bool
	timers   map[jingle.TimerID]*time.Timer
	wait     map[jingle.ActionID]*time.Timer // our actions without answer
	ended    bool

	mu     sync.Mutex
	posted []func()   // local work
	mail   []delivery // from the peer, in order
	closed bool
}

// maxPosted bounds what waits for a side; more is a loop between the two.
const maxPosted = 4096

// A delivery is something from the peer, due at some time.
type delivery struct {
	at time.Time
	fn func()
	// dead is what happens to it when the session is over.
	dead func()
}

// SID returns the session id.
func (c *Conn) SID() string { return c.cfg.SID }

// Role returns the side of this Conn.
func (c *Conn) Role() jingle.Role { return c.cfg.Role }

// Local returns the address of this side.
func (c *Conn) Local() jid.JID { return c.cfg.Local }

// Peer returns the address of the other side.
func (c *Conn) Peer() jid.JID { return c.cfg.Peer }

// Done is closed after Ended was handled.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Do runs fn on the session's goroutine and waits for it.
func (c *Conn) Do(ctx context.Context, fn func(*jingle.Session) ([]jingle.Effect, error)) error {
	result := make(chan error, 1)
	posted := c.post(func() {
		if c.ended {
			result <- net.ErrClosed
			return
		}
		effects, err := fn(c.session)
		c.carryOut(effects)
		result <- err
	})
	if !posted {
		return net.ErrClosed
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		select {
		case err := <-result:
			return err
		default:
			return net.ErrClosed
		}
	}
}

// DoLater queues fn without waiting; errors are logged.
func (c *Conn) DoLater(fn func(*jingle.Session) ([]jingle.Effect, error)) {
	c.post(func() {
		if c.ended {
			return
		}
		effects, err := fn(c.session)
		if err != nil {
			c.t.Logf("%s: %v", c.cfg.Role, err)
		}
		c.carryOut(effects)
	})
}

// Close terminates the session if it is not over, and waits until it is. It must
// not be called on the session's goroutine.
func (c *Conn) Close() {
	c.post(func() {
		if c.ended {
			return
		}
		c.carryOut(c.session.Terminate(jingle.Reason{Condition: jingle.Gone}))
	})
	<-c.done
}

// post queues local work; it reports false when the session is over.
func (c *Conn) post(fn func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if len(c.posted) == maxPosted {
		c.t.Errorf("jingletest: %s: more than %d functions wait", c.cfg.Role, maxPosted)
		return false
	}
	c.posted = append(c.posted, fn)
	c.signal()
	return true
}

// deliver queues something from the peer.
func (c *Conn) deliver(d delivery) {
	d.at = time.Now().Add(c.pair.Delay)
	c.mu.Lock()
	dead := c.closed
	switch {
	case dead:
	case len(c.mail) == maxPosted:
		c.t.Errorf("jingletest: %s: more than %d actions wait", c.cfg.Role, maxPosted)
	default:
		c.mail = append(c.mail, d)
		c.signal()
	}
	c.mu.Unlock()
	if dead {
		d.dead()
	}
}

func (c *Conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run is the session's goroutine.
func (c *Conn) run() {
	defer close(c.done)
	defer c.stop()
	for !c.ended {
		fn, after := c.next()
		if fn != nil {
			fn()
			continue
		}
		var due <-chan time.Time
		var timer *time.Timer
		if after > 0 {
			timer = time.NewTimer(after)
			due = timer.C
		}
		select {
		case <-c.wake:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// next returns what to do now, or how long until there is something.
func (c *Conn) next() (fn func(), after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.posted) > 0 {
		fn, c.posted = c.posted[0], c.posted[1:]
		return fn, 0
	}
	if len(c.mail) > 0 {
		if after = time.Until(c.mail[0].at); after > 0 {
			return nil, after
		}
		fn, c.mail = c.mail[0].fn, c.mail[1:]
		return fn, 0
	}
	return nil, 0
}

// stop answers what is left and stops the timers.
func (c *Conn) stop() {
	c.mu.Lock()
	c.closed = true
	posted, mail := c.posted, c.mail
	c.posted, c.mail = nil, nil
	c.mu.Unlock()
	for _, fn := range posted {
		fn() // sees that the session is over
	}
	for _, d := range mail {
		d.dead()
	}
	for _, t := range c.timers {
		t.Stop()
	}
	for _, t := range c.wait {
		t.Stop()
	}
}

// carryOut does what the engine asks for and tells the application the rest.
func (c *Conn) carryOut(effects []jingle.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case jingle.Send:
			c.send(e)
		case jingle.StartTimer:
			c.timers[e.ID] = time.AfterFunc(e.After, func() {
				c.post(func() {
					if _, ok := c.timers[e.ID]; ok && !c.ended {
						delete(c.timers, e.ID)
						c.carryOut(c.session.TimerFired(e.ID))
					}
				})
			})
		case jingle.StopTimer:
			if t, ok := c.timers[e.ID]; ok {
				t.Stop()
				delete(c.timers, e.ID)
			}
		default:
			if c.attached {
				c.app.Handle(e)
			}
			if _, ok := e.(jingle.Ended); ok {
				c.ended = true
			}
		}
	}
}

// send writes an action to the peer.
func (c *Conn) send(e jingle.Send) {
	if c.pair.Tap != nil {
		c.pair.Tap(c.cfg.Role, e.Jingle)
	}
	data, err := xml.Marshal(e.Jingle)
	if err != nil {
		c.t.Errorf("jingletest: %s: %v", c.cfg.Role, err)
		return
	}
	c.wait[e.ID] = time.AfterFunc(c.pair.Timeout, func() {
		c.post(func() { c.answered(e.ID, errors.New("no answer")) })
	})
	answer := func(refusal *jingle.Error) {
		fn := func() {
			var err error
			if refusal != nil {
				err = refusal
			}
			c.answered(e.ID, err)
		}
		c.deliver(delivery{fn: fn, dead: func() {}})
	}
	terminates := e.Jingle.Action == jingle.ActionSessionTerminate
	c.peer.deliver(delivery{
		fn: func() { c.peer.receive(data, answer) },
		dead: func() {
			if terminates {
				answer(nil)
				return
			}
			answer(jingle.NewError(jingle.UnknownSession))
		},
	})
}

// answered passes the answer to one of our actions to the engine.
func (c *Conn) answered(id jingle.ActionID, err error) {
	t, ok := c.wait[id]
	if !ok || c.ended {
		return
	}
	t.Stop()
	delete(c.wait, id)
	c.carryOut(c.session.Sent(id, err))
}

// receive handles an action of the peer: first the answer, then the effects.
func (c *Conn) receive(data []byte, answer func(*jingle.Error)) {
	j, err := c.pair.Registry.Decode(xml.NewDecoder(bytes.NewReader(data)))
	if err != nil {
		c.t.Errorf("jingletest: %s: %v\n%s", c.cfg.Role, err, data)
		answer(jingle.StanzaError(stanza.BadRequest, ""))
		return
	}
	reply, effects := c.session.Receive(j)
	answer(reply.Err)
	if !c.attached && c.session.State() == jingle.StatePending {
		c.attached = true
		c.app.Attach(c)
	}
	c.carryOut(effects)
}
