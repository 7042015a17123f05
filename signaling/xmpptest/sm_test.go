package xmpptest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// managed logs in with stream management and returns the id for resumption.
func managed(t testing.TB, srv *Server, account string) (*client, string) {
	t.Helper()
	c := rawClient(t, srv, account)
	c.send(`<enable xmlns="urn:xmpp:sm:3" resume="true"/>`)
	e := c.want("enabled", func(e *Element) bool { return e.Is(nsSM, "enabled") })
	if e.Get("resume") != "true" || e.Get("id") == "" || e.Get("max") != "60" {
		t.Fatalf("got %s, want a session that can be resumed for 60 seconds", e)
	}
	return c, e.Get("id")
}

// handled asks how many stanzas the server has handled.
func (c *client) handled() string {
	c.t.Helper()
	c.send(`<r xmlns="urn:xmpp:sm:3"/>`)
	return c.want("acknowledgement", func(e *Element) bool { return e.Is(nsSM, "a") }).Get("h")
}

// resume logs in again and returns the client and the server's answer.
func resume(t testing.TB, srv *Server, account, id string, h int) (*client, *Element) {
	t.Helper()
	c := rawLogin(t, srv, account)
	c.send(fmt.Sprintf(`<resume xmlns="urn:xmpp:sm:3" previd="%s" h="%d"/>`, id, h))
	return c, c.want("answer to resume", func(e *Element) bool { return e.Is(nsSM, "resumed") || e.Is(nsSM, "failed") })
}

func waitDisconnected(t testing.TB, srv *Server, jid string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.WaitSessions(ctx, jid, func(s []Session) bool { return len(s) == 1 && !s[0].Connected }); err != nil {
		t.Fatalf("%s is %+v: %v", jid, srv.Sessions(jid), err)
	}
}

func TestAcknowledgements(t *testing.T) {
	srv := newTestServer(t)
	alice, _ := managed(t, srv, "alice@example.org/phone")
	if h := alice.handled(); h != "0" {
		t.Errorf("h = %s after enabling, want 0", h)
	}
	alice.present() // one stanza out, one in
	alice.want("request", func(e *Element) bool { return e.Is(nsSM, "r") })
	alice.mustIQ("get", "", `<ping xmlns="urn:xmpp:ping"/>`)
	if h := alice.handled(); h != "2" {
		t.Errorf("h = %s, want 2", h)
	}
	alice.send(`<a xmlns="urn:xmpp:sm:3" h="2"/>`)
	if h := alice.handled(); h != "2" {
		t.Errorf("h = %s, want 2: only stanzas count", h)
	}
	alice.send(`<a xmlns="urn:xmpp:sm:3" h="3"/>`)
	e := alice.want("stream error", func(e *Element) bool { return e.Is(nsStream, "error") })
	if x := e.Child(nsSM, "handled-count-too-high"); x == nil || x.Get("send-count") != "2" {
		t.Errorf("stream error = %s, want handled-count-too-high with send-count 2", e)
	}
}

func TestResume(t *testing.T) {
	srv := newTestServer(t)
	srv.Befriend("alice@example.org", "bob@example.org")
	alice, id := managed(t, srv, "alice@example.org/phone")
	alice.present() // 1 stanza received
	bob := online(t, srv, "bob@example.org/phone")
	alice.want("bob", isPresence(bob.jid, "")) // 2
	bob.message(alice.jid, "one")
	alice.wantText("one") // 3
	alice.message("bob@example.org", "from alice")
	bob.wantText("from alice")

	// What bob sends while alice's network is dead, is lost with it, and comes again.
	srv.Freeze(alice.jid)
	bob.message(alice.jid, "two")
	bob.message(alice.jid, "three")
	alice.message("bob@example.org", "swallowed")
	bob.rest()
	srv.Cut(alice.jid)
	waitDisconnected(t, srv, alice.jid)
	bob.message(alice.jid, "four")
	bob.quiet("alice stays online")

	again, answer := resume(t, srv, "alice@example.org/phone", id, 3)
	if !answer.Is(nsSM, "resumed") || answer.Get("h") != "2" || answer.Get("previd") != id {
		t.Fatalf("answer = %s, want resumed with h 2", answer)
	}
	for _, text := range []string{"two", "three", "four"} {
		got := again.want("a message", func(e *Element) bool { return e.Is("", "message") })
		if body := got.Child(nsClient, "body").Text(); body != text {
			t.Errorf("message = %q, want %q", body, text)
		}
	}
	again.quiet("nothing comes twice")
	again.message("bob@example.org", "swallowed")
	bob.wantText("swallowed")
	if h := again.handled(); h != "4" { // presence, two messages, the ping of quiet
		t.Errorf("h = %s, want 4", h)
	}
	if got := srv.Sessions("alice@example.org"); len(got) != 1 || !got[0].Connected || !got[0].Available {
		t.Errorf("sessions = %+v, want one, connected and available", got)
	}
}

