package signaling

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// offerXML is a session-initiate of audio with n candidates.
func offerXML(sid string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='%s'><content creator='initiator' name='0'>`, sid)
	b.WriteString(`<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'><payload-type id='111' name='opus' clockrate='48000' channels='2'/><rtcp-mux/></description>`)
	b.WriteString(`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='abcd' pwd='abcdefghijklmnopqrstuv'><fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass'>AA:BB</fingerprint>`)
	for i := range n {
		fmt.Fprintf(&b, `<candidate component='1' foundation='1' generation='0' id='c%d' ip='192.0.2.1' port='%d' priority='1' protocol='udp' type='host'/>`, i, 1000+i)
	}
	b.WriteString(`</transport></content></jingle>`)
	return b.String()
}

// Everything a stranger asks gets the answer of a server for somebody offline.
func TestStrangersLearnNothing(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, m := login(t, srv, alice), login(t, srv, mallory)
	for _, payload := range []string{
		`<query xmlns='http://jabber.org/protocol/disco#info'/>`,
		`<query xmlns='http://jabber.org/protocol/disco#items'/>`,
		`<query xmlns='jabber:iq:version'/>`,
		`<ping xmlns='urn:xmpp:ping'/>`,
		`<nothing xmlns='urn:example'/>`,
		`<jingle xmlns='urn:xmpp:jingle:1'/>`,
	} {
		if got := condition(t, m, a.JID(), stanza.GetIQ, payload); got != "service-unavailable" {
			t.Errorf("%s: answered %q", payload, got)
		}
	}
	for _, payload := range []string{
		offerXML("s1", 1),
		`<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='x'/>`,
		`<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='x'/>`,
		`<query xmlns='jabber:iq:roster'><item jid='mallory@example.org' subscription='both'/></query>`,
		`<services xmlns='urn:xmpp:extdisco:2'><service host='evil.example' type='turn'/></services>`,
		`<block xmlns='urn:xmpp:blocking'><item jid='bob@example.org'/></block>`,
	} {
		if got := condition(t, m, a.JID(), stanza.SetIQ, payload); got != "service-unavailable" {
			t.Errorf("%s: answered %q", payload, got)
		}
	}
	if _, ok := a.Contact(jid.MustParse(mallory)); ok {
		t.Error("mallory is in the roster")
	}
	settled(t, m, a)
	if !open(a.Incoming()) {
		t.Error("a stranger's direct session rang")
	}
}

// A contact's strange IQs are answered once each, and the stream lives on.
func TestStrangeShapes(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	ask := func(typ stanza.IQType, payload, want string) {
		t.Helper()
		if got := condition(t, a, b.JID(), typ, payload); got != want {
			t.Errorf("%s %s: answered %q, want %q", typ, payload, got, want)
		}
	}
	ask(stanza.GetIQ, `<nothing xmlns='urn:example'/>`, "service-unavailable")
	ask(stanza.SetIQ, `<ping xmlns='urn:xmpp:ping'/>`, "bad-request")
	ask(stanza.GetIQ, `<jingle xmlns='urn:xmpp:jingle:1' sid='x' action='session-initiate'/>`, "bad-request")
	ask(stanza.SetIQ, `<jingle xmlns='urn:xmpp:jingle:1'/>`, "bad-request")
	ask(stanza.SetIQ, `<jingle xmlns='urn:xmpp:jingle:1' sid='x' action='session-initiate'/>`, "bad-request")
	ask(stanza.SetIQ, `<jingle xmlns='urn:xmpp:jingle:1' sid='x' action='transport-info'/>`, "item-not-found unknown-session")
	ask(stanza.SetIQ, `<jingle xmlns='urn:xmpp:jingle:1' sid='x' action='session-terminate'/>`, "item-not-found unknown-session")
	ask(stanza.GetIQ, `<query xmlns='http://jabber.org/protocol/disco#info' node='nowhere'/>`, "item-not-found")
	withoutTransport := `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='y'><content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></content></jingle>`
	ask(stanza.SetIQ, withoutTransport, "bad-request")
	// Raw shapes that no IQ function sends.
	answers := make(chan xmpptest.Stanza, 10)
	defer srv.Tap(func(st xmpptest.Stanza) {
		if st.Dir == xmpptest.FromClient && st.JID == b.JID().String() && strings.HasPrefix(st.Get("id"), "odd") {
			answers <- st
		}
	})()
	for i, inner := range []string{
		``, `text`, `<ping xmlns='urn:xmpp:ping'/>text`, `text<ping xmlns='urn:xmpp:ping'/>`,
		`<ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/>`,
	} {
		n, err := srv.Inject(b.JID().String(), fmt.Sprintf(`<iq from='%s' to='%s' type='get' id='odd%d'>%s</iq>`, a.JID(), b.JID(), i, inner))
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		st := wait(t, "answer to "+inner, answers)
		if st.Get("type") != "error" || st.Get("id") != fmt.Sprintf("odd%d", i) || !strings.Contains(st.String(), "bad-request") {
			t.Errorf("answer to %q: %v", inner, st)
		}
	}
	settled(t, a, b)
	if len(answers) != 0 {
		t.Errorf("%d answers too many", len(answers))
	}
	if !open(b.Incoming()) {
		t.Error("something rang")
	}
}

