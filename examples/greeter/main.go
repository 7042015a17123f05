// Greeter is a bot: it answers calls, plays a file, and hangs up.
//
//	PASSWORD=... go run ./examples/greeter greeter@example.org hello.wav
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: PASSWORD=... greeter JID FILE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	account, err := jid.Parse(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	client, err := signaling.Dial(ctx, signaling.Config{JID: account, Password: signaling.Secret(os.Getenv("PASSWORD"))})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	log.Printf("waiting for calls as %s", client.JID())
	if err := greet(ctx, client, os.Args[2]); err != nil {
		log.Print(err)
	}
}

// greet answers one call after the other until ctx ends.
func greet(ctx context.Context, client *signaling.Client, file string) error {
	for {
		select {
		case in := <-client.Incoming():
			if in == nil {
				return client.Err()
			}
			if err := play(ctx, client, in, file); err != nil {
				log.Printf("call of %s: %v", in.From(), err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// play takes a call and plays the file to the caller.
func play(ctx context.Context, client *signaling.Client, in *signaling.IncomingCall, file string) error {
	source, err := audio.OpenSource("file:" + file)
	if err != nil {
		in.Reject(jingle.Reason{Condition: jingle.GeneralError})
		return err
	}
	call, err := media.NewCall(media.Config{
		Audio:      media.Audio{Source: source}, // without a sink: what they say is not kept
		ICEServers: iceServers(ctx, client),
	})
	if err != nil {
		in.Reject(jingle.Reason{Condition: jingle.GeneralError})
		return err
	}
	defer call.Close() // hangs up
	if err := in.Accept(ctx, call); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	for {
		select {
		case e, ok := <-call.Events():
			switch e := e.(type) {
			case media.SourceEnded:
				return e.Err // nil at the end of the file
			case media.Ended:
				return e.Err
			}
			if !ok {
				return errors.New("ended before it began")
			}
		case <-in.Done(): // also when the caller gave up before there was media
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// iceServers are the STUN and TURN servers that the XMPP server offers.
func iceServers(ctx context.Context, client *signaling.Client) (list []media.ICEServer) {
	services, err := client.Services(ctx)
	if err != nil {
		log.Printf("no relays: %v", err) // most calls need none
	}
	for _, s := range services {
		list = append(list, media.ICEServer{URL: s.URL(), Username: s.Username, Password: media.Secret(s.Password)})
	}
	return list
}
