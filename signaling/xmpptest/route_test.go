package xmpptest

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

func isPresence(from, typ string) func(*Element) bool {
	return func(e *Element) bool {
		return e.Is("", "presence") && e.Get("type") == typ && strings.HasPrefix(e.Get("from"), from)
	}
}

func isPush(e *Element) bool { return e.Is("", "iq") && e.Get("type") == "set" }

func TestPresenceReachesContactsWithCaps(t *testing.T) {
	srv := newTestServer(t)
	srv.Befriend("alice@example.org", "carol@example.net")
	bob := online(t, srv, "bob@example.org/phone") // a stranger
	alice := online(t, srv, "alice@example.org/phone")
	carol := mustLogin(t, srv, "carol@example.net/desk")
	carol.send(`<presence xmlns="jabber:client"><c xmlns="http://jabber.org/protocol/caps" hash="sha-1" node="n" ver="v"/><priority>5</priority></presence>`)
	carol.want("presence of alice", isPresence(alice.jid, ""))
	p := alice.want("presence of carol", isPresence(carol.jid, ""))
	if c := p.Child("http://jabber.org/protocol/caps", "c"); c == nil || c.Get("ver") != "v" {
		t.Errorf("presence = %s, want caps in it", p)
	}
	carol.conn.Close()
	alice.want("carol leaving", isPresence(carol.jid, "unavailable"))
	bob.quiet("stranger")
}

func TestDirectedPresenceEndsWithTheSession(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	alice.send(`<presence xmlns="jabber:client" to="bob@example.org/phone"/>`)
	bob.want("directed presence", isPresence(alice.jid, ""))
	alice.conn.Close()
	bob.want("its end", isPresence(alice.jid, "unavailable"))
}

func TestSubscription(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	for _, c := range []*client{alice, bob} {
		c.mustIQ("get", "", `<query xmlns="jabber:iq:roster"/>`)
	}
	item := func(c *client) string {
		t.Helper()
		e := c.want("roster push", isPush)
		c.send(`<iq xmlns="jabber:client" type="result" id="` + e.Get("id") + `"/>`)
		it := e.payload().payload()
		return it.Get("jid") + " " + it.Get("subscription") + " " + it.Get("ask")
	}
	wantItem := func(c *client, want string) {
		t.Helper()
		if got := item(c); got != want {
			t.Errorf("%s: roster push = %q, want %q", c.jid, got, want)
		}
	}
	send := func(c *client, typ, to string) {
		t.Helper()
		c.send(`<presence xmlns="jabber:client" type="` + typ + `" to="` + to + `"/>`)
	}

	send(bob, "subscribed", "alice@example.org") // nobody asked
	bob.quiet("unasked approval")
	alice.quiet("unasked approval")

	send(alice, "subscribe", "bob@example.org")
	wantItem(alice, "bob@example.org none subscribe")
	bob.want("request", isPresence("alice@example.org", "subscribe"))
	send(bob, "subscribed", "alice@example.org")
	wantItem(bob, "alice@example.org from ")
	alice.want("approval", isPresence("bob@example.org", "subscribed"))
	wantItem(alice, "bob@example.org to ")
	alice.want("presence of bob", isPresence(bob.jid, ""))

	send(bob, "subscribe", "alice@example.org")
	wantItem(bob, "alice@example.org from subscribe")
	alice.want("request", isPresence("bob@example.org", "subscribe"))
	send(alice, "subscribed", "bob@example.org")
	wantItem(alice, "bob@example.org both ")
	wantItem(bob, "alice@example.org both ")
	bob.want("presence of alice", isPresence(alice.jid, ""))

	alice.mustIQ("set", "", `<query xmlns="jabber:iq:roster"><item jid="bob@example.org" name="Bob"><group>Work</group></item></query>`)
	r := alice.mustIQ("get", "", `<query xmlns="jabber:iq:roster"/>`)
	if it := r.payload().payload(); it.Get("name") != "Bob" || it.Child(nsRoster, "group").Text() != "Work" || it.Get("subscription") != "both" {
		t.Errorf("roster = %s, want Bob in Work, both", r)
	}

	send(alice, "unsubscribe", "bob@example.org")
	wantItem(alice, "bob@example.org from ")
	bob.want("unsubscription", isPresence("alice@example.org", "unsubscribe"))
	wantItem(bob, "alice@example.org to ")
	alice.want("end of bob's presence", isPresence(bob.jid, "unavailable"))

	alice.send(`<iq xmlns="jabber:client" type="set" id="x"><query xmlns="jabber:iq:roster"><item jid="bob@example.org" subscription="remove"/></query></iq>`)
	wantItem(alice, "bob@example.org none ")
	wantItem(alice, "bob@example.org remove ")
	bob.want("end of alice's presence", isPresence(alice.jid, "unavailable"))
	bob.want("cancellation", isPresence("alice@example.org", "unsubscribed"))
	wantItem(bob, "alice@example.org none ")
}

