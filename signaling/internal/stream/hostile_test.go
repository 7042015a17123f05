package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// Whatever a contact can make the server send, the stream lives on.
func TestStrangeStanzasDoNotEndTheStream(t *testing.T) {
	deep := strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)
	for _, tt := range []struct {
		name, in string
		reply    stanza.Condition // "" for none
		handed   bool             // the handler gets it
	}{
		{"text beside the payload", `<iq type='get' id='1' from='bob@example.org/x'>text<query xmlns='jabber:iq:version'/>more</iq>`, "", true},
		{"text instead of a payload", `<iq type='get' id='1' from='bob@example.org/x'>text</iq>`, stanza.BadRequest, false},
		{"no payload", `<iq type='set' id='1' from='bob@example.org/x'/>`, stanza.BadRequest, false},
		{"two payloads", `<iq type='set' id='1' from='bob@example.org/x'><a xmlns='a'/><b xmlns='b'/></iq>`, stanza.BadRequest, false},
		{"unknown iq type", `<iq type='please' id='1' from='bob@example.org/x'><a xmlns='a'/></iq>`, stanza.BadRequest, false},
		{"no iq type", `<iq id='1' from='bob@example.org/x'><a xmlns='a'/></iq>`, stanza.BadRequest, false},
		{"no id", `<iq type='please' from='bob@example.org/x'/>`, "", false},
		{"huge", `<iq type='get' id='1' from='bob@example.org/x'><a xmlns='a'>` + strings.Repeat("x", 300<<10) + `</a></iq>`, stanza.NotAcceptable, false},
		{"huge attribute", `<message from='bob@example.org/x' x='` + strings.Repeat("x", 300<<10) + `'/>`, "", false},
		{"deep", `<iq type='get' id='1' from='bob@example.org/x'>` + deep + `</iq>`, stanza.NotAcceptable, false},
		{"many tags", `<iq type='get' id='1' from='bob@example.org/x'><a xmlns='a'>` + strings.Repeat("<b/>", maxTokens) + `</a></iq>`, stanza.BadRequest, false},
		{"answer nobody waits for", `<iq type='result' id='1' from='bob@example.org/x'>text</iq>`, "", false},
		{"error nobody waits for", `<iq type='error' id='1'/>`, "", false},
		{"sender that is no address", `<message from='@@@'><body>x</body></message>`, "", false},
		{"comment", `<message from='bob@example.org/x'><!-- <a> --><body>x</body></message>`, "", false},
		{"processing instruction", `<message from='bob@example.org/x'><?php a > b ?><body>x</body></message>`, "", false},
		{"unknown entity", `<iq type='get' id='1' from='bob@example.org/x'><a xmlns='a'>&lol;</a></iq>`, stanza.BadRequest, false},
		{"tags that cross", `<iq type='get' id='1' from='bob@example.org/x'><a xmlns='a'><b></a></b></iq>`, stanza.BadRequest, false},
		{"CDATA with tags", `<message from='bob@example.org/x'><body><![CDATA[</message><a>]]]]></body></message>`, "", true},
		{"attribute with ends of tags", `<message from='bob@example.org/x' a='/>' b="'&gt;>"><body/></message>`, "", true},
		{"attribute with tags", `<message from='bob@example.org/x' a='</message>'><body/></message>`, "", false},
		{"bad UTF-8", "<message from='bob@example.org/x'><body>\xff\xfe</body></message>", "", false},
		{"unknown element", `<wave xmlns='urn:example'><a/></wave>`, "", false},
		{"unknown element of stream management", `<wave xmlns='urn:xmpp:sm:3'/>`, "", false},
		{"whitespace and text between stanzas", " \n\t text \n", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := testServer(t, xmpptest.Config{Without: []string{nsSM}}) // what is injected is not counted
			var sent []xmpptest.Stanza
			srv.Tap(func(st xmpptest.Stanza) {
				if st.Dir == xmpptest.FromClient {
					sent = append(sent, st)
				}
			})
			s, r := dialTest(t, testConfig(srv))
			srv.InjectRaw("alice@example.org", []byte(tt.in))
			srv.InjectRaw("alice@example.org", []byte(`<message id='after' from='bob@example.org/x'><body>x</body></message>`))
			st := within(t, "stanza", r.stanzas)
			if tt.handed {
				if st.ID() == "after" {
					t.Fatal("not handed to the handler")
				}
				st = within(t, "stanza", r.stanzas)
			}
			if st.ID() != "after" {
				t.Fatalf("got %s", st)
			}
			if err := s.Flush(t.Context()); err != nil { // the server has read all we sent
				t.Fatal(err)
			}
			s.Close()
			srv.Close()
			var got stanza.Condition
			for _, st := range sent {
				if st.Get("type") == "error" {
					got = stanza.Condition(st.Child("", "error").Children()[0].Name.Local)
				}
			}
			if got != tt.reply {
				t.Errorf("answered with %q, want %q", got, tt.reply)
			}
			if len(r.offline) > 0 {
				t.Errorf("stream was lost: %v", <-r.offline)
			}
		})
	}
}

