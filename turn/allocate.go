package turn

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/pion/transport/v5/reuseport"
)

// A wish is what an Allocate request asks for.
type wish struct {
	tcp         bool
	family      byte // the first relayed address
	additional  bool // and one of IPv6 besides
	even        bool
	reserve     bool // the port after it
	token       *[8]byte
	lifetime    time.Duration
	transaction [12]byte
}

const (
	protocolTCP = 6
	protocolUDP = 17
)

// wish reads the request, RFC 8656#section-7.2; a code refuses it.
func (r *request) wish() (w wish, c code) {
	copy(w.transaction[:], r.raw[8:stunHeader])
	v, ok := r.get(attrRequestedTransport)
	switch {
	case !ok || len(v) != 4:
		return w, codeBadRequest
	case v[0] == protocolTCP && r.entrance.server.config.Load().NoTCP:
		return w, codeUnsupportedTransport
	case v[0] == protocolTCP && r.conn != nil && !r.conn.datagrams:
		w.tcp = true // RFC 6062#section-5.1
	case v[0] == protocolTCP:
		// One peer's silence would be everybody's, RFC 6062#section-4.1.
		return w, codeBadRequest
	case v[0] != protocolUDP:
		return w, codeUnsupportedTransport
	}
	family, hasFamily := r.get(attrRequestedFamily)
	additional, hasAdditional := r.get(attrAdditionalAddressFamily)
	even, hasEven := r.get(attrEvenPort)
	token, hasToken := r.get(attrReservationToken)
	switch {
	case hasToken && (hasEven || hasFamily || hasAdditional || len(token) != 8),
		hasFamily && (hasAdditional || len(family) != 4),
		hasAdditional && (len(additional) != 4 || additional[0] != family6),
		hasEven && len(even) < 1,
		hasAdditional && hasEven && even[0]&0x80 != 0,
		w.tcp && (hasEven || hasToken || r.has(attrDontFragment)):
		return w, codeBadRequest
	case hasFamily && family[0] != family4 && family[0] != family6:
		return w, codeFamilyNotSupported
	}
	if w.lifetime, ok = r.lifetime(); !ok || w.lifetime == 0 {
		return w, codeBadRequest
	}
	switch {
	case hasToken:
		t := [8]byte(token)
		w.token = &t
	case hasFamily:
		w.family = family[0]
	case hasAdditional:
		w.family, w.additional = family4, true
	default:
		// IPv4 it is, unless this relay has none.
		w.family = family4
		if !r.entrance.server.hasRelay(family4) {
			w.family = family6
		}
	}
	if hasEven {
		w.even, w.reserve = true, even[0]&0x80 != 0
	}
	return w, 0
}

func (s *Server) hasRelay(family byte) bool {
	for _, r := range s.config.Load().Relays {
		if familyOf(r.Address) == family {
			return true
		}
	}
	return false
}

// allocate answers Allocate.
func (r *request) allocate() {
	if a := r.allocation(); a != nil {
		// A retransmission gets the answer again.
		if a.transaction == [12]byte(r.raw[8:stunHeader]) && a.account == r.login.Account {
			r.granted(a, 0)
			return
		}
		r.fail(codeAllocationMismatch)
		return
	}
	w, c := r.wish()
	if c != 0 {
		r.fail(c)
		return
	}
	s := r.entrance.server
	sc, reason := s.enter(r.login.Account, r.from.Addr())
	if reason != "" {
		r.refuseAllocation(reason)
		return
	}
	if s.ledger == nil {
		r.make(w, sc)
		return
	}
	// The ledger may take its time; others are served meanwhile.
	if !s.pending.add(r) {
		s.leave(sc)
		return
	}
	later := r.detach()
	s.wait.Go(func() {
		reason := s.acquireAtLedger(later.login.Account)
		switch {
		case reason != "":
			s.leave(sc)
			later.refuseAllocation(reason)
		case later.allocation() != nil: // cannot be, while the request is pending
			s.leave(sc)
			s.releaseAtLedger(later.login.Account)
		default:
			later.make(w, sc)
		}
		s.pending.remove(later)
	})
}

// detach copies a request for another goroutine.
func (r *request) detach() *request {
	raw := append([]byte(nil), r.raw...)
	later := &request{message: r.message, entrance: r.entrance, from: r.from, conn: r.conn, link: r.link, realm: r.realm, keys: r.keys, login: r.login}
	later.raw = raw
	return later
}