func TestForgedCopiesAndPushes(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b, m := login(t, srv, alice), login(t, srv, bob), login(t, srv, mallory)
	events := a.Subscribe(100)
	caller := newApp()
	out, err := a.Call(ctx(t), jid.MustParse(bob), caller, CallOptions{SID: "real"})
	if err != nil {
		t.Fatal(err)
	}
	in := incoming(t, b)
	// Mallory claims that bob's other device took, or bob declined, the call.
	for _, kind := range []string{"sent", "received"} {
		for _, what := range []string{"accept", "proceed", "reject"} {
			send(t, m, `<message to='%s' type='chat'><%s xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='%s/x' to='%s' type='chat' id='%s%s'><%s xmlns='urn:xmpp:jingle-message:0' id='real'/></message></forwarded></%s></message>`,
				b.JID(), kind, bob, alice, kind, what, what, kind)
			send(t, m, `<message to='%s' type='chat'><%s xmlns='urn:xmpp:jingle-message:0' id='real'/></message>`, b.JID(), what)
			send(t, m, `<message to='%s' type='chat'><%s xmlns='urn:xmpp:jingle-message:0' id='real'/></message>`, a.JID(), what)
		}
	}
	send(t, m, `<message to='%s' type='chat'><retract xmlns='urn:xmpp:jingle-message:0' id='real'/></message>`, b.JID())
	send(t, m, `<message to='%s' type='chat'><result xmlns='urn:xmpp:mam:2' queryid='x' id='1'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='%s' to='%s'><propose xmlns='urn:xmpp:jingle-message:0' id='old'/></message></forwarded></result></message>`, a.JID(), bob, alice)
	settled(t, m, a)
	settled(t, m, b)
	if !open(out.Done()) || !open(in.Done()) || !open(out.Proceeded()) {
		t.Fatal("a stranger has changed the call")
	}
	if err := in.Accept(ctx(t), newApp()); err != nil {
		t.Fatal(err)
	}
	wait(t, "active", caller.active)
	out.Hangup(jingle.Reason{})
	over(t, out, Answered)
	event(t, events, func(e CallRecorded) bool { return e.Record.SID == "real" })
}

