package stream

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"mellium.im/xmlstream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// Send queues one stanza and returns: when offline it is sent once online
// again. It waits only while the queue is full. v is marshaled by
// [encoding/xml], or is the []byte of one stanza, or an [xml.TokenReader] or
// [xmlstream.Marshaler] of one. Elements that are no stanzas, such as those of
// client state indication, are sent if online and never repeated.
//
// Across a resumed connection every stanza is sent exactly once. When the
// server has forgotten the session, messages, subscriptions and answers that
// may not have arrived are sent again with the same id, available and
// unavailable presence is dropped, and requests fail as [Stream.IQ] says.
func (s *Stream) Send(ctx context.Context, v any) error {
	p, err := encode(v)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	kind, err := kindOf(p)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return s.put(ctx, &item{data: p, kind: kind})
}

// put appends an item to the outbox, waiting for room.
func (s *Stream) put(ctx context.Context, it *item) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for {
		s.mu.Lock()
		switch {
		case s.phase == phaseClosing:
			s.mu.Unlock()
			return net.ErrClosed
		case s.err != nil:
			defer s.mu.Unlock()
			return s.overErr()
		case s.phase != phaseRunning:
			s.mu.Unlock()
			return errors.New("stream is not connected yet")
		case s.limit > 0 && len(it.data) > s.limit, len(it.data) > max(s.cfg.MaxStanza, defaultMaxStanza):
			s.mu.Unlock()
			return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(it.data))
		case it.kind == kindNonza && !s.online:
			s.mu.Unlock()
			return nil
		case !s.out.full():
			s.out.put(it)
			s.mu.Unlock()
			signal(s.wake)
			return nil
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("queue is full: %w", context.Cause(ctx))
		case <-s.closing:
		case <-s.ctx.Done():
		}
	}
}

// overErr returns what methods return once the stream is over. The caller holds mu.
func (s *Stream) overErr() error {
	if errors.Is(s.err, net.ErrClosed) {
		return s.err
	}
	return fmt.Errorf("stream is over: %w", closedBy{s.err})
}

// closedBy is a reason and net.ErrClosed at once.
type closedBy struct{ error }

func (e closedBy) Unwrap() []error { return []error{e.error, net.ErrClosed} }

// Flush waits until the server has acknowledged all that was handed to Send before.
func (s *Stream) Flush(ctx context.Context) error {
	s.mu.Lock()
	seq, counts := s.out.seq, s.out.counts
	s.hurry = true
	s.mu.Unlock()
	signal(s.wake)
	for {
		s.mu.Lock()
		empty, room, err := s.out.emptyUpTo(seq), s.room, s.err
		if err != nil && !empty {
			defer s.mu.Unlock()
			return s.overErr()
		}
		s.mu.Unlock()
		if empty {
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.ctx.Done():
		}
	}
	if counts {
		return nil
	}
	// Without acknowledgements an answer shows that the server read everything before.
	_, err := s.IQ(ctx, s.Domain(), stanza.GetIQ, []byte(`<ping xmlns='`+nsPing+`'/>`))
	var answer *AnswerError
	if errors.As(err, &answer) {
		return nil
	}
	return err
}

// A waiter waits for the answer to one IQ.
type waiter struct {
	to     jid.JID
	toText string
	item   *item
	result chan result // has room for one
}

type result struct {
	st  *Stanza
	err error
}

// ErrUnheard is the cause of a context that ends because nobody waits for the
// answer any more, though the request is to go out all the same. It is
// [net.ErrClosed]; that alone takes a request back that was not sent.
var ErrUnheard = fmt.Errorf("nobody waits for the answer: %w", net.ErrClosed)

func (w *waiter) fail(err error) { w.result <- result{err: err} }

