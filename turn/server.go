package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	pion "github.com/pion/turn/v5"
)

// A Server is a running relay.
type Server struct {
	config  atomic.Pointer[Config] // complete; Reload replaces it
	policy  atomic.Pointer[policy]
	keyring atomic.Pointer[keyring]
	portsOf map[netip.Addr]*ports // by bound and by public address; not changed
	replies *replyLimiter
	plane   dataPlane // nil when pion forwards
	pion    *pion.Server
	started time.Time

	// chosen is, by the address value that pion passes on, the key that a
	// request at hand is signed with; used with several secrets only.
	chosen sync.Map

	refused  atomic.Uint64
	failures atomic.Uint64
	draining atomic.Bool

	mu        sync.Mutex
	accounts  map[string]*account
	addresses map[netip.Addr]int // allocations by client
	relayed   map[netip.AddrPort]*allocation
	ended     Traffic       // of allocations that are no more
	total     int           // allocations, with those being made
	empty     chan struct{} // closed when draining and total is 0
	entrances []*entrance
	closed    bool

	wait sync.WaitGroup
}

// A dataPlane forwards packets beside pion.
type dataPlane interface {
	// listen makes the sockets of a UDP listener, all at one address.
	listen(l Listener, make func(local netip.AddrPort) *entrance) ([]net.PacketConn, error)
	// relay makes the relay socket of an allocation of a client of listener.
	relay(listener net.PacketConn, a *allocation) (net.PacketConn, forwarder, error)
	// close ends the forwarding and returns when it has ended.
	close() error
}

// New starts a relay. It serves until Close.
func New(c Config) (*Server, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("relay configuration: %w", err)
	}
	s := &Server{
		portsOf: map[netip.Addr]*ports{}, started: time.Now(),
		replies:  newReplyLimiter(c.Limits.UnauthenticatedReplies),
		accounts: map[string]*account{}, addresses: map[netip.Addr]int{}, relayed: map[netip.AddrPort]*allocation{},
		empty: make(chan struct{}),
	}
	s.adopt(&c)
	for _, r := range c.Relays {
		if s.portsOf[r.Address] == nil {
			s.portsOf[r.Address] = newPorts(c.MinPort, c.MaxPort)
		}
		s.portsOf[r.Public] = s.portsOf[r.Address]
	}
	if !c.Portable {
		if s.plane, err = newDataPlane(c.Loops, c.Gather); err != nil {
			return nil, fmt.Errorf("start forwarding: %w", err)
		}
	}
	pc := pion.ServerConfig{
		Realm: c.Realm, InboundMTU: maxFrame, LoggerFactory: logBridge{s},
		AuthHandler: s.authenticate, QuotaHandler: s.quota, EventHandler: s.events(),
		AllocationLifetime: c.AllocationLifetime, PermissionTimeout: c.PermissionLifetime, ChannelBindTimeout: c.ChannelLifetime,
	}
	for _, l := range c.Listeners {
		if err := s.listen(l, &pc); err != nil {
			err = fmt.Errorf("listen on %s %v: %w", l.Transport, l.Address, err)
			return nil, errors.Join(err, s.closeListeners(pc))
		}
	}
	if s.pion, err = pion.NewServer(pc); err != nil {
		return nil, errors.Join(fmt.Errorf("start the control plane: %w", err), s.closeListeners(pc))
	}
	return s, nil
}

func (s *Server) listen(l Listener, pc *pion.ServerConfig) error {
	if l.Transport != UDP {
		tl, err := newStreamListener(s, l)
		if err != nil {
			return err
		}
		e := tl.entrance
		s.entrances = append(s.entrances, e)
		pc.ListenerConfigs = append(pc.ListenerConfigs, pion.ListenerConfig{Listener: tl, RelayAddressGenerator: e, PermissionHandler: e.permit})
		return nil
	}
	add := func(conn net.PacketConn, e *entrance) {
		s.entrances = append(s.entrances, e)
		pc.PacketConnConfigs = append(pc.PacketConnConfigs, pion.PacketConnConfig{PacketConn: conn, RelayAddressGenerator: e, PermissionHandler: e.permit})
	}
	if s.plane == nil {
		u, err := listenUDP(l)
		if err != nil {
			return err
		}
		e := newEntrance(s, UDP, u.LocalAddr().(*net.UDPAddr).AddrPort())
		add(&portableListener{UDPConn: u, entrance: e}, e)
		return nil
	}
	var es []*entrance
	conns, err := s.plane.listen(l, func(local netip.AddrPort) *entrance {
		e := newEntrance(s, UDP, local)
		es = append(es, e)
		return e
	})
	if err != nil {
		return err
	}
	for i, conn := range conns {
		es[i].fast = conn
		add(conn, es[i])
	}
	return nil
}

// network is "udp4" and the like; sockets never serve both families.
func network(protocol string, a netip.Addr) string {
	if a.Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}

