package signaling

import (
	"fmt"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

const voice = `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>`

// propose sends a proposal as a message of its own making.
func propose(t *testing.T, from *Client, to, sid string) {
	t.Helper()
	send(t, from, `<message to='%s' type='chat' id='jm-propose-%s'><propose xmlns='%s' id='%s'>%s</propose><request xmlns='urn:xmpp:receipts'/></message>`, to, sid, jmi.NS, sid, voice)
}

func TestAnsweredElsewhereBeforeTheProposalCame(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	other := login(t, srv, bob)
	for _, kind := range []string{"accept", "proceed", "reject", "finish"} {
		to := bob
		if kind != "accept" {
			to = a.JID().String() // a copy of what went to the caller
		}
		said := fmt.Sprintf(`<message xmlns='jabber:client' from='%s' to='%s' type='chat'><%s xmlns='%s' id='%s'/></message>`, other.JID(), to, kind, jmi.NS, kind)
		if kind != "accept" {
			said = fmt.Sprintf(`<message from='%s' to='%s'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>%s</forwarded></sent></message>`, bob, b.JID(), said)
		}
		if _, err := srv.Inject(b.JID().String(), said); err != nil {
			t.Fatal(err)
		}
		// Copies come from the bare JID, the rest from the other device.
		settled(t, other, b)
		if _, err := b.IQ(ctx(t), jid.JID{}, stanza.GetIQ, []byte(`<query xmlns='http://jabber.org/protocol/disco#info'/>`)); err != nil {
			t.Fatal(err)
		}
		propose(t, a, b.JID().String(), kind)
	}
	propose(t, a, b.JID().String(), "new")
	if in := incoming(t, b); in.SID() != "new" {
		t.Errorf("the call %q rings, which another device took", in.SID())
	}
}

func TestTheSameProposalTwice(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	propose(t, a, b.JID().String(), "one")
	in := incoming(t, b)
	in.Reject(jingle.Reason{})
	wait(t, "end", in.Done())
	propose(t, a, b.JID().String(), "one")
	propose(t, a, b.JID().String(), "two")
	if in := incoming(t, b); in.SID() != "two" {
		t.Errorf("the call %q rings, want only the new one", in.SID())
	}
}

func TestCallsNotWanted(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, c := login(t, srv, alice), login(t, srv, carol)
	b := login(t, srv, bob, func(cfg *Config) {
		cfg.Wanted = func(j jid.JID) bool { return j.String() == carol }
	})
	seen := tap(t, srv)
	propose(t, a, bob, "unwanted")
	settled(t, a, b)
	propose(t, c, bob, "wanted")
	if in := incoming(t, b); in.SID() != "wanted" {
		t.Errorf("the call %q rings", in.SID())
	}
	if got := seen.find(func(st xmpptest.Stanza) bool {
		return st.Dir == xmpptest.FromClient && st.JID == b.JID().String() && st.Get("to") == a.JID().String() && st.Child(jmi.NS, "ringing") != nil
	}); len(got) != 0 {
		t.Errorf("the caller was told %v", got)
	}
	got := seen.find(func(st xmpptest.Stanza) bool {
		r := st.Child(nsReceipts, "received")
		return st.Dir == xmpptest.FromClient && st.JID == b.JID().String() && r != nil && r.Get("id") == "jm-propose-unwanted"
	})
	if len(got) != 0 {
		t.Errorf("the caller got a receipt: %v", got)
	}
}

// The copy for other devices comes before the message, as some servers do it.
func TestCallOfAnotherOwnDevice(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	b1, b2 := login(t, srv, bob), login(t, srv, bob)
	msg := fmt.Sprintf(`<message xmlns='jabber:client' from='%s' to='%s' type='chat' id='jm-propose-self'><propose xmlns='%s' id='self'>%s</propose><origin-id xmlns='urn:xmpp:sid:0' id='x'/></message>`, b1.JID(), bob, jmi.NS, voice)
	copied := fmt.Sprintf(`<message from='%s' to='%s'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>%s</forwarded></sent></message>`, bob, b2.JID(), msg)
	for _, st := range []string{copied, msg} {
		if _, err := srv.Inject(b2.JID().String(), st); err != nil {
			t.Fatal(err)
		}
	}
	if in := incoming(t, b2); in.SID() != "self" || !in.From().Equal(b1.JID()) {
		t.Errorf("call %q from %v", in.SID(), in.From())
	}
}

// A device that sleeps, and does not say what it can do, holds up nothing.
func TestCallDoesNotWaitForASleepingDevice(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	asleep := login(t, srv, bob, func(cfg *Config) { cfg.Name = "asleep" }) // and so with other capabilities
	t.Cleanup(srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
		return xmpptest.Verdict{Drop: st.Dir == xmpptest.ToClient && st.JID == asleep.JID().String() &&
			st.Child("http://jabber.org/protocol/disco#info", "query") != nil}
	}))
	seesDevices(t, a, bob, 2)
	began := time.Now()
	if _, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d >= discoTimeout {
		t.Errorf("the proposal took %v", d)
	}
	incoming(t, b)
	heal(t, srv, asleep)
}

// Their word that the call is over may come before their server's that they
// took ours: it was we who hung up all the same.
func TestFinishThatOvertakesTheAnswerToOurEnd(t *testing.T) {
	for _, ours := range []bool{true, false} {
		over := jingle.Ended{Reason: jingle.Reason{Condition: jingle.Success}}
		k := &call{dialed: jid.MustParse(bob), active: true, hungUp: ours, session: &session{}}
		if ours {
			k.ended(jmi.Ended{Outcome: jmi.OutcomeFinished, Reason: &over.Reason, Remote: true})
		} else { // Monal says nothing else
			k.finished = &jmi.Ended{Outcome: jmi.OutcomeFinished, Reason: &over.Reason, Remote: true}
		}
		if got := k.sessionResult(over); got.Remote == ours || got.Outcome != Answered {
			t.Errorf("we hung up %v: %+v", ours, got)
		}
	}
}
