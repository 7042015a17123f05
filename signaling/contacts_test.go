package signaling

import (
	"crypto/sha1"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

func TestRoster(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a := login(t, srv, alice)
	m := login(t, srv, mallory)
	events, requests := a.Subscribe(100), m.Subscribe(100)
	who := jid.MustParse(mallory)
	if err := a.AddContact(ctx(t), who, "Mal", "Work", "Friends"); err != nil {
		t.Fatal(err)
	}
	got := event(t, events, func(e RosterChanged) bool { return e.Contact.JID.Equal(who) }).Contact
	if got.Name != "Mal" || len(got.Groups) != 2 || got.Subscription != SubscriptionNone {
		t.Errorf("contact = %+v", got)
	}
	if err := a.RequestSubscription(ctx(t), who); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.Asked })
	if r := event[SubscriptionRequest](t, requests, nil); !r.From.Equal(jid.MustParse(alice)) {
		t.Errorf("request of %v", r.From)
	}
	if err := m.Approve(ctx(t), jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.Subscription == SubscriptionTo })
	// Mallory asks in turn, which alice's client answers by itself.
	if err := m.RequestSubscription(ctx(t), jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.Subscription == SubscriptionBoth })
	seesDevices(t, m, alice, 1)
	if err := a.RemoveContact(ctx(t), who); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.Subscription == SubscriptionRemove })
	if _, ok := a.Contact(who); ok || len(a.Roster()) != 1 {
		t.Errorf("roster = %+v", a.Roster())
	}
}

// Who is asked again stays where they were.
func TestBefriendKeepsNameAndGroups(t *testing.T) {
	a := login(t, newServer(t, xmpptest.Config{}), alice)
	events := a.Subscribe(100)
	who := jid.MustParse(mallory)
	n := 0
	is := func(name string) {
		t.Helper()
		n++
		last := jid.MustParse(carol) // once she has another name, all before is there
		if err := a.AddContact(ctx(t), last, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		event(t, events, func(e RosterChanged) bool { return e.Contact.JID.Equal(last) })
		if c, _ := a.Contact(who); c.Name != name || !slices.Equal(c.Groups, []string{"Work", "Friends"}) {
			t.Errorf("%q in groups %q, want %q as before", c.Name, c.Groups, name)
		}
	}
	if err := a.AddContact(ctx(t), who, "Mal", "Work", "Friends"); err != nil {
		t.Fatal(err)
	}
	is("Mal")
	for _, tt := range []struct{ name, want string }{{"Mallory", "Mallory"}, {"", "Mallory"}, {"Mal", "Mal"}} {
		if err := a.Befriend(ctx(t), who, tt.name); err != nil {
			t.Fatal(err)
		}
		is(tt.want)
	}
}

func TestCanCallExplains(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	srv.AddAccount("dan@example.org", "pw")
	srv.Befriend(alice, "dan@example.org")
	a := login(t, srv, alice)
	check := func(who string, can bool, why string) {
		t.Helper()
		got, err := a.CanCall(ctx(t), jid.MustParse(who))
		if err != nil {
			t.Fatal(err)
		}
		if got.Can != can || !strings.Contains(got.Why, why) || (why == "") != (got.Why == "") {
			t.Errorf("CanCall(%s) = %v, %q, want %v, %q", who, got.Can, got.Why, can, why)
		}
	}
	check(bob, false, "bob@example.org is offline")
	check(mallory, false, "not in your contacts")
	events := a.Subscribe(10)
	if err := a.AddContact(ctx(t), jid.MustParse(carol), ""); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.JID.Equal(jid.MustParse(carol)) })
	check(carol, false, "not subscribed to the presence of carol@example.org")
	if err := a.RequestSubscription(ctx(t), jid.MustParse(carol)); err != nil {
		t.Fatal(err)
	}
	event(t, events, func(e RosterChanged) bool { return e.Contact.Asked })
	check(carol, false, "has not answered your request")

	chat := login(t, srv, bob, func(cfg *Config) { cfg.NoCalls = true })
	seesDevices(t, a, bob, 1)
	check(bob, false, "no device of bob@example.org takes calls")
	chat.Close()
	seesDevices(t, a, bob, 0)
	old := login(t, srv, bob, func(cfg *Config) {
		cfg.NoCalls = true
		cfg.Features = []string{needed[0], featureICE, rtp.NS, rtp.FeatureAudio}
	})
	seesDevices(t, a, bob, 1)
	check(bob, false, "the best one lacks encrypted calls (DTLS)")
	old.Advertise(featureDTLS)
	event(t, events, func(e PresenceChanged) bool {
		return e.Device.JID.Equal(old.JID()) && e.Device.CapsVer == old.self.caps().Ver
	})
	check(bob, true, "none understands call messages")
	login(t, srv, bob)
	seesDevices(t, a, bob, 2)
	check(bob, true, "")
}

