package turn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/pion/transport/v5/reuseport"
	pion "github.com/pion/turn/v5"
)

// An entrance is one socket where clients arrive. pion has an allocation
// manager for each, and asks it for relay addresses and permissions.
type entrance struct {
	server    *Server
	transport Transport
	local     netip.AddrPort
	fast      net.PacketConn // of the data plane; nil when pion forwards

	mu       sync.Mutex
	byClient map[netip.AddrPort]*allocation
	conns    map[netip.AddrPort]*streamConn // TCP and TLS only
	last     net.Addr                       // whose key is in Server.chosen; UDP only
}

func newEntrance(s *Server, t Transport, local netip.AddrPort) *entrance {
	return &entrance{
		server: s, transport: t, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port()),
		byClient: map[netip.AddrPort]*allocation{}, conns: map[netip.AddrPort]*streamConn{},
	}
}

func (e *entrance) of(client netip.AddrPort) *allocation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byClient[client]
}

func (e *entrance) remember(a *allocation, client net.Addr) {
	e.mu.Lock()
	e.byClient[addrPort(client)] = a
	conn := e.conns[addrPort(client)]
	e.mu.Unlock()
	if conn != nil {
		conn.settle()
	}
}

func (e *entrance) forget(a *allocation, client netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byClient[client] == a {
		delete(e.byClient, client)
	}
}

// inspect sees each request before pion does, in the goroutine that hands it
// over.
func (e *entrance) inspect(from net.Addr, frame []byte) {
	typ, ok := stunType(frame)
	if !ok || typ&classMask != classRequest {
		return
	}
	s := e.server
	if k := s.keyring.Load(); k.ambiguous() {
		if key := k.choose(frame, time.Now()); key != nil {
			s.chosen.Store(from, key)
		} else {
			s.chosen.Delete(from)
		}
		if e.transport == UDP {
			if e.last != nil {
				s.chosen.Delete(e.last)
			}
			e.last = from
		}
	}
	if typ != typeChannelBind {
		return
	}
	if a := e.of(addrPort(from)); a != nil {
		number, ok := channelNumber(frame)
		a.mu.Lock()
		_, bound := a.channels[number]
		a.refuseBind = ok && !bound && len(a.channels) >= s.limits().PerAllocation.Channels
		a.mu.Unlock()
	}
}

// channelNumber finds the CHANNEL-NUMBER of a request, RFC 8656#section-18.1.
func channelNumber(b []byte) (uint16, bool) {
	const attrChannelNumber = 0x000C
	end := stunHeader + int(binary.BigEndian.Uint16(b[2:]))
	for i := stunHeader; i+8 <= end; {
		n := int(binary.BigEndian.Uint16(b[i+2:]))
		if binary.BigEndian.Uint16(b[i:]) == attrChannelNumber && n == 4 {
			return binary.BigEndian.Uint16(b[i+4:]), true
		}
		i += 4 + (n+3)&^3
	}
	return 0, false
}

// reply says whether pion may send b to a client, who may be somebody else
// than asked.
func (e *entrance) reply(to netip.Addr, b []byte) bool {
	typ, ok := stunType(b)
	if !ok || e.transport != UDP {
		return true
	}
	switch class := typ & classMask; {
	case class == classSuccess && typ&methodMask != methodBind:
		e.server.replies.giveBack(to)
	case class == classSuccess || class == classError:
		return e.server.replies.take(to, time.Now().UnixNano())
	}
	return true
}

// permit is pion's PermissionHandler.
func (e *entrance) permit(client net.Addr, ip net.IP) bool {
	s, peer := e.server, ipAddr(ip)
	a := e.of(addrPort(client))
	if a == nil {
		return false
	}
	v, reason := s.policy.Load().judge(peer)
	if v != verdictRefused {
		reason = ""
		limits := s.limits()
		a.mu.Lock()
		_, known := a.permissions[peer]
		switch {
		case a.refuseBind:
			v, reason = verdictRefused, "too many channels of this allocation"
		case !known && len(a.permissions) >= limits.PerAllocation.Permissions:
			v, reason = verdictRefused, "too many peers of this allocation"
		}
		a.refuseBind = false
		a.mu.Unlock()
	}
	if v == verdictRefused {
		s.refused.Add(1)
		s.log().Info("peer refused", "user", a.account.name, s.addr("client", client), s.addr("peer", peer), "reason", reason)
		return false
	}
	return true
}

// Validate implements pion's RelayAddressGenerator.
func (e *entrance) Validate() error { return nil }

var (
	errNoAddress   = errors.New("no relay address of this family")
	errNoPort      = errors.New("no free port")
	errTCPOverUDP  = errors.New("allocations of TCP need a client on TCP, RFC 6062#section-4.1")
	errPeerRefused = errors.New("peer refused by policy")
)

