package turn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A plane forwards the packets of UDP clients: loops, each with a thread, an
// epoll set and the sockets of the clients that the kernel hashes to it.
type plane struct {
	loops   []*loop
	adopted int // inherited sockets, which loops take in turn
	wait    sync.WaitGroup
}

func newDataPlane(n int, gather time.Duration) (dataPlane, error) {
	if n <= 0 {
		n = DefaultLoops()
	}
	p := &plane{}
	for range min(n, maxLoops) {
		l, err := newLoop()
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		l.gather = gather
		p.loops = append(p.loops, l)
		p.wait.Go(l.run)
	}
	return p, nil
}

// close implements dataPlane.
func (p *plane) close() error {
	for _, l := range p.loops {
		l.stop()
	}
	p.wait.Wait()
	var errs []error
	for _, l := range p.loops {
		errs = append(errs, unix.Close(l.epoll), unix.Close(l.wake))
	}
	p.loops = nil
	return errors.Join(errs...)
}

// Sizes of socket buffers in bytes. The kernel doubles them and may give less.
const (
	listenerBuffer = 4 << 20
	relayBuffer    = 1 << 20
)

// requestQueue bounds the requests that wait for pion at one socket; more are
// dropped, and clients ask again.
const requestQueue = 1024

// listen implements dataPlane.
func (p *plane) listen(l Listener, make func(netip.AddrPort) *entrance) ([]net.PacketConn, error) {
	if l.Socket != nil {
		fd, local, err := adoptUDP(l.Socket, listenerBuffer)
		if err != nil {
			return nil, err
		}
		p.adopted++
		c, err := p.loops[p.adopted%len(p.loops)].serve(fd, local, make)
		if err != nil {
			return nil, err
		}
		return []net.PacketConn{c}, nil
	}
	var conns []net.PacketConn
	at := l.Address
	for _, loop := range p.loops {
		fd, local, err := bindUDP(at, true, listenerBuffer)
		var c net.PacketConn
		if err == nil {
			at = local // the port that the system chose, for the others
			c, err = loop.serve(fd, local, make)
		}
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// serve takes over a socket of clients.
func (l *loop) serve(fd int, local netip.AddrPort, make func(netip.AddrPort) *entrance) (net.PacketConn, error) {
	s := &sock{loop: l, fd: fd, gso: true, listener: newListener(make(local))}
	c := &listenerConn{sock: s, local: net.UDPAddrFromAddrPort(local)}
	if err := l.add(s); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// relay implements dataPlane.
func (p *plane) relay(listener net.PacketConn, a *allocation) (net.PacketConn, forwarder, error) {
	ls := listener.(*listenerConn).sock
	fd, _, err := bindUDP(a.local, false, relayBuffer)
	if err != nil {
		return nil, nil, err
	}
	f := &flow{allocation: a, from: ls}
	f.relay = sock{loop: ls.loop, fd: fd, gso: true, flow: f}
	if err := ls.loop.add(&f.relay); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fd))
	}
	return &relayConn{flow: f}, f, nil
}

// bindUDP makes a non-blocking socket.
func bindUDP(at netip.AddrPort, shared bool, buffer int) (fd int, local netip.AddrPort, err error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, local, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	var sa unix.Sockaddr
	if family == unix.AF_INET {
		sa = &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	} else {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return -1, local, os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
		s6 := &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
		if zone := at.Addr().Zone(); zone != "" {
			ifi, err := net.InterfaceByName(zone)
			if err != nil {
				return -1, local, fmt.Errorf("find interface: %w", err)
			}
			s6.ZoneId = uint32(ifi.Index)
		}
		sa = s6
	}
	if shared {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return -1, local, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	tuneUDP(fd, buffer)
	if err = unix.Bind(fd, sa); err != nil {
		return -1, local, os.NewSyscallError("bind", err)
	}
	if local, err = localOf(fd); err != nil {
		return -1, local, err
	}
	return fd, local, nil
}

// adoptUDP duplicates an inherited socket.
func adoptUDP(f *os.File, buffer int) (fd int, local netip.AddrPort, err error) {
	fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, local, os.NewSyscallError("dup", err)
	}
	if err = unix.SetNonblock(fd, true); err == nil {
		local, err = localOf(fd)
	}
	if err != nil {
		return -1, local, errors.Join(err, unix.Close(fd))
	}
	tuneUDP(fd, buffer)
	return fd, local, nil
}

