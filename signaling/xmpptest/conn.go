package xmpptest

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A conn is one connection of a client. One goroutine runs serve, which reads;
// from binding on a second one writes what is in out.
type conn struct {
	srv    *Server
	t      transport
	out    queue
	dead   chan struct{} // closed by kill
	kill   func()        // closes the connection at once
	frozen atomic.Bool

	// Set by serve before it starts the writer.
	domain string
	acct   *account
	jid    string

	sess *session // guarded by Server.mu; nil when another connection took the session over
}

func newConn(s *Server, t transport) *conn {
	c := &conn{srv: s, t: t, dead: make(chan struct{}), out: queue{wake: make(chan struct{}, 1)}}
	c.kill = sync.OnceFunc(func() {
		close(c.dead)
		t.abort()
	})
	return c
}

// A streamError ends a stream. RFC 6120 §4.9.3
type streamError struct {
	condition string
	app       *Element // application-specific condition, or nil
}

func (e *streamError) Error() string { return "stream error: " + e.condition }

func (e *streamError) element() *Element {
	x := el(nsStream, "error").add(el(nsStreams, e.condition))
	if e.app != nil {
		x.add(e.app)
	}
	return x
}

// asStreamError chooses what to tell the client; nil when there is nobody to tell.
func asStreamError(err error) *streamError {
	var se *streamError
	switch {
	case errors.As(err, &se):
		return se
	case errors.Is(err, errTooLarge), errors.Is(err, errAuthAttempts):
		return &streamError{condition: "policy-violation"}
	case errors.Is(err, errRestrictedXML):
		return &streamError{condition: "restricted-xml"}
	case isSyntaxError(err):
		return &streamError{condition: "not-well-formed"}
	}
	return nil
}

// serve runs the connection until its end.
func (c *conn) serve() {
	defer c.kill()
	err := c.negotiate()
	if err != nil {
		if se := asStreamError(err); se != nil {
			c.t.write(se.element())
		}
		if asStreamError(err) != nil || err == io.EOF {
			c.t.closeStream()
		}
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writeLoop()
	}()
	if !c.readLoop() {
		c.kill()
	}
	<-written
	c.kill()
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.srv.disconnected(c, false)
}

// readLoop routes what the client sends. It reports whether the stream ended on
// purpose, and has then ended the session and queued our end of the stream.
func (c *conn) readLoop() (clean bool) {
	for {
		e, err := c.t.read()
		if c.frozen.Load() {
			if err != nil {
				return false
			}
			continue // a frozen connection swallows everything
		}
		if err == nil {
			v := c.srv.observers.see(FromClient, c.jid, e)
			if v.Delay > 0 && !c.sleep(v.Delay) {
				return false
			}
			if v.Cut {
				return false
			}
			if v.Drop {
				continue
			}
			err = c.srv.receive(c, e)
		}
		if err == nil {
			continue
		}
		se := asStreamError(err)
		if se == nil && err != io.EOF {
			return false
		}
		c.srv.mu.Lock()
		c.srv.disconnected(c, true) // before the client hears of it
		c.srv.mu.Unlock()
		c.finish(se)
		return true
	}
}

// finish queues a stream error, or none, and the end of the stream.
func (c *conn) finish(se *streamError) {
	if c.frozen.Load() {
		c.kill() // it would never get there
		return
	}
	if se != nil {
		c.out.push(item{e: se.element()})
	}
	c.out.push(item{last: true})
}

// sleep reports false when the connection died first.
func (c *conn) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.dead:
		return false
	}
}

// writeLoop writes what is queued until the connection dies or the stream ends.
func (c *conn) writeLoop() {
	defer c.kill()
	for {
		var batch []item
		select {
		case <-c.dead:
			return
		case <-c.out.wake:
			batch = c.out.take()
		}
		ask := false // stream management: request an acknowledgement after the batch
		for _, it := range batch {
			if c.frozen.Load() {
				<-c.dead
				return
			}
			if it.last {
				c.t.closeStream()
				return
			}
			if err := c.writeItem(it); err != nil {
				return
			}
			ask = ask || it.counted
		}
		if ask {
			if err := c.writeItem(item{e: el(nsSM, "r")}); err != nil {
				return
			}
		}
		if err := c.t.flush(); err != nil {
			return
		}
	}
}

var errCut = errors.New("cut on request")

func (c *conn) writeItem(it item) error {
	if it.raw != nil {
		return c.t.writeRaw(it.raw)
	}
	v := c.srv.observers.see(ToClient, c.jid, it.e)
	if v.Delay > 0 {
		if err := c.t.flush(); err != nil {
			return err
		}
		if left := time.Until(it.queued.Add(v.Delay)); left > 0 && !c.sleep(left) {
			return errCut
		}
	}
	switch {
	case v.Cut:
		c.t.flush()
		return errCut
	case v.Drop:
		return nil
	}
	return c.t.write(it.e)
}

// An item is something to write.
type item struct {
	e       *Element
	raw     []byte // instead of e
	counted bool   // a stanza that stream management counts
	last    bool   // end the stream instead
	queued  time.Time
}

// maxQueue bounds what waits to be written to one client, in elements.
const maxQueue = 8192

// A queue holds what waits to be written.
type queue struct {
	wake  chan struct{} // has an item while items may be non-empty
	mu    sync.Mutex
	items []item
}

// push reports false when the queue is full.
func (q *queue) push(it item) bool {
	it.queued = time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) >= maxQueue {
		return false
	}
	q.items = append(q.items, it)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

func (q *queue) take() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}