// reserve finds a relay address and port for user.
func (e *entrance) reserve(c pion.AllocateListenerConfig) (*allocation, error) {
	s := e.server
	v6 := c.Network[len(c.Network)-1] == '6'
	var relay Relay
	for _, r := range s.config.Load().Relays {
		if r.Address.Is6() == v6 && !relay.Address.IsValid() {
			relay = r
		}
	}
	if !relay.Address.IsValid() {
		return nil, errNoAddress
	}
	acc, err := s.enter(c.UserID)
	if err != nil {
		return nil, err
	}
	ports := s.portsOf[relay.Address]
	port, ok := uint16(c.RequestedPort), false
	switch {
	case c.RequestedPort < 0 || c.RequestedPort > 65535:
	case port != 0:
		ok = ports.takeThis(port)
	default:
		// Without a user pion looks for an even port: it makes and closes one,
		// and then asks for that very port.
		port, ok = ports.take(c.UserID == "", time.Now())
	}
	if !ok {
		s.leave(acc)
		return nil, errNoPort
	}
	limits := s.limits()
	a := &allocation{
		server: s, entrance: e, account: acc, ports: ports, created: time.Now(),
		local: netip.AddrPortFrom(relay.Address, port), relayed: netip.AddrPortFrom(relay.Public, port),
		permissions: map[netip.Addr]verdict{}, channels: map[uint16]netip.AddrPort{},
	}
	a.up.bits.Store(int64(limits.PerAllocation.BitrateUp))
	a.down.bits.Store(int64(limits.PerAllocation.BitrateDown))
	s.mu.Lock()
	s.relayed[a.relayed] = a
	s.mu.Unlock()
	return a, nil
}

// bindTries is how many ports are tried when others on this machine have them.
const bindTries = 100

// AllocatePacketConn implements pion's RelayAddressGenerator.
func (e *entrance) AllocatePacketConn(c pion.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	for try := 1; ; try++ {
		a, err := e.reserve(c)
		if err != nil {
			return nil, nil, e.say(c, err)
		}
		conn, err := e.bind(a, c.Network)
		if err == nil {
			return conn, net.UDPAddrFromAddrPort(a.relayed), nil
		}
		a.close()
		if c.RequestedPort != 0 || try == bindTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, e.say(c, err)
		}
	}
}

func (e *entrance) bind(a *allocation, network string) (conn net.PacketConn, err error) {
	if e.fast != nil {
		conn, a.forward, err = e.server.plane.relay(e.fast, a)
		return conn, err
	}
	u, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(a.local))
	if err != nil {
		return nil, err
	}
	return &portableRelay{UDPConn: u, allocation: a}, nil
}

// say logs why a client gets no allocation; pion answers 508.
func (e *entrance) say(c pion.AllocateListenerConfig, err error) error {
	err = fmt.Errorf("allocate %s: %w", c.Network, err)
	e.server.refused.Add(1)
	e.server.log().Warn("allocation refused", "user", c.UserID, "reason", err.Error())
	return err
}

// AllocateListener implements pion's RelayAddressGenerator, for RFC 6062.
func (e *entrance) AllocateListener(c pion.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	if e.transport == UDP {
		return nil, nil, e.say(c, errTCPOverUDP)
	}
	a, err := e.reserve(c)
	if err != nil {
		return nil, nil, e.say(c, err)
	}
	lc := net.ListenConfig{Control: reuseport.Control} // Connect leaves from the same port
	l, err := lc.Listen(context.Background(), c.Network, a.local.String())
	if err != nil {
		a.close()
		return nil, nil, e.say(c, err)
	}
	return &relayListener{Listener: l, allocation: a}, net.TCPAddrFromAddrPort(a.relayed), nil
}

// AllocateConn implements pion's RelayAddressGenerator, for RFC 6062. It runs in
// the goroutine of the client's own connection.
func (e *entrance) AllocateConn(c pion.AllocateConnConfig) (net.Conn, error) {
	s := e.server
	a, peer := s.byRelayed(c.LocalAddr), addrPort(c.RemoteAddr)
	if a == nil {
		return nil, net.ErrClosed
	}
	if v, _ := s.policy.Load().judge(peer.Addr()); !s.mayReach(v, peer) {
		return nil, errPeerRefused
	}
	d := net.Dialer{Timeout: s.config.Load().DialTimeout, LocalAddr: net.TCPAddrFromAddrPort(a.local), Control: reuseport.Control}
	conn, err := d.Dial(c.Network, peer.String())
	if err != nil {
		return nil, err
	}
	return &relayedConn{Conn: conn, allocation: a}, nil
}

// shut closes the connections that are left.
func (e *entrance) shut() {
	e.mu.Lock()
	conns := make([]*streamConn, 0, len(e.conns))
	for _, c := range e.conns {
		conns = append(conns, c)
	}
	e.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}
