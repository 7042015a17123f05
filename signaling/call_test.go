package signaling

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

func TestTwoClientsCall(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	events := a.Subscribe(100)
	out, in, caller, callee := connect(t, a, b)
	if got, want := out.Peer(), b.JID(); !got.Equal(want) {
		t.Errorf("peer = %v, want %v", got, want)
	}
	if got, want := in.From(), a.JID(); !got.Equal(want) {
		t.Errorf("from = %v, want %v", got, want)
	}
	if in.SID() != out.SID() {
		t.Errorf("sids differ: %q and %q", in.SID(), out.SID())
	}
	out.Hangup(jingle.Reason{})
	r := over(t, out, Answered)
	if r.Reason.Condition != jingle.Success || r.Remote {
		t.Errorf("result of the caller = %+v", r)
	}
	r = over(t, in, Answered)
	if r.Reason.Condition != jingle.Success || !r.Remote {
		t.Errorf("result of the callee = %+v", r)
	}
	if e := wait(t, "end at the caller", caller.ended); e.Remote {
		t.Errorf("caller's application: %+v", e)
	}
	if e := wait(t, "end at the callee", callee.ended); !e.Remote {
		t.Errorf("callee's application: %+v", e)
	}
	rec := event(t, events, func(e CallRecorded) bool { return e.Record.SID == out.SID() }).Record
	if rec.Outcome != Answered || rec.Direction != Out || !rec.Peer.Equal(jid.MustParse(bob)) || rec.Duration <= 0 {
		t.Errorf("record = %+v", rec)
	}
	if n := a.calls.count() + b.calls.count(); n != 0 {
		t.Errorf("%d calls left", n)
	}
}

func TestCalleeHangsUp(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	out, in, _, _ := connect(t, a, b)
	in.Hangup(jingle.Reason{})
	if r := over(t, out, Answered); !r.Remote || r.Reason.Condition != jingle.Success {
		t.Errorf("result of the caller = %+v", r)
	}
	over(t, in, Answered)
}

func TestBothHangUpAtOnce(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	seen := tap(t, srv)
	out, in, _, _ := connect(t, a, b)
	out.Hangup(jingle.Reason{})
	in.Hangup(jingle.Reason{})
	over(t, out, Answered)
	over(t, in, Answered)
	settled(t, a, b)
	settled(t, b, a)
	if errs := seen.find(func(st xmpptest.Stanza) bool { return st.Get("type") == "error" }); len(errs) > 0 {
		t.Errorf("error: %v", errs[0])
	}
}

