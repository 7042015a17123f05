package icepath

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/transport/v5/stdnet"
)

// buffers makes room in the kernel: the default overflows at a tenth of what a
// transfer brings. Less than asked for is no error.
func buffers(c net.PacketConn) {
	if b, ok := c.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	}); ok {
		b.SetReadBuffer(socketBuffer)
		b.SetWriteBuffer(socketBuffer)
	}
}

// A mux puts ICE on one socket that listens on all addresses of this machine.
//
// The agent is told of one address of each family only: it would read the one
// socket once for each of them, which changes the order of packets, and check
// each with every candidate of the peer. The peer is told of all.
type mux struct {
	*ice.UniversalUDPMuxDefault
	agent []net.Addr
	all   []netip.Addr
}

func newMux(conn net.PacketConn, port int, ips []netip.Addr, log *slog.Logger) *mux {
	m := &mux{
		UniversalUDPMuxDefault: ice.NewUniversalUDPMuxDefault(ice.UniversalUDPMuxParams{Logger: pionScope{log}, UDPConn: conn}),
		all:                    ips[:min(len(ips), maxAddresses)],
	}
	// One that is not loopback is better known to STUN servers.
	for _, is4 := range []bool{true, false} {
		of := func(loopback bool) int {
			return slices.IndexFunc(m.all, func(ip netip.Addr) bool { return ip.Is4() == is4 && ip.IsLoopback() == loopback })
		}
		i := of(false)
		if i < 0 {
			i = of(true)
		}
		if i >= 0 {
			m.agent = append(m.agent, net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.all[i], uint16(port))))
		}
	}
	return m
}

// GetListenAddresses implements ice.UDPMux: each is a host candidate.
func (m *mux) GetListenAddresses() []net.Addr { return m.agent }

// reflexive returns the mux as it is used to ask STUN servers: once, because
// all addresses are one socket.
func (m *mux) reflexive() *mux {
	one := *m
	one.agent = m.agent[:min(1, len(m.agent))]
	return &one
}

// A network opens what the agent needs beside our socket, which is the way to
// its TURN servers.
type network struct {
	*stdnet.Net
	ctx context.Context // ends with the path
}

func newNetwork(ctx context.Context) (transport.Net, error) {
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	return &network{n, ctx}, nil
}

const dialTimeout = 5 * time.Second // of a TURN server over TCP

// ListenPacket opens a socket to a TURN server over UDP.
func (n *network) ListenPacket(network, address string) (net.PacketConn, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(n.ctx, network, address)
	if err == nil {
		buffers(c)
	}
	return c, err
}

// DialTCP connects to a TURN server over TCP or TLS.
func (n *network) DialTCP(network string, _, raddr *net.TCPAddr) (transport.TCPConn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(n.ctx, network, raddr.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
