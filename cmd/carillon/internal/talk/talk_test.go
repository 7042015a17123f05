package talk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A side is a phone in a test, and what it showed.
type side struct {
	*Phone
	mu       sync.Mutex
	shown    []events.Event
	warnings int
}

func (s *side) has(want func(events.Event) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.shown {
		if want(e) {
			return true
		}
	}
	return false
}

func is[E events.Event](e events.Event) bool { _, ok := e.(E); return ok }

// ended returns how the last call ended.
func (s *side) ended() (last events.Ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.shown {
		if e, ok := e.(events.Ended); ok {
			last = e
		}
	}
	return last
}

// sides are online at the same server; alice and bob are contacts, carol is a stranger.
func sides(t *testing.T, services ...xmpptest.Service) (server *xmpptest.Server, alice, bob, carol *side) {
	t.Helper()
	server = xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{
		"alice@example.org": "s", "bob@example.org": "s", "carol@example.org": "s",
	}})
	server.Befriend("alice@example.org", "bob@example.org")
	server.SetServices(services...)
	dial := func(name string) *side {
		c, err := signaling.Dial(t.Context(), signaling.Config{
			JID: jid.MustParse(name + "@example.org"), Password: "s", Server: server.Addr(), RootCAs: server.CertPool(),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		s := &side{}
		s.Phone = &Phone{
			Client: c, Sound: Sound{Mic: "speech", Speaker: "null"}, Log: slog.New(slog.DiscardHandler),
			Show: func(e events.Event) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.shown = append(s.shown, e)
			},
			Warn: func(string, ...any) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.warnings++
			},
		}
		return s
	}
	return server, dial("alice"), dial("bob"), dial("carol")
}

// calling lets one side call bob in the background.
func calling(ctx context.Context, s *side) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Call(ctx, jid.MustParse("bob@example.org")) }()
	return done
}

func incoming(t *testing.T, s *side) *signaling.IncomingCall {
	t.Helper()
	select {
	case in := <-s.Client.Incoming():
		return in
	case <-time.After(20 * time.Second):
		t.Fatal("no call came")
		return nil
	}
}

// A Decision is what to do with a call that rings.
type Decision int

const (
	Take Decision = iota
	Decline
	LetRing
)

// Answer lets a call ring until it is decided.
func (s *side) Answer(ctx context.Context, in *signaling.IncomingCall, decide func(context.Context) Decision) (taken bool, err error) {
	r := s.Ring(in)
	r.Prepare(ctx)
	ringing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan Decision, 1)
	go func() { done <- decide(ringing) }()
	select {
	case <-r.Cancelled():
		stop()
		<-done
		r.Leave()
		return false, nil
	case d := <-done:
		switch {
		case ctx.Err() != nil || d == LetRing:
			r.Leave()
			return false, context.Cause(ctx)
		case d == Decline:
			r.Decline()
			return true, nil
		}
	}
	return r.Take(ctx)
}

func take(context.Context) Decision { return Take }

func TestCallThatLastsAsLongAsWanted(t *testing.T) {
	_, alice, bob, _ := sides(t)
	alice.Duration = 200 * time.Millisecond
	done := calling(t.Context(), alice)
	taken, err := bob.Answer(t.Context(), incoming(t, bob), take)
	if !taken || err != nil {
		t.Errorf("bob: taken = %v, error = %v", taken, err)
	}
	if err := <-done; err != nil {
		t.Errorf("alice: %v", err)
	}
	// In this order, even when a machine answers faster than we look.
	var order []string
	for s, want := range map[*side]string{
		alice: "[events.Calling events.Ringing events.Accepted events.Connected events.Ended]",
		bob:   "[events.Incoming events.Accepted events.Connected events.Ended]",
	} {
		order = nil
		for _, e := range s.shown {
			switch e.(type) {
			case events.Calling, events.Incoming, events.Ringing, events.Accepted, events.Connected, events.Ended:
				order = append(order, fmt.Sprintf("%T", e))
			}
		}
		if got := fmt.Sprint(order); got != want {
			t.Errorf("shown %s, want %s", got, want)
		}
	}
	for _, s := range []*side{alice, bob} {
		for name, want := range map[string]func(events.Event) bool{"accepted": is[events.Accepted], "connected": is[events.Connected]} {
			if !s.has(want) {
				t.Errorf("%s was not shown", name)
			}
		}
		// The media of bob may begin a little later than those of alice, who counts.
		least := map[*side]float64{alice: 0.2, bob: 0.001}[s]
		if e := s.ended(); e.Reason != "success" || e.Outcome != "answered" || e.Seconds < least || e.Seconds > 5 {
			t.Errorf("ended = %+v", e)
		}
	}
	if a, b := alice.ended().By, bob.ended().By; a != events.Us || b != events.Peer {
		t.Errorf("ended by %q and %q", a, b)
	}
}

