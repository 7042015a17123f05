package icepath

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5/packetio"
	"golang.org/x/net/ipv4"
)

// Limits of a Split.
const (
	splitQueue = 16 << 20 // bytes that wait for their reader; more than a peer may have on its way
	stunQueue  = 64       // packets that wait for ICE
	packetMax  = 2 << 10  // bytes; longer ones are no DTLS of anybody
	batch      = 32       // packets of one system call

	mergedMax   = 64 << 10 // bytes of packets that came as one
	mergedBatch = 8        // of them in one system call

	lastPackets = 100 * time.Millisecond // for what waits when the socket is closed
)

// A Split is a socket for ICE and for DTLS, told apart by the first byte (RFC
// 7983). Through the agent, DTLS would pass two goroutines and a buffer of 1 MB,
// which overflows when there is much on its way.
type Split struct {
	u     *net.UDPConn
	stun  chan stunPacket
	done  chan struct{}
	close func() error
	wg    sync.WaitGroup
	conn  splitConn
}

type stunPacket struct {
	data []byte
	from *net.UDPAddr
}

func newSplit(u *net.UDPConn) *Split {
	s := &Split{u: u, stun: make(chan stunPacket, stunQueue), done: make(chan struct{})}
	s.conn.init(u)
	s.wg.Go(s.read)
	sent := make(chan struct{})
	s.wg.Go(func() { defer close(sent); s.conn.out.run() })
	s.close = sync.OnceValue(func() error {
		close(s.done)
		s.u.SetWriteDeadline(time.Now().Add(lastPackets))
		s.conn.out.close()
		<-sent // the end of DTLS is among it
		err := s.u.Close()
		s.conn.in.Close()
		s.wg.Wait()
		return err
	})
	return s
}

// read sorts what comes.
func (s *Split) read() {
	pc := ipv4.NewPacketConn(s.u) // for its batches; they do not depend on the family
	n, size, space := batch, packetMax, 0
	if merge(s.u) {
		n, size, space = mergedBatch, mergedMax, mergedSpace
	}
	msgs := make([]ipv4.Message, n)
	for i := range msgs {
		msgs[i].Buffers, msgs[i].OOB = [][]byte{make([]byte, size)}, make([]byte, space)
	}
	for {
		n, err := pc.ReadBatch(msgs, 0)
		if err != nil {
			select {
			case <-s.done:
				return
			default:
			}
			// An ICMP answer to a check, for example.
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				return
			}
			continue
		}
		for _, m := range msgs[:n] {
			from, ok := m.Addr.(*net.UDPAddr)
			if !ok {
				continue
			}
			size := merged(m.OOB[:m.NN])
			for b := m.Buffers[0][:m.N]; len(b) > 0; {
				one := b
				if size > 0 {
					one = b[:min(size, len(b))]
				}
				s.sort(one, from)
				b = b[len(one):]
			}
		}
	}
}

// sort gives one packet to whom it belongs.
func (s *Split) sort(b []byte, from *net.UDPAddr) {
	switch {
	case len(b) > packetMax:
	case 20 <= b[0] && b[0] <= 63:
		s.conn.in.Write(b, nil) // what is too much is lost, as on the way
	case b[0] < 4:
		select {
		case s.stun <- stunPacket{append([]byte(nil), b...), from}:
		default:
		}
	}
}

// ReadFrom returns what is of ICE.
func (s *Split) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case m := <-s.stun:
		return copy(p, m.data), m.from, nil
	case <-s.done:
		return 0, nil, net.ErrClosed
	}
}

func (s *Split) WriteTo(p []byte, addr net.Addr) (int, error) { return s.u.WriteTo(p, addr) }
func (s *Split) LocalAddr() net.Addr                          { return s.u.LocalAddr() }
func (s *Split) SetDeadline(time.Time) error                  { return nil }
func (s *Split) SetReadDeadline(time.Time) error              { return nil }
func (s *Split) SetWriteDeadline(time.Time) error             { return nil }

// Close closes the socket.
func (s *Split) Close() error { return s.close() }

// A splitConn is DTLS's part: packets to and from the peer, by the socket or,
// when our end of the path is a relay, by the agent.
type splitConn struct {
	u   *net.UDPConn
	in  *packetio.Buffer
	out *train

	to    atomic.Pointer[netip.AddrPort] // nil: by the agent
	agent atomic.Pointer[ice.Conn]
	once  sync.Once // the first pair
}

func (c *splitConn) init(u *net.UDPConn) {
	c.u, c.in, c.out = u, packetio.NewBuffer(), newTrain(u)
	c.in.SetLimitSize(splitQueue)
}

// changed follows the agent to another pair.
func (c *splitConn) changed(local, remote ice.Candidate) {
	c.once.Do(func() {}) // what Connect found is old
	c.use(local, remote)
}

// selected takes the first pair, which Connect found.
func (c *splitConn) selected(local, remote ice.Candidate) {
	c.once.Do(func() { c.use(local, remote) })
}

func (c *splitConn) use(local, remote ice.Candidate) {
	ip, err := netip.ParseAddr(remote.Address())
	if err != nil || local.Type() == ice.CandidateTypeRelay {
		c.to.Store(nil)
		return
	}
	to := netip.AddrPortFrom(ip, uint16(remote.Port()))
	c.to.Store(&to)
}

// pump brings what the agent receives: what came through a relay.
func (c *splitConn) pump(conn *ice.Conn) {
	c.agent.Store(conn)
	buf := make([]byte, packetMax)
	for {
		n, err := conn.Read(buf)
		if err == io.ErrShortBuffer {
			continue
		}
		if err != nil {
			return // the path is closed
		}
		c.in.Write(buf[:n], nil)
	}
}

func (c *splitConn) Read(p []byte) (int, error) {
	n, _, err := c.in.Read(p, nil)
	return n, err
}

func (c *splitConn) Write(p []byte) (int, error) {
	if to := c.to.Load(); to != nil {
		return c.out.write(p, *to)
	}
	if conn := c.agent.Load(); conn != nil {
		return conn.Write(p)
	}
	return 0, net.ErrClosed
}

func (c *splitConn) LocalAddr() net.Addr { return c.u.LocalAddr() }

func (c *splitConn) RemoteAddr() net.Addr {
	if to := c.to.Load(); to != nil {
		return net.UDPAddrFromAddrPort(*to)
	}
	if conn := c.agent.Load(); conn != nil && conn.RemoteAddr() != nil {
		return conn.RemoteAddr()
	}
	return c.u.LocalAddr()
}

func (c *splitConn) SetDeadline(t time.Time) error      { return c.in.SetReadDeadline(t) }
func (c *splitConn) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c *splitConn) SetWriteDeadline(t time.Time) error { return nil } // UDP does not wait

// Close does nothing: the path closes the socket.
func (c *splitConn) Close() error { return nil }
