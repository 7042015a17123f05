package stream

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"time"

	"mellium.im/xmpp/stanza"
)

// A connection is one link while stanzas flow on it. Its owner writes and
// watches; one other goroutine reads.
type connection struct {
	s      *Stream
	l      *link
	counts bool
	over   chan struct{} // closed when the owner has given up the link

	// Guarded by s.mu.
	ackWanted bool      // the server asked what we handled
	asked     bool      // we asked, and it has not answered
	askedAt   time.Time // when
	unasked   int       // stanzas sent since we asked
	since     time.Time // when the first of them was sent
	blocked   bool      // the reader waits for room in the inbox

	// The owner's.
	probing   bool          // we asked for a sign of life and nothing arrived since
	probed    time.Duration // when, on the clock of the splitter
	probeWait time.Duration
	heardThen time.Duration // when we had heard the last thing, then
	pings     uint64
}

const (
	sendBudget = 64 << 10               // bytes written at once
	lastWords  = 100 * time.Millisecond // for what the server said before it closed
)

var requestAck = []byte(`<r xmlns='` + nsSM + `'/>`)

// use runs the stream on n until the connection is over.
func (s *Stream) use(n negotiated) error {
	c := &connection{s: s, l: n.link, counts: n.counts, over: make(chan struct{})}
	s.cfg.Log.Info("online", "jid", s.JID(), "addr", c.l.addr, "how", c.l.how.String(), "resumed", n.resumed)
	readErr := make(chan error, 1)
	go func() { readErr <- c.read() }()

	err, readerDone := c.serve(readErr)

	s.mu.Lock()
	s.online = false
	if s.session.id == "" {
		s.failWaiting(ErrRebound) // their answers cannot come any more
	}
	s.mu.Unlock()
	close(c.over)
	c.l.abort()
	if !readerDone {
		<-readErr
	}
	return err
}

// serve writes what is to be written and watches over the connection.
func (c *connection) serve(readErr <-chan error) (err error, readerDone bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := c.flush(); err != nil {
			// What the server said before it closed tells more than a broken pipe.
			timer.Reset(lastWords)
			select {
			case rerr := <-readErr:
				var se *StreamError
				if errors.As(rerr, &se) || errors.Is(rerr, errServerClosed) {
					return rerr, true
				}
				return err, true
			case <-timer.C:
				return err, false
			}
		}
		due, err := c.watch()
		if err != nil {
			return err, false
		}
		timer.Reset(due)
		select {
		case <-c.s.wake:
		case <-timer.C:
		case <-c.s.poke:
			if err := c.probe(probeQuick); err != nil {
				return err, false
			}
		case err := <-readErr:
			if errors.Is(err, errServerClosed) {
				_ = c.l.send(lastWords, c.l.footer()) // it may be gone already
			}
			var se *StreamError
			if errors.As(err, &se) && se.Local {
				_ = c.l.send(lastWords, streamErrorXML(se), c.l.footer())
			}
			return err, true
		case <-c.s.closing:
			return c.farewell(readErr)
		}
	}
}

// flush writes all that is ready.
func (c *connection) flush() error {
	for {
		batch := c.collect()
		if len(batch) == 0 {
			return nil
		}
		if err := c.l.send(c.deadAfter(), batch...); err != nil {
			return err
		}
	}
}

// collect takes what is to be written now.
func (c *connection) collect() [][]byte {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch [][]byte
	if c.ackWanted {
		c.ackWanted = false
		batch = append(batch, c.ackXML())
	}
	before := len(s.out.items)
	sent := s.out.sent
	batch = s.out.take(batch, sendBudget)
	if !c.counts {
		if len(s.out.items) < before {
			s.shrunk()
		}
		return batch
	}
	if n := s.out.sent - sent; n > 0 {
		if c.unasked == 0 {
			c.since = time.Now()
		}
		c.unasked += n
	}
	if c.asked && s.out.sent > 0 && time.Since(c.askedAt) >= ackRetry {
		c.asked, c.unasked = false, ackAfter // the answer was lost
	}
	if c.unasked > 0 && !c.asked && (s.hurry || c.unasked >= ackAfter || time.Since(c.since) >= ackDelay) {
		c.asked, c.askedAt, c.unasked, s.hurry = true, time.Now(), 0, false
		batch = append(batch, requestAck)
	}
	return batch
}

// ackXML says how much we handled. The caller holds s.mu.
func (c *connection) ackXML() []byte {
	b := append(make([]byte, 0, 48), `<a xmlns='`+nsSM+`' h='`...)
	return append(strconv.AppendUint(b, uint64(c.s.handled), 10), `'/>`...)
}

func (c *connection) deadAfter() time.Duration {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.deadAfterLocked()
}

func (c *connection) deadAfterLocked() time.Duration {
	if c.s.quick {
		return min(c.s.cfg.QuickDeadAfter, c.s.cfg.DeadAfter)
	}
	return c.s.cfg.DeadAfter
}

