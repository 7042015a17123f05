package turn

import (
	"fmt"
	"net"
)

// listenUDP binds a socket where goroutines forward, or takes an inherited one.
func listenUDP(l Listener) (*net.UDPConn, error) {
	if l.Socket == nil {
		return net.ListenUDP(network("udp", l.Address.Addr()), net.UDPAddrFromAddrPort(l.Address))
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