// refuseAllocation answers with the code that fits a reason: another relay,
// where there is one, when this one is draining or full.
func (r *request) refuseAllocation(reason string) {
	s := r.entrance.server
	s.refuse("allocation refused", reason, "user", r.login.User, s.addr("client", r.from))
	switch reason {
	case reasonNoFamily:
		r.fail(codeFamilyNotSupported)
		return
	case reasonDraining, reasonAllocations, reasonSpent, reasonNoPort, reasonSystem:
		if a, ok := s.alternateFor(r.from.Addr()); ok {
			b := r.failure(codeTryAlternate)
			b.addAddress(attrAlternateServer, a.Address)
			if a.Domain != "" {
				b.add(attrAlternateDomain, []byte(a.Domain))
			}
			r.send()
			return
		}
	}
	switch reason {
	case reasonNoPort, reasonSystem, reasonReservation, reasonReservations:
		r.fail(codeInsufficientCapacity)
	default:
		r.fail(codeQuotaReached)
	}
}

// alternateFor is another relay of a client's family, each in turn.
func (s *Server) alternateFor(client netip.Addr) (Alternate, bool) {
	all := s.config.Load().Alternates
	for range all {
		a := all[(s.alternate.Add(1)-1)%uint32(len(all))]
		if a.Address.Addr().Is4() == client.Is4() {
			return a, true
		}
	}
	return Alternate{}, false
}

// make makes the allocation that has been counted in sc.
func (r *request) make(w wish, sc scopes) {
	s := r.entrance.server
	a := &allocation{
		server: s, entrance: r.entrance, conn: r.conn, client: r.from, account: r.login.Account, scopes: sc, created: time.Now(),
		tcp: w.tcp, transaction: w.transaction,
	}
	a.own.set(s.limits().PerAllocation)
	if fast := r.entrance.fast; fast != nil {
		a.forward = s.plane.flow(fast, a)
	}
	refused := code(0)
	reason := a.open(w)
	if reason == "" && w.additional {
		second := wish{tcp: w.tcp, family: family6, lifetime: w.lifetime}
		switch a.open(second) {
		case "":
		case reasonNoFamily:
			refused = codeFamilyNotSupported
		default:
			refused = codeInsufficientCapacity
		}
	}
	if reason != "" {
		s.leave(sc)
		s.releaseAtLedger(a.account)
		r.refuseAllocation(reason)
		return
	}
	a.relayed = a.relayedAddr()
	// From here on the allocation ends by close.
	s.mu.Lock()
	closed := s.closed
	s.allocations[a] = struct{}{}
	s.mu.Unlock()
	if r.conn != nil {
		closed = !r.conn.remember(a) || closed
	} else {
		r.entrance.remember(a)
	}
	if closed {
		a.close("the client is gone")
		return
	}
	a.mu.Lock()
	if a.forward != nil && !a.closed { // the client may have deleted it
		a.forward.start(r.from)
	}
	for _, relay := range a.relays {
		if relay != nil {
			s.agenda.at(a, relay.expires)
			a.forwardPortably(relay)
		}
	}
	a.mu.Unlock()
	s.log().Info("allocation made", "user", a.account.User, s.addr("client", a.client), s.addr("relayed", a.relayed), "transport", a.entrance.transport)
	r.granted(a, refused)
}

// granted sends the answer that an allocation was made; refused is why there
// is no additional address.
func (r *request) granted(a *allocation, refused code) {
	b := r.success()
	now := a.server.now()
	lifetime := int64(never)
	a.mu.Lock()
	for _, relay := range a.relays {
		if relay != nil {
			b.addXOR(attrXORRelayedAddress, relay.public)
			lifetime = min(lifetime, relay.expires-now)
		}
	}
	token := a.reservation
	a.mu.Unlock()
	b.addUint32(attrLifetime, uint32((max(lifetime, 0)+int64(time.Second)/2)/int64(time.Second)))
	if token != nil {
		b.add(attrReservationToken, token[:])
	}
	b.addXOR(attrXORMappedAddress, r.from)
	if refused != 0 { // RFC 8656#section-18.12
		b.add(attrAddressErrorCode, []byte{family6, 0, byte(refused / 100), byte(refused % 100)})
	}
	r.send()
}

// bindTries is how many ports are tried when others on this machine have them.
const bindTries = 100

