package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/mediatest"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
)

func TestGreeterPlaysItsFileAndHangsUp(t *testing.T) {
	defer goleak.VerifyNone(t)
	srv := xmpptest.NewServer(xmpptest.Config{Accounts: map[string]string{"bot@example.org": "s", "alice@example.org": "s"}})
	defer srv.Close()
	srv.Befriend("bot@example.org", "alice@example.org")
	dial := func(account string) *signaling.Client {
		t.Helper()
		c, err := signaling.Dial(t.Context(), signaling.Config{JID: jid.MustParse(account), Password: "s", Server: srv.Addr(), RootCAs: srv.CertPool()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	bot, alice := dial("bot@example.org"), dial("alice@example.org")
	defer alice.Close()

	file := filepath.Join(t.TempDir(), "hello.wav")
	tone(t, file, 600, 600*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- greet(ctx, bot, file) }()

	ear := mediatest.NewEar()
	heard := make(chan struct{})
	m, err := media.NewCall(media.Config{Audio: media.Audio{Source: audio.NewSource(audio.Silence{}), Sink: ear}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(heard)
		for e := range m.Events() {
			if _, ok := e.(media.FirstAudio); ok {
				heard <- struct{}{}
			}
		}
	}()
	call, err := alice.Call(t.Context(), jid.MustParse("bot@example.org"), m, signaling.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-heard:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was heard")
	}
	select {
	case <-call.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the bot does not hang up")
	}
	if r := call.Result(); r.Outcome != signaling.Answered || !r.Remote {
		t.Errorf("result = %+v", r)
	}
	if f := ear.Last(100 * time.Millisecond); f == nil {
		t.Error("less than 100 ms were heard")
	}
	m.Close()
	<-heard
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := bot.Close(); err != nil {
		t.Error(err)
	}
}

// tone writes a file with a tone.
func tone(t *testing.T, file string, hz float64, d time.Duration) {
	t.Helper()
	sink, err := audio.OpenSink("file:" + file)
	if err != nil {
		t.Fatal(err)
	}
	f := make(audio.Frame, audio.FrameSize)
	g := &audio.Tone{Hz: hz}
	for range int(d / audio.FrameDuration) {
		g.Fill(f)
		if err := sink.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