func TestSubscriptionRequestWaitsForLogin(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	alice.send(`<presence xmlns="jabber:client" type="subscribe" to="bob@example.org"/>`)
	alice.rest()
	bob := mustLogin(t, srv, "bob@example.org/phone")
	bob.send(`<presence xmlns="jabber:client"/>`)
	bob.want("request", isPresence("alice@example.org", "subscribe"))
}

func TestIQ(t *testing.T) {
	srv := newTestServer(t)
	alice := mustLogin(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	for _, test := range []struct{ name, to, payload, want string }{
		{"nobody there", "bob@example.org/gone", `<x xmlns="y"/>`, "service-unavailable"},
		{"no account", "dave@example.org/x", `<x xmlns="y"/>`, "service-unavailable"},
		{"no such server", "dave@example.com/x", `<x xmlns="y"/>`, "remote-server-not-found"},
		{"malformed address", "@/", `<x xmlns="y"/>`, "jid-malformed"},
		{"unknown to the server", "example.org", `<x xmlns="y"/>`, "service-unavailable"},
		{"unknown to the account", "", `<x xmlns="y"/>`, "service-unavailable"},
		{"stranger's disco", "bob@example.org", `<query xmlns="http://jabber.org/protocol/disco#info"/>`, "service-unavailable"},
		{"ping", "example.org", `<ping xmlns="urn:xmpp:ping"/>`, ""},
		{"ping another domain", "example.net", `<ping xmlns="urn:xmpp:ping"/>`, ""},
		{"version", "example.org", `<query xmlns="jabber:iq:version"/>`, ""},
		{"time", "example.org", `<time xmlns="urn:xmpp:time"/>`, ""},
		{"items", "example.org", `<query xmlns="http://jabber.org/protocol/disco#items"/>`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := alice.iq("get", test.to, test.payload)
			if got := condition(answer); got != test.want || answer.Get("from") != test.to {
				t.Errorf("answer = %s, want %q from %q", answer, test.want, test.to)
			}
		})
	}
	if d := alice.mustIQ("get", "example.org", `<query xmlns="http://jabber.org/protocol/disco#info"/>`); !strings.Contains(d.String(), nsCarbons) {
		t.Errorf("disco of the server = %s, want carbons", d)
	}
	if d := alice.mustIQ("get", "alice@example.org", `<query xmlns="http://jabber.org/protocol/disco#info"/>`); !strings.Contains(d.String(), nsMAM) {
		t.Errorf("disco of the account = %s, want an archive", d)
	}

	// Between two clients; odd ones pass unchanged, clients must cope.
	alice.send(`<iq xmlns="jabber:client" type="get" id="odd" to="bob@example.org/phone">text<a xmlns="b"/><c xmlns="d">&lt;</c></iq>`)
	q := bob.want("request", func(e *Element) bool { return e.Get("id") == "odd" })
	if got := q.Text(); got != "text" || len(q.Children()) != 2 || q.Get("from") != alice.jid {
		t.Errorf("request = %s, want it unchanged, from alice", q)
	}
	bob.send(`<iq xmlns="jabber:client" type="result" id="odd" to="alice@example.org/phone"/>`)
	alice.want("answer", func(e *Element) bool { return e.Get("id") == "odd" && e.Get("from") == bob.jid })
}

func TestForgedSenderEndsTheStream(t *testing.T) {
	srv := newTestServer(t)
	alice := rawClient(t, srv, "alice@example.org/phone")
	alice.send(`<message from="bob@example.org/phone" to="carol@example.net"/>`)
	if got := alice.wantEnd(); got != "invalid-from" {
		t.Errorf("stream ended with %q, want invalid-from", got)
	}
}

