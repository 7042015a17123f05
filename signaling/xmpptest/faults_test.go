package xmpptest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestInterceptDropsAndRetransmits(t *testing.T) {
	srv := newTestServer(t)
	alice, id := managed(t, srv, "alice@example.org/phone")
	alice.present()
	bob := online(t, srv, "bob@example.org/phone")
	remove := srv.Intercept(func(s Stanza) Verdict {
		return Verdict{Drop: s.Dir == ToClient && s.JID == alice.jid && strings.Contains(s.Element.String(), "lost")}
	})
	bob.message(alice.jid, "lost")
	bob.message(alice.jid, "found")
	alice.wantText("found")
	remove()
	srv.Cut(alice.jid)
	again, _ := resume(t, srv, alice.jid, id, 1)
	again.wantText("lost")
}

func TestInterceptDropsAcknowledgements(t *testing.T) {
	srv := newTestServer(t)
	alice, _ := managed(t, srv, "alice@example.org/phone")
	srv.Intercept(func(s Stanza) Verdict {
		return Verdict{Drop: s.Dir == ToClient && s.Is(nsSM, "a")}
	})
	alice.send(`<r xmlns="urn:xmpp:sm:3"/>`)
	for _, e := range alice.rest() {
		t.Errorf("got %s, want nothing", e)
	}
}

func TestInterceptSilencesAnIQ(t *testing.T) {
	srv := newTestServer(t)
	alice := mustLogin(t, srv, "alice@example.org/phone")
	srv.Intercept(func(s Stanza) Verdict {
		return Verdict{Drop: s.Dir == FromClient && s.Child(nsRoster, "query") != nil}
	})
	alice.send(`<iq xmlns="jabber:client" type="get" id="r"><query xmlns="jabber:iq:roster"/></iq>`)
	alice.quiet("silence")
}

func TestInterceptCutsAtAStanza(t *testing.T) {
	for _, dir := range []Direction{FromClient, ToClient} {
		srv := newTestServer(t)
		alice := online(t, srv, "alice@example.org/phone")
		bob := online(t, srv, "bob@example.org/phone")
		srv.Intercept(func(s Stanza) Verdict {
			return Verdict{Cut: s.Dir == dir && strings.Contains(s.Element.String(), "fatal")}
		})
		alice.message(bob.jid, "before")
		alice.message(bob.jid, "fatal")
		bob.wantText("before")
		victim := map[Direction]*client{FromClient: alice, ToClient: bob}[dir]
		victim.wantEnd()
		waitGone(t, srv, victim.jid)
	}
}

func TestInterceptDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.InMemory = true
		srv := Run(t, cfg)
		alice := rawClient(t, srv, "alice@example.org/phone")
		bob := rawClient(t, srv, "bob@example.org/phone")
		alice.send(`<presence xmlns="jabber:client"/>`)
		alice.rest()
		srv.Intercept(func(s Stanza) Verdict {
			if s.Dir == ToClient && s.JID == alice.jid {
				return Verdict{Delay: 3 * time.Second}
			}
			return Verdict{}
		})
		start := time.Now()
		for _, text := range []string{"one", "two", "three"} {
			bob.message(alice.jid, text)
		}
		for _, text := range []string{"one", "two", "three"} { // latency, not a slow line
			alice.wantText(text)
			if got := time.Since(start); got != 3*time.Second {
				t.Errorf("%s came after %v, want 3s", text, got)
			}
		}
	})
}

func TestInjectForges(t *testing.T) {
	srv := newTestServer(t)
	alice, _ := managed(t, srv, "alice@example.org/phone")
	push := `<iq type="set" id="evil" from="mallory@example.com" to="alice@example.org/phone"><query xmlns="jabber:iq:roster"><item jid="mallory@example.com" subscription="both"/></query></iq>`
	if n, err := srv.Inject("alice@example.org", push); n != 1 || err != nil {
		t.Fatalf("Inject = %d, %v, want 1 session", n, err)
	}
	e := alice.want("forgery", isPush)
	if e.Get("from") != "mallory@example.com" || e.payload().payload().Get("subscription") != "both" {
		t.Errorf("got %s, want it as injected", e)
	}
	alice.send(`<a xmlns="urn:xmpp:sm:3" h="1"/>`) // it counts
	if _, err := srv.Inject("", "<message>"); err == nil {
		t.Error("Inject of half a stanza: no error")
	}
	srv.InjectRaw(alice.jid, []byte("<message><body>half"))
	srv.InjectRaw(alice.jid, []byte(" and half</body></message>"))
	alice.wantText("half and half")
	alice.quiet("the rest is as before")
}

func TestExpel(t *testing.T) {
	srv := newTestServer(t)
	alice, id := managed(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	if n := srv.Expel("alice@example.org", "system-shutdown"); n != 1 {
		t.Errorf("Expel = %d, want 1", n)
	}
	if got := alice.wantEnd(); got != "system-shutdown" {
		t.Errorf("stream ended with %q, want system-shutdown", got)
	}
	if _, answer := resume(t, srv, alice.jid, id, 0); !answer.Is(nsSM, "failed") {
		t.Errorf("answer = %s, want failed", answer)
	}
	bob.quiet("someone else")
}

func TestTapShowsTheConversation(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	bob := online(t, srv, "bob@example.org/phone")
	alice.rest()
	var lines []string
	done := make(chan struct{})
	remove := srv.Tap(func(s Stanza) {
		if lines = append(lines, s.String()); len(lines) == 2 {
			close(done)
		}
	})
	wait := srv.Expect(func(s Stanza) bool { return s.Dir == ToClient && s.Name.Local == "message" })
	alice.send(`<message xmlns="jabber:client" id="m" to="bob@example.org/phone"><subject>hi</subject></message>`)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := wait(ctx)
	if err != nil || got.JID != bob.jid {
		t.Fatalf("Expect = %v, %v, want the message to bob", got, err)
	}
	<-done
	remove()
	want := []string{
		`alice@example.org/phone -> <message xmlns="jabber:client" id="m" to="bob@example.org/phone"><subject>hi</subject></message>`,
		`bob@example.org/phone <- <message xmlns="jabber:client" id="m" from="alice@example.org/phone" to="bob@example.org/phone"><subject>hi</subject></message>`,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("transcript\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	expired, cancelNow := context.WithCancel(context.Background())
	cancelNow()
	if _, err := srv.Expect(func(Stanza) bool { return false })(expired); err == nil {
		t.Error("Expect of nothing: no error")
	}
}

// An observer may act on the server and remove itself.
func TestInterceptMayCallTheServer(t *testing.T) {
	srv := newTestServer(t)
	alice := online(t, srv, "alice@example.org/phone")
	var remove func()
	ready := make(chan struct{})
	remove = srv.Intercept(func(s Stanza) Verdict {
		<-ready
		remove()
		srv.Cut("alice@example.org")
		return Verdict{}
	})
	close(ready)
	alice.write(`<presence xmlns="jabber:client"/>`)
	alice.wantEnd()
}
