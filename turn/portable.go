package turn

import (
	"net"
	"net/netip"
	"time"
)

// A portableListener serves clients over UDP where pion forwards.
type portableListener struct {
	*net.UDPConn
	entrance *entrance
}

func (l *portableListener) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := l.UDPConn.ReadFrom(b)
	if err == nil {
		l.entrance.inspect(from, b[:n])
	}
	return n, from, err
}

func (l *portableListener) WriteTo(b []byte, to net.Addr) (int, error) {
	if !l.entrance.reply(addrPort(to).Addr(), b) {
		return len(b), nil
	}
	return l.UDPConn.WriteTo(b, to)
}

// A portableRelay is the relay socket of an allocation that pion forwards.
type portableRelay struct {
	*net.UDPConn
	allocation *allocation
}

func (r *portableRelay) ReadFrom(b []byte) (int, net.Addr, error) {
	a := r.allocation
	for {
		n, from, err := r.UDPConn.ReadFromUDPAddrPort(b)
		if err != nil {
			return 0, nil, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if !a.allows(from) || !a.admitDown(n, time.Now().UnixNano()) {
			a.meter.dropped.Add(1)
			continue
		}
		a.meter.down(1, n)
		a.account.meter.down(1, n)
		return n, net.UDPAddrFromAddrPort(from), nil
	}
}

func (r *portableRelay) WriteTo(b []byte, to net.Addr) (int, error) {
	a := r.allocation
	if !a.allows(addrPort(to)) || !a.admitUp(len(b), time.Now().UnixNano()) {
		a.meter.dropped.Add(1)
		return len(b), nil
	}
	a.meter.up(1, len(b))
	a.account.meter.up(1, len(b))
	return r.UDPConn.WriteTo(b, to)
}

func (r *portableRelay) Close() error {
	err := r.UDPConn.Close()
	r.allocation.close()
	return err
}

// A relayListener is the relay address of a TCP allocation, RFC 6062.
type relayListener struct {
	net.Listener
	allocation *allocation
}

func (l *relayListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.allocation.allows(addrPort(c.RemoteAddr())) {
			c.Close()
			continue
		}
		return &relayedConn{Conn: c, allocation: l.allocation}, nil
	}
}

func (l *relayListener) Close() error {
	err := l.Listener.Close()
	l.allocation.close()
	return err
}

// A relayedConn is a connection with a peer, RFC 6062; pion copies.
type relayedConn struct {
	net.Conn
	allocation *allocation
}

func (c *relayedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.allocation.meter.down(1, n)
	c.allocation.account.meter.down(1, n)
	return n, err
}

func (c *relayedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.allocation.meter.up(1, n)
	c.allocation.account.meter.up(1, n)
	return n, err
}