// open gives the allocation the relayed address of a wish, or says why not.
func (a *allocation) open(w wish) (reason string) {
	s := a.server
	if w.token != nil {
		held := s.redeem(*w.token, a.account)
		if held == nil {
			return reasonReservation
		}
		relay := &relayed{local: held.local, public: held.public, ports: held.ports, expires: s.now() + int64(w.lifetime)}
		if err := a.listen(relay); err != nil {
			held.ports.release(held.local.Port())
			s.complain("bind a reserved relay socket", "error", err)
			return reasonSystem
		}
		a.relays[familyIndex(relay.local.Addr())] = relay
		return ""
	}
	if w.reserve && !s.mayReserve(a.account) {
		return reasonReservations
	}
	reason = reasonNoFamily
	for _, where := range s.config.Load().Relays {
		if familyOf(where.Address) != w.family {
			continue
		}
		ports := s.portsOf[where.Address]
		for try := 0; ; try++ {
			port, ok := ports.take(w.even, w.reserve)
			if !ok {
				reason = reasonNoPort
				break
			}
			relay := &relayed{
				local: netip.AddrPortFrom(where.Address, port), public: netip.AddrPortFrom(where.Public, port),
				ports: ports, expires: s.now() + int64(w.lifetime),
			}
			err := a.listen(relay)
			if err == nil {
				a.relays[int(w.family)-family4] = relay
				if w.reserve {
					a.reservation = s.reserve(relay, a.account)
				}
				return ""
			}
			ports.release(port)
			if w.reserve {
				ports.release(port + 1)
			}
			if !errors.Is(err, syscall.EADDRINUSE) || try == bindTries {
				s.complain("bind a relay socket", "error", err)
				reason = reasonSystem
				break
			}
		}
	}
	return reason
}

// listen makes the socket of a relayed address.
func (a *allocation) listen(relay *relayed) error {
	if err := a.socket(relay); err != nil {
		return err
	}
	relay.ports.serve(relay.local.Port(), a.tcp)
	return nil
}

func (a *allocation) socket(relay *relayed) error {
	switch {
	case a.tcp:
		lc := net.ListenConfig{Control: reuseport.Control} // Connect leaves from the same port
		l, err := lc.Listen(a.server.ctx, network("tcp", relay.local.Addr()), relay.local.String())
		if err != nil {
			return err
		}
		relay.socket = l
	case a.forward != nil:
		socket, err := a.server.plane.relay(a.forward, relay.local)
		if err != nil {
			return err
		}
		relay.socket = socket
	default:
		u, err := net.ListenUDP(network("udp", relay.local.Addr()), net.UDPAddrFromAddrPort(relay.local))
		if err != nil {
			return err
		}
		relay.socket = u
	}
	return nil
}

// reservationTime is how long a port is kept for who has the token,
// RFC 8656#section-7.2.
const reservationTime = 30 * time.Second

// Bounds of the ports that are kept.
const (
	maxReservations     = 1024
	maxUserReservations = 16
)

// mayReserve says whether an account may have one more port kept.
func (s *Server) mayReserve(acc Account) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, held := range s.reservations {
		if held.account == acc {
			n++
		}
	}
	return len(s.reservations) < maxReservations && n < maxUserReservations
}

// A reservation is a port that is kept.
type reservation struct {
	local, public netip.AddrPort
	ports         *ports
	account       Account
	timer         *time.Timer
}

// reserve keeps the port after relay's, which is already taken.
func (s *Server) reserve(relay *relayed, acc Account) *[8]byte {
	next := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), a.Port()+1) }
	held := &reservation{local: next(relay.local), public: next(relay.public), ports: relay.ports, account: acc}
	var token [8]byte
	rand.Read(token[:]) // never fails
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reservations[token] = held
	held.timer = time.AfterFunc(reservationTime, func() {
		if s.redeem(token, acc) != nil {
			held.ports.release(held.local.Port())
		}
	})
	return &token
}

// redeem takes a reservation of an account.
func (s *Server) redeem(token [8]byte, acc Account) *reservation {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.reservations[token]
	if held == nil || held.account != acc {
		return nil
	}
	delete(s.reservations, token)
	held.timer.Stop()
	return held
}

// network is "udp4" and the like; sockets never serve both families.
func network(protocol string, a netip.Addr) string {
	if a.Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}