func (s *Server) closeListeners(pc pion.ServerConfig) error {
	var errs []error
	for _, p := range pc.PacketConnConfigs {
		errs = append(errs, p.PacketConn.Close())
	}
	for _, l := range pc.ListenerConfigs {
		errs = append(errs, l.Listener.Close())
	}
	if s.plane != nil {
		errs = append(errs, s.plane.close())
	}
	s.wait.Wait()
	return errors.Join(errs...)
}

const closeTimeout = 10 * time.Second

// Close ends the relay with all its allocations and connections, and returns
// when they are gone. It is safe twice.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	err := s.pion.Close()
	// pion ends allocations when its readers return, some time after Close.
	for _, e := range s.entrances {
		e.shut()
	}
	select {
	case <-s.whenEmpty():
	case <-time.After(closeTimeout):
		err = errors.Join(err, errors.New("allocations did not end"))
	}
	if s.plane != nil {
		err = errors.Join(err, s.plane.close())
	}
	s.wait.Wait()
	if err != nil {
		return fmt.Errorf("close relay: %w", err)
	}
	return nil
}

// whenEmpty returns a channel that is closed once there is no allocation; no
// new one is made from now on.
func (s *Server) whenEmpty() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining.Swap(true) && s.total == 0 {
		close(s.empty)
	}
	return s.empty
}

// Drain refuses new allocations, lets those that there are live, and returns
// when the last one has ended or ctx is done. Close ends the relay afterwards.
func (s *Server) Drain(ctx context.Context) error {
	select {
	case <-s.whenEmpty():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reload takes over credentials, peer policy, limits, certificates and logging
// of c. Allocations go on; what the new policy refuses stops at once. Realm,
// listeners, relay addresses, ports and timeouts stay: an error names what
// would need a restart, and nothing is changed then.
func (s *Server) Reload(c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return fmt.Errorf("relay configuration: %w", err)
	}
	old := s.config.Load()
	if what := fixed(old, &c); what != "" {
		return fmt.Errorf("%s cannot change while the relay runs", what)
	}
	s.adopt(&c)
	s.mu.Lock()
	all := make([]*allocation, 0, len(s.relayed))
	for _, a := range s.relayed {
		all = append(all, a)
	}
	for _, acc := range s.accounts {
		acc.up.bits.Store(int64(c.Limits.PerUser.BitrateUp))
		acc.down.bits.Store(int64(c.Limits.PerUser.BitrateDown))
	}
	s.mu.Unlock()
	for _, a := range all {
		a.up.bits.Store(int64(c.Limits.PerAllocation.BitrateUp))
		a.down.bits.Store(int64(c.Limits.PerAllocation.BitrateDown))
		a.judgeAgain(s.policy.Load())
	}
	return nil
}

// fixed names what differs between two configurations and cannot be reloaded.
func fixed(a, b *Config) string {
	switch {
	case a.Realm != b.Realm:
		return "the realm"
	case a.MinPort != b.MinPort || a.MaxPort != b.MaxPort:
		return "the range of ports"
	case len(a.Listeners) != len(b.Listeners):
		return "the listeners"
	case len(a.Relays) != len(b.Relays):
		return "the relay addresses"
	case a.Portable != b.Portable || a.Loops != b.Loops || a.Gather != b.Gather:
		return "the way of forwarding"
	}
	for i := range a.Listeners {
		if x, y := a.Listeners[i], b.Listeners[i]; x.Transport != y.Transport || x.Address != y.Address {
			return "the listeners"
		}
	}
	for i := range a.Relays {
		if a.Relays[i] != b.Relays[i] {
			return "the relay addresses"
		}
	}
	return ""
}

func (s *Server) adopt(c *Config) {
	s.config.Store(c)
	s.policy.Store(newPolicy(*c))
	s.keyring.Store(&keyring{realm: c.Realm, users: c.Users, secrets: c.Secrets})
	s.replies.set(c.Limits.UnauthenticatedReplies)
}

func (s *Server) limits() *Limits { return &s.config.Load().Limits }

func (s *Server) log() *slog.Logger { return s.config.Load().Logger }

// addr is a log attribute that holds no address when they are to be hidden.
func (s *Server) addr(key string, a any) slog.Attr {
	if s.config.Load().HideAddresses {
		return slog.Attr{}
	}
	return slog.Any(key, a)
}

// authenticate is pion's AuthHandler: it has no I/O, since clients wait.
func (s *Server) authenticate(ra *pion.RequestAttributes) (user string, key []byte, ok bool) {
	user, keys, reason := s.keyring.Load().keys(ra.Username, time.Now())
	if reason != "" {
		s.failures.Add(1)
		s.log().Info("login refused", "user", ra.Username, s.addr("client", ra.SrcAddr), "reason", reason)
		return "", nil, false
	}
	key = keys[0]
	if len(keys) > 1 {
		if k, ok := s.chosen.Load(ra.SrcAddr); ok {
			key = k.([]byte)
		}
	}
	return user, key, true
}

// quota is pion's QuotaHandler; false is answered with 486.
func (s *Server) quota(user, _ string, client net.Addr) bool {
	limits, from := s.limits(), addrPort(client).Addr()
	reason := ""
	s.mu.Lock()
	switch acc := s.accounts[user]; {
	case s.draining.Load():
		reason = "draining"
	case s.total >= limits.Total.Allocations:
		reason = "too many allocations in total"
	case acc != nil && acc.count >= s.perUser(user):
		reason = "too many allocations of this user"
	case s.addresses[from] >= limits.PerAddress.Allocations:
		reason = "too many allocations of this address"
	}
	s.mu.Unlock()
	if reason != "" {
		s.refused.Add(1)
		s.log().Info("allocation refused", "user", user, s.addr("client", client), "reason", reason)
	}
	return reason == ""
}

// perUser is how many allocations user may have.
func (s *Server) perUser(user string) int {
	if n := s.limits().PerUser.Allocations; n != 0 {
		return n
	}
	if _, fixed := s.keyring.Load().users[user]; fixed {
		return s.limits().Total.Allocations
	}
	return defaultPerUser
}

var errQuota = errors.New("allocation limit reached")

// enter counts a new allocation of user.
func (s *Server) enter(user string) (*account, error) {
	limits := s.limits()
	s.mu.Lock()
	defer s.mu.Unlock()
	acc := s.accounts[user]
	if s.closed || s.draining.Load() || s.total >= limits.Total.Allocations || acc != nil && acc.count >= s.perUser(user) {
		return nil, errQuota
	}
	if acc == nil {
		acc = &account{name: user}
		acc.up.bits.Store(int64(limits.PerUser.BitrateUp))
		acc.down.bits.Store(int64(limits.PerUser.BitrateUp))
		s.accounts[user] = acc
	}
	acc.count++
	s.total++
	return acc, nil
}

func (s *Server) leave(acc *account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveLocked(acc)
}

func (s *Server) leaveLocked(acc *account) {
	if acc.count--; acc.count == 0 {
		delete(s.accounts, acc.name)
	}
	if s.total--; s.total == 0 && s.draining.Load() {
		close(s.empty)
	}
}

func (s *Server) forget(a *allocation, client netip.AddrPort) {
	a.entrance.forget(a, client)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relayed[a.relayed] == a {
		delete(s.relayed, a.relayed)
	}
	if client.IsValid() {
		if s.addresses[client.Addr()]--; s.addresses[client.Addr()] <= 0 {
			delete(s.addresses, client.Addr())
		}
	}
	s.ended.add(a.meter.traffic())
	s.leaveLocked(a.account)
}

func (s *Server) byRelayed(relayed net.Addr) *allocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relayed[addrPort(relayed)]
}

