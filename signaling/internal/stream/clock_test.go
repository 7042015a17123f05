package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// scripted returns the configuration of a stream whose server says the given
// things, each after something was sent to it, on a pipe without TLS.
func scripted(t *testing.T, says ...string) Config {
	return Config{
		JID: jid.MustParse("alice@example.org/desk"), Password: "secret", Server: "starttls://192.0.2.1:5222", InsecureLoopback: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				buf := make([]byte, 64<<10)
				words := append([]string{`<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`}, says...)
				words[1] = words[0] + words[1]
				for _, w := range words[1:] {
					if _, err := theirs.Read(buf); err != nil {
						return
					}
					if _, err := io.WriteString(theirs, w); err != nil {
						return
					}
				}
				io.Copy(io.Discard, theirs)
			}()
			return ours, nil
		},
	}
}

// bubble runs f with a server in memory and a clock that jumps.
func bubble(t *testing.T, cfg xmpptest.Config, f func(t *testing.T, srv *xmpptest.Server, config Config)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.InMemory = true
		cfg.Accounts = map[string]string{"alice@example.org": "secret", "bob@example.org": "secret"}
		srv := xmpptest.NewServer(cfg)
		defer srv.Close()
		f(t, srv, testConfig(srv))
	})
}

func dialBubble(t *testing.T, cfg Config) (*Stream, *recorder) {
	r := newRecorder()
	s, err := Dial(t.Context(), cfg, r.handler())
	if err != nil {
		t.Fatal(err)
	}
	<-r.online
	return s, r
}

func TestDeadConnectionIsNoticedInTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    xmpptest.Config
		adjust func(*Stream)
		within time.Duration
	}{
		{"default", xmpptest.Config{}, func(*Stream) {}, 30 * time.Second},
		{"without stream management", xmpptest.Config{Without: []string{nsSM}}, func(*Stream) {}, 30 * time.Second},
		{"during a call", xmpptest.Config{}, func(s *Stream) { s.SetQuick(true) }, 9 * time.Second},
		{"network changed", xmpptest.Config{}, func(s *Stream) { s.NetworkChanged() }, probeQuick},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, tt.cfg, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
				s, r := dialBubble(t, cfg)
				defer s.Close()
				synctest.Wait()
				srv.Freeze("alice@example.org")
				start := time.Now()
				tt.adjust(s)
				if err := <-r.offline; !errors.Is(err, ErrDead) {
					t.Errorf("lost because of %v", err)
				}
				if took := time.Since(start); took > tt.within+time.Second || took < tt.within/3 {
					t.Errorf("noticed after %v, want about %v", took, tt.within)
				}
				<-r.online
			})
		})
	}
}

func TestIdleConnectionIsKept(t *testing.T) {
	for _, without := range [][]string{nil, {nsSM}} {
		bubble(t, xmpptest.Config{Without: without}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
			probes := 0
			srv.Tap(func(st xmpptest.Stanza) {
				if st.Dir == xmpptest.FromClient {
					probes++
				}
			})
			s, r := dialBubble(t, cfg)
			time.Sleep(time.Hour)
			s.Close()
			if len(r.offline) > 0 {
				t.Errorf("lost: %v", <-r.offline)
			}
			if probes < 100 || probes > 200 {
				t.Errorf("%d probes in an hour", probes)
			}
		})
	}
}

func TestSlowHandlerIsNoDeadConnection(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		release := make(chan struct{})
		cfg.DeadAfter = 6 * time.Second
		r := newRecorder()
		h := r.handler()
		h.Stanza = func(*Stanza) { <-release }
		s, err := Dial(t.Context(), cfg, h)
		if err != nil {
			t.Fatal(err)
		}
		<-r.online
		go func() {
			for range 2 * maxInbox {
				if _, err := srv.Inject("alice@example.org", `<message/>`); err != nil {
					t.Error(err)
				}
			}
		}()
		time.Sleep(9 * time.Second) // the server gives up a client that does not read for 10 s
		close(release)
		time.Sleep(time.Minute)
		if len(r.offline) > 0 {
			t.Errorf("lost: %v", <-r.offline)
		}
		s.Close()
	})
}

func TestUnsentAcknowledgementIsAskedFor(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		s, _ := dialBubble(t, cfg)
		defer s.Close()
		if err := s.Send(t.Context(), []byte(`<message to='bob@example.org'/>`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ackDelay + time.Millisecond)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.out.items) > 0 {
			t.Error("not acknowledged")
		}
	})
}

func TestBackoff(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		var tries []time.Time
		dial := cfg.Dial
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			tries = append(tries, time.Now())
			return dial(ctx, network, addr)
		}
		cfg.Server = "starttls://" + srv.Addr()
		s, r := dialBubble(t, cfg)
		defer s.Close()
		time.Sleep(stableFor)
		synctest.Wait()
		srv.SetGate(xmpptest.Refuse)
		tries = nil
		start := time.Now()
		srv.Cut("alice@example.org")
		<-r.offline
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if tries[0].Sub(start) > 0 {
			t.Errorf("first try after %v, want at once", tries[0].Sub(start))
		}
		for i := range len(tries) - 1 {
			wait, top := tries[i+1].Sub(tries[i]), min(cfg.withDefaults().MinBackoff<<(i+1), cfg.withDefaults().MaxBackoff)
			if wait < top/2 || wait > top+time.Second {
				t.Errorf("try %d came %v after the one before, want %v to %v", i+1, wait, top/2, top)
			}
		}
		if n := len(tries); n < 10 || n > 30 {
			t.Errorf("%d tries in ten minutes", n)
		}
		if s.LastError() == nil {
			t.Error("nobody can see why")
		}
		srv.SetGate(xmpptest.Admit)
		start = time.Now()
		s.NetworkChanged()
		<-r.online
		if took := time.Since(start); took > time.Second {
			t.Errorf("online again %v after the network changed", took)
		}
	})
}