// tuneUDP makes a socket faster where the kernel can; without, it works too.
func tuneUDP(fd, buffer int) {
	for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, buffer) != nil {
			plain := unix.SO_RCVBUF
			if opt == unix.SO_SNDBUFFORCE {
				plain = unix.SO_SNDBUF
			}
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, buffer)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
}

// localOf returns what a socket is bound to.
func localOf(fd int) (local netip.AddrPort, err error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return local, os.NewSyscallError("getsockname", err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		local = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		local = netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port))
	default:
		return local, fmt.Errorf("a socket of %T, not of an IP address", name)
	}
	return local, nil
}

// A request is a packet that pion shall answer.
type request struct {
	from netip.AddrPort
	n    int
	b    [maxRequest]byte
}

// maxRequest bounds a request over UDP, which should not be fragmented.
const maxRequest = 1500

// A listener is what a socket of clients has besides.
type listener struct {
	entrance *entrance
	requests chan *request
	spare    sync.Pool          // of *request
	flows    map[endpoint]*flow // guarded by loop.mu
	done     chan struct{}
	once     sync.Once
}

func newListener(e *entrance) *listener {
	return &listener{
		entrance: e, requests: make(chan *request, requestQueue), flows: map[endpoint]*flow{}, done: make(chan struct{}),
		spare: sync.Pool{New: func() any { return new(request) }},
	}
}

// A listenerConn is a socket of clients as pion sees it: it reads the requests
// that the loop does not handle, and writes the answers.
type listenerConn struct {
	sock  *sock
	local *net.UDPAddr
}

// ReadFrom implements net.PacketConn.
func (c *listenerConn) ReadFrom(b []byte) (int, net.Addr, error) {
	l := c.sock.listener
	select {
	case r := <-l.requests:
		n := copy(b, r.b[:r.n])
		from := net.UDPAddrFromAddrPort(r.from)
		l.spare.Put(r)
		l.entrance.inspect(from, b[:n])
		return n, from, nil
	case <-l.done:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn.
func (c *listenerConn) WriteTo(b []byte, to net.Addr) (int, error) {
	l := c.sock.listener
	dst := addrPort(to)
	if !l.entrance.reply(dst.Addr(), b) {
		return len(b), nil
	}
	return len(b), c.sock.writeTo(b, dst)
}

// Close implements net.PacketConn.
func (c *listenerConn) Close() error {
	var err error
	c.sock.listener.once.Do(func() {
		close(c.sock.listener.done)
		err = c.sock.close()
	})
	return err
}

// LocalAddr implements net.PacketConn.
func (c *listenerConn) LocalAddr() net.Addr { return c.local }

// SetDeadline implements net.PacketConn; pion sets none.
func (c *listenerConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.PacketConn.
func (c *listenerConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.PacketConn.
func (c *listenerConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// A relayConn is a relay socket as pion sees it.
type relayConn struct{ flow *flow }

// ReadFrom implements net.PacketConn. The loop reads the socket, so the
// goroutine that pion starts for each allocation has nothing to wait for: it
// ends here, with its stack and its buffer. An error in its place would tell
// pion to delete the allocation.
func (c *relayConn) ReadFrom([]byte) (int, net.Addr, error) {
	runtime.Goexit()
	panic("unreachable")
}

// WriteTo implements net.PacketConn. Data of clients never comes this way,
// since the loop forwards it or drops it.
func (c *relayConn) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }

// Close implements net.PacketConn.
func (c *relayConn) Close() error {
	c.flow.stop()
	err := c.flow.relay.close()
	c.flow.allocation.close()
	return err
}

// LocalAddr implements net.PacketConn.
func (c *relayConn) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(c.flow.allocation.local)
}

// SetDeadline implements net.PacketConn; pion sets none.
func (c *relayConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.PacketConn.
func (c *relayConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.PacketConn.
func (c *relayConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// newLoop makes a loop that is not running.
func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(ep))
	}
	l := &loop{epoll: ep, wake: wake, socks: map[int32]*sock{}, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)}); err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), unix.Close(wake), unix.Close(ep))
	}
	l.prepare()
	return l, nil
}
