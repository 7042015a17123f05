package turn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is a running relay.
type Server struct {
	config  atomic.Pointer[Config] // complete; Reload replaces it
	policy  atomic.Pointer[policy]
	keyring atomic.Pointer[keyring]
	metered atomic.Bool // some limit on bandwidth or bytes

	portsOf map[netip.Addr]*ports // by bound and by public address; not changed
	replies *limiter[netip.Addr]  // to addresses without credentials
	logins  *limiter[guess]       // that failed
	guesses *limiter[netip.Addr]  // the same of all names
	plane   dataPlane             // nil when goroutines forward
	ledger  Ledger                // nil without one
	agenda  *agenda
	reasons reasons
	started time.Time
	// wall is the clock of the calendar, for what the outside dates: nonces of
	// several relays, credentials, days. It may jump; see now.
	wall func() time.Time
	date atomic.Int64 // whose bytes of the day are counted

	complaints complaints

	connections connections
	pending     pending
	releases    chan Account
	alternate   atomic.Uint32 // which is next

	refused  atomic.Uint64
	failures atomic.Uint64
	draining atomic.Bool

	mu           sync.Mutex
	total        scope
	users        map[Account]*scope
	addresses    map[netip.Addr]*scope
	allocations  map[*allocation]struct{}
	reservations map[[8]byte]*reservation
	peers        map[uint32]*peerConn // that wait for a ConnectionBind, RFC 6062
	ended        Traffic              // of allocations that are no more
	empty        chan struct{}        // closed when draining and there are none
	closed       bool

	entrances []*entrance
	sockets   []io.Closer
	ctx       context.Context // of everything that the server has started
	cancel    context.CancelFunc
	wait      sync.WaitGroup
}

// A dataPlane forwards packets of clients that arrive by UDP.
type dataPlane interface {
	// listen makes the sockets of a UDP listener, all at one address.
	listen(l Listener, enter func(local netip.AddrPort) *entrance) error
	// flow makes the forwarding of an allocation of a client of a socket.
	flow(at *listenerSock, a *allocation) forwarder
	// relay makes a relay socket of it.
	relay(f forwarder, local netip.AddrPort) (relaySocket, error)
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
		portsOf: map[netip.Addr]*ports{}, started: time.Now(), wall: c.wall, ledger: c.Ledger,
		replies: newLimiter[netip.Addr](), logins: newLimiter[guess](), guesses: newLimiter[netip.Addr](),
		users: map[Account]*scope{}, addresses: map[netip.Addr]*scope{}, allocations: map[*allocation]struct{}{},
		reservations: map[[8]byte]*reservation{}, peers: map[uint32]*peerConn{}, empty: make(chan struct{}),
	}
	if s.wall == nil {
		s.wall = time.Now
	}
	s.date.Store(day(s.wall()))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.agenda = newAgenda(s.now)
	s.adopt(&c)
	for _, r := range c.Relays {
		if s.portsOf[r.Address] == nil {
			s.portsOf[r.Address] = newPorts(c.MinPort, c.MaxPort)
		}
		s.portsOf[r.Public] = s.portsOf[r.Address]
	}
	if !c.Portable {
		if s.plane, err = newDataPlane(s, &c); err != nil {
			return nil, fmt.Errorf("start forwarding: %w", err)
		}
	}
	err = s.listenAll(c)
	if err == nil {
		err = s.discover(c)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.wait.Go(func() { s.agenda.run(s.ctx.Done()) })
	s.wait.Go(s.tick)
	if s.ledger != nil {
		s.releases = make(chan Account, maxReleases)
		s.wait.Go(s.keepLedger)
	}
	for _, r := range s.runners() {
		s.wait.Go(r.run)
	}
	return s, nil
}

// A runner is a socket of clients that serves until it is closed.
type runner interface{ run() }

func (s *Server) runners() (all []runner) {
	for _, c := range s.sockets {
		if r, ok := c.(runner); ok {
			all = append(all, r)
		}
	}
	return all
}