// Who asked for a session must be who was told to begin it.
func TestSessionOfWrongDeviceIsRefused(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, a2, b, m := login(t, srv, alice), login(t, srv, alice), login(t, srv, bob), login(t, srv, mallory)
	hold := newApp()
	hold.hold = true
	out, err := a.Call(ctx(t), jid.MustParse(bob), hold, CallOptions{SID: "s"})
	if err != nil {
		t.Fatal(err)
	}
	in := incoming(t, b)
	terminated := make(chan xmpptest.Stanza, 10)
	defer srv.Tap(func(st xmpptest.Stanza) {
		if j := st.Child(jingle.NS, "jingle"); st.Dir == xmpptest.FromClient && j != nil && j.Get("action") == "session-terminate" {
			terminated <- st
		}
	})()
	initiate := func(c *Client) string {
		t.Helper()
		if _, err := c.IQ(ctx(t), b.JID(), stanza.SetIQ, []byte(offerXML("s", 1))); err != nil {
			return err.Error()
		}
		return wait(t, "end of the session", terminated).Child(jingle.NS, "jingle").Child(jingle.NS, "reason").String()
	}
	// Before anybody was told to.
	if got := initiate(a); !strings.Contains(got, "security-error") {
		t.Errorf("session before proceed: %s", got)
	}
	callee := newApp()
	if err := in.Accept(ctx(t), callee); err != nil {
		t.Fatal(err)
	}
	wait(t, "attached at the caller", hold.attached)
	if got := initiate(a2); !strings.Contains(got, "security-error") {
		t.Errorf("session of another device: %s", got)
	}
	if got := initiate(m); !strings.Contains(got, "service-unavailable") {
		t.Errorf("session of a stranger: %s", got)
	}
	if !open(callee.attached) || !open(in.Done()) {
		t.Fatal("the call is gone")
	}
	// And it must be what was proposed.
	hold.names = []string{"audio", "video"}
	hold.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.Initiate(contents("audio", "video"))
	})
	if st := wait(t, "end of the session", terminated); !strings.Contains(st.String(), "security-error") {
		t.Errorf("more media than proposed: %v", st)
	}
	if r := over(t, in, Failed); !strings.Contains(r.Why, "not what they proposed") {
		t.Errorf("why = %q", r.Why)
	}
	over(t, out, Failed)
	if !open(callee.attached) {
		t.Error("application was attached to a refused session")
	}
}

