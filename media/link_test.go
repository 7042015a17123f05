package media

import (
	"context"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// testLogger writes to the test's log when CARILLON_TEST_LOG is set.
func testLogger(t testing.TB, name string) *slog.Logger {
	if os.Getenv("CARILLON_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: LevelTrace})).With("side", name)
}

// testSlog writes everything to w.
func testSlog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: LevelTrace}))
}

// testContext ends with the test, or when it takes too long.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// overTheWire encodes and decodes descriptions and transports, so that only
// what XML carries reaches the other side.
func overTheWire(t testing.TB, in []jingle.Content) []jingle.Content {
	t.Helper()
	var out []jingle.Content
	for _, c := range in {
		d, tr := &jrtp.Description{}, &iceudp.Transport{}
		again(t, c.Description, d)
		again(t, c.Transport, tr)
		c.Description, c.Transport = d, tr
		out = append(out, c)
	}
	return out
}

// copyJingle makes what a test may change without changing what its sender has.
func copyJingle(t testing.TB, j *jingle.Jingle) *jingle.Jingle {
	out := *j
	out.Contents = nil
	for _, c := range j.Contents {
		if c.Description != nil {
			d := &jrtp.Description{}
			again(t, c.Description, d)
			c.Description = d
		}
		if c.Transport != nil {
			tr := &iceudp.Transport{}
			again(t, c.Transport, tr)
			c.Transport = tr
		}
		out.Contents = append(out.Contents, c)
	}
	return &out
}

func again(t testing.TB, in, out any) {
	t.Helper()
	b, err := xml.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b, out); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
}

// A linkSide is one end of a pair of links.
type linkSide struct {
	link  *peerLink
	track *sendTrack

	mu         sync.Mutex
	ready      bool // candidates may go to the other side
	pending    []iceudp.Candidate
	other      *linkSide
	connected  chan struct{}
	tracks     chan *webrtc.TrackRemote
	onceUp     sync.Once
	candidates int
}

func newLinkSide(t testing.TB, name string, cfg Config) *linkSide {
	t.Helper()
	cfg.Logger = testLogger(t, name)
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := &linkSide{
		track:     newSendTrack("audio", webrtc.RTPCodecTypeAudio),
		connected: make(chan struct{}),
		tracks:    make(chan *webrtc.TrackRemote, 8),
	}
	s.link, err = openLink(cfg, s.track, linkEvents{
		candidate: func(_ int, c iceudp.Candidate) {
			s.mu.Lock()
			s.pending = append(s.pending, c)
			s.mu.Unlock()
			s.flush(t)
		},
		state: func(st linkState) {
			if st == linkConnected {
				s.onceUp.Do(func() { close(s.connected) })
			}
		},
		track: func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { s.tracks <- tr },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.link.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// flush trickles candidates to the other side once it can take them.
func (s *linkSide) flush(t testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		return
	}
	tr, _ := s.link.Local()
	for _, c := range s.pending {
		var got iceudp.Candidate
		again(t, struct {
			XMLName xml.Name `xml:"candidate"`
			iceudp.Candidate
		}{Candidate: c}, &got)
		if err := s.other.link.AddCandidate(got, tr.Ufrag); err != nil {
			t.Error(err)
		}
		s.candidates++
	}
	s.pending = nil
}

func (s *linkSide) start(t testing.TB) {
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	s.flush(t)
}

// joinLinks negotiates a link between two sides; change may alter what each
// side sees of the other.
func joinLinks(t testing.TB, a, b *linkSide, change func(from jingle.Role, c []jingle.Content) []jingle.Content) {
	t.Helper()
	a.other, b.other = b, a
	offer, err := a.link.Offer()
	if err != nil {
		t.Fatal(err)
	}
	offer = overTheWire(t, offer)
	if change != nil {
		offer = change(jingle.Initiator, offer)
	}
	answer, err := b.link.Answer(offer)
	if err != nil {
		t.Fatal(err)
	}
	a.start(t)
	answer = overTheWire(t, answer)
	if change != nil {
		answer = change(jingle.Responder, answer)
	}
	if err := a.link.Accept(answer); err != nil {
		t.Fatal(err)
	}
	b.start(t)
}

// say sends packets until ctx ends.
func (s *linkSide) say(ctx context.Context, pt uint8) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for seq := uint16(1); ; seq++ {
		_ = s.track.write(&rtp.Header{
			Version: 2, PayloadType: pt, SequenceNumber: seq, Timestamp: uint32(seq) * 960,
		}, []byte{0xf8, 0xff, 0xfe})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func waitFor[T any](t testing.TB, ctx context.Context, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-ctx.Done():
		t.Fatalf("waiting for %s: %v", what, context.Cause(ctx))
		panic("unreachable")
	}
}

// hears waits for packets of the peer on a track.
func (s *linkSide) hears(t testing.TB, ctx context.Context, what string) *webrtc.TrackRemote {
	t.Helper()
	tr := waitFor(t, ctx, what, s.tracks)
	for range 3 {
		p, _, err := tr.ReadRTP()
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Payload) != 3 {
			t.Fatalf("payload of %d bytes", len(p.Payload))
		}
	}
	return tr
}

// Spike S1: two PeerConnections agree through Jingle elements and sdpmap.
func TestLinksAgreeThroughJingleElements(t *testing.T) {
	ctx := testContext(t)
	a, b := newLinkSide(t, "a", Config{}), newLinkSide(t, "b", Config{})
	joinLinks(t, a, b, nil)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { a.say(ctx, 111) })
	wg.Go(func() { b.say(ctx, 111) })
	defer wg.Wait()
	defer cancel()
	waitFor(t, ctx, "a connected", a.connected)
	waitFor(t, ctx, "b connected", b.connected)
	a.hears(t, ctx, "what b says")
	b.hears(t, ctx, "what a says")
	if p, ok := a.link.Pair(); !ok || p.Local.Type != iceudp.Host {
		t.Errorf("path = %+v, %v; want one from a host candidate", p, ok)
	}
}

