package jingle_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/rtp"
)

func FuzzDecode(f *testing.F) {
	for _, file := range captureFiles(f) {
		for _, c := range jingletest.Captures(f, file) {
			if el := c.Child(jingle.NS, "jingle"); el != nil {
				f.Add(el)
			}
		}
	}
	f.Add([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='a'><a:b xmlns:a='c' a:d='e' xml:lang='f'>&#65;<g/></a:b><reason><gone/></reason></jingle>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := jingletest.Registry().Decode(xml.NewDecoder(bytes.NewReader(data)))
		if err != nil {
			return
		}
		again, err := xml.Marshal(j)
		if err != nil {
			if j.Action.Known() && !slices.ContainsFunc(j.Contents, func(c jingle.Content) bool { return c.Name == "" }) {
				t.Fatalf("decoded, but does not encode: %v", err)
			}
			return
		}
		k, err := jingletest.Registry().Decode(xml.NewDecoder(bytes.NewReader(again)))
		if err != nil {
			t.Fatalf("written again, it does not decode: %v\n%s", err, again)
		}
		third, err := xml.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(again), string(third)); diff != "" {
			t.Errorf("written differently the second time:\n%s", diff)
		}
	})
}

func FuzzReason(f *testing.F) {
	f.Add([]byte(`<reason xmlns='urn:xmpp:jingle:1'><alternative-session><sid>a</sid></alternative-session><text>b</text></reason>`))
	f.Add([]byte(`<reason xmlns='urn:xmpp:jingle:1'><failed_transport/><x/></reason>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r, again jingle.Reason
		if xml.Unmarshal(data, &r) != nil {
			return
		}
		out, err := xml.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(out, &again); err != nil || again != r {
			t.Errorf("%+v became %+v, %v by %s", r, again, err, out)
		}
	})
}

func FuzzError(f *testing.F) {
	f.Add([]byte(`<error type='cancel' by='a@b/c'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text>b</text><tie-break xmlns='urn:xmpp:jingle:errors:1'/></error>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e, again jingle.Error
		if xml.Unmarshal(data, &e) != nil {
			return
		}
		if e.Error() == "" {
			t.Error("an error without words")
		}
		if e.Stanza.Type == "" || e.Stanza.Condition == "" {
			return // defaults are written
		}
		out, err := xml.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(out, &again); err != nil || again.Error() != e.Error() || again.Stanza.Type != e.Stanza.Type {
			t.Errorf("%v became %v, %v by %s", &e, &again, err, out)
		}
	})
}

// A monkey drives an engine with whatever bytes say and checks what must always
// hold.
type monkey struct {
	t      *testing.T
	data   []byte
	s      *jingle.Session
	sent   []jingle.ActionID // unanswered
	lastID jingle.ActionID
	timers map[jingle.TimerID]bool
	ended  bool
}

// pick takes a number below n from the data.
func (m *monkey) pick(n int) int {
	if len(m.data) == 0 {
		return 0
	}
	b := int(m.data[0])
	m.data = m.data[1:]
	return b % n
}

var (
	fuzzNames   = []string{"audio", "video", "video2", "screen", "a-name-that-is-too-long", ""}
	fuzzSenders = []jingle.Senders{"", "both", "initiator", "responder", "none", "everybody"}
	fuzzErrors  = []error{
		nil, nil, nil, jingle.NewError(jingle.TieBreak), jingle.NewError(jingle.OutOfOrder),
		jingle.NewError(jingle.UnknownSession), jingle.StanzaError("service-unavailable", "x"), fmt.Errorf("no answer"),
	}
)

func (m *monkey) contents() *jingle.Jingle {
	j := &jingle.Jingle{SID: "s"}
	for range m.pick(4) {
		c := jingle.Content{Name: fuzzNames[m.pick(len(fuzzNames))], Senders: fuzzSenders[m.pick(len(fuzzSenders))]}
		switch m.pick(8) {
		case 0:
		case 1:
			c.Description, c.Transport = new(jingle.Unknown), jingletest.Transport()
		case 2:
			c.Description, c.Transport = jingletest.Description(c.Name), new(jingle.Unknown)
		case 3:
			c.Transport = &iceudp.Transport{Ufrag: "u", Pwd: "p"}
		default:
			c.Description, c.Transport = jingletest.Description(c.Name), jingletest.Transport()
		}
		j.Contents = append(j.Contents, c)
	}
	switch m.pick(4) {
	case 0:
		j.Reason = &jingle.Reason{Condition: jingle.Gone}
	case 1:
		j.Payloads = []jingle.Payload{new(jingle.Unknown), rtp.NewInfo("hold")}[m.pick(2):]
	}
	return j
}