func TestHandleIQ(t *testing.T) {
	srv := newTestServer(t)
	alice := mustLogin(t, srv, "alice@example.org/phone")
	srv.HandleIQ("x:y", func(iq *Element) (*Element, error) {
		if iq.Get("from") != alice.jid {
			t.Errorf("from = %q, want %q", iq.Get("from"), alice.jid)
		}
		switch iq.payload().Name.Local {
		case "echo":
			return iq.payload(), nil
		case "silent":
			return nil, ErrNoAnswer
		case "busy":
			return nil, &StanzaError{"wait", "resource-constraint"}
		}
		return nil, errors.New("odd")
	})
	if r := alice.mustIQ("get", "example.org", `<echo xmlns="x:y">hello</echo>`); r.payload().Text() != "hello" {
		t.Errorf("answer = %s, want the echo", r)
	}
	if r := alice.iq("get", "", `<busy xmlns="x:y"/>`); condition(r) != "resource-constraint" {
		t.Errorf("answer = %s, want resource-constraint", r)
	}
	if r := alice.iq("get", "", `<other xmlns="x:y"/>`); condition(r) != "internal-server-error" {
		t.Errorf("answer = %s, want internal-server-error", r)
	}
	alice.send(`<iq xmlns="jabber:client" type="get" id="s"><silent xmlns="x:y"/></iq>`)
	alice.quiet("no answer")
	srv.HandleIQ("x:y", nil)
	if r := alice.iq("get", "", `<echo xmlns="x:y"/>`); condition(r) != "service-unavailable" {
		t.Errorf("answer = %s, want service-unavailable", r)
	}
}

func TestServices(t *testing.T) {
	srv := newTestServer(t)
	alice := mustLogin(t, srv, "alice@example.org/phone")
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	srv.SetServices(
		Service{Type: "stun", Host: "127.0.0.1", Port: 3478, Transport: "udp"},
		Service{Type: "turn", Host: "127.0.0.1", Port: 3478, Transport: "udp", Username: "u", Password: "p", Restricted: true, Expires: expires},
	)
	ask := func(payload string) string {
		return alice.iq("get", "example.org", payload).payload().String()
	}
	const (
		stun = `<service type="stun" host="127.0.0.1" port="3478" transport="udp"/>`
		turn = `<service type="turn" host="127.0.0.1" port="3478" transport="udp" username="u" password="p" restricted="1" expires="2030-01-02T03:04:05Z"/>`
	)
	for _, test := range []struct{ ask, want string }{
		{`<services xmlns="urn:xmpp:extdisco:2"/>`, `<services xmlns="urn:xmpp:extdisco:2">` + stun + turn + `</services>`},
		{`<services xmlns="urn:xmpp:extdisco:2" type="turn"/>`, `<services xmlns="urn:xmpp:extdisco:2" type="turn">` + turn + `</services>`},
		{`<credentials xmlns="urn:xmpp:extdisco:2"><service type="turn" host="127.0.0.1"/></credentials>`, `<credentials xmlns="urn:xmpp:extdisco:2">` + turn + `</credentials>`},
	} {
		if got := ask(test.ask); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.ask, got, test.want)
		}
	}
	if r := alice.iq("get", "example.org", `<credentials xmlns="urn:xmpp:extdisco:2"><service type="turn" host="other"/></credentials>`); condition(r) != "item-not-found" {
		t.Errorf("credentials of another host = %s, want item-not-found", r)
	}
}

func TestMessageFanOut(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	phone, desk := online(t, srv, "bob@example.org/phone"), online(t, srv, "bob@example.org/desk")
	away := mustLogin(t, srv, "bob@example.org/away")
	away.send(`<presence xmlns="jabber:client"><priority>-1</priority></presence>`)
	for _, c := range []*client{phone, desk, away} {
		c.rest()
	}
	alice.message("bob@example.org", "to all")
	phone.wantText("to all")
	desk.wantText("to all")
	alice.message("bob@example.org/desk", "to one")
	desk.wantText("to one")
	alice.message("bob@example.org/gone", "to nobody in particular")
	desk.wantText("to nobody in particular")
	phone.wantText("to nobody in particular")
	away.quiet("negative priority")

	alice.send(`<message xmlns="jabber:client" type="groupchat" id="g" to="bob@example.org"><body>x</body></message>`)
	if e := alice.want("error", func(e *Element) bool { return e.Get("id") == "g" }); condition(e) != "service-unavailable" {
		t.Errorf("groupchat = %s, want service-unavailable", e)
	}
	alice.send(`<message xmlns="jabber:client" type="chat" id="n" to="dave@example.org"><body>x</body></message>`)
	if e := alice.want("error", func(e *Element) bool { return e.Get("id") == "n" }); condition(e) != "service-unavailable" {
		t.Errorf("no account = %s, want service-unavailable", e)
	}
	alice.send(`<message xmlns="jabber:client" type="error" to="dave@example.org"><body>x</body></message>`)
	alice.quiet("error to nobody")
	phone.quiet("others' errors")
}

