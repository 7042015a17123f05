// Echo is a bot: it answers calls, and callers hear themselves half a second
// later. It is a test of microphones and networks.
//
//	PASSWORD=... go run ./examples/echo echo@example.org
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// delay is how much later callers hear themselves.
const delay = 500 * time.Millisecond

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: PASSWORD=... echo JID")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	account, err := jid.Parse(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	client, err := signaling.Dial(ctx, signaling.Config{
		JID: account, Password: signaling.Secret(os.Getenv("PASSWORD")),
		Busy: signaling.BusyRing, // it can talk with many at once
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	log.Printf("waiting for calls as %s", client.JID())
	serve(ctx, client)
}

// serve answers calls until ctx ends, and then waits for those that run.
func serve(ctx context.Context, client *signaling.Client) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		select {
		case in := <-client.Incoming():
			if in == nil {
				return // the client is closed
			}
			calls.Go(func() { echo(ctx, client, in) })
		case <-ctx.Done():
			return
		}
	}
}

// echo takes a call and returns when it is over.
func echo(ctx context.Context, client *signaling.Client, in *signaling.IncomingCall) {
	line := newDelayLine(delay)
	cfg := media.Config{Audio: media.Audio{Source: audio.NewSource(line), Sink: audio.NewSink(line.Write)}}
	services, err := client.Services(ctx)
	if err != nil {
		log.Printf("no relays: %v", err)
	}
	for _, s := range services {
		cfg.ICEServers = append(cfg.ICEServers, media.ICEServer{URL: s.URL(), Username: s.Username, Password: media.Secret(s.Password)})
	}
	call, err := media.NewCall(cfg)
	if err != nil {
		log.Printf("call of %s: %v", in.From(), err)
		in.Reject(jingle.Reason{Condition: jingle.GeneralError})
		return
	}
	defer call.Close() // hangs up
	if err := in.Accept(ctx, call); err != nil {
		log.Printf("call of %s: %v", in.From(), err)
		return
	}
	log.Printf("talking with %s", in.From())
	select {
	case <-in.Done():
		log.Printf("call of %s: %s", in.From(), in.Result().Outcome)
	case <-ctx.Done():
	}
}

// A delayLine gives what it was given, a while later. The two sides have clocks
// of their own, so what it holds is bounded at both ends: silence when it runs
// empty, and the oldest sound is dropped when it runs full.
type delayLine struct {
	mu    sync.Mutex
	sound []int16
	max   int
}

func newDelayLine(d time.Duration) *delayLine {
	n := int(d.Seconds() * audio.SampleRate)
	return &delayLine{sound: make([]int16, n), max: 2 * n}
}

// Write takes sound from the call. It makes an audio.Sink, by audio.NewSink.
func (l *delayLine) Write(f audio.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sound = append(l.sound, f...)
	l.sound = l.sound[max(0, len(l.sound)-l.max):]
	return nil
}

// Fill gives sound to the call. It makes an audio.Source, by audio.NewSource.
func (l *delayLine) Fill(f audio.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := copy(f, l.sound)
	clear(f[n:])
	l.sound = l.sound[n:]
}