// Examples of XEP-0115#ver-gen-simple and #ver-gen-complex.
func TestVerificationString(t *testing.T) {
	for _, tc := range []struct{ name, xml, want string }{
		{"simple", `<query xmlns='http://jabber.org/protocol/disco#info' node='http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0='>
			<identity category='client' name='Exodus 0.9.1' type='pc'/>
			<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
			<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/></query>`,
			"QgayPKawpkPSDYmwT/WM94uAlu0="},
		{"complex", `<query xmlns='http://jabber.org/protocol/disco#info' node='http://psi-im.org#q07IKJEyjvHSyhy//CH0CxmKi8w='>
			<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
			<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
			<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
			<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>
			<x xmlns='jabber:x:data' type='result'>
			<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
			<field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>
			<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
			<field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field></x></query>`,
			"q07IKJEyjvHSyhy//CH0CxmKi8w="},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info, err := decodeInfo(query(t, tc.xml))
			if err != nil {
				t.Fatal(err)
			}
			if got := verification(info, sha1.New()); got != tc.want {
				t.Errorf("ver = %q, want %q", got, tc.want)
			}
		})
	}
}

func query(t testing.TB, xml string) *Element {
	t.Helper()
	st, err := stream.NewStanza(`<iq xmlns='jabber:client' type='result'>` + xml + `</iq>`)
	if err != nil {
		t.Fatal(err)
	}
	return st.Child(nsDiscoInfo, "query")
}

func TestIllFormedInfo(t *testing.T) {
	for _, tc := range []struct{ name, inner string }{
		{"identity twice", `<identity category='client' type='pc'/><identity category='client' type='pc'/>`},
		{"feature twice", `<feature var='a'/><feature var='a'/>`},
		{"form twice", strings.Repeat(`<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>a</value></field></x>`, 2)},
		{"form of two types", `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field></x>`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if info, err := decodeInfo(query(t, `<query xmlns='http://jabber.org/protocol/disco#info'>`+tc.inner+`</query>`)); err == nil {
				t.Errorf("decoded to %+v", info)
			}
		})
	}
	// A form without a hidden type is ignored. XEP-0115#ver-proc
	info, err := decodeInfo(query(t, `<query xmlns='http://jabber.org/protocol/disco#info'><x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'><value>a</value></field></x></query>`))
	if err != nil || len(info.Forms) != 0 {
		t.Errorf("info = %+v, %v", info, err)
	}
}

// A device that lies about its features deceives for itself only.
func TestLyingCapsAreNotShared(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, honest := login(t, srv, alice), login(t, srv, bob)
	liar := login(t, srv, bob, func(cfg *Config) { cfg.NoCalls = true })
	c := honest.self.caps()
	send(t, liar, `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='%s' ver='%s'/></presence>`, c.Node, c.Ver)
	// It answers for the honest one's node as well, with its own features.
	liar.self.mu.Lock()
	liar.self.old = append(liar.self.old, oldInfo{c.Ver, liar.self.info})
	liar.self.mu.Unlock()
	events := a.Subscribe(100)
	if d, ok := a.presence.device(liar.JID()); !ok || d.CapsVer != c.Ver {
		event(t, events, func(e PresenceChanged) bool { return e.Device.JID.Equal(liar.JID()) && e.Device.CapsVer == c.Ver })
	}
	d, _ := a.presence.device(liar.JID())
	info, err := a.deviceInfo(ctx(t), d)
	if err != nil || info.Has(featureJMI) {
		t.Fatalf("liar: %+v, %v", info, err)
	}
	seesDevices(t, a, bob, 2)
	devices, err := a.Devices(ctx(t), jid.MustParse(bob))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if want := d.JID.Equal(honest.JID()); d.CanJMI() != want {
			t.Errorf("%v: CanJMI = %v, want %v", d.JID, d.CanJMI(), want)
		}
	}
}

