package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

const (
	testStream   = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`
	testSASL     = testStream + `<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>`
	testSuccess  = `<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>`
	testFeatures = testStream + `<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>`
	testBound    = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@example.org/desk</jid></bind></iq>`
)

// A step answers one thing that the client says; what it says must contain expect.
type step struct{ expect, say string }

// bound is a login up to and including the resource. RESULT and ERROR stand for the
// start of the answer to the request that came.
var bound = []step{{"<stream:stream", testSASL}, {"<auth", testSuccess}, {"<stream:stream", testFeatures}, {"<bind", "RESULT" + testBound}}

// stepServer returns a Dial function; its n-th connection follows the n-th
// script, then says nothing more, and notes where each connection went.
func stepServer(t *testing.T, dialed chan<- string, scripts ...[]step) func(context.Context, string, string) (net.Conn, error) {
	n := 0
	return func(_ context.Context, _, addr string) (net.Conn, error) {
		if n == len(scripts) {
			return nil, errors.New("no more connections in the script")
		}
		script := scripts[n]
		n++
		if dialed != nil {
			dialed <- addr
		}
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			buf := make([]byte, 64<<10)
			for _, s := range script {
				n, err := theirs.Read(buf)
				said := string(buf[:n])
				if err != nil || !strings.Contains(said, s.expect) {
					t.Errorf("client said %q, %v, want %s", said, err, s.expect)
					return
				}
				if s.say == "CLOSE" {
					return
				}
				_, after, _ := strings.Cut(said, "id='")
				id, _, _ := strings.Cut(after, "'")
				io.WriteString(theirs, strings.NewReplacer(
					"RESULT", `<iq type='result' id='`+id+`'>`, "ERROR", `<iq type='error' id='`+id+`'>`).Replace(s.say))
			}
			io.Copy(io.Discard, theirs)
		}()
		return ours, nil
	}
}

func stepConfig(dial func(context.Context, string, string) (net.Conn, error)) Config {
	return Config{JID: jid.MustParse("alice@example.org/desk"), Password: "secret", AllowPlain: true, InsecureLoopback: true,
		Server: "starttls://192.0.2.1:5222", Dial: dial, CloseTimeout: 50 * time.Millisecond}
}

func TestServerMaySendUsElsewhere(t *testing.T) {
	elsewhere := testStream + `<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>192.0.2.7:9222</see-other-host></stream:error>`
	dialed := make(chan string, 10)
	s, err := Dial(t.Context(), stepConfig(stepServer(t, dialed,
		[]step{{"<stream:stream", elsewhere}},
		append(bound, step{"<enable", `<enabled xmlns='urn:xmpp:sm:3'/>`}),
	)), Handler{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if a, b := <-dialed, <-dialed; a != "192.0.2.1:5222" || b != "192.0.2.7:9222" {
		t.Errorf("dialed %s, then %s", a, b)
	}

	loop := []step{{"<stream:stream", elsewhere}}
	_, err = Dial(t.Context(), stepConfig(stepServer(t, nil, loop, loop, loop, loop, loop, loop, loop, loop, loop)), Handler{})
	var se *StreamError
	if !errors.As(err, &se) || se.Host != "192.0.2.7:9222" {
		t.Errorf("err = %v", err)
	}
}

func TestResumptionGoesWhereTheServerWantsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialed := make(chan string, 10)
		r := newRecorder()
		s, err := Dial(t.Context(), stepConfig(stepServer(t, dialed,
			append(bound, step{"<enable", `<enabled xmlns='urn:xmpp:sm:3' id='sess' resume='1' location='192.0.2.9:5333'/>`}, step{"<message", "CLOSE"}),
			[]step{bound[0], bound[1], bound[2],
				{"<resume xmlns='urn:xmpp:sm:3' h='0' previd='sess'/>", `<resumed xmlns='urn:xmpp:sm:3' h='0' previd='sess'/><message id='new'/>`},
				{"<message", `<a xmlns='urn:xmpp:sm:3' h='1'/>`}},
		)), r.handler())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), []byte(`<message id='1'/>`)); err != nil {
			t.Fatal(err)
		}
		<-r.offline
		<-r.online
		if !<-r.online {
			t.Error("not resumed")
		}
		if st := <-r.stanzas; st.ID() != "new" {
			t.Errorf("got %s", st)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
		<-dialed
		if got := <-dialed; got != "192.0.2.9:5333" {
			t.Errorf("resumed at %s", got)
		}
	})
}

