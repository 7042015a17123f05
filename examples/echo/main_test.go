package main

import (
	"context"
	"testing"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/mediatest"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

func TestCallersHearThemselves(t *testing.T) {
	srv := xmpptest.Run(t, xmpptest.Config{Accounts: map[string]string{"bot@example.org": "s", "alice@example.org": "s"}})
	srv.Befriend("bot@example.org", "alice@example.org")
	dial := func(account string) *signaling.Client {
		t.Helper()
		c, err := signaling.Dial(t.Context(), signaling.Config{JID: jid.MustParse(account), Password: "s", Server: srv.Addr(), RootCAs: srv.CertPool()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	bot, alice := dial("bot@example.org"), dial("alice@example.org")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(ctx, bot)
	}()
	phone := mediatest.NewPhone(t, 440)
	call, err := alice.Call(t.Context(), jid.MustParse("bot@example.org"), phone.Call, signaling.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mediatest.WaitTone(t, phone, 440)
	cancel() // the bot hangs up
	<-done
	<-call.Done()
	if r := call.Result(); r.Outcome != signaling.Answered || !r.Remote {
		t.Errorf("result = %+v", r)
	}
}

func TestDelayLineIsBounded(t *testing.T) {
	l := newDelayLine(delay)
	f := make(audio.Frame, audio.FrameSize)
	for range 1000 { // nobody takes anything
		if err := l.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.sound) != l.max {
		t.Errorf("it holds %d samples, want %d", len(l.sound), l.max)
	}
	for range 1000 { // nobody gives anything
		l.Fill(f)
	}
	if len(l.sound) != 0 {
		t.Errorf("it holds %d samples, want none", len(l.sound))
	}
	l.Fill(f)
	if audio.Measure(f).RMS != audio.MinLevel {
		t.Error("an empty line is not silent")
	}
}
