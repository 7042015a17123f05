package jingle_test

import (
	"bytes"
	"encoding/xml"
	"testing"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
)

// initiate returns the session-initiate of a real Dino, and its bytes.
func initiate(b *testing.B) (*jingle.Jingle, []byte) {
	for _, c := range jingletest.Captures(b, "testdata/captures/dino-video-cameras.xml") {
		if el := c.Child(jingle.NS, "jingle"); el != nil {
			return decode(b, el), el
		}
	}
	b.Fatal("no session-initiate in the capture")
	return nil, nil
}

func BenchmarkDecodeSessionInitiate(b *testing.B) {
	_, data := initiate(b)
	reg := jingletest.Registry()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reg.Decode(xml.NewDecoder(bytes.NewReader(data))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeSessionInitiate(b *testing.B) {
	j, data := initiate(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xml.Marshal(j); err != nil {
			b.Fatal(err)
		}
	}
}

// Both engines of a call: offer, five candidates each way, answer, mute, end.
func BenchmarkSessions(b *testing.B) {
	offer := jingletest.Contents("audio")
	type side struct {
		s     *jingle.Session
		sends []jingle.Send
	}
	var a, z side
	take := func(s *side, effects []jingle.Effect, err error) {
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range effects {
			if e, ok := e.(jingle.Send); ok {
				s.sends = append(s.sends, e)
			}
		}
	}
	deliver := func(from, to *side) {
		for len(from.sends) > 0 {
			e := from.sends[0]
			from.sends = from.sends[1:]
			reply, effects := to.s.Receive(e.Jingle)
			if reply.Err != nil {
				b.Fatal(reply.Err)
			}
			take(to, effects, nil)
			take(from, from.s.Sent(e.ID, nil), nil)
		}
	}
	do := func(from, to *side, effects []jingle.Effect, err error) {
		take(from, effects, err)
		deliver(from, to)
		deliver(to, from)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		a = side{s: jingle.NewSession(jingle.Config{SID: "s", Role: jingle.Initiator, Local: jingletest.InitiatorJID, Peer: jingletest.ResponderJID})}
		z = side{s: jingle.NewSession(jingle.Config{SID: "s", Role: jingle.Responder, Local: jingletest.ResponderJID, Peer: jingletest.InitiatorJID})}
		effects, err := a.s.Initiate(offer)
		do(&a, &z, effects, err)
		for range 5 {
			effects, err = a.s.TransportInfo(offer)
			do(&a, &z, effects, err)
			effects, err = z.s.TransportInfo(offer)
			do(&z, &a, effects, err)
		}
		effects, err = z.s.Accept(offer)
		do(&z, &a, effects, err)
		effects, err = z.s.Info(nil)
		do(&z, &a, effects, err)
		do(&a, &z, a.s.Terminate(jingle.Reason{}), nil)
		if z.s.State() != jingle.StateEnded {
			b.Fatalf("the responder's session is %s", z.s.State())
		}
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "sessions/s")
}