// A server that answers resume with nonsense gets a new session the next time.
func TestNonsenseInsteadOfAResumption(t *testing.T) {
	for _, nonsense := range []string{`<resumed xmlns='urn:xmpp:sm:3' previd='sess'/>`, `<wave/>`, `<resumed xmlns='urn:xmpp:sm:3' h='77' previd='sess'/>`} {
		synctest.Test(t, func(t *testing.T) {
			r := newRecorder()
			s, err := Dial(t.Context(), stepConfig(stepServer(t, nil,
				append(bound, step{"<enable", `<enabled xmlns='urn:xmpp:sm:3' id='sess' resume='true'/>`}, step{"<message", "CLOSE"}),
				[]step{bound[0], bound[1], bound[2], {"<resume", nonsense}},
				append(bound, step{"<enable", `<failed xmlns='urn:xmpp:sm:3'/>`}, step{"<message", ``}),
			)), r.handler())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(t.Context(), []byte(`<message id='1'/>`)); err != nil {
				t.Fatal(err)
			}
			<-r.online
			if <-r.online {
				t.Errorf("%s: resumed", nonsense)
			}
			synctest.Wait()
			s.Close()
		})
	}
}

// What the server says between the resource and its counting is handled, and
// not counted.
func TestEarlyStanzas(t *testing.T) {
	r := newRecorder()
	s, err := Dial(t.Context(), stepConfig(stepServer(t, nil,
		[]step{bound[0], bound[1], bound[2], {"<bind", "<message id='a'/>RESULT" + testBound},
			{"<enable", `<message id='b'/><enabled xmlns='urn:xmpp:sm:3' id='sess' resume='true'/><message id='c'/><r xmlns='urn:xmpp:sm:3'/>`},
			{"<a xmlns='urn:xmpp:sm:3' h='1'/>", ""}},
	)), r.handler())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "b", "c"} {
		if got := within(t, "stanza", r.stanzas).ID(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	s.Close()
}

func TestAddressesTheServerMayNotGive(t *testing.T) {
	for _, got := range []string{"", "alice@example.org", "alice@mallory.example/desk", "@@"} {
		_, err := Dial(t.Context(), stepConfig(stepServer(t, nil, []step{bound[0], bound[1], bound[2],
			{"<bind", "RESULT" + fmt.Sprintf(`<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>%s</jid></bind></iq>`, got)}})), Handler{})
		if err == nil || !strings.Contains(err.Error(), "address") {
			t.Errorf("%q: %v", got, err)
		}
	}
}

func TestRefusedResource(t *testing.T) {
	const refusal = `<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`
	dial := stepServer(t, nil, []step{bound[0], bound[1], bound[2], {"<bind", "ERROR" + refusal}})
	_, err := Dial(t.Context(), stepConfig(dial), Handler{})
	var refused *BindError
	if !errors.As(err, &refused) || refused.Resource != "desk" || refused.Err.Condition != stanza.NotAllowed {
		t.Errorf("err = %v", err)
	}
}

func TestStanzasLargerThanTheServerAccepts(t *testing.T) {
	features := strings.Replace(testFeatures, "</stream:features>", `<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits></stream:features>`, 1)
	s, err := Dial(t.Context(), stepConfig(stepServer(t, nil, []step{bound[0], bound[1], {"<stream:stream", features}, bound[3],
		{"<enable", `<enabled xmlns='urn:xmpp:sm:3'/>`}})), Handler{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(t.Context(), []byte(`<message>`+strings.Repeat("x", 10_000)+`</message>`)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Send: %v", err)
	}
	if s.Features().Child(nsSM, "sm") == nil {
		t.Errorf("features %s", s.Features())
	}
}