// Devices with the same verification string are asked once.
func TestCapsAreCached(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a := login(t, srv, alice)
	login(t, srv, bob)
	seesDevices(t, a, bob, 1)
	if _, err := a.Devices(ctx(t), jid.MustParse(bob)); err != nil {
		t.Fatal(err)
	}
	seen := tap(t, srv)
	login(t, srv, bob)
	seesDevices(t, a, bob, 2)
	devices, err := a.Devices(ctx(t), jid.MustParse(bob))
	if err != nil || len(devices) != 2 || !devices[0].CanCall() || !devices[1].CanCall() {
		t.Errorf("devices = %+v, %v", devices, err)
	}
	if q := seen.find(func(st xmpptest.Stanza) bool {
		return st.Dir == xmpptest.FromClient && st.JID == a.JID().String() && st.Child(nsDiscoInfo, "query") != nil
	}); len(q) > 0 {
		t.Errorf("asked again: %v", q[0])
	}
}

func TestPresenceIsBounded(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	seesDevices(t, a, bob, 1)
	for i := range maxDevicesOfOne + 20 {
		if _, err := srv.Inject(alice, fmt.Sprintf(`<presence from='%s/r%d'><status>%s</status></presence>`, bob, i, strings.Repeat("é", 3000))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * maxUnknownDevices {
		if _, err := srv.Inject(alice, fmt.Sprintf(`<presence from='u%d@example.net/r'/>`, i)); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, b, a)
	if n := len(a.presence.of(jid.MustParse(bob))); n != maxDevicesOfOne {
		t.Errorf("%d devices of bob", n)
	}
	if a.presence.unknowns != maxUnknownDevices {
		t.Errorf("%d devices of strangers", a.presence.unknowns)
	}
	d, _ := a.presence.device(jid.MustParse(bob + "/r1"))
	if len(d.Status) > maxStatus || !strings.HasSuffix(d.Status, "é") {
		t.Errorf("status of %d bytes", len(d.Status))
	}
	b.Close()
	if _, err := srv.Inject(alice, fmt.Sprintf(`<presence from='%s' type='unavailable'/>`, bob)); err != nil {
		t.Fatal(err)
	}
	seesDevices(t, a, bob, 0)
}

func TestBlocking(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	if err := b.Block(ctx(t), jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	list, err := b.Blocked(ctx(t))
	if err != nil || len(list) != 1 || !list[0].Equal(jid.MustParse(alice)) {
		t.Fatalf("blocked = %v, %v", list, err)
	}
	out, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	over(t, out, Failed)
	if err := b.Unblock(ctx(t), jid.MustParse(alice)); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Blocked(ctx(t)); err != nil || len(list) != 0 {
		t.Errorf("blocked = %v, %v", list, err)
	}
}

func TestServices(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	srv.SetServices(
		xmpptest.Service{Type: "stun", Host: "stun.example.org", Port: 3478, Transport: "udp"},
		xmpptest.Service{Type: "turn", Host: "turn.example.org", Port: 3478, Transport: "udp", Username: "u", Password: "p"},
	)
	a := login(t, srv, alice)
	seen := tap(t, srv)
	for range 3 {
		list, err := a.Services(ctx(t))
		if err != nil || len(list) != 2 {
			t.Fatalf("services = %+v, %v", list, err)
		}
		if got, want := list[1].URL(), "turn:turn.example.org:3478?transport=udp"; got != want || string(list[1].Password) != "p" {
			t.Errorf("URL = %q, want %q", got, want)
		}
	}
	asked := func() int {
		return len(seen.find(func(st xmpptest.Stanza) bool {
			return st.Dir == xmpptest.FromClient && st.Child("urn:xmpp:extdisco:2", "services") != nil
		}))
	}
	if n := asked(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	events := a.Subscribe(10)
	if _, err := srv.Inject(alice, `<iq from='example.org' type='set' id='push'><services xmlns='urn:xmpp:extdisco:2'/></iq>`); err != nil {
		t.Fatal(err)
	}
	event[ServicesChanged](t, events, nil)
	if _, err := a.Services(ctx(t)); err != nil || asked() != 2 {
		t.Errorf("after a push: %v, asked %d times", err, asked())
	}
}

func TestReceiptsOfProposals(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b, m := login(t, srv, alice), login(t, srv, bob), login(t, srv, mallory)
	receipt := srv.Expect(func(st xmpptest.Stanza) bool {
		r := st.Child(nsReceipts, "received")
		return st.Dir == xmpptest.FromClient && st.JID == b.JID().String() && r != nil && r.Get("id") == "jm-propose-r1"
	})
	seen := tap(t, srv)
	if _, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{SID: "r1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := receipt(ctx(t)); err != nil {
		t.Error(err)
	}
	if _, err := m.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{SID: "r2"}); err != nil {
		t.Fatal(err)
	}
	settled(t, m, b)
	if got := seen.find(func(st xmpptest.Stanza) bool {
		return st.Dir == xmpptest.FromClient && st.JID == b.JID().String() && strings.HasPrefix(st.Get("to"), mallory) && st.Get("type") != "error"
	}); len(got) > 0 {
		t.Errorf("a stranger got %v", got[0])
	}
}

// Proposals must ring with the hints and ids that other clients look for.
func TestProposalOnTheWire(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a := login(t, srv, alice)
	proposal := srv.Expect(func(st xmpptest.Stanza) bool {
		return st.Dir == xmpptest.FromClient && st.Child("urn:xmpp:jingle-message:0", "propose") != nil
	})
	out, err := a.Call(ctx(t), jid.MustParse(bob+"/whatever"), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := proposal(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	if st.Get("to") != bob || st.Get("type") != "chat" || st.Get("id") != "jm-propose-"+out.SID() {
		t.Errorf("proposal = %v", st)
	}
	if st.Child(nsHints, "store") == nil || st.Child(nsReceipts, "request") == nil {
		t.Errorf("proposal without hint or request: %v", st)
	}
	if len(out.SID()) != 36 || strings.Count(out.SID(), "-") != 4 {
		t.Errorf("sid = %q is no UUID", out.SID())
	}
}

func TestEventsOfASlowReader(t *testing.T) {
	h := newHub()
	defer h.close()
	s := h.subscribe(3)
	for i := range 10 {
		h.emit(SubscriptionRequest{Status: fmt.Sprint(i)})
	}
	var got []string
	missed := 0
	for len(got)+missed < 10 {
		select {
		case e := <-s.Events():
			switch e := e.(type) {
			case Missed:
				missed += e.Count
			case SubscriptionRequest:
				got = append(got, e.Status)
			}
		case <-time.After(patience):
			t.Fatalf("got %v and missed %d", got, missed)
		}
	}
	if len(got) < 3 || got[len(got)-1] != "9" {
		t.Errorf("got %v", got)
	}
	s.Close()
	for range s.Events() {
	}
	s.Close()
}

func TestHandleAndOpen(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob, func(cfg *Config) { cfg.NoCalls = true })
	callee := newApp()
	offers := make(chan Offer, 1)
	remove := b.Handle(rtp.NS, func(o Offer) applicationOf { offers <- o; return callee })
	caller := newApp()
	conn, err := a.Open(ctx(t), b.JID(), "", caller)
	if err != nil {
		t.Fatal(err)
	}
	if o := wait(t, "offer", offers); !o.Known || o.SID != conn.SID() || !o.From.Equal(a.JID()) {
		t.Errorf("offer = %+v", o)
	}
	wait(t, "active", caller.active)
	wait(t, "active", callee.active)
	conn.DoLater(terminate)
	wait(t, "end", conn.Done())
	wait(t, "end", callee.ended)
	remove()
	refused := newApp()
	if _, err := a.Open(ctx(t), b.JID(), "", refused); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, "end", refused.ended); e.Reason.Condition != "unsupported-applications" {
		t.Errorf("ended = %+v", e)
	}
	if _, err := a.Open(ctx(t), jid.MustParse(bob), "", newApp()); err == nil {
		t.Error("opened a session with a bare JID")
	}
	if st, err := a.IQ(ctx(t), b.JID(), stanza.GetIQ, []byte(`<query xmlns='http://jabber.org/protocol/disco#info'/>`)); err != nil || strings.Contains(st.String(), rtp.NS) {
		t.Errorf("still advertised: %v, %v", st, err)
	}
}
