package turn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/turn/internal/fastpath"
)

// A plane forwards the packets of UDP clients: loops, each with a thread, an
// epoll set and the sockets of the clients that the kernel hashes to it.
type plane struct {
	server  *Server
	loops   []*loop
	fast    *fastpath.Path // nil without
	adopted int            // inherited sockets, which loops take in turn
	wait    sync.WaitGroup
}

func newDataPlane(s *Server, c *Config) (dataPlane, error) {
	n := c.Loops
	if n <= 0 {
		n = DefaultLoops()
	}
	p := &plane{server: s}
	if c.EBPF != "" {
		var err error
		if p.fast, err = fastpath.Open(c.EBPF); err != nil {
			return nil, err
		}
		s.log().Info("an eBPF program forwards channels", "interface", c.EBPF)
	}
	for range min(n, maxLoops) {
		l, err := newLoop()
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		l.pace.gather, l.server, l.fast = c.Gather, s, p.fast
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
		l.mu.Lock()
		l.fast = nil
		l.mu.Unlock()
		errs = append(errs, unix.Close(l.epoll), unix.Close(l.wake))
	}
	p.loops = nil
	if p.fast != nil {
		errs = append(errs, p.fast.Close())
		p.fast = nil
	}
	return errors.Join(errs...)
}

// relayBuffer is the size of a relay socket's buffers in bytes.
const relayBuffer = 1 << 20

// requestQueue bounds the requests that wait for an answer at one socket; more
// are dropped, and clients ask again.
const requestQueue = 1024

// listen implements dataPlane.
func (p *plane) listen(l Listener, enter func(netip.AddrPort) *entrance) error {
	if l.Socket != nil {
		fd, local, err := adoptUDP(l.Socket, listenerBuffer)
		if err != nil {
			return err
		}
		p.adopted++
		return p.serve(p.loops[p.adopted%len(p.loops)], fd, local, enter)
	}
	at := l.Address
	for _, loop := range p.loops {
		fd, local, err := bindUDP(at, true, listenerBuffer)
		if err != nil {
			return err
		}
		at = local // the port that the system chose, for the others
		if err := p.serve(loop, fd, local, enter); err != nil {
			return err
		}
	}
	return nil
}

// serve gives a socket of clients to a loop.
func (p *plane) serve(l *loop, fd int, local netip.AddrPort, enter func(netip.AddrPort) *entrance) error {
	s := &listenerSock{requests: make(chan *packet, requestQueue), flows: map[endpoint]*flow{}, done: make(chan struct{})}
	s.sock = sock{loop: l, fd: fd, local: local, gso: true, listener: s}
	s.spare.New = func() any { return new(packet) }
	s.entrance = enter(local)
	s.entrance.fast, s.entrance.link = s, s
	if err := l.add(&s.sock); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	p.server.sockets = append(p.server.sockets, s)
	return nil
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

// flow implements dataPlane.
func (p *plane) flow(at *listenerSock, a *allocation) forwarder {
	return &flow{allocation: a, from: &at.sock}
}

// relay implements dataPlane.
func (p *plane) relay(fw forwarder, local netip.AddrPort) (relaySocket, error) {
	f := fw.(*flow)
	fd, local, err := bindUDP(local, false, relayBuffer)
	if err != nil {
		return nil, err
	}
	r := &relaySock{sock{loop: f.from.loop, fd: fd, local: local, gso: true, flow: f}}
	if err := f.open(r, local.Addr().Is6()); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return r, nil
}

// A relaySock is a relay socket of a flow.
type relaySock struct{ sock }

// Close implements relaySocket.
func (r *relaySock) Close() error {
	r.loop.mu.Lock()
	for i := range r.flow.relays {
		if r.flow.relays[i] == r {
			r.flow.relays[i] = nil
		}
	}
	r.loop.mu.Unlock()
	return r.close()
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
	made := fd // a return with an error says -1
	defer func() {
		if err != nil {
			unix.Close(made)
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
	local, err = localOf(fd)
	return fd, local, err
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

func localOf(fd int) (local netip.AddrPort, err error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return local, os.NewSyscallError("getsockname", err)
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		local = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		local = netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), uint16(name.Port))
	default:
		return local, fmt.Errorf("a socket of %T, not of an IP address", name)
	}
	return local, nil
}

// A packet is a request that waits for its answer.
type packet struct {
	from netip.AddrPort
	n    int
	b    [maxRequest]byte
}

// maxRequest bounds a request over UDP, which should not be fragmented.
const maxRequest = 1500

// A listenerSock is a socket of clients. A loop reads it; a goroutine answers
// the requests among what it reads.
type listenerSock struct {
	sock
	entrance *entrance
	requests chan *packet
	spare    sync.Pool          // of *packet
	flows    map[endpoint]*flow // guarded by loop.mu
	done     chan struct{}
	once     sync.Once
}

// run answers requests until the socket is closed.
func (s *listenerSock) run() {
	r := request{entrance: s.entrance, link: s}
	for {
		select {
		case p := <-s.requests:
			r.from = p.from
			r.serve(p.b[:p.n])
			s.spare.Put(p)
		case <-s.done:
			return
		}
	}
}

// send implements link.
func (s *listenerSock) send(b []byte, to netip.AddrPort) error { return s.writeTo(b, to) }

// Close closes the socket.
func (s *listenerSock) Close() error {
	var err error
	s.once.Do(func() {
		close(s.done)
		err = s.close()
	})
	return err
}

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