// IQ sends a request and waits for its answer. payload is marshaled by
// [encoding/xml], or as for Send, or nil. The zero JID asks our own account.
// Without a deadline in ctx the answer must come within a minute.
//
// An answer of type error is returned together with an [*AnswerError]. When
// the connection is lost and resumed meanwhile, waiting goes on; when it could
// not be resumed, and the request may have been handled, the error is [ErrRebound].
func (s *Stream) IQ(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (*Stanza, error) {
	wait, err := s.Ask(ctx, to, typ, payload)
	if err != nil {
		return nil, err
	}
	return wait(ctx)
}

// Ask sends a request without waiting for its answer, so that several can be
// on their way in the order of the calls. wait must be called, once: it is the
// other half of [Stream.IQ].
func (s *Stream) Ask(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (wait func(context.Context) (*Stanza, error), err error) {
	if typ != stanza.GetIQ && typ != stanza.SetIQ {
		return nil, fmt.Errorf("IQ of type %q asks nothing", typ)
	}
	var p []byte
	if payload != nil {
		if p, err = encode(payload); err != nil {
			return nil, fmt.Errorf("IQ payload: %w", err)
		}
	}
	w := &waiter{to: to, toText: to.String(), result: make(chan result, 1)}
	s.mu.Lock()
	if len(s.waiting) >= maxWaiting {
		s.mu.Unlock()
		return nil, ErrTooManyIQs
	}
	s.nextID++
	id := s.prefix + "-" + strconv.FormatUint(s.nextID, 36)
	w.item = &item{kind: kindRequest, data: iqXML(id, w.toText, string(typ), p)}
	if s.phase == phaseRunning { // otherwise put says why not
		s.waiting[id] = w
	}
	s.mu.Unlock()

	if err := s.put(ctx, w.item); err != nil {
		s.forget(id, w)
		return nil, fmt.Errorf("ask %s: %w", s.nameOf(to), err)
	}
	return func(ctx context.Context) (*Stanza, error) { return s.wait(ctx, id, w) }, nil
}

func (s *Stream) wait(ctx context.Context, id string, w *waiter) (*Stanza, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultIQWait)
		defer cancel()
	}
	select {
	case r := <-w.result:
		if r.err != nil {
			return nil, fmt.Errorf("ask %s: %w", s.nameOf(w.to), r.err)
		}
		if err := r.st.Err(); err != nil {
			a := &AnswerError{From: r.st.From}
			errors.As(err, &a.Err)
			return r.st, a
		}
		return r.st, nil
	case <-ctx.Done():
		err := context.Cause(ctx)
		if errors.Is(err, ErrUnheard) {
			s.mu.Lock()
			delete(s.waiting, id)
			s.mu.Unlock()
		} else {
			s.forget(id, w)
		}
		return nil, fmt.Errorf("ask %s: %w", s.nameOf(w.to), err)
	case <-s.ctx.Done(): // a handler must not wait for what waits for the handler
		s.forget(id, w)
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, fmt.Errorf("ask %s: %w", s.nameOf(w.to), s.overErr())
	}
}

// forget stops waiting for an answer, and takes the request back if it was not sent.
func (s *Stream) forget(id string, w *waiter) {
	s.mu.Lock()
	delete(s.waiting, id)
	if s.out.cancel(w.item) {
		s.shrunk()
	}
	s.mu.Unlock()
}

// After calls f like a function of the Handler, once everything read so far
// was handled. When the stream is over before, f is not called.
func (s *Stream) After(f func()) { s.inbox.call(f) }

func (s *Stream) nameOf(to jid.JID) string {
	if to.Equal(jid.JID{}) {
		return s.cfg.JID.Bare().String()
	}
	return to.String()
}

func iqXML(id, to, typ string, payload []byte) []byte {
	b := make([]byte, 0, 48+len(id)+len(to)+len(payload))
	b = append(b, `<iq type='`+typ+`' id='`+id+`'`...)
	if to != "" {
		b = append(append(append(b, ` to='`...), escape(to)...), '\'')
	}
	if len(payload) == 0 {
		return append(b, `/>`...)
	}
	return append(append(append(b, '>'), payload...), `</iq>`...)
}

// answer gives an answer to the one who waits for it from that sender, and
// drops it when there is none.
func (s *Stream) answer(e *Element, parse func(string) (jid.JID, error)) {
	w := s.claim(e.Start, parse)
	if w == nil {
		return
	}
	st, err := newStanza(e, parse)
	w.result <- result{st, err}
}

// failAnswer tells the one who waits that the answer came and cannot be used.
func (s *Stream) failAnswer(start xml.StartElement, parse func(string) (jid.JID, error), why error) {
	if w := s.claim(start, parse); w != nil {
		w.fail(fmt.Errorf("answer: %w", why))
	}
}

// claim returns who waits for this answer, and nobody else gets it then.
func (s *Stream) claim(start xml.StartElement, parse func(string) (jid.JID, error)) *waiter {
	id, from := attr(start, "id"), attr(start, "from")
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.waiting[id]
	if w == nil || !s.answers(from, w, parse) {
		s.stats.Foreign++
		return nil
	}
	delete(s.waiting, id)
	return w
}