// now is the time that expiry and rates go by. It does not jump with the clock,
// and neither do deadlines of connections: they are made of time.Now, which has
// the same reading.
func (s *Server) now() int64 { return int64(time.Since(s.started)) }

func (s *Server) listenAll(c Config) error {
	for _, l := range c.Listeners {
		if err := s.listen(l); err != nil {
			return fmt.Errorf("listen on %s %v: %w", l.Transport, l.Address, err)
		}
	}
	return nil
}

func (s *Server) listen(l Listener) error {
	switch {
	case l.Transport == DTLS:
		d, err := newDTLSListener(s, l)
		if err != nil {
			return err
		}
		s.open(d.entrance, d)
	case l.Transport != UDP:
		t, err := newStreamListener(s, l)
		if err != nil {
			return err
		}
		s.open(t.entrance, t)
	case s.plane != nil:
		return s.plane.listen(l, func(local netip.AddrPort) *entrance {
			e := newEntrance(s, l, local)
			s.entrances = append(s.entrances, e)
			return e
		})
	default:
		u, err := listenUDP(l)
		if err != nil {
			return err
		}
		e := newEntrance(s, l, addrPort(u.LocalAddr()))
		p := &portableListener{UDPConn: u, entrance: e}
		e.link = p
		s.open(e, p)
	}
	return nil
}

func (s *Server) open(e *entrance, socket io.Closer) {
	s.entrances, s.sockets = append(s.entrances, e), append(s.sockets, socket)
}

// discover binds what NAT behaviour discovery needs besides, RFC 5780#section-6.
func (s *Server) discover(c Config) error {
	if c.Discovery == (netip.AddrPort{}) {
		return nil
	}
	first, _ := c.primary()
	second := netip.AddrPortFrom(c.Discovery.Addr().Unmap(), c.Discovery.Port())
	corner := func(ip, port bool) netip.AddrPort {
		at := first
		if ip {
			at = netip.AddrPortFrom(second.Addr(), at.Port())
		}
		if port {
			at = netip.AddrPortFrom(at.Addr(), second.Port())
		}
		return at
	}
	public := func(a netip.AddrPort) netip.AddrPort {
		for _, r := range c.Relays {
			if r.Address == a.Addr() {
				return netip.AddrPortFrom(r.Public, a.Port())
			}
		}
		return a
	}
	for _, at := range []netip.AddrPort{corner(true, false), corner(false, true), corner(true, true)} {
		if s.entranceAt(at) != nil {
			continue
		}
		if err := s.listen(Listener{Transport: UDP, Address: at}); err != nil {
			return fmt.Errorf("listen on %v for behaviour discovery: %w", at, err)
		}
	}
	for _, flip := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
		own := corner(flip[0], flip[1])
		d := &discovery{origin: public(own), other: public(corner(!flip[0], !flip[1]))}
		for index := range d.from {
			d.from[index] = s.entranceAt(corner(flip[0] != (index&changeIndexIP != 0), flip[1] != (index&changeIndexPort != 0)))
		}
		for _, e := range s.entrances {
			if e.transport == UDP && e.local == own {
				e.discovery = d
			}
		}
	}
	return nil
}

func (s *Server) entranceAt(at netip.AddrPort) *entrance {
	for _, e := range s.entrances {
		if e.transport == UDP && e.local == at {
			return e
		}
	}
	return nil
}

// tickInterval is how often what needs no precision is looked at.
const tickInterval = 10 * time.Second

// tick says why packets were dropped, begins new days, and notes addresses that
// the machine has got.
func (s *Server) tick() {
	t := time.NewTicker(tickInterval)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		s.turnDay()
		s.renewPolicy()
		for _, a := range s.list() {
			if a.forward != nil {
				a.forward.count()
			}
			a.explain()
		}
	}
}

