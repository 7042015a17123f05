package media

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/audio"
	"go.uber.org/goleak"
)

// An ear is a sink that knows the last second of what it heard.
type ear struct {
	audio.Sink
	mu    sync.Mutex
	heard audio.Frame
	news  chan struct{}
}

func newEar() *ear {
	e := &ear{news: make(chan struct{}, 1)}
	e.Sink = audio.NewSink(func(f audio.Frame) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard = append(e.heard, f...)
		e.heard = e.heard[max(0, len(e.heard)-audio.SampleRate):]
		select {
		case e.news <- struct{}{}:
		default:
		}
		return nil
	})
	return e
}

// last returns the last d of what was heard, nil if it was not so long.
func (e *ear) last(d time.Duration) audio.Frame {
	n := int(d * audio.SampleRate / time.Second)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heard) < n {
		return nil
	}
	return append(audio.Frame(nil), e.heard[len(e.heard)-n:]...)
}

func (e *ear) wait(t testing.TB, ctx context.Context, what string, ok func(audio.Frame) bool) {
	t.Helper()
	for {
		if f := e.last(200 * time.Millisecond); f != nil && ok(f) {
			return
		}
		select {
		case <-e.news:
		case <-ctx.Done():
			t.Fatalf("%s was not heard", what)
		}
	}
}

func (e *ear) waitTone(t testing.TB, ctx context.Context, hz float64) {
	t.Helper()
	e.wait(t, ctx, "the tone", func(f audio.Frame) bool { return audio.HasTone(f, hz) })
}

func (e *ear) waitSilence(t testing.TB, ctx context.Context) {
	t.Helper()
	e.wait(t, ctx, "silence", func(f audio.Frame) bool { return audio.Measure(f).RMS < -60 })
}

// A phone is a call in a test.
type phone struct {
	*Call
	ear    *ear
	conn   *jingletest.Conn
	tap    func(*jingle.Jingle) // sees and may change what is sent; may be nil
	events chan Event
}

func newPhone(t testing.TB, name string, hz float64, change func(*Config)) *phone {
	t.Helper()
	p := &phone{ear: newEar(), events: make(chan Event, 1000)}
	cfg := Config{
		Audio:  Audio{Source: audio.NewSource(&audio.Tone{Hz: hz}), Sink: p.ear},
		Logger: testLogger(t, name),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if p.Call, err = NewCall(cfg); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.events)
		for e := range p.Call.Events() {
			if os := testing.Verbose(); os {
				t.Logf("%s: %T %+v", name, e, e)
			}
			select {
			case p.events <- e:
			default:
			}
		}
	}()
	return p
}

// next waits for an event of type E.
func next[E Event](t testing.TB, ctx context.Context, p *phone) E {
	t.Helper()
	var want E
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				t.Fatalf("the call ended before %T", want)
			}
			if got, ok := e.(E); ok {
				return got
			}
		case <-ctx.Done():
			t.Fatalf("no %T: %v", want, context.Cause(ctx))
		}
	}
}

// registry decodes what calls are made of.
func registry() *jingle.Registry {
	reg := &jingle.Registry{}
	jrtp.Register(reg)
	iceudp.Register(reg)
	return reg
}

// dial joins two phones in a session and cleans up.
func dial(t testing.TB, a, b *phone) {
	t.Helper()
	a.conn, b.conn = jingletest.Pair(t, jingletest.PairConfig{
		Registry: registry(),
		Tap: func(from jingle.Role, j *jingle.Jingle) {
			p := a
			if from == jingle.Responder {
				p = b
			}
			if p.tap != nil {
				*j = *copyJingle(t, j)
				p.tap(j)
			}
		},
	}, a.Call, b.Call)
	t.Cleanup(func() {
		for _, p := range []*phone{a, b} {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			for range p.events {
			}
		}
	})
}

// leaks checks that everything the test started has stopped.
func leaks(t testing.TB) {
	opt := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, opt) })
}

func TestCall(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newPhone(t, "a", 440, nil), newPhone(t, "b", 880, nil)
	dial(t, a, b)
	for _, p := range []*phone{a, b} {
		next[Connecting](t, ctx, p)
		c := next[Connected](t, ctx, p)
		f := next[FirstAudio](t, ctx, p)
		t.Logf("connected after %v, first packet after %v, first audio after %v", c.SinceAccept, f.Packet, f.SinceAccept)
		if f.SinceAccept <= 0 || f.SinceAccept < f.Packet {
			t.Errorf("first audio %v, packet %v", f.SinceAccept, f.Packet)
		}
	}
	a.ear.waitTone(t, ctx, 880)
	b.ear.waitTone(t, ctx, 440)
	a.HangUp(jingle.Reason{})
	for _, p := range []*phone{a, b} {
		e := next[Ended](t, ctx, p)
		if e.Reason.Condition != jingle.Success || e.Err != nil || e.Duration <= 0 {
			t.Errorf("%+v", e)
		}
		waitFor(t, ctx, "the end", p.Done())
		if p.Err() != nil {
			t.Error(p.Err())
		}
		if err := p.Mute(true); !errors.Is(err, net.ErrClosed) {
			t.Errorf("mute after the end: %v", err)
		}
	}
}
