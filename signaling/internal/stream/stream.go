package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	crand "crypto/rand"

	"mellium.im/xmpp/jid"
)

// A Handler receives what happens on a stream. All functions are called from
// one goroutine, in order, and never after Done is closed. They may call Send
// and IQ; while one of them waits, at most a bounded number of stanzas is read
// ahead, and answers to IQs keep arriving until then. A nil function is not called.
type Handler struct {
	// Stanza is called with every stanza that is not an answer to one of our IQs.
	// Every iq of type get or set must be answered by the handler, soon or later.
	Stanza func(*Stanza)
	// Online is called after each login, the first included. Resumed false means
	// a new session: the server has forgotten presence, carbons and the like.
	Online func(resumed bool)
	// Offline is called when the connection was lost; the stream reconnects by itself.
	Offline func(err error)
}

// A Stream is a logged-in XMPP stream that reconnects by itself. Its methods
// may be called from any goroutine.
//
// Three goroutines belong to it: the owner, which connects, writes and watches
// over the connection; the reader of the present connection; and the one that
// calls the Handler.
type Stream struct {
	cfg    Config
	h      Handler
	prefix string // of the ids of our IQs; nobody else can guess it

	dialer    dialer // the owner's
	login     login  // the owner's
	elsewhere string // the owner's: where the server sent us when it ended the last stream
	short     int    // the owner's: connections in a row that lived for less than stableFor
	inbox     *inbox
	wake      chan struct{} // there is something to send
	poke      chan struct{} // the network changed

	ctx     context.Context // ends when the stream is over or Close was called while connecting
	cancel  context.CancelCauseFunc
	closing chan struct{} // closed by Close
	done    chan struct{}

	mu       sync.Mutex
	phase    phase
	out      outbox
	room     chan struct{} // closed and replaced when the outbox has room, and when it shrinks
	waiting  map[string]*waiter
	nextID   uint64
	jid      jid.JID
	features *Element
	online   bool
	quick    bool
	hurry    bool // somebody waits in Flush
	session  session
	handled  uint32 // stanzas of the server handled in this session
	limit    int    // bytes of the largest stanza the server accepts
	stats    Stats
	lastErr  error
	err      error
}

type phase uint8

const (
	phaseNew phase = iota
	phaseConnecting
	phaseRunning
	phaseClosing
	phaseOver
)

// Stats count what happened since the stream was made.
type Stats struct {
	Connections int // logins, the first included
	Resumed     int // of these, sessions resumed
	Strange     int // stanzas that were dropped because they were too large or malformed
	Foreign     int // answers dropped because nobody waited for them from that sender
}

// New returns a stream that is not connected yet. Until [Stream.Connect]
// succeeded, only Connect and Close may be called.
func New(cfg Config, h Handler) *Stream {
	s := &Stream{
		cfg: cfg.withDefaults(), h: h, prefix: crand.Text()[:12],
		inbox: newInbox(), wake: make(chan struct{}, 1), poke: make(chan struct{}, 1),
		closing: make(chan struct{}), done: make(chan struct{}),
		room: make(chan struct{}), waiting: map[string]*waiter{}, jid: cfg.JID,
	}
	s.dialer.cfg, s.login.cfg = &s.cfg, &s.cfg
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// Connect logs in and returns once online, or with the reason why not. The
// context is for the connecting only. After an error the stream is over.
func (s *Stream) Connect(ctx context.Context) error {
	s.mu.Lock()
	if s.phase != phaseNew {
		defer s.mu.Unlock()
		if s.err != nil {
			return s.err
		}
		return errors.New("stream is connected already")
	}
	s.phase = phaseConnecting
	s.mu.Unlock()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	n, err := s.attempt(ctx)
	if !stop() && err == nil {
		n.link.abort()
		err = net.ErrClosed
	}
	if err != nil {
		s.finish(err)
		return err
	}
	s.mu.Lock()
	if s.ctx.Err() == nil { // Close cancels while it holds mu
		s.phase = phaseRunning
	} else {
		err = net.ErrClosed
	}
	s.mu.Unlock()
	if err == nil {
		err = s.adopt(n)
	}
	if err != nil {
		n.link.abort()
		s.finish(err)
		return err
	}
	go s.own(n)
	return nil
}

// JID returns the full JID the server gave us.
func (s *Stream) JID() jid.JID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jid
}

// Domain returns the domain of the account, which is also the server's address.
func (s *Stream) Domain() jid.JID { return s.cfg.JID.Domain() }

// Features returns the stream features after login, for example the server's
// entity capabilities.
func (s *Stream) Features() *Element {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.features
}

// Online reports whether the stream is connected now.
func (s *Stream) Online() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.online
}

// Stats returns what happened so far.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// LastError returns why the connection was lost or the last attempt to
// reconnect did not succeed, and nil while online.
func (s *Stream) LastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastErr
}