// Spike S2: a peer that declares no SSRC, as Dino, is heard in both roles.
func TestUndeclaredSourceIsHeardInBothRoles(t *testing.T) {
	ctx := testContext(t)
	a, b := newLinkSide(t, "a", Config{}), newLinkSide(t, "b", Config{})
	joinLinks(t, a, b, func(_ jingle.Role, cs []jingle.Content) []jingle.Content {
		for _, c := range cs {
			d := c.Description.(*jrtp.Description)
			if len(d.Sources) != 1 {
				t.Errorf("we declare %d sources, want 1", len(d.Sources))
			}
			d.Sources, d.HdrExts = nil, nil
			d.PayloadTypes = d.PayloadTypes[:1] // as Dino answers
		}
		return cs
	})
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { a.say(ctx, 111) })
	wg.Go(func() { b.say(ctx, 111) })
	defer wg.Wait()
	defer cancel()
	a.hears(t, ctx, "what b says")
	b.hears(t, ctx, "what a says")
}

// A restart changes credentials and keeps the keys, also with a peer that
// declared no SSRC, whose track pion made up itself.
func TestLinkRestarts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		declared bool
		offerer  jingle.Role
	}{
		{"initiator restarts", true, jingle.Initiator},
		{"responder restarts", true, jingle.Responder},
		{"initiator restarts, sources undeclared", false, jingle.Initiator},
		{"responder restarts, sources undeclared", false, jingle.Responder},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := testContext(t)
			a, b := newLinkSide(t, "a", Config{}), newLinkSide(t, "b", Config{})
			joinLinks(t, a, b, func(_ jingle.Role, cs []jingle.Content) []jingle.Content {
				if !tt.declared {
					cs[0].Description.(*jrtp.Description).Sources = nil
				}
				return cs
			})
			ctx, cancel := context.WithCancel(ctx)
			var wg sync.WaitGroup
			wg.Go(func() { a.say(ctx, 111) })
			wg.Go(func() { b.say(ctx, 111) })
			defer wg.Wait()
			defer cancel()
			atA, atB := a.hears(t, ctx, "what b says"), b.hears(t, ctx, "what a says")

			x, y := a, b
			if tt.offerer == jingle.Responder {
				x, y = b, a
			}
			before, _ := x.link.Local()
			for _, s := range []*linkSide{x, y} {
				f := s.link.Flow()
				f.path.Lock()
				f.guard.least, f.guard.begun = [2]time.Duration{1, 1}, time.Now() // of the way before
				f.path.Unlock()
				s.mu.Lock()
				s.ready = false
				s.mu.Unlock()
			}
			// One that is taken back first, as after a tie.
			if _, err := x.link.Restart(); err != nil {
				t.Fatal(err)
			}
			x.mu.Lock()
			x.pending = nil
			x.mu.Unlock()
			offer, err := x.link.Restart()
			if err != nil {
				t.Fatal(err)
			}
			if offer.Ufrag == before.Ufrag || offer.Pwd == before.Pwd {
				t.Error("credentials did not change")
			}
			answer, err := y.link.RestartOffered(offer)
			if err != nil {
				t.Fatal(err)
			}
			x.start(t)
			if err := x.link.RestartAnswered(answer); err != nil {
				t.Fatal(err)
			}
			y.start(t)
			for _, s := range []struct {
				side  *linkSide
				track *webrtc.TrackRemote
			}{{a, atA}, {b, atB}} {
				waitPair(t, ctx, s.side)
				for n := 0; n < 20; n++ {
					_, _, err := s.track.ReadRTP()
					if errors.Is(err, io.EOF) && !tt.declared {
						// pion drops a track that the new description does not
						// name, and makes another of the next packet.
						s.track = waitFor(t, ctx, "the track made again", s.side.tracks)
						n = 0
					} else if err != nil {
						t.Fatal(err)
					}
				}
				f := s.side.link.Flow()
				f.path.Lock()
				if f.guard.least[0] == 1 {
					t.Error("the length of the way before is remembered")
				}
				f.path.Unlock()
			}
		})
	}
}

// waitPair waits until a link has a path.
func waitPair(t testing.TB, ctx context.Context, s *linkSide) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, ok := s.link.Pair(); ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("no path after restart")
		}
	}
}

// A relay that takes the connection and says nothing does not hold up the end of
// a call that looks for its addresses.
func TestLinkClosesWhileARelayIsSilent(t *testing.T) {
	leaks(t)
	relay, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	cfg, err := Config{
		ICEServers: []ICEServer{{URL: "turns:" + relay.Addr().String() + "?transport=tcp", Username: "u", Password: "p"}},
		RootCAs:    x509.NewCertPool(), RelayOnly: true, Logger: testLogger(t, "a"),
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLink(cfg, nil, linkEvents{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := relay.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begun := time.Now()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > closeFor/2 {
		t.Errorf("Close took %v", took)
	}
}