// answers reports whether from may answer what was sent to w.to. The caller holds mu.
//
// RFC 6120 §8.1.2.1: without a sender, or with our bare JID, it is our account
// that speaks through the server. What we send without recipient goes to our
// account; some servers answer it in the name of our full JID or their domain.
func (s *Stream) answers(from string, w *waiter, parse func(string) (jid.JID, error)) bool {
	if from == w.toText && from != "" {
		return true
	}
	account := s.jid.Bare()
	toAccount := w.toText == "" || w.to.Equal(account)
	if from == "" {
		return toAccount || w.to.Equal(s.jid) || w.to.Equal(s.jid.Domain())
	}
	j, err := parse(from)
	if err != nil {
		return false
	}
	switch {
	case j.Equal(w.to):
		return true
	case toAccount:
		return j.Equal(account) || w.toText == "" && (j.Equal(s.jid) || j.Equal(s.jid.Domain()))
	}
	return false
}

// refuse answers a request that was not handed to the handler, unless too many
// such answers wait already.
func (s *Stream) refuse(start xml.StartElement, cond stanza.Condition) {
	id := attr(start, "id")
	if id == "" || len(id) > 1024 || len(attr(start, "from")) > 3072 {
		return
	}
	to, typ := "", "modify"
	if from := attr(start, "from"); from != "" {
		to = ` to='` + escape(from) + `'`
		if j, err := jid.Parse(from); s.cfg.MayKnow != nil && (err != nil || !s.cfg.MayKnow(j)) {
			typ, cond = "cancel", stanza.ServiceUnavailable // RFC 6121 §8.5.3.2.3
		}
	}
	p := []byte(`<iq type='error' id='` + escape(id) + `'` + to + `><error type='` + typ + `'><` + string(cond) +
		` xmlns='` + nsStanzas + `'/></error></iq>`)
	s.mu.Lock()
	ok := s.out.replies < maxReplies && !s.out.full() && s.phase == phaseRunning
	if ok {
		s.out.put(&item{data: p, kind: kindAnswer, own: true})
	}
	s.mu.Unlock()
	if ok {
		signal(s.wake)
	}
}

// encode returns v as the bytes of one element.
func encode(v any) ([]byte, error) {
	var p []byte
	switch v := v.(type) {
	case []byte:
		p = bytes.TrimSpace(v)
		// A stanza that is not well-formed would end the stream, and again after
		// every resumption, because it is never acknowledged.
		if _, err := parseElement(p, ""); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		return bytes.Clone(p), nil
	case xml.TokenReader:
		var b bytes.Buffer
		e := xml.NewEncoder(&b)
		if _, err := xmlstream.Copy(e, v); err != nil && err != io.EOF {
			return nil, err
		}
		if err := e.Flush(); err != nil {
			return nil, err
		}
		p = b.Bytes()
	case xmlstream.Marshaler:
		return encode(v.TokenReader())
	default:
		var err error
		if p, err = xml.Marshal(v); err != nil {
			return nil, err
		}
	}
	if err := checkElement(p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return p, nil
}

// kindOf looks at the start tag of a stanza.
func kindOf(p []byte) (itemKind, error) {
	d := xml.NewDecoder(&sliceReader{p})
	tok, err := d.RawToken()
	start, ok := tok.(xml.StartElement)
	if err != nil || !ok {
		return 0, ErrMalformed
	}
	typ := attr(start, "type")
	switch start.Name.Local {
	case "message":
		return kindMessage, nil
	case "presence":
		switch typ {
		case "", "unavailable", "probe":
			return kindPresence, nil
		}
		return kindSubscription, nil
	case "iq":
		switch {
		case attr(start, "id") == "":
			return 0, fmt.Errorf("%w: iq without id", ErrMalformed)
		case typ == "result" || typ == "error":
			return kindAnswer, nil
		case typ == "get" || typ == "set":
			return kindRequest, nil
		}
		return 0, fmt.Errorf("%w: iq of type %q", ErrMalformed, typ)
	}
	if ns := attr(start, "xmlns"); ns == "" || ns == nsClient || ns == nsStream || start.Name.Space != "" {
		return 0, fmt.Errorf("%w: %s is no stanza", ErrMalformed, start.Name.Local)
	}
	return kindNonza, nil
}
