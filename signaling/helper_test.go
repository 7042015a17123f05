package signaling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far more than anything here takes.
const patience = 10 * time.Second

const (
	alice   = "alice@example.org"
	bob     = "bob@example.org"
	carol   = "carol@example.org"
	mallory = "mallory@example.org"
)

// newServer runs a server on which alice and bob are friends, and mallory is nobody's.
func newServer(t testing.TB, cfg xmpptest.Config) *xmpptest.Server {
	t.Helper()
	cfg.Accounts = map[string]string{alice: "pw", bob: "pw", carol: "pw", mallory: "pw"}
	srv := xmpptest.Run(t, cfg)
	srv.Befriend(alice, bob)
	srv.Befriend(bob, carol)
	return srv
}

// login dials a client that is closed when the test ends. It returns when the
// server has seen the presence: before that, carbons overtake what is sent to the account.
func login(t testing.TB, srv *xmpptest.Server, account string, adjust ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		JID: jid.MustParse(account), Password: "pw",
		Server: "tls://" + srv.TLSAddr(), RootCAs: srv.CertPool(), WebSocket: WebSocketNever,
	}
	for _, f := range adjust {
		f(&cfg)
	}
	c, err := Dial(ctx(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	settled(t, c, c)
	return c
}

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

// wait waits for ch to be closed or to deliver.
func wait[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: did not happen", what)
		panic("unreachable")
	}
}

// open reports whether ch is neither closed nor has anything.
func open[T any](ch <-chan T) bool {
	select {
	case <-ch:
		return false
	default:
		return true
	}
}

// incoming waits for a call.
func incoming(t testing.TB, c *Client) *IncomingCall {
	t.Helper()
	k := wait(t, "incoming call at "+c.JID().String(), c.Incoming())
	if k == nil {
		t.Fatal("client is closed")
	}
	return k
}

// app is an application that offers one content of each name and accepts what
// it is offered.
type app struct {
	names    []string
	hold     bool // does not initiate or accept by itself
	conn     jingle.Conn
	attached chan struct{}
	active   chan struct{}
	ended    chan jingle.Ended

	mu         sync.Mutex
	candidates int
	effects    []string
	seen       map[string]chan struct{}
}

func newApp(names ...string) *app {
	if len(names) == 0 {
		names = []string{"audio"}
	}
	return &app{names: names, attached: make(chan struct{}), active: make(chan struct{}),
		ended: make(chan jingle.Ended, 1), seen: map[string]chan struct{}{}}
}

func (a *app) Attach(conn jingle.Conn) {
	a.conn = conn
	close(a.attached)
	if conn.Role() == jingle.Initiator && !a.hold {
		conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
			return s.Initiate(jingletest.Contents(a.names...))
		})
	}
}

func (a *app) Handle(e jingle.Effect) {
	name := fmt.Sprintf("%T", e)[len("jingle."):]
	a.mu.Lock()
	a.effects = append(a.effects, name)
	closeOnce(a.event(name))
	var j *jingle.Jingle
	switch e := e.(type) {
	case jingle.Offered:
		j = e.Jingle
	case jingle.TransportInfoReceived:
		j = e.Jingle
	}
	if j != nil {
		for _, c := range j.Contents {
			a.candidates += len(c.Transport.(*iceudp.Transport).Candidates)
		}
	}
	a.mu.Unlock()
	switch e := e.(type) {
	case jingle.Offered:
		if !a.hold {
			a.accept(e.Jingle)
		}
	case jingle.Accepted:
		closeOnce(a.active)
	case jingle.Ended:
		a.ended <- e
	}
}

func (a *app) accept(offer *jingle.Jingle) {
	answer := &jingle.Jingle{Contents: offer.Contents}
	a.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		effects, err := s.Accept(answer)
		if err == nil {
			closeOnce(a.active)
		}
		return effects, err
	})
}

func (a *app) event(name string) chan struct{} {
	if a.seen[name] == nil {
		a.seen[name] = make(chan struct{})
	}
	return a.seen[name]
}

// saw is closed once an effect of that name was handled.
func (a *app) saw(name string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.event(name)
}