// SetQuick makes the stream notice a dead connection sooner (Config.QuickDeadAfter).
func (s *Stream) SetQuick(on bool) {
	s.mu.Lock()
	s.quick = on
	s.mu.Unlock()
	signal(s.wake)
}

// NetworkChanged tells that the network of this machine changed: the
// connection is probed at once, or the next attempt is made at once.
func (s *Stream) NetworkChanged() { signal(s.poke) }

// Close says goodbye to the server, and returns when everything has stopped.
// What is queued is sent before, as far as Config.CloseTimeout allows. Later
// and blocked calls return an error that is [net.ErrClosed]. A function of
// the Handler must not call Close: it would wait for itself.
func (s *Stream) Close() error {
	s.mu.Lock()
	switch s.phase {
	case phaseNew:
		s.mu.Unlock()
		s.finish(net.ErrClosed)
		return nil
	case phaseConnecting:
		s.cancel(net.ErrClosed)
	case phaseRunning:
		s.phase = phaseClosing
		close(s.closing)
	}
	s.mu.Unlock()
	<-s.done
	return nil
}

// Done is closed when the stream is over: by Close or for a reason that
// forbids to reconnect.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err returns why the stream is over: nil before, net.ErrClosed after Close.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// finish ends the stream. Everything that belongs to it has stopped before.
func (s *Stream) finish(err error) {
	s.mu.Lock()
	if s.phase == phaseOver {
		s.mu.Unlock()
		return
	}
	s.phase, s.err, s.online = phaseOver, err, false
	for id, w := range s.waiting {
		w.fail(err)
		delete(s.waiting, id)
	}
	s.mu.Unlock()
	s.cancel(err)
	close(s.done)
}

// own uses one connection after the other until the stream is over.
func (s *Stream) own(n negotiated) {
	dispatched := make(chan struct{})
	go func() {
		defer close(dispatched)
		s.dispatch()
	}()
	err := s.stay(n)
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	s.cancel(err) // releases the dispatcher and whoever waits inside a handler
	<-dispatched
	s.finish(err)
	s.cfg.Log.Info("stream over", "reason", err)
}

func (s *Stream) dispatch() {
	for {
		ev, ok := s.inbox.pop(s.ctx.Done())
		switch {
		case !ok:
			return
		case ev.call != nil:
			ev.call()
		case s.h.Stanza != nil:
			s.h.Stanza(ev.stanza)
		}
	}
}

// stay keeps the stream online and returns why it is over.
func (s *Stream) stay(n negotiated) error {
	for {
		began := time.Now()
		err := s.use(n)
		if s.isClosing() {
			return net.ErrClosed
		}
		s.cfg.Log.Warn("connection lost", "error", err)
		var se *StreamError
		fromServer := errors.As(err, &se) || errors.Is(err, errServerClosed)
		if se != nil && !se.Local {
			s.elsewhere = se.Host
			switch se.Condition {
			case "conflict", "not-authorized", "host-gone", "host-unknown":
				return fmt.Errorf("stay online: %w", err)
			case "bad-format", "bad-namespace-prefix", "improper-addressing", "invalid-from", "invalid-namespace",
				"invalid-xml", "not-well-formed", "restricted-xml", "unsupported-encoding", "unsupported-stanza-type":
				// Something we sent. Sent again it would end the next stream too.
				s.mu.Lock()
				s.cfg.Log.Error("stanzas that the server may have refused are given up", "count", s.out.discardSent())
				s.session = session{}
				s.mu.Unlock()
			case "policy-violation":
				// Many things may be meant, and one is a stanza too large for the server.
				s.mu.Lock()
				if n := s.out.discardLarge(smallStanza); n > 0 {
					s.cfg.Log.Error("large stanzas that the server may have refused are given up", "count", n)
					s.session = session{}
				}
				s.mu.Unlock()
			}
		}
		if errors.Is(err, errBadCount) {
			s.mu.Lock()
			s.session = session{} // we and the server do not agree on it
			s.mu.Unlock()
		}
		s.short++
		if time.Since(began) >= stableFor {
			s.short = 0
		}
		atOnce := !fromServer && s.short == 0
		if n, err = s.reconnect(err, atOnce); err != nil {
			return err
		}
	}
}