func TestDeclined(t *testing.T) {
	_, alice, bob, _ := sides(t)
	done := calling(t.Context(), alice)
	taken, err := bob.Answer(t.Context(), incoming(t, bob), func(context.Context) Decision { return Decline })
	if !taken || err != nil {
		t.Errorf("bob: taken = %v, error = %v", taken, err)
	}
	var not *NotTakenError
	if err := <-done; !errors.As(err, &not) || not.Outcome != signaling.Declined {
		t.Errorf("alice: error = %v, want declined", err)
	}
}

func TestCallerGivesUp(t *testing.T) {
	_, alice, bob, _ := sides(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	done := calling(ctx, alice)
	in := incoming(t, bob)
	asked := make(chan struct{})
	go func() {
		<-asked
		cancel(stop)
	}()
	taken, err := bob.Answer(t.Context(), in, func(ctx context.Context) Decision {
		close(asked)
		<-ctx.Done() // a person who does not decide
		return LetRing
	})
	if taken || err != nil {
		t.Errorf("bob: taken = %v, error = %v", taken, err)
	}
	if err := <-done; !errors.Is(err, stop) {
		t.Errorf("alice: error = %v, want the cause", err)
	}
	if e := bob.ended(); e.Outcome != "missed" || e.By != events.Peer {
		t.Errorf("bob: ended = %+v", e)
	}
}

func TestCalleeStopsWaiting(t *testing.T) {
	_, alice, bob, _ := sides(t)
	alice.RingTimeout = 300 * time.Millisecond
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	done := calling(t.Context(), alice)
	taken, err := bob.Answer(ctx, incoming(t, bob), func(ctx context.Context) Decision {
		cancel(stop)
		<-ctx.Done()
		return LetRing
	})
	if taken || !errors.Is(err, stop) {
		t.Errorf("bob: taken = %v, error = %v, want %v", taken, err, stop)
	}
	if e := bob.ended(); e.Outcome != "missed" || e.Reason != "gone" || e.By != events.Us {
		t.Errorf("bob: ended = %+v", e)
	}
	var not *NotTakenError
	if err := <-done; !errors.As(err, &not) || not.Outcome != signaling.NoAnswer {
		t.Errorf("alice: error = %v, want no answer", err)
	}
}

func TestStrangersGetARelayAddressOnly(t *testing.T) {
	for _, tt := range []struct {
		name     string
		services []xmpptest.Service
		relay    bool
		warnings int
	}{
		{"when there is a relay", []xmpptest.Service{{Type: "turn", Host: "127.0.0.1", Port: 9, Transport: "udp", Username: "u", Password: "p"}}, true, 0},
		{"else the user is warned", nil, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, alice, bob, carol := sides(t, tt.services...)
			var relayOnly []bool
			bob.Media = func(cfg *media.Config) { relayOnly = append(relayOnly, cfg.RelayOnly) }
			for _, caller := range []*side{carol, alice} {
				ctx, cancel := context.WithCancel(t.Context())
				done := calling(ctx, caller)
				in := incoming(t, bob)
				answered := make(chan struct{})
				go func() {
					defer close(answered)
					bob.Answer(ctx, in, take)
				}()
				select {
				case <-in.Session():
				case <-time.After(20 * time.Second):
					t.Fatal("there is no session")
				}
				cancel()
				<-done
				<-answered
			}
			if want := []bool{tt.relay, false}; len(relayOnly) != 2 || relayOnly[0] != want[0] || relayOnly[1] != want[1] {
				t.Errorf("relay only = %v, want %v", relayOnly, want)
			}
			bob.mu.Lock()
			defer bob.mu.Unlock()
			if bob.warnings != tt.warnings {
				t.Errorf("%d warnings, want %d", bob.warnings, tt.warnings)
			}
		})
	}
}