func TestAnswersOfOthersAreDropped(t *testing.T) {
	account, desk := jid.MustParse("alice@example.org"), jid.MustParse("alice@example.org/desk")
	server, bob := jid.MustParse("example.org"), jid.MustParse("bob@example.org/x")
	for _, tt := range []struct {
		to   jid.JID
		from string
		ok   bool
	}{
		{bob, "bob@example.org/x", true},
		{bob, "BOB@Example.org/x", true},
		{bob, "bob@example.org", false},
		{bob, "bob@example.org/y", false},
		{bob, "", false},
		{bob, "alice@example.org", false},
		{bob, "example.org", false},
		{bob, "@@", false},
		{bob.Bare(), "bob@example.org", true},
		{bob.Bare(), "bob@example.org/x", false},
		{bob.Bare(), "", false},
		{server, "example.org", true},
		{server, "", true},
		{server, "mallory.example", false},
		{server, "alice@example.org", false},
		{account, "alice@example.org", true},
		{account, "", true},
		{account, "alice@example.org/desk", false},
		{account, "example.org", false},
		{jid.JID{}, "", true},
		{jid.JID{}, "alice@example.org", true},
		{jid.JID{}, "alice@example.org/desk", true},
		{jid.JID{}, "example.org", true},
		{jid.JID{}, "bob@example.org", false},
		{jid.JID{}, "alice@example.org/phone", false},
		{desk, "", true},
		{desk, "alice@example.org/desk", true},
		{desk, "alice@example.org", false},
	} {
		s := &Stream{jid: desk}
		if got := s.answers(tt.from, &waiter{to: tt.to, toText: tt.to.String()}, jid.Parse); got != tt.ok {
			t.Errorf("sent to %q, answer of %q: accepted %v, want %v", tt.to, tt.from, got, tt.ok)
		}
	}
}

func TestForgedAnswerDoesNotReachTheOneWhoWaits(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, _ := dialTest(t, testConfig(srv))
	srv.HandleIQ("urn:example", func(iq *xmpptest.Element) (*xmpptest.Element, error) {
		for _, from := range []string{"bob@example.org/x", "alice@example.org/phone", "mallory.example"} {
			if _, err := srv.Inject("alice@example.org", fmt.Sprintf(
				`<iq type='result' id='%s' from='%s'><forged xmlns='urn:example'/></iq>`, iq.Get("id"), from)); err != nil {
				t.Error(err)
			}
		}
		return xmpptest.MustParse(`<true xmlns='urn:example'/>`), nil
	})
	st, err := s.IQ(t.Context(), jid.JID{}, stanza.GetIQ, []byte(`<question xmlns='urn:example'/>`))
	if err != nil || st.Child("urn:example", "true") == nil {
		t.Errorf("answer = %v, %v", st, err)
	}
	if got := s.Stats().Foreign; got != 3 {
		t.Errorf("%d foreign answers, want 3", got)
	}
}