func (m *monkey) names() []string {
	var names []string
	for range m.pick(3) {
		names = append(names, fuzzNames[m.pick(len(fuzzNames))])
	}
	return names
}

// act does one thing and returns its effects.
func (m *monkey) act() []jingle.Effect {
	s, must := m.s, func(e []jingle.Effect, err error) []jingle.Effect {
		if err != nil && len(e) > 0 {
			m.t.Fatalf("error %v and effects %v", err, e)
		}
		return e
	}
	switch m.pick(24) {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		j := m.contents()
		j.Action = append(jingle.Actions, "session-dance")[m.pick(len(jingle.Actions)+1)]
		before := s.State()
		_, taken := jingle.Allowed(before, s.Role().Peer(), j.Action)
		reply, effects := s.Receive(j)
		if reply.Err != nil && len(effects) > 0 {
			m.t.Fatalf("%s refused with %v, and effects %v", j.Action, reply.Err, effects)
		}
		if !taken && reply.Err == nil {
			m.t.Fatalf("%s taken from %s while %s", j.Action, s.Role().Peer(), before)
		}
		return effects
	case 8, 9, 10:
		if len(m.sent) == 0 {
			return nil
		}
		i := m.pick(len(m.sent))
		id := m.sent[i]
		m.sent = slices.Delete(m.sent, i, i+1)
		return s.Sent(id, fuzzErrors[m.pick(len(fuzzErrors))])
	case 11:
		return s.Sent(jingle.ActionID(m.pick(256)), fuzzErrors[m.pick(len(fuzzErrors))])
	case 12:
		for id := range m.timers {
			delete(m.timers, id)
			return s.TimerFired(id)
		}
		return s.TimerFired(jingle.TimerID(m.pick(256)))
	case 13:
		return must(s.Accept(m.contents()))
	case 14:
		if m.pick(8) == 0 {
			return s.Terminate(jingle.Reason{})
		}
		return must(s.Initiate(m.contents()))
	case 15:
		return must(s.TransportInfo(m.contents()))
	case 16:
		return must(s.AddContent(m.contents()))
	case 17:
		return must(s.AcceptContent(m.contents()))
	case 18:
		return must(s.RejectContent(nil, m.names()...))
	case 19:
		return must(s.RemoveContent(nil, m.names()...))
	case 20:
		return must(s.ModifyContent(fuzzNames[m.pick(len(fuzzNames))], fuzzSenders[m.pick(len(fuzzSenders))]))
	case 21:
		return must(s.ReplaceTransport(m.contents()))
	case 22:
		if m.pick(2) == 0 {
			return must(s.RejectTransport(m.names()...))
		}
		return must(s.AcceptTransport(m.contents()))
	case 23:
		switch m.pick(3) {
		case 0:
			return must(s.RestartTransports(m.contents()))
		case 1:
			return must(s.DescriptionInfo(m.contents()))
		}
		return must(s.Info(nil))
	}
	return nil
}