func TestRelayOnlyWithoutRelayAsksNobody(t *testing.T) {
	server, alice, _, _ := sides(t)
	alice.RelayOnly = true
	var proposed atomic.Bool
	defer server.Tap(func(s xmpptest.Stanza) {
		if s.Child("urn:xmpp:jingle-message:0", "propose") != nil {
			proposed.Store(true)
		}
	})()
	if err := alice.Call(t.Context(), jid.MustParse("bob@example.org")); !errors.Is(err, ErrNoRelay) {
		t.Errorf("error = %v, want ErrNoRelay", err)
	}
	if proposed.Load() {
		t.Error("bob's phone rang")
	}
}

func TestSoundThatCannotBeOpenedRefusesTheCall(t *testing.T) {
	_, alice, bob, _ := sides(t)
	bob.Sound.Speaker = "file:/nowhere/at/all.wav"
	done := calling(t.Context(), alice)
	if taken, err := bob.Answer(t.Context(), incoming(t, bob), take); !taken || err == nil {
		t.Errorf("bob: taken = %v, error = %v", taken, err)
	}
	if err := <-done; err == nil {
		t.Error("alice talked with somebody without speaker")
	}
}

func TestNumberedFiles(t *testing.T) {
	for _, tt := range []struct {
		spec string
		nth  int
		want string
	}{
		{"file:seen.ivf", 1, "file:seen.ivf"}, {"file:seen.ivf", 2, "file:seen-2.ivf"},
		{"file:a.b/seen", 3, "file:a.b/seen-3"}, {"null", 2, "null"}, {"window", 2, "window"},
	} {
		if got := numbered(tt.spec, tt.nth); got != tt.want {
			t.Errorf("numbered(%q, %d) = %q, want %q", tt.spec, tt.nth, got, tt.want)
		}
	}
}

// A sink that takes no more is told at once, and again by the result.
func TestFullDiskIsToldAndTheCallGoesOn(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no device that is always full")
	}
	_, alice, bob, _ := sides(t)
	alice.Duration = 300 * time.Millisecond
	bob.Sound.Speaker = "file:/dev/full"
	var told atomic.Int32
	bob.Failed = func(c events.Call, err error) {
		if c.SID == "" || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("told %+v: %v", c, err)
		}
		told.Add(1)
	}
	done := calling(t.Context(), alice)
	taken, err := bob.Answer(t.Context(), incoming(t, bob), take)
	var in *CallError
	if !taken || !errors.As(err, &in) || !in.Told || in.Call.SID == "" || told.Load() != 1 {
		t.Errorf("bob: taken = %v, told %d times, error = %v", taken, told.Load(), err)
	}
	if err := <-done; err != nil {
		t.Errorf("alice: %v", err)
	}
}

func TestSecondsOfAConnectedCall(t *testing.T) {
	for _, tt := range []struct {
		lasted time.Duration
		want   float64
	}{
		{0, 0}, {time.Nanosecond, 0.001}, {1499 * time.Microsecond, 0.001}, {time.Minute, 60},
	} {
		if got := seconds(tt.lasted); got != tt.want {
			t.Errorf("seconds(%v) = %v, want %v", tt.lasted, got, tt.want)
		}
	}
}
