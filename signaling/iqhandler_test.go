package signaling

import (
	"encoding/xml"
	"errors"
	"testing"

	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

type box struct {
	XMLName xml.Name `xml:"urn:example:box put"`
	N       int      `xml:"n,attr"`
}

func TestHandleIQAsksInTurnAndKeepsTheOrder(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b := login(t, srv, alice), login(t, srv, bob)
	var got []int
	take := func(from jid.JID, r xml.TokenReader) error {
		if !from.Equal(a.JID()) {
			t.Errorf("from = %s, want %s", from, a.JID())
		}
		var p box
		if err := xml.NewTokenDecoder(r).Decode(&p); err != nil {
			return err
		}
		got = append(got, p.N)
		return nil
	}
	first := b.HandleIQ("urn:example:box", func(jid.JID, xml.TokenReader) error {
		return stanza.Error{Type: stanza.Cancel, Condition: stanza.ItemNotFound}
	})
	second := b.HandleIQ("urn:example:box", take)

	const n = 50
	var waits []func() error
	for i := range n {
		wait, err := a.Ask(ctx(t), b.JID(), stanza.SetIQ, &box{N: i})
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, func() error { _, err := wait(ctx(t)); return err })
	}
	for i, wait := range waits {
		if err := wait(); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	for i := range got {
		if got[i] != i {
			t.Fatalf("request %d came as number %d", got[i], i)
		}
	}
	if len(got) != n {
		t.Errorf("%d requests were handled, want %d", len(got), n)
	}

	condition := func(typ stanza.IQType) stanza.Condition {
		_, err := a.IQ(ctx(t), b.JID(), typ, &box{})
		var answer *AnswerError
		if !errors.As(err, &answer) {
			t.Fatalf("error = %v, want an answer", err)
		}
		return answer.Err.Condition
	}
	if got := condition(stanza.GetIQ); got != stanza.ServiceUnavailable {
		t.Errorf("a get is answered %s, want service-unavailable", got)
	}
	second()
	if got := condition(stanza.SetIQ); got != stanza.ItemNotFound {
		t.Errorf("nobody's is answered %s, want item-not-found", got)
	}
	first()
	if got := condition(stanza.SetIQ); got != stanza.ServiceUnavailable {
		t.Errorf("after all are gone it is answered %s, want service-unavailable", got)
	}
}

func TestStrangersOfferIsToldToUsOnly(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	b, m := login(t, srv, bob), login(t, srv, mallory)
	news := b.Subscribe(16)
	defer news.Close()
	b.Handle("urn:xmpp:jingle:apps:rtp:1", nil)
	if _, err := m.Open(ctx(t), b.JID(), "", newApp()); err != nil {
		t.Fatal(err)
	}
	for {
		o, ok := wait(t, "offer of a stranger", news.Events()).(StrangerOffered)
		if !ok {
			continue
		}
		if !o.Offer.From.Equal(m.JID()) || o.Offer.Known || len(o.Offer.Jingle.Contents) != 1 {
			t.Errorf("offer = %+v", o.Offer)
		}
		return
	}
}
