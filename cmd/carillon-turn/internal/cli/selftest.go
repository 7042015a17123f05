package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pion/stun/v4"

	"github.com/carillon-im/carillon/turn"
)

const selfTestWait = 5 * time.Second

// selfTest asks a listener who we are, as a client would.
func selfTest(ctx context.Context, listeners []turn.Listener) error {
	for _, l := range listeners {
		switch l.Transport {
		case turn.UDP, turn.TCP:
			return ask(ctx, l)
		}
	}
	return nil // over TLS it would take a certificate too
}

func ask(ctx context.Context, l turn.Listener) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestWait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, string(l.Transport), l.Address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if _, err := conn.Write(request.Raw); err != nil {
		return fmt.Errorf("ask %s %v: %w", l.Transport, l.Address, err)
	}
	b := make([]byte, 1500)
	n, err := conn.Read(b)
	if err != nil {
		return fmt.Errorf("ask %s %v: %w", l.Transport, l.Address, err)
	}
	m := &stun.Message{Raw: b[:n]}
	if m.Decode() != nil || m.Type != stun.BindingSuccess || m.TransactionID != request.TransactionID {
		return errors.New("the answer is to no question of ours")
	}
	return nil
}