func TestResumeTakesOverALiveConnection(t *testing.T) {
	srv := newTestServer(t)
	alice, id := managed(t, srv, "alice@example.org/phone")
	alice.present()
	again, answer := resume(t, srv, "alice@example.org/phone", id, 1)
	if !answer.Is(nsSM, "resumed") {
		t.Fatalf("answer = %s, want resumed", answer)
	}
	if got := alice.wantEnd(); got != "conflict" {
		t.Errorf("older stream ended with %q, want conflict", got)
	}
	again.quiet("after taking over")
}

func TestResumeFails(t *testing.T) {
	t.Run("unknown id", func(t *testing.T) {
		srv := newTestServer(t)
		c, answer := resume(t, srv, "alice@example.org/phone", "nonsense", 0)
		if answer.payload() == nil || !answer.payload().Is(nsStanzas, "item-not-found") {
			t.Errorf("answer = %s, want item-not-found", answer)
		}
		c.send(bindRequest("phone")) // the stream is still good for binding
		c.want("binding", func(e *Element) bool { return e.Get("type") == "result" })
	})
	t.Run("someone else's id", func(t *testing.T) {
		srv := newTestServer(t)
		_, id := managed(t, srv, "alice@example.org/phone")
		if _, answer := resume(t, srv, "bob@example.org/phone", id, 0); !answer.Is(nsSM, "failed") {
			t.Errorf("answer = %s, want failed", answer)
		}
	})
	t.Run("forgotten", func(t *testing.T) {
		srv := newTestServer(t)
		alice, id := managed(t, srv, "alice@example.org/phone")
		srv.Cut(alice.jid)
		waitDisconnected(t, srv, alice.jid)
		srv.Forget(alice.jid)
		if got := srv.Sessions(""); len(got) != 0 {
			t.Errorf("sessions = %+v, want none", got)
		}
		if _, answer := resume(t, srv, "alice@example.org/phone", id, 0); !answer.Is(nsSM, "failed") || answer.Get("h") != "" {
			t.Errorf("answer = %s, want failed without h", answer)
		}
	})
	t.Run("closed on purpose", func(t *testing.T) {
		srv := newTestServer(t)
		alice, id := managed(t, srv, "alice@example.org/phone")
		alice.send("</stream:stream>")
		alice.wantEnd()
		if _, answer := resume(t, srv, "alice@example.org/phone", id, 0); !answer.Is(nsSM, "failed") {
			t.Errorf("answer = %s, want failed", answer)
		}
	})
	t.Run("not offered", func(t *testing.T) {
		cfg := testConfig()
		cfg.Hibernation = -1
		srv := Run(t, cfg)
		alice := rawClient(t, srv, "alice@example.org/phone")
		alice.send(`<enable xmlns="urn:xmpp:sm:3" resume="true"/>`)
		if e := alice.want("enabled", func(e *Element) bool { return e.Is(nsSM, "enabled") }); e.Get("resume") != "" {
			t.Errorf("got %s, want no resumption", e)
		}
		srv.Cut(alice.jid)
		waitGone(t, srv, alice.jid)
	})
	t.Run("h too high", func(t *testing.T) {
		srv := newTestServer(t)
		alice, id := managed(t, srv, "alice@example.org/phone")
		srv.Cut(alice.jid)
		waitDisconnected(t, srv, alice.jid)
		c := rawLogin(t, srv, "alice@example.org/phone")
		c.send(`<resume xmlns="urn:xmpp:sm:3" previd="` + id + `" h="7"/>`)
		if got := c.wantEnd(); got != "undefined-condition" {
			t.Errorf("stream ended with %q, want undefined-condition", got)
		}
	})
}

