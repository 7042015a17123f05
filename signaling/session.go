package signaling

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
)

// A session drives one Jingle session. One goroutine owns it; everybody else
// posts to its mailbox. The invariants:
//
//   - an action of the peer is answered before any effect of it is carried out;
//   - our actions are sent in the order of the engine, which keeps a small window
//     of them unanswered, so that trickled candidates do not wait for each other;
//   - effects reach the application in order, and Ended is the last;
//   - once ended, the peer's further actions are those of an unknown session.
//
// It implements [jingle.Conn].
type session struct {
	c     *Client
	sid   string
	role  jingle.Role
	local jid.JID
	peer  jid.JID
	box   *mailbox
	done  chan struct{} // closed after Ended was handled
	watch sessionWatch  // the call that the session belongs to

	// Below is the goroutine's own.
	engine     *jingle.Session
	app        jingle.Application // nil before attach
	held       []jingle.Effect    // for the application, before attach
	timers     map[jingle.TimerID]*time.Timer
	ended      bool
	candidates map[string]candidates // by content
}

// A sessionWatch tells the owner of a session about it, on the session's
// goroutine. Its functions must not wait; nil ones are not called.
type sessionWatch struct {
	sending  func(jingle.Action)
	effect   func(jingle.Effect) // those that the application gets, before it
	ended    func(jingle.Ended)
	attached func()
}

// candidates counts what a peer sent for one content in one generation.
type candidates struct {
	ufrag string
	n     int
}

// sessions are the running ones.
type sessions struct {
	perPeer int // Config.MaxPerPeer

	mu     sync.Mutex
	byKey  map[string]*session
	byPeer map[string]int // by bare JID
	ended  []string       // keys of sessions that ended a while ago, oldest first
}

// maxEndedSessions bounds the sessions remembered after their end.
const maxEndedSessions = 64

// sessionKey is what tells sessions apart: a sid alone is chosen by the peer.
func sessionKey(peer jid.JID, sid string) string { return peer.String() + "\n" + sid }

func (t *sessions) get(peer jid.JID, sid string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byKey[sessionKey(peer, sid)]
}

func (t *sessions) add(s *session) error {
	key, bare := sessionKey(s.peer, s.sid), s.peer.Bare().String()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.byKey[key] != nil:
		return fmt.Errorf("session %q with %s exists", s.sid, s.peer)
	case len(t.byKey) >= maxSessions || t.byPeer[bare] >= t.perPeer:
		return ErrTooMany
	}
	if t.byKey == nil {
		t.byKey, t.byPeer = make(map[string]*session), make(map[string]int)
	}
	t.byKey[key] = s
	t.byPeer[bare]++
	return nil
}

func (t *sessions) remove(s *session) {
	key, bare := sessionKey(s.peer, s.sid), s.peer.Bare().String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[key] != s {
		return
	}
	delete(t.byKey, key)
	if t.byPeer[bare]--; t.byPeer[bare] == 0 {
		delete(t.byPeer, bare)
	}
	if len(t.ended) >= maxEndedSessions {
		t.ended = t.ended[1:]
	}
	t.ended = append(t.ended, key)
}

// over reports whether there was such a session not long ago.
func (t *sessions) over(peer jid.JID, sid string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.ended, sessionKey(peer, sid))
}

// newSession starts the goroutine of a session. accept is how long one that we
// initiate may stay unaccepted, as in [jingle.Config].
func (c *Client) newSession(role jingle.Role, peer jid.JID, sid string, accept time.Duration, watch sessionWatch) (*session, error) {
	s := &session{
		c: c, sid: sid, role: role, local: c.JID(), peer: peer,
		box: newMailbox(), done: make(chan struct{}),
		watch:      watch,
		timers:     make(map[jingle.TimerID]*time.Timer),
		candidates: make(map[string]candidates),
	}
	s.engine = jingle.NewSession(jingle.Config{SID: sid, Role: role, Local: s.local, Peer: peer, AcceptTimeout: accept})
	if err := c.sessions.add(s); err != nil {
		return nil, err
	}
	if !c.start(s.run) {
		c.sessions.remove(s)
		return nil, net.ErrClosed
	}
	return s, nil
}