// watch probes a silent connection, gives up a dead one, and returns when to
// look again.
func (c *connection) watch() (time.Duration, error) {
	c.s.mu.Lock()
	dead := c.deadAfterLocked()
	blocked := c.blocked
	ask := time.Duration(-1)
	switch {
	case c.unasked > 0 && !c.asked:
		ask = max(0, ackDelay-time.Since(c.since))
	case c.asked && c.s.out.sent > 0:
		ask = max(0, ackRetry-time.Since(c.askedAt))
	}
	c.s.mu.Unlock()

	now := time.Since(c.l.start)
	heard := time.Duration(c.l.received.Load())
	if begun := time.Duration(c.l.begun.Load()); begun > 0 && !blocked && now-begun > maxElementTime {
		return 0, errEndless
	}
	if blocked {
		heard = now // we are the slow ones
	}
	if heard != c.heardThen {
		c.probing = false
	}
	var due time.Duration
	if c.probing {
		due = c.probed + c.probeWait - now
		if due <= 0 {
			return 0, ErrDead
		}
	} else {
		due = heard + dead*2/3 - now
		if due <= 0 {
			if err := c.probe(dead / 3); err != nil {
				return 0, err
			}
			due = c.probeWait
		}
	}
	if ask >= 0 {
		due = min(due, ask)
	}
	return due, nil
}

// probe asks for a sign of life and waits for any.
func (c *connection) probe(wait time.Duration) error {
	now, heard := time.Since(c.l.start), time.Duration(c.l.received.Load())
	if c.probing && heard == c.heardThen && c.probed+c.probeWait-now <= wait {
		return nil // one is under way that will tell as soon
	}
	c.probing, c.probed, c.probeWait, c.heardThen = true, now, wait, heard
	if c.counts {
		c.s.mu.Lock()
		c.asked, c.askedAt, c.unasked = true, time.Now(), 0
		c.s.mu.Unlock()
		return c.l.send(c.deadAfter(), requestAck)
	}
	c.pings++
	return c.l.send(c.deadAfter(), fmt.Appendf(nil, `<iq type='get' id='%s-ping-%d' to='%s'><ping xmlns='%s'/></iq>`,
		c.s.prefix, c.pings, escape(c.s.cfg.JID.Domainpart()), nsPing))
}

// farewell sends what is queued, waits for its acknowledgement, and closes the stream.
func (c *connection) farewell(readErr <-chan error) (error, bool) {
	s := c.s
	timer := time.NewTimer(s.cfg.CloseTimeout)
	defer timer.Stop()
	for asked := false; ; {
		if err := c.flush(); err != nil {
			return err, false
		}
		s.mu.Lock()
		left, room := len(s.out.items), s.room
		s.mu.Unlock()
		if left == 0 {
			break
		}
		if !asked {
			asked = true
			if err := c.l.send(s.cfg.CloseTimeout, requestAck); err != nil {
				return err, false
			}
		}
		select {
		case <-room:
		case <-s.wake:
		case err := <-readErr:
			return err, true
		case <-timer.C:
			s.cfg.Log.Warn("closing without acknowledgement", "stanzas", left)
			return ErrDead, false
		}
	}
	var last [][]byte
	if c.counts {
		s.mu.Lock()
		last = append(last, c.ackXML())
		s.mu.Unlock()
	}
	if err := c.l.send(s.cfg.CloseTimeout, append(last, c.l.footer())...); err != nil {
		return err, false
	}
	select {
	case err := <-readErr:
		return err, true
	case <-timer.C:
		return ErrDead, false
	}
}

// read handles what arrives until the connection is over.
func (c *connection) read() error {
	for _, e := range c.l.early {
		before := c.s.count(0)
		if err := c.handle(frame{Element: e}); err != nil {
			return err
		}
		c.s.count(int32(before - c.s.count(0))) // the server did not count it either
	}
	c.l.early = nil
	for {
		f, err := c.l.receive()
		if err == nil {
			err = c.handle(f)
		}
		if err != nil {
			if errors.Is(err, errDTD) || errors.Is(err, errEndless) {
				cond := map[bool]string{true: "restricted-xml", false: "policy-violation"}[errors.Is(err, errDTD)]
				return &StreamError{Condition: cond, Text: err.Error(), Local: true}
			}
			return err
		}
	}
}

func (c *connection) handle(f frame) error {
	if f.problem != nil {
		c.strange(f)
		return nil
	}
	switch name := f.Start.Name; name.Space {
	case nsSM:
		return c.handleSM(f.Element)
	case nsClient:
		if name.Local == "message" || name.Local == "presence" || name.Local == "iq" {
			return c.handleStanza(f)
		}
	}
	c.s.cfg.Log.Debug("unknown element ignored", "name", f.Start.Name.Local, "namespace", f.Start.Name.Space)
	return nil
}

