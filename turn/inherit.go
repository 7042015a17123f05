package turn

import (
	"fmt"
	"net"
)

// listenerBuffer is the size of a listener's socket buffers in bytes. The kernel
// doubles it and may give less.
const listenerBuffer = 4 << 20

// listenUDP binds a socket where goroutines forward, or takes an inherited one.
func listenUDP(l Listener) (*net.UDPConn, error) {
	if l.Socket == nil {
		u, err := net.ListenUDP(network("udp", l.Address.Addr()), net.UDPAddrFromAddrPort(l.Address))
		if err == nil {
			// The kernel may give less.
			_ = u.SetReadBuffer(listenerBuffer)
		}
		return u, err
	}
	c, err := net.FilePacketConn(l.Socket)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("inherited socket: %T is not UDP", c)
	}
	return u, nil
}

// listenTCP listens, or takes an inherited socket.
func listenTCP(l Listener) (net.Listener, error) {
	if l.Socket == nil {
		return net.ListenTCP(network("tcp", l.Address.Addr()), net.TCPAddrFromAddrPort(l.Address))
	}
	tl, err := net.FileListener(l.Socket)
	if err != nil {
		return nil, err
	}
	if _, ok := tl.(*net.TCPListener); !ok {
		tl.Close()
		return nil, fmt.Errorf("inherited socket: %T is not TCP", tl)
	}
	return tl, nil
}