func (s *session) run() {
	s.box.run(s.c.ctx.Done(), func() bool { return s.ended })
	if !s.ended { // the client is closing
		s.effects(s.engine.Terminate(jingle.Reason{Condition: jingle.Gone}))
	}
	if !s.ended { // an engine that has not begun has nothing to say
		s.finish(jingle.Ended{Reason: jingle.Reason{Condition: jingle.Gone}})
	}
}

// SID returns the session id.
func (s *session) SID() string { return s.sid }

// Role returns our role.
func (s *session) Role() jingle.Role { return s.role }

// Local returns our full JID.
func (s *session) Local() jid.JID { return s.local }

// Peer returns the full JID of the peer.
func (s *session) Peer() jid.JID { return s.peer }

// Done is closed after Ended was handled.
func (s *session) Done() <-chan struct{} { return s.done }

// Do runs fn on the session's goroutine. See [jingle.Conn].
func (s *session) Do(ctx context.Context, fn func(*jingle.Session) ([]jingle.Effect, error)) error {
	result := make(chan error, 1)
	err := s.box.post(maxMailbox, func(over bool) {
		if over {
			result <- net.ErrClosed
			return
		}
		effects, err := fn(s.engine)
		s.effects(effects)
		result <- err
	})
	if err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// DoLater queues fn without waiting. See [jingle.Conn].
func (s *session) DoLater(fn func(*jingle.Session) ([]jingle.Effect, error)) {
	err := s.box.post(maxMailbox, func(over bool) {
		if over {
			return
		}
		effects, err := fn(s.engine)
		s.effects(effects)
		if err != nil {
			s.c.log.Warn("action of the application refused", "sid", s.sid, "peer", s.peer.String(), "err", err)
		}
	})
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.c.log.Error("action of the application lost", "sid", s.sid, "peer", s.peer.String(), "err", err)
	}
}

// terminate ends the session for a reason of ours.
func (s *session) terminate(r jingle.Reason) {
	s.DoLater(func(e *jingle.Session) ([]jingle.Effect, error) { return e.Terminate(r), nil })
}

// attach gives the session its application. Effects that came before follow.
func (s *session) attach(app jingle.Application) error {
	return s.box.post(maxMailbox, func(over bool) {
		if !over {
			s.attachNow(app)
		}
	})
}

func (s *session) attachNow(app jingle.Application) {
	s.app = app
	app.Attach(s)
	if s.watch.attached != nil {
		s.watch.attached()
	}
	held := s.held
	s.held = nil
	for _, e := range held {
		app.Handle(e)
	}
}

// receive hands an action of the peer to the session. It is answered exactly
// once: here when the mailbox is full, otherwise on the session's goroutine.
func (s *session) receive(st *stream.Stanza, j *jingle.Jingle) {
	err := s.box.post(maxSessionInbox, func(over bool) {
		if over {
			s.c.answerLate(st, j)
			return
		}
		s.receiveNow(st, j)
	})
	switch {
	case errors.Is(err, net.ErrClosed):
		s.c.answerLate(st, j)
	case err != nil:
		s.c.answer(st, nil, errConstraint())
	}
}

func (s *session) receiveNow(st *stream.Stanza, j *jingle.Jingle) {
	if len(j.Contents) > maxContents {
		s.c.answer(st, nil, errBadRequest())
		return
	}
	if !s.trim(j) {
		s.c.answer(st, nil, errBadRequest())
		return
	}
	reply, effects := s.engine.Receive(j)
	s.c.answer(st, nil, reply.Err)
	s.effects(effects)
	if !s.ended && s.engine.State() == jingle.StateCreated && s.role == jingle.Responder {
		// It was no session-initiate that could begin a session. There never was one.
		s.app = nil
		s.finish(jingle.Ended{Reason: jingle.Reason{Condition: jingle.GeneralError}, Remote: true})
	}
}