func (s *Stream) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// reconnect tries until it succeeds, or must not any more.
func (s *Stream) reconnect(lost error, atOnce bool) (negotiated, error) {
	s.setLastError(lost)
	if s.h.Offline != nil {
		s.inbox.call(func() { s.h.Offline(lost) })
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	stopped := make(chan struct{})
	defer func() { <-stopped }()
	go func() { // Close ends an attempt
		defer close(stopped)
		select {
		case <-s.closing:
			cancel(net.ErrClosed)
		case <-ctx.Done():
		}
	}()
	defer cancel(nil)
	for tries := 0; ; tries++ {
		if !atOnce || tries > 0 {
			wait := s.backoff(tries + max(0, s.short-freeShort))
			s.cfg.Log.Debug("reconnecting", "in", wait)
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-s.poke:
				tries, s.short = 0, 0
			case <-ctx.Done():
			}
			timer.Stop()
		}
		if ctx.Err() != nil {
			return negotiated{}, context.Cause(ctx)
		}
		n, err := s.attempt(ctx)
		if err == nil {
			if err = s.adopt(n); err == nil {
				return n, nil
			}
			n.link.abort()
		}
		s.cfg.Log.Warn("not online again yet", "error", err)
		s.mu.Lock()
		s.lastErr = err
		if errors.Is(err, errResume) {
			s.session = session{}
		}
		s.mu.Unlock()
		var auth *AuthError
		if errors.As(err, &auth) && !auth.Temporary() {
			return negotiated{}, err
		}
	}
}

func (s *Stream) setLastError(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastErr = err
}

// backoff returns how long to wait before a try: longer each time, and never
// the same for all clients of a server that was restarted.
func (s *Stream) backoff(tries int) time.Duration {
	d, most := s.cfg.MinBackoff, s.cfg.MaxBackoff
	s.mu.Lock()
	if s.quick {
		most = min(most, quickBackoff)
	}
	s.mu.Unlock()
	for range tries {
		if d *= 2; d >= most {
			d = most
			break
		}
	}
	return d/2 + rand.N(d/2+1)
}

// maxRedirects is how often in a row a server may send us elsewhere (see-other-host).
const maxRedirects = 3

// attempt connects and logs in once.
func (s *Stream) attempt(ctx context.Context) (negotiated, error) {
	ctx, cancel := s.dialer.deadline(ctx)
	defer cancel()
	s.mu.Lock()
	old, handled, resource := s.session, s.handled, s.jid.Resourcepart()
	s.mu.Unlock()
	s.dialer.prefer = nil
	for _, host := range []string{s.elsewhere, old.location} {
		if t, err := parseHostPort(host, 5222); host != "" && err == nil {
			s.dialer.prefer = append(s.dialer.prefer, t)
		}
	}
	s.elsewhere = "" // tried once
	var newerTLS *olderTLSError
	for redirects := 0; ; redirects++ {
		l, features, err := s.dialer.connect(ctx)
		var n negotiated
		if err == nil {
			n, err = s.login.negotiate(ctx, l, features, old, handled, resource)
		}
		var se *StreamError
		if errors.As(err, &se) && se.Condition == "see-other-host" && redirects < maxRedirects {
			if t, perr := parseHostPort(se.Host, 5222); perr == nil {
				s.cfg.Log.Debug("redirected", "host", se.Host)
				s.dialer.prefer = []target{t} // its certificate must still be our domain's
				continue
			}
		}
		if errors.Is(err, errUnbound) && !s.login.unbound {
			s.login.unbound = true
			continue
		}
		if !s.dialer.olderTLS && errors.As(err, &newerTLS) {
			s.dialer.olderTLS = true
			continue
		}
		if err != nil && newerTLS != nil { // it did not help
			s.dialer.olderTLS, err = false, newerTLS.error
		}
		if err != nil {
			return n, fmt.Errorf("log in as %s: %w", s.cfg.JID.Bare(), err)
		}
		s.cfg.Log.Debug("connected", "addr", l.addr, "how", l.how.String(), "resumed", n.resumed)
		return n, nil
	}
}

var errBadCount = errors.New("server acknowledged stanzas that were never sent")

// adopt makes n the connection of the stream.
func (s *Stream) adopt(n negotiated) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.resumed {
		if !s.out.resume(n.h) {
			s.session = session{}
			return errBadCount
		}
		s.stats.Resumed++
	} else {
		s.out.rebind(n.h, n.hKnown, n.jid.Equal(s.jid), n.counts)
		s.failWaiting(ErrRebound)
		s.jid, s.session, s.handled = n.jid, n.session, 0
	}
	s.stats.Connections++
	s.features, s.limit = n.features, n.link.limit
	s.online, s.lastErr = true, nil
	s.shrunk()
	if s.h.Online != nil {
		s.inbox.call(func() { s.h.Online(n.resumed) })
	}
	return nil
}

// failWaiting ends the waiting of those whose request was sent and will not be
// sent again. The caller holds mu.
func (s *Stream) failWaiting(err error) {
	for id, w := range s.waiting {
		if w.item != nil && w.item.gone {
			w.fail(err)
			delete(s.waiting, id)
		}
	}
}

// shrunk releases those who wait for room. The caller holds mu.
func (s *Stream) shrunk() {
	close(s.room)
	s.room = make(chan struct{})
}