func TestLoginTakesNoLongerThanAllowed(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		srv.SetGate(xmpptest.Silent)
		start := time.Now()
		_, err := Dial(t.Context(), cfg, Handler{})
		if took := time.Since(start); took != 30*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial took %v: %v", took, err)
		}
		var u *UnreachableError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "no login within 30s") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestCloseDoesNotWaitForeverForADeadServer(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		s, _ := dialBubble(t, cfg)
		srv.Freeze("alice@example.org")
		if err := s.Send(t.Context(), []byte(`<message to='bob@example.org'/>`)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s.Close()
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}

// A server that begins a stanza and never goes on is not alive for ever.
func TestStanzaThatDoesNotGoOn(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		s, r := dialBubble(t, cfg)
		defer s.Close()
		srv.InjectRaw("alice@example.org", []byte(`<message>`))
		start := time.Now()
		for len(r.offline) == 0 && time.Since(start) < 10*time.Minute {
			srv.InjectRaw("alice@example.org", []byte(`x`))
			time.Sleep(time.Second)
		}
		if took := time.Since(start); took > maxElementTime+30*time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

// A server that lost what we sent says the same however often we ask.
func TestServerThatLagsIsNotAskedAllTheTime(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		s, _ := dialBubble(t, cfg)
		var asked atomic.Int32
		srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
			if st.Dir == xmpptest.FromClient && st.Is(nsSM, "r") {
				asked.Add(1)
			}
			return xmpptest.Verdict{Drop: st.Dir == xmpptest.FromClient && st.Name.Local == "message"}
		})
		for range 2 * ackAfter {
			if err := s.Send(t.Context(), []byte(`<message to='bob@example.org'/>`)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := asked.Load(); n < 3 || n > 10 {
			t.Errorf("asked %d times in ten seconds", n)
		}
		s.Close()
	})
}

// One acknowledgement that never comes does not keep the outbox full for ever,
// even while other things keep arriving.
func TestAcknowledgementThatDoesNotComeIsAskedForAgain(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		s, _ := dialBubble(t, cfg)
		defer s.Close()
		lost := false
		srv.Intercept(func(st xmpptest.Stanza) xmpptest.Verdict {
			drop := !lost && st.Dir == xmpptest.ToClient && st.Is(nsSM, "a")
			lost = lost || drop
			return xmpptest.Verdict{Drop: drop}
		})
		if err := s.Send(t.Context(), []byte(`<message to='bob@example.org'/>`)); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(time.Second)
			srv.InjectRaw("alice@example.org", []byte(" "))
		}
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if !lost || len(s.out.items) > 0 {
			t.Errorf("lost %v, %d not acknowledged", lost, len(s.out.items))
		}
	})
}

// A server that lets us in and throws us out at once is not stormed, and one
// that says policy-violation is not given up: too many stanzas on their way
// may be all that it means.
func TestShortConnectionsMakeTheBackoffGrow(t *testing.T) {
	bubble(t, xmpptest.Config{}, func(t *testing.T, srv *xmpptest.Server, cfg Config) {
		var logins atomic.Int32
		s, err := Dial(t.Context(), cfg, Handler{Online: func(bool) {
			logins.Add(1)
			go srv.Expel("alice@example.org", "policy-violation")
		}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		select {
		case <-s.Done():
			t.Fatalf("given up: %v", s.Err())
		default:
		}
		if n := logins.Load(); n < 8 || n > 40 {
			t.Errorf("%d logins in ten minutes", n)
		}
		s.SetQuick(true)
		before := logins.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := logins.Load() - before; n < 100 {
			t.Errorf("%d logins in ten minutes of a call", n)
		}
		s.Close()
	})
}

// What may be too large for the server is not sent again and again.
func TestLargeStanzaAfterPolicyViolation(t *testing.T) {
	srv := testServer(t, xmpptest.Config{MaxStanza: 20 << 10})
	s, r := dialTest(t, testConfig(srv))
	for _, size := range []int{30 << 10, 10} {
		if err := s.Send(t.Context(), []byte(`<message to='alice@example.org/desk' id='`+strings.Repeat("x", size)+`'/>`)); err != nil {
			t.Fatal(err)
		}
	}
	within(t, "Offline", r.offline)
	within(t, "Online", r.online)
	if id := within(t, "the small message", r.stanzas).ID(); len(id) != 10 {
		t.Errorf("got a message of %d bytes", len(id))
	}
	if len(r.offline) > 0 {
		t.Error("lost again")
	}
}
