// Sendfile sends files and folders to somebody who runs Carillon, directly and
// verified. Run again, it goes on where it was interrupted.
//
//	XMPP_PASSWORD=... sendfile alice@example.org bob@example.org photos/
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: sendfile OUR-JID THEIR-JID PATH...")
	}
	ctx := context.Background()
	client, err := signaling.Dial(ctx, signaling.Config{
		JID: jid.MustParse(os.Args[1]), Password: signaling.Secret(os.Getenv("XMPP_PASSWORD")), Registry: registry(), NoCalls: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	result, err := send(ctx, client, ft.Env{Ask: client.Ask, HandleIQ: client.HandleIQ}, jid.MustParse(os.Args[2]), os.Args[3:])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes arrived, %d of them before\n", result.Bytes, result.Kept)
}

// registry is what the client can read.
func registry() *jingle.Registry {
	var reg jingle.Registry
	ft.Register(&reg)
	tcp.Register(&reg)
	return &reg
}

func send(ctx context.Context, client *signaling.Client, env ft.Env, to jid.JID, paths []string) (*exchange.Result, error) {
	source, err := exchange.Scan(ctx, paths...)
	if err != nil {
		return nil, err
	}
	device, carriers, err := find(ctx, client, to)
	if err != nil {
		return nil, err
	}
	transfer, err := ft.NewSender(ft.SendConfig{Source: source, Carriers: carriers, Env: env})
	if err != nil {
		return nil, err
	}
	if _, err := client.Open(ctx, device, "", transfer); err != nil {
		return nil, err
	}
	<-transfer.Done()
	return transfer.Result()
}

// find waits for a device that takes files.
func find(ctx context.Context, client *signaling.Client, to jid.JID) (jid.JID, []ft.Carrier, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	news := client.Subscribe(16)
	defer news.Close()
	for {
		devices, err := client.Devices(ctx, to)
		if err != nil {
			return jid.JID{}, nil, err
		}
		for _, d := range slices.Backward(devices) {
			if d.Info == nil {
				continue
			}
			if carriers, ours := ft.Choose(d.Info.Features, tcp.Carrier{}); ours && len(carriers) > 0 {
				return d.JID, carriers, nil
			}
		}
		select {
		case <-news.Events(): // somebody came or went
		case <-ctx.Done():
			return jid.JID{}, nil, errors.New("nobody is there")
		}
	}
}