func TestOfflineMessagesWait(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	alice.message("bob@example.org", "first")
	alice.message("bob@example.org", "unstored", `<no-store xmlns="urn:xmpp:hints"/>`)
	alice.send(`<message xmlns="jabber:client" type="chat" to="bob@example.org"><active xmlns="http://jabber.org/protocol/chatstates"/></message>`)
	alice.send(`<message xmlns="jabber:client" type="chat" to="bob@example.org"><propose xmlns="urn:xmpp:jingle-message:0" id="c"/><store xmlns="urn:xmpp:hints"/></message>`)
	alice.quiet("messages to someone offline")
	bob := mustLogin(t, srv, "bob@example.org/phone")
	bob.quiet("before presence")
	bob.send(`<presence xmlns="jabber:client"/>`)
	var got []string
	for _, e := range bob.rest() {
		if e.Is("", "message") {
			if e.Child(nsDelay, "delay") == nil {
				t.Errorf("offline message = %s, want a delay", e)
			}
			got = append(got, e.payload().Name.Local)
		}
	}
	if want := "body propose"; strings.Join(got, " ") != want {
		t.Errorf("offline messages = %v, want %v", got, want)
	}
}

func TestCarbons(t *testing.T) {
	srv := newTestServer(t)
	alice, tablet := online(t, srv, "alice@example.org/phone"), online(t, srv, "alice@example.org/tablet")
	bob, desk := online(t, srv, "bob@example.org/phone"), online(t, srv, "bob@example.org/desk")
	plain := online(t, srv, "bob@example.org/plain") // without carbons
	for _, c := range []*client{tablet, desk} {
		c.mustIQ("set", "", `<enable xmlns="urn:xmpp:carbons:2"/>`)
	}
	for _, c := range []*client{alice, bob, plain} {
		c.rest()
	}
	inner := func(e *Element, owner, kind string) *Element {
		t.Helper()
		x := e.Child(nsCarbons, kind)
		if x == nil || e.Get("from") != owner {
			t.Fatalf("got %s, want a carbon %q from %s", e, kind, owner)
		}
		return x.Child(nsForward, "forwarded").Child(nsClient, "message")
	}
	alice.message("bob@example.org/phone", "hello")
	bob.wantText("hello")
	if m := inner(tablet.wantText("hello"), "alice@example.org", "sent"); m.Get("to") != bob.jid || m.Get("from") != alice.jid {
		t.Errorf("sent carbon of %s, want from alice to bob", m)
	}
	if m := inner(desk.wantText("hello"), "bob@example.org", "received"); m.Get("to") != bob.jid || m.Child(nsSID, "stanza-id") == nil {
		t.Errorf("received carbon of %s, want to bob with a stanza-id", m)
	}
	// To the bare JID everybody gets the message itself.
	alice.message("bob@example.org", "to all")
	if m := desk.wantText("to all"); m.Child(nsCarbons, "received") != nil {
		t.Errorf("got %s, want no carbon", m)
	}
	bob.wantText("to all")
	plain.wantText("to all")
	tablet.wantText("to all")

	alice.message("bob@example.org/phone", "secret", `<private xmlns="urn:xmpp:carbons:2"/><no-copy xmlns="urn:xmpp:hints"/>`)
	if m := bob.wantText("secret"); m.Child(nsCarbons, "private") != nil {
		t.Errorf("got %s, want private removed", m)
	}
	alice.message("bob@example.org/phone", "uncopied", `<no-copy xmlns="urn:xmpp:hints"/>`)
	bob.wantText("uncopied")
	alice.message("bob@example.org/phone", "forged", `<received xmlns="urn:xmpp:carbons:2"/>`)
	bob.wantText("forged")

	// A message to oneself reaches all devices once.
	alice.message("alice@example.org", "to myself")
	if m := tablet.wantText("to myself"); m.Child(nsCarbons, "sent") != nil {
		t.Errorf("got %s, want the message itself", m)
	}
	for _, c := range []*client{tablet, desk, plain} {
		c.quiet("private, no-copy, forged and own messages")
	}
}

