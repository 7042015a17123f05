package race

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// overWire sends an element through XML, as signalling does.
func overWire(t testing.TB, jt jingle.Transport) *Transport {
	t.Helper()
	b, err := xml.Marshal(jt)
	if err != nil {
		t.Fatal(err)
	}
	var out Transport
	if err := xml.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// A side is one end of a negotiation.
type side struct {
	ft.Negotiation
	mu sync.Mutex // of Remote
}

func (s *side) hear(tr jingle.Transport) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Remote(tr)
}

// pair negotiates as two devices do. edit sees each element on its way.
func pair(t *testing.T, env ft.Env, edit func(*Transport)) (a, b *side) {
	t.Helper()
	begin := func(role jingle.Role) *side {
		n, err := Carrier{}.New(env, role)
		if err != nil {
			t.Fatal(err)
		}
		return &side{Negotiation: n}
	}
	a, b = begin(jingle.Initiator), begin(jingle.Responder)
	la, err := a.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if tr := la.(*Transport); tr.TCP == nil || tr.QUIC != nil {
		t.Errorf("the first element has TCP %t, QUIC %t", tr.TCP != nil, tr.QUIC != nil)
	}
	cross := func(to *side, tr jingle.Transport) {
		w := overWire(t, tr)
		if edit(w); w.TCP == nil && w.QUIC == nil {
			return // lost
		}
		if err := to.hear(w); err != nil {
			t.Error(err)
		}
	}
	cross(b, la)
	lb, err := b.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cross(a, lb)
	over := make(chan struct{})
	var wg sync.WaitGroup
	for _, d := range []struct{ from, to *side }{{a, b}, {b, a}} {
		wg.Go(func() {
			for {
				select {
				case info := <-d.from.Infos():
					cross(d.to, info)
				case <-over:
					return
				}
			}
		})
	}
	t.Cleanup(func() { a.Close(); b.Close(); close(over); wg.Wait() })
	return a, b
}

type opened struct {
	s   ft.Stream
	err error
}

func open(ctx context.Context, a, b ft.Negotiation) (oa, ob opened) {
	done := make(chan struct{})
	go func() { defer close(done); oa.s, oa.err = a.Open(ctx) }()
	ob.s, ob.err = b.Open(ctx)
	<-done
	return oa, ob
}

func nothing(*Transport) {}

func noTCP(tr *Transport) {
	if tr.TCP != nil {
		tr.TCP.Candidates = nil
	}
}

func noQUIC(tr *Transport) {
	if tr.QUIC != nil {
		tr.QUIC.ICE.Candidates = nil
	}
}

func TestTheFirstThatWorksCarries(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Transport)
		want string
	}{
		{"both work", nothing, "tcp"},
		{"no TCP", noTCP, "quic"},
		{"no QUIC", noQUIC, "tcp"},
		{"nothing is said about QUIC", func(tr *Transport) { tr.QUIC = nil }, "tcp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			a, b := pair(t, ft.Env{Loopback: true}, tt.edit)
			oa, ob := open(t.Context(), a, b)
			if oa.err != nil || ob.err != nil {
				t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
			}
			defer oa.s.Close()
			defer ob.s.Close()
			if took := time.Since(began); tt.want == "quic" && took < headStart {
				t.Errorf("TCP had only %v", took)
			}
			if x, y := oa.s.Info().Kind, ob.s.Info().Kind; x != tt.want || y != tt.want {
				t.Errorf("carried by %s and %s, want %s", x, y, tt.want)
			}
			for _, s := range []struct{ from, to ft.Stream }{{oa.s, ob.s}, {ob.s, oa.s}} {
				go func() { io.WriteString(s.from, "ding dong"); s.from.CloseWrite() }()
				if got, err := io.ReadAll(s.to); string(got) != "ding dong" || err != nil {
					t.Errorf("received %q, %v", got, err)
				}
			}
		})
	}
}

func TestNothingWorks(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true}, func(tr *Transport) { noTCP(tr); noQUIC(tr) })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	oa, ob := open(ctx, a, b)
	if !errors.Is(oa.err, ft.ErrNoPath) || !errors.Is(ob.err, ft.ErrNoPath) {
		t.Errorf("initiator: %v, responder: %v; want ErrNoPath", oa.err, ob.err)
	}
}

// A server that does not tell its relays holds up QUIC, not TCP.
func TestNobodyWaitsForRelays(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true, FindServices: func(ctx context.Context) []ft.Service {
		<-ctx.Done()
		return nil
	}}, nothing)
	oa, ob := open(t.Context(), a, b)
	if oa.err != nil || ob.err != nil {
		t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
	}
	defer oa.s.Close()
	defer ob.s.Close()
	if kind := oa.s.Info().Kind; kind != "tcp" {
		t.Errorf("carried by %s", kind)
	}
}