// renewPolicy makes a new policy when the addresses of this machine are others
// than they were: nobody shall reach it by a new one.
func (s *Server) renewPolicy() {
	old := s.policy.Load()
	p := newPolicy(*s.config.Load())
	// Should Reload make one meanwhile, that is the newer.
	if maps.Equal(p.own, old.own) || !s.policy.CompareAndSwap(old, p) {
		return
	}
	for _, a := range s.list() {
		a.judgeAgain(p)
	}
}

// list returns the allocations that there are.
func (s *Server) list() []*allocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*allocation, 0, len(s.allocations))
	for a := range s.allocations {
		all = append(all, a)
	}
	return all
}

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
	s.cancel()
	var errs []error
	for _, c := range s.sockets {
		errs = append(errs, c.Close())
	}
	for _, e := range s.entrances {
		e.shut()
	}
	for _, a := range s.list() {
		a.close("the relay ends")
	}
	if s.plane != nil {
		errs = append(errs, s.plane.close())
	}
	s.wait.Wait()
	// What was made while all that happened.
	for _, a := range s.list() {
		a.close("the relay ends")
	}
	s.settleLedger()
	s.mu.Lock()
	for token, held := range s.reservations {
		held.timer.Stop()
		delete(s.reservations, token)
	}
	s.mu.Unlock()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close relay: %w", err)
	}
	return nil
}

// Drain refuses new allocations, lets those that there are live, and returns
// when the last one has ended or ctx is done. Close ends the relay afterwards.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining.Swap(true) && s.total.allocations == 0 {
		close(s.empty)
	}
	s.mu.Unlock()
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reload takes over realms, credentials, peer policy, limits, lifetimes,
// alternates, certificates of [CertificateFiles] and logging of c. Allocations
// go on; what the new policy refuses stops at once. Listeners, relay addresses,
// ports, the ledger and the way of forwarding stay: an error names what would
// need a restart, and nothing is changed then.
func (s *Server) Reload(c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return fmt.Errorf("relay configuration: %w", err)
	}
	if what := fixed(s.config.Load(), &c); what != "" {
		return fmt.Errorf("%s cannot change while the relay runs", what)
	}
	old := s.config.Load()
	c.Listeners, c.Relays = old.Listeners, old.Relays
	s.adopt(&c)
	s.mu.Lock()
	for _, x := range s.users {
		x.set(c.Limits.PerUser)
	}
	for _, x := range s.addresses {
		x.set(c.Limits.PerAddress)
	}
	s.mu.Unlock()
	for _, a := range s.list() {
		a.own.set(c.Limits.PerAllocation)
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
	case !slices.EqualFunc(a.asked.listeners, b.asked.listeners, func(x, y Listener) bool {
		return x.Transport == y.Transport && x.Address == y.Address && x.Realm == y.Realm
	}):
		return "the listeners"
	case !slices.Equal(a.asked.relays, b.asked.relays):
		return "the relay addresses"
	case a.Discovery != b.Discovery:
		return "the address for discovery"
	case a.Portable != b.Portable || a.Loops != b.Loops || a.Gather != b.Gather || a.EBPF != b.EBPF:
		return "the way of forwarding"
	}
	return ""
}

func (s *Server) adopt(c *Config) {
	s.config.Store(c)
	s.policy.Store(newPolicy(*c))
	s.keyring.Store(newKeyring(c, s.keyring.Load()))
	l := c.Limits
	s.replies.set(float64(l.UnauthenticatedReplies), 10*float64(l.UnauthenticatedReplies))
	s.logins.set(float64(l.FailedLogins)/60, float64(l.FailedLogins))
	s.guesses.set(float64(l.FailedLogins)/6, 10*float64(l.FailedLogins))
	s.total.set(l.Total)
	metered := false
	for _, q := range []Quota{l.Total, l.PerUser, l.PerAddress, l.PerAllocation} {
		metered = metered || q.BitrateUp > 0 || q.BitrateDown > 0 || q.BytesPerDay > 0
	}
	s.metered.Store(metered)
}

func (s *Server) limits() *Limits { return &s.config.Load().Limits }

func (s *Server) log() *slog.Logger { return s.config.Load().Logger }

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