func TestBlocking(t *testing.T) {
	srv := newTestServer(t)
	srv.Befriend("alice@example.org", "bob@example.org")
	alice := online(t, srv, "alice@example.org/phone")
	other := online(t, srv, "alice@example.org/tablet")
	bob := online(t, srv, "bob@example.org/phone")
	other.mustIQ("get", "", `<blocklist xmlns="urn:xmpp:blocking"/>`)
	bob.want("presence of alice", isPresence(alice.jid, ""))
	alice.want("presence of bob", isPresence(bob.jid, ""))

	alice.mustIQ("set", "", `<block xmlns="urn:xmpp:blocking"><item jid="bob@example.org"/></block>`)
	if p := other.want("push", isPush); !p.payload().Is(nsBlocking, "block") {
		t.Errorf("push = %s, want block", p)
	}
	bob.want("alice gone", isPresence(alice.jid, "unavailable"))
	bob.send(`<message xmlns="jabber:client" type="chat" id="m" to="alice@example.org"><body>x</body></message>`)
	if e := bob.want("error", func(e *Element) bool { return e.Get("id") == "m" }); condition(e) != "service-unavailable" {
		t.Errorf("message of someone blocked = %s, want service-unavailable", e)
	}
	if e := bob.iq("get", "alice@example.org/phone", `<x xmlns="y"/>`); condition(e) != "service-unavailable" {
		t.Errorf("IQ of someone blocked = %s, want service-unavailable", e)
	}
	if e := alice.iq("get", bob.jid, `<x xmlns="y"/>`); condition(e) != "not-acceptable" || !strings.Contains(e.String(), nsBlockErr) {
		t.Errorf("IQ to someone blocked = %s, want not-acceptable and blocked", e)
	}
	bob.rest()
	alice.quiet("someone blocked")
	if l := other.mustIQ("get", "", `<blocklist xmlns="urn:xmpp:blocking"/>`); l.payload().payload().Get("jid") != "bob@example.org" {
		t.Errorf("block list = %s, want bob", l)
	}

	alice.mustIQ("set", "", `<unblock xmlns="urn:xmpp:blocking"/>`)
	if p := other.want("push", isPush); !p.payload().Is(nsBlocking, "unblock") {
		t.Errorf("push = %s, want unblock", p)
	}
	bob.want("alice again", isPresence(alice.jid, ""))
	bob.message("alice@example.org", "friends again")
	alice.wantText("friends again")
}