// What a stranger's call tells them, before and after it is answered.
func TestCallOfAStranger(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, m := login(t, srv, alice), login(t, srv, mallory)
	seen := tap(t, srv)
	caller := newApp()
	out, err := m.Call(ctx(t), jid.MustParse(alice), caller, CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in := incoming(t, a)
	if in.Known() {
		t.Error("a stranger is known")
	}
	settled(t, m, a)
	toMallory := func(st xmpptest.Stanza) bool {
		to := st.Get("to")
		return st.Dir == xmpptest.FromClient && strings.HasPrefix(to, mallory) && st.JID == a.JID().String() && st.Get("type") != "error"
	}
	if got := seen.find(toMallory); len(got) > 0 {
		t.Fatalf("before the answer alice sent %v", got[0])
	}
	// A session does not make us speak either, nor does what is no request.
	if got := condition(t, m, a.JID(), stanza.SetIQ, offerXML(in.SID(), 1)); got != "service-unavailable" {
		t.Errorf("session before the answer: %q", got)
	}
	if n, err := srv.Inject(a.JID().String(), fmt.Sprintf(`<iq from='%s' to='%s' type='get' id='odd'/>`, m.JID(), a.JID())); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	settled(t, m, a)
	for _, st := range seen.find(func(st xmpptest.Stanza) bool {
		return st.JID == a.JID().String() && st.Dir == xmpptest.FromClient && strings.HasPrefix(st.Get("to"), mallory)
	}) {
		if e := st.Child("jabber:client", "error"); e == nil || e.Child(nsStanzas, "service-unavailable") == nil {
			t.Fatalf("before the answer alice sent %v", st)
		}
	}
	callee := newApp()
	if err := in.Accept(ctx(t), callee); err != nil {
		t.Fatal(err)
	}
	wait(t, "active", caller.active)
	got := seen.find(toMallory)
	if len(got) < 2 || got[0].Name.Local != "presence" || got[0].Child(nsCaps, "c") == nil || got[1].Child(jmi.NS, "proceed") == nil {
		t.Fatalf("first words: %v", got)
	}
	devices, err := m.Devices(ctx(t), jid.MustParse(alice))
	if err != nil || len(devices) != 1 || !devices[0].CanCall() || !devices[0].CanJMI() {
		t.Errorf("mallory sees %+v, %v", devices, err)
	}
	in.Hangup(jingle.Reason{})
	over(t, out, Answered)
	over(t, in, Answered)
	seesDevices(t, m, alice, 0)
	if got := condition(t, m, a.JID(), stanza.GetIQ, `<query xmlns='http://jabber.org/protocol/disco#info'/>`); got != "service-unavailable" {
		t.Errorf("after the call: %q", got)
	}
}

func TestStrangerPolicies(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	none := login(t, srv, alice, func(cfg *Config) { cfg.Strangers = StrangersNone })
	ring := login(t, srv, bob, func(cfg *Config) { cfg.Strangers = StrangersRing })
	m := login(t, srv, mallory)
	if _, err := m.Call(ctx(t), jid.MustParse(alice), newApp(), CallOptions{}); err != nil {
		t.Fatal(err)
	}
	out, err := m.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	incoming(t, ring)
	wait(t, "ringing", out.Ringing())
	settled(t, m, none)
	if !open(none.Incoming()) {
		t.Error("rang despite StrangersNone")
	}
}

// Floods end at limits, and others are served meanwhile.
func TestFloods(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b, m := login(t, srv, alice), login(t, srv, bob), login(t, srv, mallory)
	for i := range 3000 {
		if _, err := srv.Inject(b.JID().String(), fmt.Sprintf(`<iq from='%s' type='get' id='f%d'><ping xmlns='urn:xmpp:ping'/></iq>`, m.JID(), i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		send(t, a, `<message to='%s' type='chat' id='p%d'><propose xmlns='urn:xmpp:jingle-message:0' id='p%d'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose></message>`, bob, i, i)
	}
	settled(t, a, b)
	if n := b.calls.count(); n > maxPerPerson {
		t.Errorf("%d calls of one person ring", n)
	}
	b.strangers.mu.Lock()
	n := len(b.strangers.buckets)
	b.strangers.mu.Unlock()
	if n != 1 {
		t.Errorf("%d strangers measured", n)
	}
	for i := range maxPerPerson + 3 {
		if _, err := a.IQ(ctx(t), b.JID(), stanza.SetIQ, []byte(offerXML(fmt.Sprint("d", i), 2))); err != nil {
			t.Fatal(err) // acknowledged, and then ended as busy
		}
	}
	settled(t, a, b)
	if n := b.calls.count(); n != maxPerPerson {
		t.Errorf("%d calls of one person, want %d", n, maxPerPerson)
	}
	b.sessions.mu.Lock()
	n = len(b.sessions.byKey)
	b.sessions.mu.Unlock()
	if n > maxPerPerson {
		t.Errorf("%d sessions of one person", n)
	}
}

// Of 500 candidates in one offer only as many are taken as we want to try.
func TestOfferOf500Candidates(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	if _, err := a.IQ(ctx(t), b.JID(), stanza.SetIQ, []byte(offerXML("many", 500))); err != nil {
		t.Fatal(err)
	}
	in := incoming(t, b)
	callee := newApp()
	if err := in.Accept(ctx(t), callee); err != nil {
		t.Fatal(err)
	}
	wait(t, "offer", callee.saw("Offered"))
	callee.mu.Lock()
	defer callee.mu.Unlock()
	if callee.candidates == 0 || callee.candidates > maxCandidates {
		t.Errorf("application got %d candidates, want at most %d", callee.candidates, maxCandidates)
	}
}

// Trickled candidates beyond the limit are acknowledged and forgotten.
func TestTooManyCandidates(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	_, _, caller, callee := connect(t, a, b)
	for range 100 {
		if err := caller.conn.Do(ctx(t), func(s *jingle.Session) ([]jingle.Effect, error) {
			return s.TransportInfo(candidate("audio"))
		}); err != nil {
			t.Fatal(err)
		}
		settled(t, a, b)
	}
	callee.mu.Lock()
	defer callee.mu.Unlock()
	if callee.candidates == 0 || callee.candidates > maxCandidates {
		t.Errorf("application got %d candidates, want at most %d", callee.candidates, maxCandidates)
	}
	if !open(callee.conn.Done()) {
		t.Error("session ended")
	}
}

// Odd people cannot make an IQ answer in somebody else's name.
func TestAnswerOfSomebodyElse(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b, m := login(t, srv, alice), login(t, srv, bob), login(t, srv, mallory)
	remove := srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
		// Bob's own answer is lost; mallory, who guessed the id, answers instead.
		if st.Dir == xmpptest.FromClient && st.JID == b.JID().String() && st.Get("type") == "result" && st.Get("to") == a.JID().String() {
			return xmpptest.Verdict{Drop: true}
		}
		return xmpptest.Verdict{}
	})
	defer remove()
	ids := make(chan string, 1)
	defer srv.Tap(func(st xmpptest.Stanza) {
		if st.Dir == xmpptest.FromClient && st.JID == a.JID().String() && st.Child("urn:xmpp:ping", "ping") != nil {
			ids <- st.Get("id")
		}
	})()
	done := make(chan error, 1)
	short, cancel := contextWithin(t, 700)
	defer cancel()
	go func() {
		_, err := a.IQ(short, b.JID(), stanza.GetIQ, []byte(`<ping xmlns='urn:xmpp:ping'/>`))
		done <- err
	}()
	send(t, m, `<iq to='%s' type='result' id='%s'/>`, a.JID(), wait(t, "question", ids))
	if err := wait(t, "end of waiting", done); err == nil {
		t.Error("mallory answered for bob")
	}
	remove()
	heal(t, srv, b)
}

// More calls with one person than people need, for those who ask for it.
func TestManyCallsWithOnePerson(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	many := func(cfg *Config) { cfg.MaxPerPeer, cfg.Busy = 50, BusyRing }
	a, b := login(t, srv, alice, many), login(t, srv, bob, many)
	callers := make([]*app, 50)
	for i := range callers {
		callers[i] = newApp()
		if _, err := a.Call(ctx(t), jid.MustParse(bob), callers[i], CallOptions{}); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	ins := make([]*IncomingCall, len(callers))
	for i := range ins {
		ins[i] = incoming(t, b)
	}
	for _, in := range ins {
		if err := in.Accept(ctx(t), newApp()); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range callers {
		wait(t, "active", k.active)
	}
	if _, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("call 51: %v", err)
	}
}

// Who was denied our presence is not given it because they ask again.
func TestDeniedStaysDenied(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	events := a.Subscribe(100)
	if err := a.Deny(ctx(t), jid.MustParse(bob)); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.Subscription == SubscriptionTo })
	if err := b.RequestSubscription(ctx(t), jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e SubscriptionRequest) bool { return e.From.Equal(jid.MustParse(bob)) })
	if err := a.Approve(ctx(t), jid.MustParse(bob)); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.Subscription == SubscriptionBoth })
}

// A proposal that was sent long ago and arrives while we call back is no tie.
func TestOldProposalIsNoTie(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	caller := newApp()
	out, err := a.Call(ctx(t), jid.MustParse(bob), caller, CallOptions{SID: "zzz"})
	if err != nil {
		t.Fatal(err)
	}
	in := incoming(t, b)
	// Its sid would win. The server kept it while alice was offline.
	old := time.Now().Add(-30 * time.Second).UTC().Format(time.RFC3339)
	if _, err := srv.Inject(a.JID().String(), fmt.Sprintf(`<message from='%s' to='%s' type='chat' id='old'><propose xmlns='urn:xmpp:jingle-message:0' id='aaa'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose><delay xmlns='urn:xmpp:delay' stamp='%s'/></message>`, b.JID(), alice, old)); err != nil {
		t.Fatal(err)
	}
	settled(t, b, a)
	if err := in.Accept(ctx(t), newApp()); err != nil {
		t.Fatal(err)
	}
	wait(t, "active", caller.active)
	if out.SID() != "zzz" {
		t.Errorf("the call became %s", out.SID())
	}
}
