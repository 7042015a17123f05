package signaling

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// A call does not notice that its stream was cut, and what was said meanwhile arrives.
func TestCallSurvivesACutStream(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	out, in, caller, callee := connect(t, a, b)
	events := a.Subscribe(100)
	jidBefore := a.JID()
	srv.SetGate(xmpptest.Refuse)
	if n := srv.Cut(alice); n != 1 {
		t.Fatalf("cut %d sessions", n)
	}
	event[Offline](t, events, nil)
	if err := caller.conn.Do(ctx(t), func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.TransportInfo(candidate("audio"))
	}); err != nil {
		t.Fatal(err)
	}
	if err := callee.conn.Do(ctx(t), func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.TransportInfo(candidate("audio"))
	}); err != nil {
		t.Fatal(err)
	}
	srv.SetGate(xmpptest.Admit)
	a.NetworkChanged()
	if e := event[Online](t, events, nil); !e.Resumed {
		t.Error("not resumed")
	}
	wait(t, "candidate at the callee", callee.saw("TransportInfoReceived"))
	wait(t, "candidate at the caller", caller.saw("TransportInfoReceived"))
	if !a.JID().Equal(jidBefore) {
		t.Errorf("JID changed from %v to %v", jidBefore, a.JID())
	}
	if !open(out.Done()) || !open(in.Done()) {
		t.Fatalf("call ended: %+v and %+v", out.Result(), in.Result())
	}
	in.Hangup(jingle.Reason{})
	over(t, out, Answered)
}

// When the server has forgotten us the call goes on all the same: whether it
// is over, the peer decides.
func TestCallSurvivesANewLogin(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	out, in, caller, callee := connect(t, a, b)
	events := a.Subscribe(100)
	settled(t, b, a) // what is unanswered when the server forgets us comes back as an error
	srv.Forget(alice)
	srv.Cut(alice)
	if e := event[Online](t, events, nil); e.Resumed {
		t.Fatal("resumed")
	}
	if !open(out.Done()) || !open(in.Done()) {
		t.Fatalf("call ended: %+v and %+v", out.Result(), in.Result())
	}
	seesDevices(t, b, alice, 1)
	if err := caller.conn.Do(ctx(t), func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.TransportInfo(candidate("audio"))
	}); err != nil {
		t.Fatal(err)
	}
	wait(t, "candidate at the callee", callee.saw("TransportInfoReceived"))
	in.Hangup(jingle.Reason{Condition: jingle.ConnectivityError})
	if r := over(t, out, Answered); r.Reason.Condition != jingle.ConnectivityError || !r.Remote || r.Why == "" {
		t.Errorf("result = %+v", r)
	}
}

func TestCloseEndsCalls(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b, c := login(t, srv, alice), login(t, srv, bob), login(t, srv, carol)
	out, in, _, _ := connect(t, a, b)
	ringing, err := c.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{RingTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	over(t, ringing, Busy)
	proposed, err := a.Call(ctx(t), jid.MustParse(carol), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second := incoming(t, c)
	a.Close()
	over(t, out, Answered)
	if r := over(t, in, Answered); r.Reason.Condition != jingle.Gone {
		t.Errorf("reason = %v", r.Reason)
	}
	over(t, proposed, Retracted)
	over(t, second, MissedCall)
	if err := a.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Err = %v", err)
	}
	if _, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{}); err == nil {
		t.Error("a closed client calls")
	}
	if _, ok := <-a.Incoming(); ok {
		t.Error("a closed client has calls")
	}
	a.Close() // twice is fine
}

// Losing the account ends the client by itself.
func TestExpelledClientEnds(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	out, _, _, _ := connect(t, a, b)
	srv.Expel(alice, "conflict")
	wait(t, "end of the client", a.Done())
	over(t, out, Answered)
	var se *StreamError
	if err := a.Err(); !errors.As(err, &se) || se.Condition != "conflict" {
		t.Errorf("Err = %v", err)
	}
}

func TestWrongPassword(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	_, err := Dial(ctx(t), Config{JID: jid.MustParse(alice), Password: "wrong",
		Server: "tls://" + srv.TLSAddr(), RootCAs: srv.CertPool()})
	var auth *AuthError
	if err != nil && strings.Count(err.Error(), "log in as") != 1 {
		t.Errorf("it does not say once what was being done: %v", err)
	}
	if !errors.As(err, &auth) || !auth.WrongPassword() || Hint(err) == "" {
		t.Errorf("err = %v, hint %q", err, Hint(err))
	}
}

// A login that cannot be completed at first, because the server is slow to
// answer, is completed later: without presence nobody could call us.
func TestIncompleteLoginIsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := xmpptest.NewServer(xmpptest.Config{InMemory: true, Hibernation: -1, Accounts: map[string]string{alice: "pw"}})
		defer srv.Close()
		c, err := Dial(t.Context(), Config{
			JID: jid.MustParse(alice), Password: "pw", Server: srv.Addr(), RootCAs: srv.CertPool(),
			Dial: srv.DialContext, WebSocket: WebSocketNever,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		events := c.Subscribe(10)
		stop := srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
			return xmpptest.Verdict{Drop: st.Dir == xmpptest.FromClient && st.Child(nsCarbons, "enable") != nil}
		})
		srv.Cut(alice)
		time.Sleep(3 * time.Minute)
		stop()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		for {
			select {
			case e := <-events.Events():
				if _, ok := e.(Online); ok {
					return
				}
			case <-time.After(time.Second):
				t.Fatal("never online again")
			}
		}
	})
}

// What came live moves the mark only once everything before it was read.
func TestMarkDoesNotJumpOverWhatWasNotRead(t *testing.T) {
	m := &marks{last: "7"}
	m.live(&envelope{archiveID: "12"})
	if m.get() != "7" {
		t.Error("jumped before the archive was read")
	}
	m.caughtUp()
	m.live(&envelope{archiveID: "13"})
	if m.get() != "13" {
		t.Error("does not follow")
	}
	m.behind()
	m.live(&envelope{archiveID: "20"})
	if m.get() != "13" {
		t.Error("jumped over what came while we were offline")
	}
}