func TestArchive(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	for i := range 5 {
		alice.message("bob@example.org", "m"+strconv.Itoa(i))
	}
	alice.message("carol@example.net", "other")
	alice.message("bob@example.org", "unstored", `<no-store xmlns="urn:xmpp:hints"/>`)
	alice.send(`<message xmlns="jabber:client" type="chat" to="bob@example.org"><propose xmlns="urn:xmpp:jingle-message:0" id="c"/><store xmlns="urn:xmpp:hints"/></message>`)
	m2 := bob.wantText("m2")
	seen := m2.Child(nsSID, "stanza-id")
	if seen == nil || seen.Get("by") != "bob@example.org" {
		t.Fatalf("message = %s, want a stanza-id by bob@example.org", m2)
	}
	bob.rest()

	query := func(c *client, form, set string) (texts string, fin *Element) {
		t.Helper()
		payload := `<query xmlns="urn:xmpp:mam:2" queryid="q"><x xmlns="jabber:x:data" type="submit">` +
			`<field var="FORM_TYPE"><value>urn:xmpp:mam:2</value></field>` + form + `</x>` +
			`<set xmlns="http://jabber.org/protocol/rsm">` + set + `</set></query>`
		c.send(`<iq xmlns="jabber:client" type="set" id="mam">` + payload + `</iq>`)
		var got []string
		answer := c.want("fin", func(e *Element) bool {
			if r := e.Child(nsMAM, "result"); r != nil {
				f := r.Child(nsForward, "forwarded")
				if r.Get("queryid") != "q" || r.Get("id") == "" || f.Child(nsDelay, "delay").Get("stamp") == "" || e.Get("from") != mustAddr(c.jid).bare().String() {
					t.Errorf("result = %s, want queryid, id, delay, from the account", e)
				}
				p := f.Child(nsClient, "message").payload()
				got = append(got, p.Name.Local+p.Text())
			}
			return e.Get("id") == "mam"
		})
		if fin = answer.Child(nsMAM, "fin"); fin == nil {
			return condition(answer), nil
		}
		return strings.Join(got, " "), fin
	}
	field := func(name, value string) string {
		return `<field var="` + name + `"><value>` + value + `</value></field>`
	}
	for _, test := range []struct {
		name, form, set, want string
		complete              bool
	}{
		{"all", "", "", "bodym0 bodym1 bodym2 bodym3 bodym4 bodyother propose", true},
		{"with bob", field("with", "bob@example.org"), "", "bodym0 bodym1 bodym2 bodym3 bodym4 propose", true},
		{"first page", "", "<max>2</max>", "bodym0 bodym1", false},
		{"last page", "", "<max>2</max><before/>", "bodyother propose", false},
		{"none", field("end", "2001-01-01T00:00:00Z"), "", "", true},
		{"since then", field("start", "2001-01-01T00:00:00Z"), "<max>1</max>", "bodym0", false},
		{"nonsense", field("start", "yesterday"), "", "bad-request", false},
		{"unknown page", "", "<after>zzz</after>", "item-not-found", false},
		{"unknown id", field("after-id", "zzz"), "", "item-not-found", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, fin := query(alice, test.form, test.set)
			if got != test.want || fin != nil && (fin.Get("complete") == "true") != test.complete {
				t.Errorf("archive = %q, %v, want %q, complete %v", got, fin, test.want, test.complete)
			}
		})
	}
	if got, _ := query(bob, "", "<after>"+seen.Get("id")+"</after>"); got != "bodym3 bodym4 propose" {
		t.Errorf("after m2: %q, want m3, m4 and the proposal", got)
	}
	var all []string
	for set := "<max>3</max>"; ; {
		got, fin := query(alice, "", set)
		all = append(all, strings.Fields(got)...)
		if fin.Get("complete") == "true" {
			break
		}
		set = "<max>3</max><after>" + fin.Child(nsRSM, "set").Child(nsRSM, "last").Text() + "</after>"
	}
	if len(all) != 7 {
		t.Errorf("paging found %v, want 7 messages", all)
	}
	if f := alice.mustIQ("get", "", `<query xmlns="urn:xmpp:mam:2"/>`); !strings.Contains(f.String(), `var="with"`) {
		t.Errorf("form = %s, want a field with", f)
	}
}

func TestForgedStanzaIDIsRemoved(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	alice.message("bob@example.org", "x", `<stanza-id xmlns="urn:xmpp:sid:0" by="bob@example.org" id="forged"/><stanza-id xmlns="urn:xmpp:sid:0" by="example.com" id="other"/>`)
	m := bob.wantText("x").String()
	if strings.Contains(m, "forged") || !strings.Contains(m, "other") || strings.Count(m, "stanza-id") != 2 {
		t.Errorf("message = %s, want the forged id replaced and the other kept", m)
	}
}

func TestWithout(t *testing.T) {
	cfg := testConfig()
	cfg.Without = []string{nsSM, nsCarbons, nsMAM}
	srv := Run(t, cfg)
	alice := rawClient(t, srv, "alice@example.org/phone")
	if e := alice.iq("set", "", `<enable xmlns="urn:xmpp:carbons:2"/>`); condition(e) != "service-unavailable" {
		t.Errorf("carbons = %s, want service-unavailable", e)
	}
	if d := alice.mustIQ("get", "example.org", `<query xmlns="http://jabber.org/protocol/disco#info"/>`).String(); strings.Contains(d, nsCarbons) {
		t.Errorf("disco = %s, want no carbons", d)
	}
	alice.send(`<enable xmlns="urn:xmpp:sm:3"/>`)
	if got := alice.wantEnd(); got != "unsupported-stanza-type" {
		t.Errorf("stream ended with %q, want unsupported-stanza-type", got)
	}
}