func waitGone(t testing.TB, srv *Server, jid string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.WaitSessions(ctx, jid, func(s []Session) bool { return len(s) == 0 }); err != nil {
		t.Fatalf("%s is %+v: %v", jid, srv.Sessions(jid), err)
	}
}

// What a session that times out has not acknowledged is not lost: messages
// wait or go to other devices, requests are answered with an error.
func TestHibernationEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.InMemory = true
		srv := Run(t, cfg)
		alice, id := managed(t, srv, "alice@example.org/phone")
		alice.send(`<presence xmlns="jabber:client"/>`)
		alice.handled()
		bob := rawClient(t, srv, "bob@example.org/phone")
		srv.Cut(alice.jid)
		waitDisconnected(t, srv, alice.jid)
		bob.message("alice@example.org/phone", "for the phone")
		bob.message("alice@example.org", "for anyone")
		bob.message("alice@example.org/phone", "unstorable", `<no-store xmlns="urn:xmpp:hints"/>`)
		bob.send(`<iq xmlns="jabber:client" type="get" id="ask" to="alice@example.org/phone"><ping xmlns="urn:xmpp:ping"/></iq>`)
		bob.quiet("while alice may come back")
		sent := time.Now()

		if err := srv.WaitSessions(t.Context(), "alice@example.org", func(s []Session) bool { return len(s) == 0 }); err != nil {
			t.Fatal(err)
		}
		if e := bob.want("error", func(e *Element) bool { return e.Get("id") == "ask" }); condition(e) != "service-unavailable" {
			t.Errorf("answer = %s, want service-unavailable", e)
		}
		again, answer := resume(t, srv, "alice@example.org/phone", id, 0)
		if !answer.Is(nsSM, "failed") || answer.Get("h") != "1" {
			t.Errorf("answer = %s, want failed with h 1", answer)
		}
		again.send(bindRequest("phone"))
		again.send(`<presence xmlns="jabber:client"/>`)
		for _, text := range []string{"for the phone", "for anyone"} {
			m := again.wantText(text)
			if d := m.Child(nsDelay, "delay"); d == nil || d.Get("stamp") != stamp(sent) {
				t.Errorf("message = %s, want a delay of %s", m, stamp(sent))
			}
		}
		again.quiet("no more")
	})
}

func TestUnacknowledgedMessageGoesToAnotherDevice(t *testing.T) {
	srv := newTestServer(t)
	phone, _ := managed(t, srv, "alice@example.org/phone")
	phone.present()
	tablet := online(t, srv, "alice@example.org/tablet")
	bob := mustLogin(t, srv, "bob@example.org/phone")
	srv.Cut(phone.jid)
	waitDisconnected(t, srv, phone.jid)
	bob.message("alice@example.org", "for both")
	tablet.wantText("for both")
	bob.message(phone.jid, "for the phone")
	bob.rest()
	srv.Forget(phone.jid)
	if m := tablet.want("message", func(e *Element) bool { return e.Is("", "message") }); m.Child(nsClient, "body").Text() != "for the phone" {
		t.Errorf("message = %s, want that for the phone, and not twice that for both", m)
	}
}

// A client that neither reads nor acknowledges is dropped before it costs memory without end.
func TestUnacknowledgedStanzasAreBounded(t *testing.T) {
	srv := newTestServer(t)
	alice, _ := managed(t, srv, "alice@example.org/phone")
	alice.present()
	bob := rawClient(t, srv, "bob@example.org/phone")
	srv.Cut(alice.jid)
	waitDisconnected(t, srv, alice.jid)
	for i := range maxUnacked + 1 {
		bob.send(`<message xmlns="jabber:client" type="chat" id="` + strconv.Itoa(i) + `" to="alice@example.org/phone"/>`)
	}
	waitGone(t, srv, alice.jid)
}