func (c *connection) handleSM(e *Element) error {
	s := c.s
	switch e.Start.Name.Local {
	case "r": // any number of them asks for one answer
		s.mu.Lock()
		c.ackWanted = c.counts
		s.mu.Unlock()
		signal(s.wake)
	case "a":
		h, ok := parseH(e.Attr("h"))
		s.mu.Lock()
		defer s.mu.Unlock()
		if !c.counts {
			return nil
		}
		sent := s.out.acked + uint32(s.out.sent)
		if !ok || !s.out.ack(h) {
			return &countError{h, sent}
		}
		c.asked = false
		if s.out.sent > 0 && c.unasked == 0 {
			// It has read more than it says. Asked at once it would say the same.
			c.unasked, c.since = 1, time.Now()
		} else if s.out.sent == 0 {
			c.unasked = 0
		}
		s.shrunk()
		if c.unasked > 0 {
			signal(s.wake)
		}
	}
	return nil
}

// A countError ends a connection on which the server acknowledges what was
// never sent. XEP-0198#acking
type countError struct{ h, sent uint32 }

func (e *countError) Error() string {
	return fmt.Sprintf("%v: %d of %d", errBadCount, e.h, e.sent)
}
func (e *countError) Is(target error) bool { return target == errBadCount }
func (e *countError) Unwrap() error {
	return &StreamError{Condition: "undefined-condition", App: "handled-count-too-high", Text: e.Error(), Local: true}
}

// counted notes that one more stanza was handled.
func (c *connection) counted() { c.s.count(1) }

// count adds to the stanzas handled in this session and returns how many there are.
func (s *Stream) count(n int32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled += uint32(n)
	return s.handled
}

var errAbandoned = errors.New("connection given up while the handler was busy")

func (c *connection) handleStanza(f frame) error {
	s := c.s
	iq := f.Start.Name.Local == "iq"
	if typ := f.Attr("type"); iq && (typ == "result" || typ == "error") {
		s.answer(f.Element, c.l.jid)
		c.counted()
		return nil
	}
	st, err := newStanza(f.Element, c.l.jid)
	if err != nil {
		c.strange(frame{problem: err, head: f.Start, hasHead: true, size: f.size})
		return nil
	}
	if iq {
		if cond := badRequest(st); cond != "" {
			s.refuse(st.Start, cond)
			c.counted()
			return nil
		}
	}
	ev := event{stanza: st, size: f.size + 100*len(st.inner)}
	if !c.deliver(ev) {
		return errAbandoned // not counted: the server will send it again
	}
	c.counted()
	return nil
}

// deliver hands a stanza to the dispatcher. While that waits for room, silence
// is our own doing.
func (c *connection) deliver(ev event) bool {
	if c.s.inbox.offer(ev) {
		return true
	}
	set := func(b bool) {
		c.s.mu.Lock()
		c.blocked = b
		c.s.mu.Unlock()
	}
	set(true)
	ok := c.s.inbox.push(ev, c.over)
	c.l.received.Store(int64(time.Since(c.l.start)))
	set(false)
	return ok
}

// badRequest tells what is wrong with a request that nobody could answer.
// RFC 6120 §8.2.3: exactly one payload. Text beside it is harmless.
func badRequest(st *Stanza) stanza.Condition {
	if t := st.Type(); t != "get" && t != "set" {
		return stanza.BadRequest
	}
	n := 0
	for range st.Children() {
		n++
	}
	if n != 1 {
		return stanza.BadRequest
	}
	return ""
}

// strange drops a stanza that cannot be used. The stream lives on: any contact
// can make a server send us such a thing.
func (c *connection) strange(f frame) {
	s := c.s
	isStanza := true // of what we cannot see
	if f.hasHead {
		switch f.head.Name.Local {
		case "message", "presence", "iq":
		default:
			isStanza = false
		}
	}
	from := attr(f.head, "from")
	s.cfg.Log.Warn("stanza dropped", "why", f.problem, "name", f.head.Name.Local, "from", from, "size", f.size)
	s.mu.Lock()
	s.stats.Strange++
	s.mu.Unlock()
	if f.hasHead && f.head.Name.Local == "iq" {
		switch attr(f.head, "type") {
		case "result", "error": // the answer to one of ours is lost
			s.failAnswer(f.head, c.l.jid, f.problem)
		default:
			cond := stanza.BadRequest
			if f.problem == errTooBig || f.problem == errTooDeep {
				cond = stanza.NotAcceptable
			}
			s.refuse(f.head, cond)
		}
	}
	if isStanza {
		c.counted()
	}
}

func attr(start xml.StartElement, local string) string {
	for _, a := range start.Attr {
		if a.Name.Local == local && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

func streamErrorXML(se *StreamError) []byte {
	app := ""
	if se.App != "" {
		app = `<` + se.App + ` xmlns='` + nsSM + `'/>`
	}
	return []byte(`<stream:error xmlns:stream='` + nsStream + `'><` + se.Condition + ` xmlns='` + nsStreams + `'/>` + app + `</stream:error>`)
}
