package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"

	"github.com/carillon-im/carillon/turn"
)

// A visit tries one relay and says what it finds.
type visit struct {
	host, address  string
	user, password string // none: only STUN
	tls            *tls.Config
	say            func(format string, args ...any)
}

// try is the whole of it by one transport. What it returns is bad, what it says
// is good or worth a warning.
func (v *visit) try(ctx context.Context, transport turn.Transport) error {
	a, err := v.dial(ctx, transport)
	if err != nil {
		return err
	}
	defer a.close()
	if warning := expiring(a.peer, time.Now()); warning != "" {
		v.say("  warning: %s", warning)
	}
	seen, err := a.client.SendBindingRequest()
	if err != nil {
		return unreachable(transport, fmt.Errorf("no answer to STUN: %w", err))
	}
	v.say("  ok: answers STUN, you are %v", seen)
	if v.user == "" {
		return nil
	}
	if err := v.allocate(ctx, a); err != nil {
		return err
	}
	v.judgeAddress(a.relay.LocalAddr())
	b, err := v.dial(ctx, transport)
	if err != nil {
		return err
	}
	defer b.close()
	if err := v.allocate(ctx, b); err != nil {
		return err
	}
	if err := v.echo(a, b); err != nil {
		return err
	}
	v.judgePolicy(a)
	return nil
}

func (v *visit) allocate(ctx context.Context, p *probe) (err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if p.relay, err = p.client.AllocateWithContext(ctx); err != nil {
		return refusedAllocation(err)
	}
	return nil
}

// judgeAddress warns of an address that nobody else can reach.
func (v *visit) judgeAddress(relayed net.Addr) {
	v.say("  ok: allocation at %v", relayed)
	at, err := netip.ParseAddrPort(relayed.String())
	if err != nil || !at.Addr().IsPrivate() {
		return
	}
	if ip, err := netip.ParseAddr(v.host); err == nil && ip.IsPrivate() {
		return // a relay for a private network
	}
	v.say("  warning: that is a private address, which nobody outside can reach: behind a NAT set relay-ip and public-ip")
}

// echo sends from one allocation to the other.
func (v *visit) echo(a, b *probe) error {
	for _, pair := range [][2]*probe{{a, b}, {b, a}} {
		if err := pair[0].client.CreatePermission(pair[1].relay.LocalAddr()); err != nil {
			return &hinted{fmt.Errorf("two people who both use it cannot talk, it refuses its own address %v: %w", pair[1].relay.LocalAddr(), err),
				"coturn needs allowed-peer-ip for it"}
		}
	}
	want := []byte(rand.Text())
	got := make([]byte, 1500)
	start := time.Now()
	for range 5 { // UDP loses packets
		if _, err := a.relay.WriteTo(want, b.relay.LocalAddr()); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if err := b.relay.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if n, _, err := b.relay.ReadFrom(got); err == nil && bytes.Equal(got[:n], want) {
			v.say("  ok: a packet takes %v through both", time.Since(start).Round(10*time.Microsecond))
			return nil
		}
	}
	return &hinted{fmt.Errorf("allocations are made at %v, but nothing arrives there", a.relay.LocalAddr()),
		"is its range of UDP ports open in the firewall, and is public-ip right?"}
}

// insides are what a relay on the Internet should let nobody reach.
var insides = []struct {
	peer string
	what string
}{
	{"127.0.0.1", "what listens on the relay's own machine"},
	{"169.254.169.254", "the metadata service of clouds, which has keys"},
	{"10.0.0.1", "private networks behind it"},
}

// judgePolicy warns of a relay by which strangers reach what is inside.
func (v *visit) judgePolicy(p *probe) {
	for _, in := range insides {
		peer := &net.UDPAddr{IP: net.ParseIP(in.peer), Port: 9}
		err := p.client.CreatePermission(peer)
		var refusal *stun.TurnError
		switch {
		case err == nil:
			v.say("  warning: its users can reach %s (%s)", in.what, in.peer)
		case !errors.As(err, &refusal):
			v.say("  note: whether it refuses %s could not be found out: %v", in.peer, err)
		}
	}
}