// A responder takes nothing before the initiator does.
func TestResponderWaitsForTheByte(t *testing.T) {
	for _, say := range []string{"", "\x00", "GET /"} {
		t.Run(strconv.Quote(say), func(t *testing.T) {
			t.Parallel()
			x, err := tcp.Carrier{}.New(ft.Env{Loopback: true}, jingle.Initiator)
			if err != nil {
				t.Fatal(err)
			}
			n, err := Carrier{}.New(ft.Env{Loopback: true}, jingle.Responder)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := x.Local(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Remote(&Transport{TCP: theirs.(*tcp.Transport)}); err != nil {
				t.Fatal(err)
			}
			ours, err := n.Local(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Remote(ours.(*Transport).TCP); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			ox, on := open(ctx, writing{x, say}, n)
			cancel()
			if ox.err != nil || !errors.Is(on.err, ft.ErrNoPath) {
				t.Errorf("after %q: initiator: %v, responder: %v; want ErrNoPath", say, ox.err, on.err)
			}
			if ox.s != nil {
				ox.s.Close()
			}
			n.Close()
			x.Close()
		})
	}
}

type writing struct {
	ft.Negotiation
	say string
}

func (w writing) Open(ctx context.Context) (ft.Stream, error) {
	s, err := w.Negotiation.Open(ctx)
	if err == nil && w.say != "" {
		io.WriteString(s, w.say)
	}
	return s, err
}

func TestHostileElements(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true}, nothing)
	read := func(s string) *Transport {
		var tr Transport
		if err := xml.Unmarshal([]byte(s), &tr); err != nil {
			t.Fatal(err)
		}
		return &tr
	}
	for _, s := range []string{
		`<transport xmlns="https://carillon.im/protocol/jingle/race/0"/>`,
		`<transport xmlns="https://carillon.im/protocol/jingle/race/0"><transport xmlns="urn:xmpp:jingle:transports:ibb:1" sid="x"/></transport>`,
	} {
		if err := a.hear(read(s)); err == nil {
			t.Errorf("%s is taken", s)
		}
	}
	if err := a.hear(new(tcp.Transport)); err == nil {
		t.Error("an element of another transport is taken")
	}
	// Other credentials, nothing at all, and more than anybody listens to.
	more := []*Transport{
		read(`<transport xmlns="https://carillon.im/protocol/jingle/race/0"><transport xmlns="https://carillon.im/protocol/jingle/quic/0"/><x xmlns="y"/></transport>`),
		read(`<transport xmlns="https://carillon.im/protocol/jingle/race/0"><transport xmlns="https://carillon.im/protocol/jingle/quic/0"><transport xmlns="urn:xmpp:jingle:transports:ice-udp:1" ufrag="aaaa" pwd="bbbbbbbbbbbbbbbbbbbbbb"><candidate component="1" foundation="1" generation="0" id="1" ip="127.0.0.1" port="9" priority="1" protocol="udp" type="host"/></transport></transport></transport>`),
	}
	flood := func() {
		for i := range 4 * maxHeard {
			if err := a.hear(more[i%len(more)]); err != nil {
				t.Error(err)
			}
		}
	}
	flood()
	oa, ob := open(t.Context(), a, b)
	if oa.err != nil || ob.err != nil {
		t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
	}
	defer oa.s.Close()
	defer ob.s.Close()
	flood() // the race is over
	if _, err := a.Open(t.Context()); err == nil {
		t.Error("a second stream is opened")
	}
	a.Close()
	flood()
}

// Close ends what has begun, also when nobody opens.
func TestCloseBeforeOpen(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true}, nothing)
	a.Close()
	b.Close()
	if _, err := a.Open(t.Context()); err == nil {
		t.Error("a stream of a negotiation that was closed")
	}
}

func TestRelayOnlyShowsNoAddress(t *testing.T) {
	if _, err := (Carrier{}).New(ft.Env{RelayOnly: true}, jingle.Initiator); !errors.Is(err, ft.ErrNoPath) {
		t.Errorf("error = %v, want ErrNoPath", err)
	}
}

func FuzzTransport(f *testing.F) {
	f.Add([]byte(`<transport xmlns="https://carillon.im/protocol/jingle/race/0"><transport xmlns="https://carillon.im/protocol/jingle/tcp/0"><candidate ip="192.0.2.1" port="5"/></transport></transport>`))
	f.Add([]byte(`<transport xmlns="https://carillon.im/protocol/jingle/race/0"><transport xmlns="https://carillon.im/protocol/jingle/quic/0"/></transport>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var tr, again Transport
		if xml.Unmarshal(in, &tr) != nil {
			return
		}
		out, err := xml.Marshal(&tr)
		if err != nil {
			return
		}
		if err := xml.Unmarshal(out, &again); err != nil || (again.TCP == nil) != (tr.TCP == nil) || (again.QUIC == nil) != (tr.QUIC == nil) {
			t.Errorf("%s: %v", out, err)
		}
	})
}
