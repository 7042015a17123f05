package icepath

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
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
type mux struct {
	*ice.UniversalUDPMuxDefault
	addrs []net.Addr
}

func newMux(conn net.PacketConn, port int, ips []netip.Addr, log *slog.Logger) *mux {
	m := &mux{UniversalUDPMuxDefault: ice.NewUniversalUDPMuxDefault(ice.UniversalUDPMuxParams{
		Logger: pionScope{log}, UDPConn: conn,
	})}
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		m.addrs = append(m.addrs, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))))
	}
	return m
}

// GetListenAddresses implements ice.UDPMux: each is a host candidate.
func (m *mux) GetListenAddresses() []net.Addr { return m.addrs }

// reflexive returns the mux as it is used to ask STUN servers: once, because
// all addresses are one socket.
func (m *mux) reflexive() *mux {
	for _, a := range m.addrs {
		if u := a.(*net.UDPAddr); u.IP.To4() != nil && !u.IP.IsLoopback() {
			return &mux{m.UniversalUDPMuxDefault, []net.Addr{a}}
		}
	}
	return &mux{m.UniversalUDPMuxDefault, m.addrs[:min(1, len(m.addrs))]}
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
