package mediatest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/carillon-im/carillon/jingle"
	"mellium.im/xmpp/jid"
)

// A conn is one end of a session in memory.
type conn struct {
	session *jingle.Session
	app     jingle.Application
	role    jingle.Role
	local   jid.JID
	peer    *conn
	done    chan struct{}
	once    sync.Once

	mu   sync.Mutex // guards what follows
	work []func()
	wake chan struct{} // has one element when there is work
}

// Dial joins two phones in a session that a initiates. It ends with the test.
func Dial(t testing.TB, a, b *Phone) {
	t.Helper()
	x := newConn(jingle.Initiator, a.Call, jid.MustParse("alice@example.org/test"))
	y := newConn(jingle.Responder, b.Call, jid.MustParse("bob@example.net/test"))
	x.peer, y.peer = y, x
	x.session = jingle.NewSession(jingle.Config{SID: x.SID(), Role: x.role, Local: x.local, Peer: y.local})
	y.session = jingle.NewSession(jingle.Config{SID: y.SID(), Role: y.role, Local: y.local, Peer: x.local})
	var wg sync.WaitGroup
	for _, c := range []*conn{x, y} {
		wg.Go(c.run)
	}
	t.Cleanup(func() {
		a.HangUp(jingle.Reason{})
		wg.Wait()
	})
}

func newConn(role jingle.Role, app jingle.Application, local jid.JID) *conn {
	return &conn{role: role, app: app, local: local, done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

func (c *conn) run() {
	c.app.Attach(c)
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		c.mu.Lock()
		work := c.work
		c.work = nil
		c.mu.Unlock()
		for _, fn := range work {
			fn()
		}
	}
}

func (c *conn) post(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work = append(c.work, fn)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) SID() string           { return "mediatest" }
func (c *conn) Role() jingle.Role     { return c.role }
func (c *conn) Local() jid.JID        { return c.local }
func (c *conn) Peer() jid.JID         { return c.peer.local }
func (c *conn) Done() <-chan struct{} { return c.done }

func (c *conn) Do(ctx context.Context, fn func(*jingle.Session) ([]jingle.Effect, error)) error {
	result := make(chan error, 1)
	c.post(func() {
		effects, err := fn(c.session)
		c.carryOut(effects)
		result <- err
	})
	select {
	case err := <-result:
		return err
	case <-c.done:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *conn) DoLater(fn func(*jingle.Session) ([]jingle.Effect, error)) {
	c.post(func() {
		effects, _ := fn(c.session)
		c.carryOut(effects)
	})
}

func (c *conn) carryOut(effects []jingle.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case jingle.Send:
			c.peer.post(func() { c.peer.receive(e.Jingle, e.ID) })
		case jingle.StartTimer, jingle.StopTimer: // nobody here fails to answer
		case jingle.Ended:
			c.app.Handle(e)
			c.once.Do(func() { close(c.done) })
		default:
			c.app.Handle(e)
		}
	}
}

func (c *conn) receive(j *jingle.Jingle, id jingle.ActionID) {
	reply, effects := c.session.Receive(j)
	var err error
	if reply.Err != nil {
		err = reply.Err
	}
	c.peer.post(func() { c.peer.carryOut(c.peer.session.Sent(id, err)) })
	c.carryOut(effects)
}