// events tells the data plane what pion decides. Each callback runs before pion
// answers the client, or in the timer that ends what it names.
func (s *Server) events() pion.EventHandler {
	return pion.EventHandler{
		OnAuth: func(src, _ net.Addr, _, user, _, method string, ok bool) {
			if !ok {
				s.failures.Add(1)
				s.log().Info("login refused", "user", user, s.addr("client", src), "reason", "wrong password", "method", method)
			}
		},
		OnAllocationCreated: func(src, _ net.Addr, _, user, _ string, relayed net.Addr, _ int) {
			if a := s.byRelayed(relayed); a != nil {
				client := addrPort(src)
				s.mu.Lock()
				s.addresses[client.Addr()]++
				s.mu.Unlock()
				a.mu.Lock()
				a.client = client
				if a.forward != nil {
					a.forward.start(client)
				}
				a.mu.Unlock()
				a.entrance.remember(a, src)
				s.log().Info("allocation made", "user", user, s.addr("client", client), s.addr("relayed", a.relayed), "transport", a.entrance.transport)
			}
		},
		OnPermissionCreated: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) {
			if a := s.byRelayed(relayed); a != nil {
				a.permit(ipAddr(peer))
			}
		},
		OnPermissionDeleted: func(_, _ net.Addr, _, _, _ string, relayed net.Addr, peer net.IP) {
			if a := s.byRelayed(relayed); a != nil {
				a.forbid(ipAddr(peer))
			}
		},
		OnChannelCreated: func(_, _ net.Addr, _, _, _ string, relayed, peer net.Addr, number uint16) {
			if a := s.byRelayed(relayed); a != nil {
				a.bind(number, addrPort(peer))
			}
		},
		OnChannelDeleted: func(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, number uint16) {
			if a := s.byRelayed(relayed); a != nil {
				a.unbind(number)
			}
		},
	}
}

func ipAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// addrPort is the zero AddrPort for what is neither UDP nor TCP.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
