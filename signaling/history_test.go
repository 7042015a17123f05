package signaling

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jmi"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// memory is a History.
type memory struct {
	mu      sync.Mutex
	mark    string
	records map[string]CallRecord
	writes  map[string]int
	changed chan struct{}
}

func newMemory() *memory {
	return &memory{records: map[string]CallRecord{}, writes: map[string]int{}, changed: make(chan struct{}, 1000)}
}

func (m *memory) Record(_ context.Context, r CallRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[r.SID] = r
	m.writes[r.SID]++
	m.changed <- struct{}{}
	return nil
}

func (m *memory) Mark(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark, nil
}

func (m *memory) SetMark(_ context.Context, mark string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mark = mark
	m.changed <- struct{}{}
	return nil
}

// await waits until ok holds.
func (m *memory) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		m.mu.Lock()
		done := ok()
		m.mu.Unlock()
		if done {
			return
		}
		select {
		case <-m.changed:
		case <-timeout:
			t.Fatalf("%s: did not happen; records %+v, mark %q", what, m.records, m.mark)
		}
	}
}

func TestCallsOfOtherDevicesFromTheArchive(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b1 := login(t, srv, alice), login(t, srv, bob)
	// Alice calls bob's first device; it calls her; she gives up once; it declines once.
	taken, in, _, _ := connect(t, a, b1)
	taken.Hangup(jingle.Reason{})
	over(t, in, Answered)
	made, in, _, _ := connect(t, b1, a)
	made.Hangup(jingle.Reason{})
	over(t, in, Answered)
	missed, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	in = incoming(t, b1)
	missed.Hangup(jingle.Reason{})
	over(t, in, MissedCall)
	declined, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	incoming(t, b1).Reject(jingle.Reason{})
	over(t, declined, Declined)
	ringing, err := a.Call(ctx(t), jid.MustParse(bob), newApp(), CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	incoming(t, b1)

	// The second device learns it all when it comes online, and rings for the last.
	history := newMemory()
	b2 := login(t, srv, bob, func(cfg *Config) { cfg.History = history })
	history.await(t, "records", func() bool { return len(history.records) >= 4 && history.mark != "" })
	for _, want := range []struct {
		sid string
		dir Direction
		out Outcome
		len bool
	}{
		{taken.SID(), In, AnsweredElsewhere, true},
		{made.SID(), Out, Answered, true},
		{missed.SID(), In, MissedCall, false},
		{declined.SID(), In, Declined, false},
	} {
		got := history.records[want.sid]
		if got.Direction != want.dir || got.Outcome != want.out || !got.Peer.Equal(jid.MustParse(alice)) ||
			!got.Archived || len(got.Media) != 1 || (got.Duration > 0) != want.len && want.len {
			t.Errorf("record = %+v, want %+v", got, want)
		}
	}
	late := incoming(t, b2)
	if late.SID() != ringing.SID() {
		t.Errorf("rings for %q, want %q", late.SID(), ringing.SID())
	}
	ringing.Hangup(jingle.Reason{})
	over(t, late, MissedCall)
	history.await(t, "last record", func() bool { return history.records[ringing.SID()].Outcome == MissedCall })
	b2.Close()

	// What is known is not read again.
	writes := len(history.writes)
	login(t, srv, bob, func(cfg *Config) { cfg.History = history })
	again, in, _, _ := connect(t, a, b1)
	again.Hangup(jingle.Reason{})
	over(t, in, Answered)
	history.await(t, "newest record", func() bool { return history.records[again.SID()].Outcome != "" })
	for sid, n := range history.writes {
		if sid != again.SID() && n != 1 {
			t.Errorf("call %q was recorded %d times", sid, n)
		}
	}
	if len(history.writes) != writes+1 {
		t.Errorf("%d calls recorded, want %d", len(history.writes), writes+1)
	}
}

func TestForgottenPlaceInTheArchive(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b1 := login(t, srv, alice), login(t, srv, bob)
	out, in, _, _ := connect(t, a, b1)
	out.Hangup(jingle.Reason{})
	over(t, in, Answered)
	history := newMemory()
	history.mark = "long-gone"
	login(t, srv, bob, func(cfg *Config) { cfg.History = history })
	history.await(t, "record", func() bool { return history.records[out.SID()].Outcome == AnsweredElsewhere })
}

func TestLongArchiveIsReadInPages(t *testing.T) {
	srv := newServer(t, xmpptest.Config{})
	a, b1 := login(t, srv, alice), login(t, srv, bob)
	for i := range 3*archivePage + 7 {
		send(t, a, `<message to='%s' type='chat' id='m%d'><body>hello</body></message>`, bob, i)
	}
	out, in, _, _ := connect(t, a, b1)
	out.Hangup(jingle.Reason{})
	over(t, in, Answered)
	seen := tap(t, srv)
	history := newMemory()
	login(t, srv, bob, func(cfg *Config) { cfg.History = history })
	history.await(t, "record", func() bool { return history.records[out.SID()].Outcome == AnsweredElsewhere })
	if n := len(seen.find(func(st xmpptest.Stanza) bool { return st.Dir == xmpptest.FromClient && st.Child(nsMAM, "query") != nil })); n < 4 {
		t.Errorf("read in %d pages", n)
	}
}

// failing is a History that has lost its disk.
type failing struct{}

var errDisk = errors.New("disk is gone")

func (failing) Record(context.Context, CallRecord) error { return errDisk }
func (failing) Mark(context.Context) (string, error)     { return "", nil }
func (failing) SetMark(context.Context, string) error    { return errDisk }

func TestCallsGoOnWithoutHistory(t *testing.T) {
	srv := newServer(t, xmpptest.Config{Without: []string{nsMAM, nsCarbons, nsRoster, "urn:xmpp:sm:3"}})
	a := login(t, srv, alice, func(cfg *Config) { cfg.History, cfg.Strangers = failing{}, StrangersRing })
	b := login(t, srv, bob, func(cfg *Config) { cfg.Strangers = StrangersRing })
	out, in, _, _ := connect(t, a, b)
	in.Hangup(jingle.Reason{})
	over(t, out, Answered)
}

func TestLedger(t *testing.T) {

	for _, tc := range []struct {
		name string
		talk string // lines: who, message, reason
		want string // direction, outcome, seconds; "" for nothing
	}{
		{"taken elsewhere", "alice/pc propose\nbob/a accept\nbob/a proceed\nalice/pc finish success\nbob/a finish success", "in answered elsewhere 2"},
		{"never finished", "alice/pc propose\nbob/a proceed", "in answered elsewhere 0"},
		{"retracted", "alice/pc propose\nalice/pc retract cancel", "in missed 0"},
		{"declined", "alice/pc propose\nbob/a reject", "in declined 0"},
		{"busy", "alice/pc propose\nbob/a reject busy", "in missed 0"},
		{"nobody", "alice/pc propose\nbob/a ringing", "in missed 0"},
		{"ended unanswered", "alice/pc propose\nalice/pc finish expired", "in missed 0"},
		{"called", "bob/a propose\nalice/pc ringing\nalice/pc proceed\nbob/a finish success", "out answered 1"},
		{"called in vain", "bob/a propose", "out no answer 0"},
		{"refused", "bob/a propose\nalice/pc reject", "out declined 0"},
		{"they were busy", "bob/a propose\nalice/pc reject busy", "out busy 0"},
		{"taken back", "bob/a propose\nbob/a retract cancel", "out retracted 0"},
		{"tie", "bob/a propose\nalice/pc reject expired tie", ""},
		{"only the end", "alice/pc finish success", ""},
		{"strangers have no say", "alice/pc propose\nmallory/x retract cancel\nmallory/x finish success\nbob/a proceed", "in answered elsewhere 0"},
		{"caller cannot take", "alice/pc propose\nalice/pc proceed", "in missed 0"},
		{"callee cannot retract", "bob/a propose\nalice/pc retract cancel", "out no answer 0"},
		{"late retract", "alice/pc propose\nbob/a proceed\nalice/pc retract cancel", "in answered elsewhere 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLedger(jid.MustParse(bob))
			start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
			at := start
			for line := range strings.Lines(tc.talk) {
				f := strings.Fields(line)
				who, res, _ := strings.Cut(f[0], "/")
				m := &jmi.Message{Kind: jmi.Kind(f[1]), SID: "s", TieBreak: slices.Contains(f, "tie")}
				if len(f) > 2 {
					m.Reason = &jingle.Reason{Condition: jingle.Condition(f[2])}
				}
				if m.Kind == jmi.KindPropose {
					m.Descriptions = descriptions([]mediaOf{"audio"})
				}
				to := jid.MustParse(bob)
				if who == "bob" {
					to = jid.MustParse(alice)
				}
				if m.Kind == jmi.KindAccept {
					to = jid.MustParse(bob)
				}
				env := &envelope{from: jid.MustParse(who + "@example.org/" + res), to: to, sentAt: at}
				l.apply(env, m, start.Add(time.Hour))
				at = at.Add(time.Second)
			}
			done, open := l.settle(start.Add(time.Hour), time.Minute)
			got := ""
			for _, e := range append(done, open...) {
				got += string(e.record.Direction) + " " + string(e.record.Outcome) + " " + string(rune('0'+int(e.record.Duration.Seconds())))
			}
			if got != tc.want {
				t.Errorf("record %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLedgerIsBounded(t *testing.T) {
	l := newLedger(jid.MustParse(bob))
	for range 3 * maxLedger {
		m := &jmi.Message{Kind: jmi.KindPropose, SID: newID(), Descriptions: descriptions([]mediaOf{"audio"})}
		l.apply(&envelope{from: jid.MustParse(alice + "/x"), to: jid.MustParse(bob)}, m, time.Now())
	}
	if len(l.calls) != maxLedger || len(l.order) != maxLedger {
		t.Errorf("%d calls, want %d", len(l.calls), maxLedger)
	}
}

// FuzzStanza hands any stanza to a client that is in a call. It must not
// crash, and what asks must be answered.
func FuzzStanza(f *testing.F) {
	for _, seed := range []string{
		`<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>`,
		`<iq type='set' id='1'>` + offerXML("s", 2) + `</iq>`,
		`<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='x@example.org' subscription='both'/></query></iq>`,
		`<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='x#y'/></iq>`,
		`<message type='chat' id='1'><propose xmlns='urn:xmpp:jingle-message:0' id='s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose><request xmlns='urn:xmpp:receipts'/></message>`,
		`<message type='chat' id='2'><retract xmlns='urn:xmpp:jingle-message:0' id='s'><reason xmlns='urn:xmpp:jingle:1'><cancel/></reason></retract></message>`,
		`<message type='error' id='jm-propose-s'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
		`<message><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='bob@example.org/a' to='alice@example.org/b' type='chat'><proceed xmlns='urn:xmpp:jingle-message:0' id='s'/></message></forwarded></sent></message>`,
		`<message><result xmlns='urn:xmpp:mam:2' queryid='q' id='1'><forwarded xmlns='urn:xmpp:forward:0'/></result></message>`,
		`<presence><show>away</show><status>x</status><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>`,
		`<presence type='subscribe'/>`,
		`<presence type='error'/>`,
	} {
		for _, from := range []string{"", bob, alice + "/pc", mallory + "/x"} {
			f.Add(seed, from)
		}
	}
	srv := newServer(f, xmpptest.Config{})
	a, b := login(f, srv, alice), login(f, srv, bob)
	seesDevices(f, b, alice, 1)
	f.Fuzz(func(t *testing.T, xml, from string) {
		st, err := stream.NewStanza(xml)
		if err != nil {
			return
		}
		if j, err := jid.Parse(from); err == nil {
			st.From = j
		}
		switch st.Start.Name.Local {
		case "iq":
			if typ := st.Type(); typ != "get" && typ != "set" || st.ID() == "" {
				return
			}
			b.onStanza(st)
		case "message", "presence":
			b.onStanza(st)
		}
		if b.calls.count() > maxSessions || b.presence.count > maxDevices {
			t.Fatal("limit exceeded")
		}
		select { // a person who declines everything
		case k := <-b.Incoming():
			k.Reject(jingle.Reason{})
		default:
		}
	})
	f.Cleanup(func() { _ = a })
}