// A stanza that never ends is given up with the connection, and costs no memory.
func TestEndlessStanza(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, r := dialTest(t, testConfig(srv))
	srv.InjectRaw("alice@example.org", []byte(`<message from='bob@example.org/x'><body>`))
	chunk := []byte(strings.Repeat("x", 256<<10))
	for range (maxSkip + defaultMaxStanza) / len(chunk) {
		srv.InjectRaw("alice@example.org", chunk)
	}
	srv.InjectRaw("alice@example.org", chunk)
	within(t, "Offline", r.offline)
	within(t, "Online", r.online)
	if err := ping(t.Context(), s); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// While the handler is busy, what a flood can make us hold is bounded, and all
// of it arrives in order.
func TestFloodIsHeldBack(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	const n = 5000
	release := make(chan struct{})
	got := make(chan string, n)
	busy := make(chan struct{}, 1)
	s, err := Dial(t.Context(), testConfig(srv), Handler{Stanza: func(st *Stanza) {
		signal(busy)
		<-release
		got <- st.ID()
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	go func() {
		for i := range n {
			if _, err := srv.Inject("alice@example.org", fmt.Sprintf(`<message id='%d'><body>%s</body></message>`, i, strings.Repeat("x", 2000))); err != nil {
				t.Error(err)
			}
		}
	}()
	within(t, "stanza", busy)
	for s.reads() < maxInbox { // the reader goes on until the inbox is full
		time.Sleep(time.Millisecond)
	}
	if held := s.held(); held > maxInbox {
		t.Errorf("%d stanzas held, want at most %d", held, maxInbox)
	}
	close(release)
	for i := range n {
		if id := within(t, "stanza", got); id != fmt.Sprint(i) {
			t.Fatalf("stanza %d is %s", i, id)
		}
	}
}

func (s *Stream) held() int {
	s.inbox.mu.Lock()
	defer s.inbox.mu.Unlock()
	return len(s.inbox.queue)
}

func (s *Stream) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.handled)
}

func TestRequestsForAcknowledgementAreAnsweredTogether(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	acks := 0
	srv.Tap(func(st xmpptest.Stanza) {
		if st.Dir == xmpptest.FromClient && st.Is(nsSM, "a") {
			acks++
		}
	})
	s, _ := dialTest(t, testConfig(srv))
	const n = 20_000
	srv.InjectRaw("alice@example.org", []byte(strings.Repeat(`<r xmlns='urn:xmpp:sm:3'/>`, n)))
	if err := ping(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.Close()
	srv.Close()
	if acks == 0 || acks > n/2 {
		t.Errorf("%d answers to %d requests", acks, n)
	}
}

func TestBogusAcknowledgementsAreSurvived(t *testing.T) {
	for _, a := range []string{"h='99'", "h='4294967295'", "h='-1'", "h='x'", ""} {
		t.Run(a, func(t *testing.T) {
			srv := testServer(t, xmpptest.Config{})
			s, r := dialTest(t, testConfig(srv))
			srv.InjectRaw("alice@example.org", []byte(`<a xmlns='urn:xmpp:sm:3' `+a+`/>`))
			within(t, "Offline", r.offline)
			if within(t, "Online", r.online) {
				t.Error("resumed a session that we and the server do not agree on")
			}
			if err := ping(t.Context(), s); err != nil {
				t.Errorf("ping: %v", err)
			}
		})
	}
}

func TestDocumentTypeEndsTheConnection(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	_, r := dialTest(t, testConfig(srv))
	srv.InjectRaw("alice@example.org", []byte(`<!DOCTYPE x [<!ENTITY lol "lol">]>`))
	if err := within(t, "Offline", r.offline); !strings.Contains(err.Error(), "restricted-xml") {
		t.Errorf("lost because of %v", err)
	}
	if within(t, "Online", r.online) {
		t.Error("resumed: the same would come again")
	}
}

// Who may not know that we are online learns it from no odd request either.
func TestOddRequestsOfStrangersAreAnsweredAsIfNobodyWereHere(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	cfg := testConfig(srv)
	cfg.MayKnow = func(j jid.JID) bool { return j.Localpart() == "bob" }
	dialTest(t, cfg)
	answers := make(chan xmpptest.Stanza, 10)
	defer srv.Tap(func(st xmpptest.Stanza) {
		if st.Dir == xmpptest.FromClient && st.Get("type") == "error" {
			answers <- st
		}
	})()
	deep := strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)
	for _, tt := range []struct{ from, inner, want string }{
		{"bob@example.org/x", "", "bad-request"},
		{"mallory@example.org/x", "", "service-unavailable"},
		{"mallory@example.org/x", "<a/><b/>", "service-unavailable"},
		{"mallory@example.org/x", deep, "service-unavailable"},
		{"bob@example.org/x", deep, "not-acceptable"},
		{"@", "<a/>", "service-unavailable"},
	} {
		srv.InjectRaw("alice@example.org", []byte(`<iq type='get' id='odd' from='`+tt.from+`'>`+tt.inner+`</iq>`))
		st := within(t, "answer", answers)
		if st.Child(nsClient, "error").Child(nsStanzas, tt.want) == nil {
			t.Errorf("%s %.20s: %v", tt.from, tt.inner, st)
		}
	}
}
