package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// arrivals records the ids of what clients send and the server handles.
type arrivals struct {
	mu  sync.Mutex
	ids []string
}

func recordArrivals(srv *xmpptest.Server) *arrivals {
	a := &arrivals{}
	srv.Tap(func(st xmpptest.Stanza) {
		if st.Dir == xmpptest.FromClient && st.Name.Space == nsClient {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.ids = append(a.ids, st.Name.Local+" "+st.Get("id"))
		}
	})
	return a
}

func (a *arrivals) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.ids)
}

// What was written into a dead network comes again after a resumption, once.
func TestNothingIsLostOrDoubledAcrossAResumption(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	got := recordArrivals(srv)
	s, r := dialTest(t, testConfig(srv))
	send := func(from, to int) {
		for i := from; i < to; i++ {
			if err := s.Send(t.Context(), fmt.Appendf(nil, `<message id='%d' to='bob@example.org'/>`, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(0, 5)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Freeze("alice@example.org")
	send(5, 12)
	srv.Cut("alice@example.org")
	send(12, 15)
	if !within(t, "Online", r.online) {
		t.Error("not resumed")
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 15 {
		want = append(want, fmt.Sprint("message ", i))
	}
	if got := got.list(); !slices.Equal(got, want) {
		t.Errorf("arrived %v", got)
	}
}

// An acknowledgement that was lost does not make us send twice: the answer to
// resume tells what was handled.
func TestLostAcknowledgement(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	got := recordArrivals(srv)
	s, r := dialTest(t, testConfig(srv))
	srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
		return xmpptest.Verdict{Cut: st.Dir == xmpptest.ToClient && st.Is(nsSM, "a")}
	})
	for i := range ackAfter {
		if err := s.Send(t.Context(), fmt.Appendf(nil, `<message id='%d' to='bob@example.org'/>`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if !within(t, "Online", r.online) {
		t.Error("not resumed")
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := got.list(); len(got) != ackAfter {
		t.Errorf("arrived %v", got)
	}
}

func TestWaitingForAnAnswerSurvivesAResumption(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	asked := make(chan string, 1)
	srv.HandleIQ("urn:example", func(iq *xmpptest.Element) (*xmpptest.Element, error) {
		asked <- iq.Get("id")
		return nil, xmpptest.ErrNoAnswer
	})
	s, r := dialTest(t, testConfig(srv))
	answer := make(chan error, 1)
	go func() {
		_, err := s.IQ(t.Context(), jid.JID{}, stanza.GetIQ, []byte(`<q xmlns='urn:example'/>`))
		answer <- err
	}()
	id := within(t, "question", asked)
	srv.Cut("alice@example.org")
	if !within(t, "Online", r.online) {
		t.Fatal("not resumed")
	}
	if _, err := srv.Inject("alice@example.org", `<iq type='result' id='`+id+`'/>`); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "answer", answer); err != nil {
		t.Errorf("IQ: %v", err)
	}
}

// When the server has forgotten the session, the resource stays, messages that
// may be lost come again, requests that may have been handled fail, and
// presence is left to the handler.
func TestNewSessionInTheSameName(t *testing.T) {
	for _, sm := range []bool{true, false} {
		t.Run(fmt.Sprintf("stream management %v", sm), func(t *testing.T) {
			cfg := xmpptest.Config{}
			if !sm {
				cfg.Without = []string{nsSM}
			}
			srv := testServer(t, cfg)
			asked := make(chan string, 10)
			srv.HandleIQ("urn:example", func(iq *xmpptest.Element) (*xmpptest.Element, error) {
				asked <- iq.Get("id")
				return nil, xmpptest.ErrNoAnswer
			})
			s, r := dialTest(t, testConfig(srv))
			answer := make(chan error, 1)
			go func() {
				_, err := s.IQ(t.Context(), jid.JID{}, stanza.GetIQ, []byte(`<q xmlns='urn:example'/>`))
				answer <- err
			}()
			within(t, "question", asked)
			srv.SetGate(xmpptest.Refuse)
			srv.Forget("alice@example.org")
			srv.Cut("alice@example.org")
			within(t, "Offline", r.offline)
			got := recordArrivals(srv)
			for _, p := range []string{`<message id='m' to='bob@example.org'/>`, `<presence id='p'/>`,
				`<presence id='sub' type='subscribe' to='bob@example.org'/>`} {
				if err := s.Send(t.Context(), []byte(p)); err != nil {
					t.Fatal(err)
				}
			}
			srv.SetGate(xmpptest.Admit)
			s.NetworkChanged()
			if within(t, "Online", r.online) {
				t.Error("resumed")
			}
			if err := within(t, "end of waiting", answer); !errors.Is(err, ErrRebound) {
				t.Errorf("IQ: %v, want ErrRebound", err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.JID().String(); got != "alice@example.org/desk" {
				t.Errorf("JID = %s", got)
			}
			list := got.list()
			list = slices.DeleteFunc(list, func(s string) bool { return strings.HasPrefix(s, "iq ") }) // bind, and Flush without stream management
			if want := []string{"message m", "presence sub"}; !slices.Equal(list, want) {
				t.Errorf("arrived %v, want %v", list, want)
			}
		})
	}
}

func TestConflictEndsTheStream(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, _ := dialTest(t, testConfig(srv))
	other, _ := dialTest(t, testConfig(srv)) // the same resource
	within(t, "Done", s.Done())
	var se *StreamError
	if !errors.As(s.Err(), &se) || se.Condition != "conflict" {
		t.Errorf("Err = %v", s.Err())
	}
	if err := s.Send(t.Context(), []byte(`<presence/>`)); !errors.Is(err, net.ErrClosed) || !errors.As(err, &se) {
		t.Errorf("Send: %v", err)
	}
	if _, err := s.IQ(t.Context(), jid.JID{}, stanza.GetIQ, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("IQ: %v", err)
	}
	if err := ping(t.Context(), other); err != nil {
		t.Errorf("ping of the other: %v", err)
	}
}

func TestResourceInUseGetsAnother(t *testing.T) {
	srv := testServer(t, xmpptest.Config{RejectConflict: true})
	dialTest(t, testConfig(srv))
	s, _ := dialTest(t, testConfig(srv))
	if r := s.JID().Resourcepart(); !strings.HasPrefix(r, "desk-") {
		t.Errorf("resource = %q", r)
	}
}

func TestServerRestartIsFollowed(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, r := dialTest(t, testConfig(srv))
	srv.Expel("alice@example.org", "system-shutdown")
	var se *StreamError
	if err := within(t, "Offline", r.offline); !errors.As(err, &se) || se.Condition != "system-shutdown" {
		t.Errorf("lost because of %v", err)
	}
	within(t, "Online", r.online)
	if err := ping(t.Context(), s); err != nil {
		t.Errorf("ping: %v", err)
	}
}

func TestPasswordChangedMeanwhileEndsTheStream(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, r := dialTest(t, testConfig(srv))
	srv.SetGate(xmpptest.Refuse)
	srv.Cut("alice@example.org")
	within(t, "Offline", r.offline)
	srv.AddAccount("alice@example.org", "new")
	srv.SetGate(xmpptest.Admit)
	s.NetworkChanged()
	within(t, "Done", s.Done())
	var auth *AuthError
	if !errors.As(s.Err(), &auth) || !auth.WrongPassword() {
		t.Errorf("Err = %v", s.Err())
	}
}

func TestSendWaitsWhileTheQueueIsFull(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, r := dialTest(t, testConfig(srv))
	srv.SetGate(xmpptest.Refuse)
	srv.Cut("alice@example.org")
	within(t, "Offline", r.offline)
	msg := []byte(`<message to='bob@example.org'/>`)
	for range maxOutbox {
		if err := s.Send(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Send(ctx, msg); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send into a full queue: %v", err)
	}
	srv.SetGate(xmpptest.Admit)
	s.NetworkChanged()
	if err := s.Send(t.Context(), msg); err != nil {
		t.Errorf("Send: %v", err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Errorf("Flush: %v", err)
	}
}

func TestSendRefusesWhatWouldEndTheStream(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, r := dialTest(t, testConfig(srv))
	for _, in := range []any{
		[]byte(``), []byte(`x`), []byte(`<message>`), []byte(`<message></presence>`), []byte(`<message/><message/>`),
		[]byte(`</stream:stream>`), []byte(`<message/></stream:stream>`), []byte(`<iq type='get'/>`), []byte(`<iq id='1'/>`),
		[]byte(`<wave/>`), []byte("<message>\x01</message>"), []byte(`<message><!-- x --></message>`), []byte(`<?xml version='1.0'?><message/>`),
		[]byte(`<message>` + strings.Repeat("x", 300<<10) + `</message>`), []byte(`<!DOCTYPE x><message/>`),
		struct {
			XMLName struct{} `xml:"message"`
			Raw     string   `xml:",innerxml"`
		}{Raw: "</message><message>"},
	} {
		if err := s.Send(t.Context(), in); err == nil {
			t.Errorf("sent %.80s", in)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.offline) > 0 {
		t.Errorf("lost the stream: %v", <-r.offline)
	}
}

func TestSendTakesEveryForm(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, _ := dialTest(t, testConfig(srv))
	to := jid.MustParse("alice@example.org/desk")
	echo := make(chan struct{}, 10)
	srv.Tap(func(st xmpptest.Stanza) {
		if st.Dir == xmpptest.FromClient && st.Is(nsClient, "message") && st.Get("to") == to.String() {
			echo <- struct{}{}
		}
	})
	for _, v := range []any{
		[]byte(`  <message to='alice@example.org/desk'/> `),
		stanza.Message{To: to}.Wrap(nil),
		stanza.Message{To: to, Type: stanza.ChatMessage},
		struct {
			stanza.Message
			Body string `xml:"body"`
		}{stanza.Message{To: to}, "a < b"},
		[]byte(`<inactive xmlns='urn:xmpp:csi:0'/>`),
	} {
		if err := s.Send(t.Context(), v); err != nil {
			t.Errorf("%T: %v", v, err)
		}
	}
	for range 4 {
		within(t, "message", echo)
	}
}

// A handler may ask while it handles: answers are read meanwhile.
func TestHandlersMayAsk(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	cfg := testConfig(srv)
	done := make(chan error, 1)
	var s *Stream
	s = New(cfg, Handler{
		Online: func(bool) { done <- ping(t.Context(), s) },
		Stanza: func(*Stanza) { done <- ping(t.Context(), s) },
	})
	if err := s.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := within(t, "answer in Online", done); err != nil {
		t.Error(err)
	}
	if _, err := srv.Inject("alice@example.org", `<message/>`); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "answer in Stanza", done); err != nil {
		t.Error(err)
	}
}

func TestCloseReleasesWhoWaits(t *testing.T) {
	for _, gate := range []xmpptest.Gate{xmpptest.Admit, xmpptest.Silent} {
		srv := testServer(t, xmpptest.Config{})
		asked := make(chan struct{}, 2)
		srv.HandleIQ("urn:example", func(*xmpptest.Element) (*xmpptest.Element, error) {
			asked <- struct{}{}
			return nil, xmpptest.ErrNoAnswer
		})
		inHandler, inCall := make(chan error, 1), make(chan error, 1)
		var s *Stream
		ask := func() error {
			_, err := s.IQ(context.Background(), jid.JID{}, stanza.GetIQ, []byte(`<q xmlns='urn:example'/>`))
			return err
		}
		s = New(testConfig(srv), Handler{Online: func(bool) { inHandler <- ask() }})
		if err := s.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		go func() { inCall <- ask() }()
		within(t, "question", asked)
		within(t, "question", asked)
		if gate != xmpptest.Admit {
			srv.SetGate(gate)
			srv.Cut("alice@example.org")
		}
		s.Close()
		for _, c := range []chan error{inHandler, inCall} {
			if err := within(t, "end of waiting", c); !errors.Is(err, net.ErrClosed) {
				t.Errorf("gate %v: IQ: %v", gate, err)
			}
		}
		s.Close() // twice is fine
	}
}

func TestCloseWhileConnecting(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	srv.SetGate(xmpptest.Silent)
	s := New(testConfig(srv), Handler{})
	err := make(chan error, 1)
	go func() { err <- s.Connect(context.Background()) }()
	s.Close()
	if err := within(t, "end of Connect", err); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Connect: %v", err)
	}
	if err := s.Send(t.Context(), []byte(`<presence/>`)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
}

func TestErrorAnswersAreErrors(t *testing.T) {
	srv := testServer(t, xmpptest.Config{})
	s, _ := dialTest(t, testConfig(srv))
	srv.HandleIQ("urn:example", func(*xmpptest.Element) (*xmpptest.Element, error) {
		return nil, &xmpptest.StanzaError{Type: "cancel", Condition: "item-not-found"}
	})
	st, err := s.IQ(t.Context(), jid.JID{}, stanza.GetIQ, []byte(`<q xmlns='urn:example'/>`))
	var se stanza.Error
	if st == nil || !errors.As(err, &se) || se.Condition != stanza.ItemNotFound || se.Type != stanza.Cancel {
		t.Errorf("answer = %v, %v", st, err)
	}
}
