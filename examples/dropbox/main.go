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
	if err := serve(ctx, jid.MustParse(os.Args[1]), os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, account jid.JID, dir string) error {
	var reg jingle.Registry // what the client can read
	ft.Register(&reg)
	tcp.Register(&reg)
	client, err := signaling.Dial(ctx, signaling.Config{
		JID: account, Password: signaling.Secret(os.Getenv("XMPP_PASSWORD")), Registry: &reg, NoCalls: true,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	client.Advertise(jingle.NS, tcp.NS)
	client.Handle(ft.NS, func(o signaling.Offer) jingle.Application {
		if !o.Known {
			return nil // not a contact
		}
		transfer, err := ft.NewReceiver(ft.ReceiveConfig{
			Dir: dir, Carriers: []ft.Carrier{tcp.Carrier{}}, Env: ft.Env{Ask: client.Ask, HandleIQ: client.HandleIQ},
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