// step does one thing and checks what came of it.
func (m *monkey) step() {
	before := m.s.State()
	effects := m.act()
	after := m.s.State()
	if after < before {
		m.t.Fatalf("from %s back to %s", before, after)
	}
	if before == jingle.StateEnded && len(effects) > 0 {
		m.t.Fatalf("effects after the end: %v", effects)
	}
	for i, e := range effects {
		switch e := e.(type) {
		case jingle.Send:
			if e.ID <= m.lastID {
				m.t.Fatalf("action %d sent after %d", e.ID, m.lastID)
			}
			m.lastID = e.ID
			m.sent = append(m.sent, e.ID)
			state := before
			if e.Jingle.Action == jingle.ActionSessionTerminate {
				state = jingle.StatePending
			}
			if sent, _ := jingle.Allowed(max(state, jingle.StateCreated), m.s.Role(), e.Jingle.Action); !sent && after != jingle.StateEnded {
				if sent, _ = jingle.Allowed(after, m.s.Role(), e.Jingle.Action); !sent {
					m.t.Fatalf("%s sent while %s", e.Jingle.Action, before)
				}
			}
			if _, err := xml.Marshal(e.Jingle); err != nil && !hasUnknown(e.Jingle) {
				m.t.Fatalf("sends what cannot be written: %v", err)
			}
		case jingle.StartTimer:
			if m.timers[e.ID] {
				m.t.Fatalf("timer %d started twice", e.ID)
			}
			m.timers[e.ID] = true
		case jingle.StopTimer:
			if !m.timers[e.ID] {
				m.t.Fatalf("timer %d stopped and does not run", e.ID)
			}
			delete(m.timers, e.ID)
		case jingle.Ended:
			if m.ended || i != len(effects)-1 {
				m.t.Fatalf("ended twice, or not at last: %v", effects)
			}
			m.ended = true
		}
	}
	if m.ended != (after == jingle.StateEnded) {
		m.t.Fatalf("state %s, ended %t", after, m.ended)
	}
	if m.ended && len(m.timers) > 0 {
		m.t.Fatalf("ended with timers %v", m.timers)
	}
	contents := m.s.Contents()
	if len(contents) > jingle.MaxContents || len(m.timers) > 2*jingle.MaxContents+1 {
		m.t.Fatalf("%d contents, %d timers", len(contents), len(m.timers))
	}
	if after == jingle.StateActive && len(contents) == 0 {
		m.t.Fatal("an active session without contents")
	}
	for i, c := range contents {
		if slices.ContainsFunc(contents[:i], func(d jingle.ContentStatus) bool { return d.Name == c.Name }) {
			m.t.Fatalf("two contents %q", c.Name)
		}
		if c.Senders == "" || c.Senders == "everybody" || c.Name == "" {
			m.t.Fatalf("content %+v", c)
		}
	}
}

// hasUnknown reports whether an element has the nameless elements that contents
// makes.
func hasUnknown(j *jingle.Jingle) bool {
	return slices.ContainsFunc(j.Contents, func(c jingle.Content) bool {
		_, d := c.Description.(*jingle.Unknown)
		_, t := c.Transport.(*jingle.Unknown)
		return d || t
	}) || len(j.Payloads) > 0
}

// Whatever comes in whatever order, no state is left but by the table, and the
// end is final.
func FuzzSession(f *testing.F) {
	f.Add([]byte("\x00\x0e\x01\x01\x00\x01\x07\x03\x08\x00\x00\x00\x01\x00\x01\x07\x03\x07"))
	for i := range 40 {
		seed := make([]byte, 400)
		x := uint32(i)*2654435761 + 1
		for k := range seed {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			seed[k] = byte(x >> 11)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &monkey{t: t, data: data, timers: make(map[jingle.TimerID]bool)}
		role := jingle.Role(m.pick(2))
		m.s = jingle.NewSession(jingle.Config{SID: "s", Role: role, Local: jingletest.InitiatorJID, Peer: jingletest.ResponderJID})
		// Most sequences of random steps never get past the first one.
		switch m.pick(4) {
		case 0:
		default:
			j := jingletest.Contents("audio", "video")
			j.SID = "s"
			if role == jingle.Initiator {
				m.effects(m.s.Initiate(j))
				j.Action = jingle.ActionSessionAccept
				_, e := m.s.Receive(j)
				m.effects(e, nil)
			} else {
				j.Action = jingle.ActionSessionInitiate
				_, e := m.s.Receive(j)
				m.effects(e, nil)
				m.effects(m.s.Accept(j))
			}
		}
		for len(m.data) > 0 {
			m.step()
		}
	})
}

// effects takes note of the effects of the beginning.
func (m *monkey) effects(effects []jingle.Effect, err error) {
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range effects {
		switch e := e.(type) {
		case jingle.Send:
			m.lastID = e.ID
			m.sent = append(m.sent, e.ID)
		case jingle.StartTimer:
			m.timers[e.ID] = true
		case jingle.StopTimer:
			delete(m.timers, e.ID)
		}
	}
}
