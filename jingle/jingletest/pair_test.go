package jingletest

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/jingle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app is an application made of functions.
type app struct {
	attach func(jingle.Conn)
	handle func(jingle.Effect)
}

func (a app) Attach(c jingle.Conn) {
	if a.attach != nil {
		a.attach(c)
	}
}

func (a app) Handle(e jingle.Effect) {
	if a.handle != nil {
		a.handle(e)
	}
}

func TestPairNegotiatesASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accepted := make(chan *jingle.Jingle, 1)
		ended := make(chan jingle.Ended, 2)
		note := func(e jingle.Effect) {
			if e, ok := e.(jingle.Ended); ok {
				ended <- e
			}
		}
		var callee jingle.Conn
		a, _ := Pair(t, PairConfig{Registry: Registry(), Delay: 20 * time.Millisecond},
			app{handle: func(e jingle.Effect) {
				if e, ok := e.(jingle.Accepted); ok {
					accepted <- e.Jingle
				}
				note(e)
			}},
			app{attach: func(c jingle.Conn) { callee = c }, handle: func(e jingle.Effect) {
				if _, ok := e.(jingle.Offered); ok {
					callee.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Accept(Contents("audio")) })
				}
				note(e)
			}})
		begin := time.Now()
		do := func(fn func(*jingle.Session) ([]jingle.Effect, error)) {
			t.Helper()
			if err := a.Do(context.Background(), fn); err != nil {
				t.Fatal(err)
			}
		}
		do(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Initiate(Contents("audio")) })
		j := <-accepted
		if got, want := time.Since(begin), 40*time.Millisecond; got != want {
			t.Errorf("accepted after %v, want one round trip of %v", got, want)
		}
		if j.Responder != ResponderJID.String() {
			t.Errorf("responder = %q, want %q", j.Responder, ResponderJID)
		}
		do(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Terminate(jingle.Reason{}), nil })
		first, second := <-ended, <-ended
		if first.Remote || !second.Remote || second.Reason.Condition != jingle.Success {
			t.Errorf("ended = %+v and %+v, want ours, then theirs with success", first, second)
		}
		<-a.Done()
		err := a.Do(context.Background(), func(*jingle.Session) ([]jingle.Effect, error) { return nil, nil })
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Do after the end: %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestPairEndsWhenNobodyAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reasons []jingle.Reason
		note := func(e jingle.Effect) {
			if e, ok := e.(jingle.Ended); ok {
				reasons = append(reasons, e.Reason)
			}
		}
		a, b := Pair(t, PairConfig{Registry: Registry(), AcceptTimeout: 5 * time.Second}, app{handle: note}, app{})
		begin := time.Now()
		a.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Initiate(Contents("audio")) })
		<-a.Done()
		<-b.Done()
		if got := time.Since(begin); got != 5*time.Second {
			t.Errorf("ended after %v, want 5s", got)
		}
		if len(reasons) != 1 || reasons[0].Condition != jingle.Timeout {
			t.Errorf("reasons = %v, want timeout", reasons)
		}
	})
}