// connect makes a call between two clients and waits until it is active.
func connect(t testing.TB, from, to *Client) (out *Call, in *IncomingCall, caller, callee *app) {
	t.Helper()
	caller, callee = newApp(), newApp()
	out, err := from.Call(ctx(t), to.JID().Bare(), caller, CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in = incoming(t, to)
	wait(t, "ringing", out.Ringing())
	if err := in.Accept(ctx(t), callee); err != nil {
		t.Fatal(err)
	}
	wait(t, "accepted by the callee", callee.active)
	wait(t, "accepted at the caller", caller.active)
	return out, in, caller, callee
}

// over waits for the end of a call and checks how it ended.
func over(t testing.TB, k interface {
	Done() <-chan struct{}
	Result() Result
}, want Outcome) Result {
	t.Helper()
	wait(t, "end of the call", k.Done())
	r := k.Result()
	if r.Outcome != want {
		t.Errorf("outcome = %q (%v, %q), want %q", r.Outcome, r.Reason, r.Why, want)
	}
	return r
}

// event waits for an event of type E that satisfies ok.
func event[E Event](t testing.TB, s *Subscription, ok func(E) bool) E {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e, open := <-s.Events():
			if !open {
				t.Fatal("subscription is closed")
			}
			if e, is := e.(E); is && (ok == nil || ok(e)) {
				return e
			}
		case <-timeout:
			var e E
			t.Fatalf("no event %T", e)
		}
	}
}

// knowsDevices waits until c sees n devices of somebody.
func seesDevices(t testing.TB, c *Client, who string, n int) {
	t.Helper()
	sub := c.Subscribe(1000)
	defer sub.Close()
	j := jid.MustParse(who)
	timeout := time.After(patience)
	for len(c.presence.of(j)) != n {
		select {
		case <-sub.Events():
		case <-timeout:
			t.Fatalf("%s sees %d devices of %s, want %d", c.JID(), len(c.presence.of(j)), who, n)
		}
	}
}

// traffic records what goes over a server.
type traffic struct {
	mu   sync.Mutex
	list []xmpptest.Stanza
}

func tap(t testing.TB, srv *xmpptest.Server) *traffic {
	tr := &traffic{}
	t.Cleanup(srv.Tap(func(st xmpptest.Stanza) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.list = append(tr.list, st)
	}))
	return tr
}

// find returns the stanzas for which ok is true.
func (tr *traffic) find(ok func(xmpptest.Stanza) bool) (out []xmpptest.Stanza) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, st := range tr.list {
		if ok(st) {
			out = append(out, st)
		}
	}
	return out
}

// send sends raw XML.
func send(t testing.TB, c *Client, format string, args ...any) {
	t.Helper()
	if err := c.Send(ctx(t), fmt.Appendf(nil, format, args...)); err != nil {
		t.Fatal(err)
	}
}

// settled waits until everything that from sent so far was handled by to: a
// ping goes the same way, and stanzas of one sender keep their order.
func settled(t testing.TB, from, to *Client) {
	t.Helper()
	_, err := from.IQ(ctx(t), to.JID(), stanza.GetIQ, []byte(`<ping xmlns='urn:xmpp:ping'/>`))
	var answer *AnswerError
	if err != nil && !errors.As(err, &answer) {
		t.Fatalf("ping: %v", err)
	}
}

// condition asks with an IQ that must be answered with an error, and returns it.
func condition(t testing.TB, from *Client, to jid.JID, typ stanza.IQType, payload string) string {
	t.Helper()
	st, err := from.IQ(ctx(t), to, typ, []byte(payload))
	var answer *AnswerError
	if !errors.As(err, &answer) {
		t.Fatalf("IQ %.200s: error = %v, want an answer of type error", payload, err)
	}
	for child := range st.Child("jabber:client", "error").Children() {
		if child.Start.Name.Space == jingle.NSErrors {
			return string(answer.Err.Condition) + " " + child.Start.Name.Local
		}
	}
	return string(answer.Err.Condition)
}

func contents(names ...string) *jingle.Jingle { return jingletest.Contents(names...) }

// candidate is a transport-info with one candidate.
func candidate(content string) *jingle.Jingle {
	return &jingle.Jingle{Contents: []jingle.Content{{Name: content, Transport: jingletest.Transport()}}}
}

func contextWithin(t testing.TB, ms int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), time.Duration(ms)*time.Millisecond)
}

type applicationOf = jingle.Application

func terminate(s *jingle.Session) ([]jingle.Effect, error) {
	return s.Terminate(jingle.Reason{}), nil
}

type mediaOf = rtp.Media

// heal makes up for stanzas that an interceptor lost: the stream is resumed and
// sends them again. Otherwise closing waits for their acknowledgement.
func heal(t testing.TB, srv *xmpptest.Server, c *Client) {
	t.Helper()
	events := c.Subscribe(10)
	defer events.Close()
	srv.Cut(c.JID().String())
	event[Offline](t, events, nil)
	c.NetworkChanged()
	event[Online](t, events, nil)
	settled(t, c, c)
}
