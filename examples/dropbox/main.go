// Dropbox is a bot that receives what its contacts send into a folder.
//
//	XMPP_PASSWORD=... dropbox box@example.org inbox
package main

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: dropbox JID FOLDER")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := signaling.Dial(ctx, signaling.Config{
		JID: jid.MustParse(os.Args[1]), Password: signaling.Secret(os.Getenv("XMPP_PASSWORD")), Registry: registry(), NoCalls: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := serve(ctx, client, ft.Env{Ask: client.Ask, HandleIQ: client.HandleIQ}, os.Args[2]); err != nil {
		log.Print(err)
	}
}

// registry is what the client can read.
func registry() *jingle.Registry {
	var reg jingle.Registry
	ft.Register(&reg)
	tcp.Register(&reg)
	return &reg
}

func serve(ctx context.Context, client *signaling.Client, env ft.Env, dir string) error {
	client.Advertise(jingle.NS, tcp.NS)
	client.Handle(ft.NS, func(o signaling.Offer) jingle.Application {
		if !o.Known {
			return nil // not a contact
		}
		transfer, err := ft.NewReceiver(ft.ReceiveConfig{
			Dir: dir, Carriers: []ft.Carrier{tcp.Carrier{}}, Env: env,
		})
		if err != nil {
			log.Print(err)
			return nil
		}
		go report(o.From, transfer)
		return transfer
	})
	log.Printf("%s receives into %s", client.JID(), dir)
	select {
	case <-ctx.Done():
		return nil
	case <-client.Done():
		return client.Err()
	}
}

// report says how a transfer ended. It ends with the transfer.
func report(from jid.JID, transfer *ft.Transfer) {
	<-transfer.Done()
	if result, err := transfer.Result(); err != nil {
		log.Printf("from %s: %v", from.Bare(), err)
	} else {
		log.Printf("from %s: %q, %d bytes", from.Bare(), result.Paths, result.Bytes)
	}
}