func TestAllDevicesRingAndOneTakesTheCall(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a := login(t, srv, alice)
	b1, b2, b3 := login(t, srv, bob), login(t, srv, bob), login(t, srv, bob)
	events := b2.Subscribe(1000)
	app1 := newApp()
	caller := newApp()
	out, err := a.Call(ctx(t), jid.MustParse(bob), caller, CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in1, in2, in3 := incoming(t, b1), incoming(t, b2), incoming(t, b3)
	if err := in1.Accept(ctx(t), app1); err != nil {
		t.Fatal(err)
	}
	for _, in := range []*IncomingCall{in2, in3} {
		wait(t, "other device stops", in.Cancelled())
		over(t, in, AnsweredElsewhere)
		if err := in.Accept(ctx(t), newApp()); err != ErrCancelled {
			t.Errorf("Accept after the end: %v, want %v", err, ErrCancelled)
		}
	}
	wait(t, "call is active", caller.active)
	if !out.Peer().Equal(b1.JID()) {
		t.Errorf("peer = %v, want %v", out.Peer(), b1.JID())
	}
	if !open(in1.Cancelled()) {
		t.Error("the device that took the call reads cancelled")
	}
	event(t, events, func(e CallRecorded) bool { return e.Record.Outcome == AnsweredElsewhere && e.Record.Duration == 0 })
	out.Hangup(jingle.Reason{})
	over(t, in1, Answered)
	// What others took, they finish; then its length is known here too.
	event(t, events, func(e CallRecorded) bool { return e.Record.Outcome == AnsweredElsewhere && e.Record.SID == out.SID() })
}

func TestRejectStopsAllDevices(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b1, b2 := login(t, srv, alice), login(t, srv, bob), login(t, srv, bob)
	out, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in1, in2 := incoming(t, b1), incoming(t, b2)
	in1.Reject(jingle.Reason{})
	over(t, out, Declined)
	over(t, in1, Declined)
	wait(t, "other device stops", in2.Cancelled())
	over(t, in2, Declined)
	if !open(in1.Cancelled()) {
		t.Error("the device that declined reads cancelled")
	}
}

func TestRetractStopsAllDevices(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b1, b2 := login(t, srv, alice), login(t, srv, bob), login(t, srv, bob)
	out, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in1, in2 := incoming(t, b1), incoming(t, b2)
	out.Hangup(jingle.Reason{})
	over(t, out, Retracted)
	for _, in := range []*IncomingCall{in1, in2} {
		wait(t, "device stops", in.Cancelled())
		over(t, in, MissedCall)
	}
}

func TestNobodyAnswers(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	out, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{RingTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	in := incoming(t, b)
	over(t, out, NoAnswer)
	over(t, in, MissedCall)
}

func TestUnknownAccountBounces(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a := login(t, srv, alice)
	out, err := a.Call(ctx(t), jid.MustParse("nobody@example.org"), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r := over(t, out, Failed); !strings.Contains(r.Why, "nobody@example.org cannot be reached") {
		t.Errorf("why = %q", r.Why)
	}
}

func TestBusy(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b, c := login(t, srv, alice), login(t, srv, bob), login(t, srv, carol)
	first, _, _, _ := connect(t, a, b)
	second, err := c.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	over(t, second, Busy)
	if !open(first.Done()) {
		t.Error("the first call ended")
	}
	if !open(b.Incoming()) {
		t.Error("the second call rang")
	}
}

func TestBusyDeviceLeavesTheCallToAnother(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b1, b2, c := login(t, srv, alice), login(t, srv, bob), login(t, srv, bob), login(t, srv, carol)
	seesDevices(t, b1, bob, 2)
	if _, err := b1.Devices(ctx(t), jid.MustParse(bob)); err != nil {
		t.Fatal(err)
	}
	first, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in1 := incoming(t, b1)
	wait(t, "b2 rings", b2.Incoming())
	if err := in1.Accept(ctx(t), newApp()); err != nil {
		t.Fatal(err)
	}
	wait(t, "first call", first.Session())
	second, err := c.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in2 := incoming(t, b2)
	if err := in2.Accept(ctx(t), newApp()); err != nil {
		t.Fatal(err)
	}
	wait(t, "second call", second.Session())
	if !second.Peer().Equal(b2.JID()) {
		t.Errorf("second call is with %v, want %v", second.Peer(), b2.JID())
	}
	if !open(b1.Incoming()) {
		t.Error("the busy device rang")
	}
}

func TestBusyRing(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, c := login(t, srv, alice), login(t, srv, carol)
	b := login(t, srv, bob, func(cfg *Config) { cfg.Busy = BusyRing })
	connect(t, a, b)
	if _, err := c.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{}); err != nil {
		t.Fatal(err)
	}
	if in := incoming(t, b); !in.From().Equal(c.JID()) {
		t.Errorf("call of %v, want %v", in.From(), c.JID())
	}
}

// crossing makes proposals take so long that two of them cross. What the
// devices can do is known before, as the answer would wait behind a proposal.
func crossing(t *testing.T, srv *xmpptest.Server, a, b *Client) {
	t.Helper()
	for _, pair := range [][2]*Client{{a, b}, {b, a}} {
		seesDevices(t, pair[0], pair[1].JID().Bare().String(), 1)
		if d, err := pair[0].Devices(ctx(t), pair[1].JID().Bare()); err != nil || len(d) != 1 || d[0].Info == nil {
			t.Fatalf("devices = %+v, %v", d, err)
		}
	}
	t.Cleanup(srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
		if st.Dir == xmpptest.ToClient && st.Child(jmi.NS, "propose") != nil {
			return xmpptest.Verdict{Delay: 2 * time.Second}
		}
		return xmpptest.Verdict{}
	}))
}

// Both call each other before either proposal arrives: one call comes of it,
// without anybody being asked.
func TestBothCallAtOnce(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	crossing(t, srv, a, b)
	appA, appB := newApp(), newApp()
	outA, err := a.Call(ctx(t), jid.MustParse(bob), appA, CallOptions{SID: "aaa"})
	if err != nil {
		t.Fatal(err)
	}
	outB, err := b.Call(ctx(t), jid.MustParse(alice), appB, CallOptions{SID: "bbb"})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "alice's application", appA.active)
	wait(t, "bob's application", appB.active)
	if outA.SID() != "aaa" || outB.SID() != "aaa" {
		t.Errorf("sids = %q and %q, want the lower one", outA.SID(), outB.SID())
	}
	if !open(a.Incoming()) || !open(b.Incoming()) {
		t.Error("somebody was asked")
	}
	outB.Hangup(jingle.Reason{})
	over(t, outA, Answered)
	over(t, outB, Answered)
}

