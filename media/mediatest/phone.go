package mediatest

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/video/videotest"
)

// An Ear is an audio.Sink that knows the last second of what it heard.
type Ear struct {
	audio.Sink
	news chan struct{}

	mu    sync.Mutex // guards heard
	heard audio.Frame
}

// NewEar returns an ear.
func NewEar() *Ear {
	e := &Ear{news: make(chan struct{}, 1)}
	e.Sink = audio.NewSink(e.take)
	return e
}

func (e *Ear) take(f audio.Frame) error {
	e.mu.Lock()
	e.heard = append(e.heard, f...)
	e.heard = e.heard[max(0, len(e.heard)-audio.SampleRate):]
	e.mu.Unlock()
	select {
	case e.news <- struct{}{}:
	default:
	}
	return nil
}

// Last returns the last d of what was heard, nil if it was not so long. d is at
// most a second.
func (e *Ear) Last(d time.Duration) audio.Frame {
	n := int(d * audio.SampleRate / time.Second)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heard) < n {
		return nil
	}
	return append(audio.Frame(nil), e.heard[len(e.heard)-n:]...)
}

// listenFor is how much sound a question about it is put to.
const listenFor = 200 * time.Millisecond

// wait returns when ok says that the sound is there.
func (e *Ear) wait(ctx context.Context, ok func(audio.Frame) bool) error {
	for {
		if f := e.Last(listenFor); f != nil && ok(f) {
			return nil
		}
		select {
		case <-e.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A Phone is a call in a test, which says a tone and listens.
type Phone struct {
	*media.Call
	Ear *Ear
	Eye *videotest.Eye // nil in a call without pictures

	mu     sync.Mutex // guards what follows
	events []media.Event
	over   bool
	news   chan struct{} // replaced when events grow
}

// NewPhone prepares a call that says a tone. It ends with the test.
func NewPhone(t testing.TB, hz float64, change ...func(*media.Config)) *Phone {
	t.Helper()
	p := &Phone{Ear: NewEar(), news: make(chan struct{})}
	cfg := media.Config{
		Audio: media.Audio{Source: audio.NewSource(&audio.Tone{Hz: hz}), Sink: p.Ear},
	}
	if os.Getenv("CARILLON_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: media.LevelTrace})).With("tone", hz)
	}
	for _, fn := range change {
		fn(&cfg)
	}
	p.Eye, _ = cfg.Video.Sink.(*videotest.Eye)
	call, err := media.NewCall(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Call = call
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		p.collect()
	}()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		<-collected
	})
	return p
}

func (p *Phone) collect() {
	add := func(e media.Event, over bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if e != nil {
			p.events = append(p.events, e)
		}
		p.over = over
		close(p.news)
		p.news = make(chan struct{})
	}
	for e := range p.Call.Events() {
		add(e, false)
	}
	add(nil, true)
}

// Events returns what happened so far.
func (p *Phone) Events() []media.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]media.Event(nil), p.events...)
}

// Wait returns the first event of type E, which may have happened already, and
// forgets it and all before it.
func Wait[E media.Event](t testing.TB, p *Phone) E {
	t.Helper()
	ctx, cancel := deadline(t)
	defer cancel()
	for {
		p.mu.Lock()
		for i, e := range p.events {
			if got, ok := e.(E); ok {
				p.events = p.events[i+1:]
				p.mu.Unlock()
				return got
			}
		}
		over, news, seen := p.over, p.news, p.events
		p.mu.Unlock()
		if over {
			t.Fatalf("the call ended without %T; it had %v", *new(E), seen)
		}
		select {
		case <-news:
		case <-ctx.Done():
			t.Fatalf("no %T came in %s; there were %v", *new(E), defaultTimeout, seen)
		}
	}
}

// WaitTone returns when the phone hears a tone of the given frequency, in Hz.
func WaitTone(t testing.TB, p *Phone, hz float64) {
	t.Helper()
	ctx, cancel := deadline(t)
	defer cancel()
	if err := p.Ear.wait(ctx, func(f audio.Frame) bool { return audio.HasTone(f, hz) }); err != nil {
		f := p.Ear.Last(listenFor)
		t.Fatalf("no tone of %v Hz was heard; level %.0f dBFS, of the tone %.0f", hz, audio.Measure(f).RMS, audio.ToneLevel(f, hz))
	}
}

// WaitSilence returns when the phone hears nothing.
func WaitSilence(t testing.TB, p *Phone) {
	t.Helper()
	ctx, cancel := deadline(t)
	defer cancel()
	if err := p.Ear.wait(ctx, func(f audio.Frame) bool { return audio.Measure(f).RMS < -60 }); err != nil {
		t.Fatalf("it did not get silent; level %.0f dBFS", audio.Measure(p.Ear.Last(listenFor)).RMS)
	}
}
