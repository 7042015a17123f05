package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pion/stun/v4"
)

// A mapping is how a STUN server saw us. RFC 5780 §4.3
type mapping struct {
	server netip.AddrPort
	seen   netip.AddrPort
}

// A NAT is the kind of network address translation between us and others, as
// far as calls are concerned.
type NAT string

// The kinds of NAT.
const (
	NoNAT       NAT = "none"        // our address is public
	Cone        NAT = "cone"        // one public address for all servers
	Symmetric   NAT = "symmetric"   // another one for each server
	UnknownNAT  NAT = "unknown"     // one server is not enough to tell
	UDPBlocked  NAT = "blocked"     // nothing comes back
	NothingSeen NAT = "not checked" // there was no server to ask
)

// classify compares what several servers saw of one socket. asked is how many
// were asked.
func classify(local []netip.Addr, got []mapping, asked int) NAT {
	switch {
	case asked == 0:
		return NothingSeen
	case len(got) == 0:
		return UDPBlocked
	}
	for _, l := range local {
		if l == got[0].seen.Addr() {
			return NoNAT
		}
	}
	servers := make(map[netip.AddrPort]bool)
	for _, m := range got {
		if m.seen.Addr().Is4() != got[0].seen.Addr().Is4() {
			continue // the other family has its own mapping
		}
		servers[m.server] = true
		if m.seen != got[0].seen {
			return Symmetric
		}
	}
	if len(servers) < 2 {
		return UnknownNAT
	}
	return Cone
}

// bind asks a STUN server over an open socket how it sees us. RFC 8489 §2
func bind(ctx context.Context, conn net.PacketConn, server netip.AddrPort) (mapping, error) {
	m := mapping{server: server}
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return m, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(stunTimeout)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1500)
	for wait := 250 * time.Millisecond; time.Now().Before(deadline); wait *= 2 {
		if _, err := conn.WriteTo(request.Raw, net.UDPAddrFromAddrPort(server)); err != nil {
			return m, err
		}
		conn.SetReadDeadline(earlier(deadline, time.Now().Add(wait)))
		for {
			n, _, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break // once more
			}
			if err != nil {
				return m, err
			}
			answer := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
			if answer.Decode() != nil || answer.TransactionID != request.TransactionID ||
				answer.Type.Class == stun.ClassRequest {
				continue
			}
			if answer.Type != stun.BindingSuccess {
				return m, fmt.Errorf("server answers %s", answer.Type)
			}
			if m.seen, err = mapped(answer); err != nil {
				return m, err
			}
			return m, nil
		}
		if err := context.Cause(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return m, err
		}
	}
	return m, errors.New("no answer")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func mapped(m *stun.Message) (netip.AddrPort, error) {
	var xor stun.XORMappedAddress
	if err := xor.GetFrom(m); err == nil {
		return addrPort(xor.IP, xor.Port)
	}
	var old stun.MappedAddress // RFC 3489 servers
	if err := old.GetFrom(m); err != nil {
		return netip.AddrPort{}, errors.New("answer without address")
	}
	return addrPort(old.IP, old.Port)
}

func addrPort(ip net.IP, port int) (netip.AddrPort, error) {
	a, ok := netip.AddrFromSlice(ip)
	if !ok || port < 1 || port > 65535 {
		return netip.AddrPort{}, errors.New("answer without address")
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), nil
}

// ownAddrs are the addresses of this machine.
func ownAddrs() (out []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}