func TestBothCallAtOnceWithOtherMedia(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	crossing(t, srv, a, b)
	outA, err := a.Call(ctx(t), jid.MustParse(bob), newApp("audio", "video"), CallOptions{SID: "aaa", Media: []rtp.Media{rtp.Audio, rtp.Video}})
	if err != nil {
		t.Fatal(err)
	}
	outB, err := b.Call(ctx(t), jid.MustParse(alice), newApp(), CallOptions{SID: "bbb"})
	if err != nil {
		t.Fatal(err)
	}
	over(t, outB, Retracted)
	in := incoming(t, b)
	if len(in.Media()) != 2 {
		t.Errorf("media = %v", in.Media())
	}
	if err := in.Accept(ctx(t), newApp()); err != nil {
		t.Fatal(err)
	}
	wait(t, "session", outA.Session())
}

func TestDirectCall(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	appA, appB := newApp(), newApp()
	out, err := a.Call(ctx(t), b.JID(), appA, CallOptions{Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	in := incoming(t, b)
	wait(t, "ringing", out.Ringing())
	if err := in.Accept(ctx(t), appB); err != nil {
		t.Fatal(err)
	}
	wait(t, "active", appA.active)
	wait(t, "proceeded", out.Proceeded())
	if !slices.Equal(appB.effects[:1], []string{"Offered"}) {
		t.Errorf("first effect = %v", appB.effects)
	}
	out.Hangup(jingle.Reason{})
	over(t, out, Answered)
	over(t, in, Answered)
}

func TestDirectCallDeclinedRetractedAndUnanswered(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a := login(t, srv, alice)
	b := login(t, srv, bob)
	call := func(ring time.Duration) (*Call, *IncomingCall) {
		t.Helper()
		out, err := a.Call(ctx(t), b.JID(), newApp(), CallOptions{Direct: true, RingTimeout: ring})
		if err != nil {
			t.Fatal(err)
		}
		return out, incoming(t, b)
	}
	out, in := call(0)
	in.Reject(jingle.Reason{})
	over(t, out, Declined)
	over(t, in, Declined)

	out, in = call(0)
	out.Hangup(jingle.Reason{})
	over(t, out, Retracted)
	wait(t, "stops", in.Cancelled())
	over(t, in, MissedCall)

	out, in = call(200 * time.Millisecond)
	over(t, out, NoAnswer)
	over(t, in, MissedCall)
}

// A client without call messages is called directly, because its features say so.
func TestDirectWhenNobodyAdvertisesCallMessages(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a := login(t, srv, alice)
	b := login(t, srv, bob, func(cfg *Config) { cfg.NoCalls, cfg.Features = true, needed[:] })
	callee := newApp()
	b.Handle(rtp.NS, func(Offer) jingle.Application { return callee })
	seesDevices(t, a, bob, 1)
	ability, err := a.CanCall(ctx(t), jid.MustParse(bob))
	if err != nil || !ability.Can || ability.JMI {
		t.Fatalf("ability = %+v, %v", ability, err)
	}
	caller := newApp()
	out, err := a.Call(ctx(t), jid.MustParse(bob), caller, CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "active", caller.active)
	out.Hangup(jingle.Reason{})
	over(t, out, Answered)
	wait(t, "end at the callee", callee.ended)
}

// A second call of the same person continues the first. XEP-0353#tie-break-2
func TestNewCallOfSamePersonTakesOver(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, a2, b := login(t, srv, alice), login(t, srv, alice), login(t, srv, bob)
	out, in, _, _ := connect(t, a, b)
	out2, err := a2.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in2 := incoming(t, b)
	if err := in2.Accept(ctx(t), newApp()); err != nil {
		t.Fatal(err)
	}
	wait(t, "second session", out2.Session())
	over(t, out, Answered)
	over(t, in, Answered)
	if !open(out2.Done()) {
		t.Error("second call ended")
	}
}

func TestHangUpBetweenAnswerAndSession(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	remove := srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
		return xmpptest.Verdict{Drop: st.Child(jmi.NS, "proceed") != nil}
	})
	defer remove()
	out, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in := incoming(t, b)
	callee := newApp()
	if err := in.Accept(ctx(t), callee); err != nil {
		t.Fatal(err)
	}
	out.Hangup(jingle.Reason{})
	over(t, out, Retracted)
	over(t, in, MissedCall)
	if !open(callee.attached) {
		t.Error("the application of a call that never began was attached")
	}
	remove()
	heal(t, srv, b)
}