// trim bounds the candidates of a content. One stanza with too many is
// refused; too many trickled ones are acknowledged and forgotten, because some
// peers end the call when any action is refused.
func (s *session) trim(j *jingle.Jingle) bool {
	for i := range j.Contents {
		t, ok := j.Contents[i].Transport.(*iceudp.Transport)
		if !ok || t == nil {
			continue
		}
		if len(t.Candidates) > maxCandidates {
			return false
		}
		seen, known := s.candidates[j.Contents[i].Name]
		if !known && len(s.candidates) >= maxContents {
			t.Candidates = nil
			continue
		}
		if seen.ufrag != t.Ufrag {
			seen = candidates{ufrag: t.Ufrag}
		}
		if room := maxCandidates - seen.n; len(t.Candidates) > room {
			s.c.log.Warn("candidates ignored, too many", "sid", s.sid, "peer", s.peer.String())
			t.Candidates = t.Candidates[:room]
		}
		seen.n += len(t.Candidates)
		s.candidates[j.Contents[i].Name] = seen
	}
	return true
}

// effects carries out what the engine wants.
func (s *session) effects(list []jingle.Effect) {
	for _, e := range list {
		switch e := e.(type) {
		case jingle.Send:
			if s.watch.sending != nil {
				s.watch.sending(e.Jingle.Action)
			}
			s.send(e)
		case jingle.StartTimer:
			s.startTimer(e)
		case jingle.StopTimer:
			if t := s.timers[e.ID]; t != nil {
				t.Stop()
				delete(s.timers, e.ID)
			}
		case jingle.Ended:
			s.finish(e)
			return
		default:
			if s.watch.effect != nil {
				s.watch.effect(e)
			}
			s.tell(e)
		}
	}
}

func (s *session) tell(e jingle.Effect) {
	if s.app != nil {
		s.app.Handle(e)
		return
	}
	s.held = append(s.held, e) // bounded by what the engine takes while pending
	if len(s.held) > maxSessionInbox {
		s.held = s.held[:0]
		s.terminate(jingle.Reason{Condition: jingle.GeneralError, Text: "too much before the answer"})
	}
}

func (s *session) startTimer(e jingle.StartTimer) {
	if old := s.timers[e.ID]; old != nil {
		old.Stop()
	}
	s.timers[e.ID] = time.AfterFunc(e.After, func() {
		_ = s.box.post(maxMailbox, func(over bool) {
			if over || s.timers[e.ID] == nil {
				return
			}
			delete(s.timers, e.ID)
			s.effects(s.engine.TimerFired(e.ID))
		}) // a session that is over has no timers
	})
}

// send sends one action. The engine keeps the window of unanswered ones.
func (s *session) send(a jingle.Send) {
	if err := s.c.ask(s.peer, a.Jingle, func(err error) { s.sent(a.ID, err) }); err != nil {
		s.sent(a.ID, err)
	}
}

// sent reports how an action was answered, from any goroutine.
func (s *session) sent(id jingle.ActionID, err error) {
	_ = s.box.post(maxMailbox, func(over bool) {
		if !over {
			s.effects(s.engine.Sent(id, err))
		}
	}) // nobody waits for the answers of a session that is over
}

// finish is the end. What was to be said is on its way; nobody waits for the
// answers.
func (s *session) finish(e jingle.Ended) {
	if s.ended {
		return
	}
	s.ended = true
	for _, t := range s.timers {
		t.Stop()
	}
	clear(s.timers)
	s.c.sessions.remove(s)
	if s.app != nil {
		s.app.Handle(e)
	}
	if s.watch.ended != nil {
		s.watch.ended(e)
	}
	close(s.done)
}
