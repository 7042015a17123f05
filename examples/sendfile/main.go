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
	if err := send(context.Background(), jid.MustParse(os.Args[1]), jid.MustParse(os.Args[2]), os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}

func send(ctx context.Context, from, to jid.JID, paths []string) error {
	var reg jingle.Registry // what the client can read
	ft.Register(&reg)
	tcp.Register(&reg)
	client, err := signaling.Dial(ctx, signaling.Config{
		JID: from, Password: signaling.Secret(os.Getenv("XMPP_PASSWORD")), Registry: &reg, NoCalls: true,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	source, err := exchange.Scan(ctx, paths...)
	if err != nil {
		return err
	}
	device, carriers, err := find(ctx, client, to)
	if err != nil {
		return err
	}
	transfer, err := ft.NewSender(ft.SendConfig{Source: source, Carriers: carriers, Env: ft.Env{Ask: client.Ask, HandleIQ: client.HandleIQ}})
	if err != nil {
		return err
	}
	if _, err := client.Open(ctx, device, "", transfer); err != nil {
		return err
	}
	<-transfer.Done()
	result, err := transfer.Result()
	fmt.Printf("%d bytes arrived, %d of them before\n", result.Bytes, result.Kept)
	return err
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
