package stream

import (
	"net"
	"syscall"
)

// A quickConn acknowledges at once what it reads. Servers that leave Nagle's
// algorithm on (Prosody) hold back a second small write until the first is
// acknowledged, which Linux delays by 40 ms: at each login after the session
// tickets of TLS 1.3, and during calls whenever two stanzas come close together.
type quickConn struct {
	*net.TCPConn
	raw syscall.RawConn
}

func quickAck(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	q := &quickConn{t, raw}
	q.set()
	return q
}

func (c *quickConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if err == nil {
		c.set() // the kernel falls back by itself
	}
	return n, err
}

func (c *quickConn) set() {
	_ = c.raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // only slower without
	})
}
