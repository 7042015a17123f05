package signaling

import (
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// BenchmarkCalls sets calls up and ends them, one after the other, between two
// clients on the test server: propose, ringing, accept, session-initiate,
// session-accept, session-terminate, finish, without media.
func BenchmarkCalls(b *testing.B) {
	srv := newServer(b, xmpptest.Config{})
	x, y := login(b, srv, alice), login(b, srv, bob)
	for b.Loop() {
		out, in, _, _ := connect(b, x, y)
		out.Hangup(jingle.Reason{})
		wait(b, "end", in.Done())
		wait(b, "end", out.Done())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkCallsAtOnce does the same with as many calls at a time as one
// person may have.
func BenchmarkCallsAtOnce(b *testing.B) {
	srv := newServer(b, xmpptest.Config{})
	x := login(b, srv, alice)
	y := login(b, srv, bob, func(cfg *Config) { cfg.Busy = BusyRing })
	slots := make(chan struct{}, maxPerPerson-1)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for k := range y.Incoming() {
			if k.Accept(b.Context(), newApp()) != nil {
				return
			}
		}
	}()
	for b.Loop() {
		slots <- struct{}{}
		caller := newApp()
		out, err := x.Call(b.Context(), jid.MustParse(bob), caller, CallOptions{})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			select {
			case <-caller.active:
			case <-time.After(patience):
			}
			out.Hangup(jingle.Reason{})
			<-out.Done()
			<-slots
		}()
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	y.Close()
	<-accepted
}

// BenchmarkProposeToRinging is what a caller waits until they hear ringing.
func BenchmarkProposeToRinging(b *testing.B) {
	srv := newServer(b, xmpptest.Config{})
	x, y := login(b, srv, alice), login(b, srv, bob)
	for b.Loop() {
		out, err := x.Call(b.Context(), jid.MustParse(bob), newApp(), CallOptions{})
		if err != nil {
			b.Fatal(err)
		}
		wait(b, "ringing", out.Ringing())
		b.StopTimer()
		in := incoming(b, y)
		out.Hangup(jingle.Reason{})
		wait(b, "end", in.Done())
		b.StartTimer()
	}
}
