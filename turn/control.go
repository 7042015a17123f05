package turn

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A link is how frames get to a client.
type link interface {
	// send sends a whole frame, without padding; to is ignored where there is
	// one client only.
	send(b []byte, to netip.AddrPort) error
}

// A request is one that is being answered. It belongs to the goroutine that
// reads from the client, and is used again for the next.
type request struct {
	message
	entrance *entrance
	from     netip.AddrPort
	conn     *clientConn // nil for clients of a UDP socket
	link     link
	realm    *realm // that the client is asked to log in to
	keys     *keyring
	login    login
	answer   answer
	spliced  *peerConn // set by ConnectionBind: the connection carries data from now on
}

// serve answers one request, unless it is none, or void.
func (r *request) serve(frame []byte) {
	var ok bool
	if r.message, ok = parseMessage(frame); !ok || r.class() != classRequest {
		return
	}
	r.login = login{}
	r.keys = r.entrance.server.keyring.Load()
	listener, serverName := r.entrance.realm, ""
	if r.conn != nil {
		serverName = r.conn.serverName
	}
	r.realm = r.keys.realm(listener, serverName)
	switch r.method() {
	case methodBinding:
		r.binding()
	case methodAllocate, methodRefresh, methodCreatePermission, methodChannelBind, methodConnect, methodConnectionBind:
		if !r.authenticate() {
			return
		}
		if unknown := r.unknown(knownAttribute); len(unknown) > 0 {
			r.refuseUnknown(unknown)
			return
		}
		switch r.method() {
		case methodAllocate:
			r.allocate()
		case methodRefresh:
			r.refresh()
		case methodCreatePermission:
			r.createPermission()
		case methodChannelBind:
			r.channelBind()
		case methodConnect:
			r.connect()
		case methodConnectionBind:
			r.connectionBind()
		}
	}
}

// knownAttribute says whether we understand an attribute that must be, in a
// request other than Binding. DONT-FRAGMENT is not: where the path of a relay
// needs fragments, they are made.
func knownAttribute(typ uint16) bool {
	switch typ {
	case attrUsername, attrRealm, attrNonce, attrUserHash, attrPasswordAlgorithm, attrMessageIntegrity, attrMessageIntegritySHA256,
		attrLifetime, attrXORPeerAddress, attrData, attrRequestedFamily, attrEvenPort, attrRequestedTransport, attrReservationToken,
		attrChannelNumber, attrConnectionID:
		return true
	}
	return false
}

// success begins the answer to a request that was granted.
func (r *request) success() *answer {
	r.answer.begin(r.method(), classSuccess, r.raw[8:stunHeader])
	return &r.answer
}

// failure begins an error.
func (r *request) failure(c code) *answer {
	r.answer.begin(r.method(), classError, r.raw[8:stunHeader])
	r.answer.addCode(c)
	return &r.answer
}

// fail answers with an error and nothing else.
func (r *request) fail(c code) {
	r.failure(c)
	r.send()
}

// send signs the answer and sends it.
func (r *request) send() {
	a := &r.answer
	if software := r.entrance.server.config.Load().Software; software != "" {
		a.add(attrSoftware, []byte(software))
	}
	r.login.sign(a)
	if r.fingerprint != 0 {
		a.mark()
	}
	if !r.entrance.reply(r) {
		return
	}
	// Who does not get an answer asks again.
	_ = r.link.send(a.b, r.from)
}

// challenge asks for a login, with 401 or 438.
func (r *request) challenge(c code) {
	a := r.failure(c)
	a.add(attrRealm, []byte(r.realm.name))
	a.add(attrNonce, r.keys.nonces.make(r.entrance.server.wall(), r.from.Addr(), r.realm.features))
	a.add(attrPasswordAlgorithms, algorithms)
	r.send()
}

// authenticate says whether the request is to be carried out; else it has been
// answered, or deserves no answer.
func (r *request) authenticate() bool {
	s := r.entrance.server
	who := r.keys.named(&r.message)
	signed := r.integrity != 0 || r.integrity256 != 0
	now := s.now()
	if signed && !r.trusted(who) && (s.logins.full(guess{r.from.Addr(), who.User}, now) || s.guesses.full(block(r.from.Addr()), now)) {
		s.failures.Add(1)
		s.refuse("login not checked", reasonLogins, "user", who.User, s.addr("client", r.from))
		return false
	}
	l, c, user, reason := r.keys.check(&r.message, s.wall(), r.from.Addr(), r.realm)
	if reason != "" {
		s.failures.Add(1)
		s.logins.take(guess{r.from.Addr(), who.User}, now)
		s.guesses.take(block(r.from.Addr()), now)
		if user == "" {
			user = who.User
		}
		s.refuse("login refused", reason, "user", user, s.addr("client", r.from))
	}
	switch c {
	case 0:
		r.login = l
		return true
	case codeUnauthenticated, codeStaleNonce:
		r.challenge(c)
	default:
		r.fail(c)
	}
	return false
}

// trusted says whether a login is looked at however many have failed. Over UDP
// whoever can write another's address makes failures in his name, and must not
// be able to keep him out: not who has an allocation from calling on, nor
// anybody from using time-limited credentials, whose passwords nobody guesses.
func (r *request) trusted(who Account) bool {
	realm := r.keys.realms[who.Realm]
	if realm == nil {
		return false
	}
	user := who.User
	if _, fixed := realm.users[user]; !fixed && len(realm.secrets) > 0 {
		expires, counted, ok := expiry(user)
		if ok && r.entrance.server.wall().Before(expires) {
			return true
		}
		user = counted
	}
	a := r.allocation()
	return a != nil && a.account == Account{who.Realm, user}
}

// A guess is a user name tried from an address.
type guess struct {
	from netip.Addr
	user string
}

func (r *request) refuseUnknown(types []uint16) {
	a := r.failure(codeUnknownAttribute)
	var v []byte
	for _, t := range types {
		v = binary.BigEndian.AppendUint16(v, t)
	}
	a.add(attrUnknownAttributes, v)
	r.send()
}

// allocation is that of the client, or nil.
func (r *request) allocation() *allocation {
	if r.conn != nil {
		return r.conn.of()
	}
	return r.entrance.of(r.from)
}

// own is the allocation of the client, who made it under the same name. If
// there is none the request has been answered.
func (r *request) own() *allocation {
	a := r.allocation()
	switch {
	case a == nil:
		r.fail(codeAllocationMismatch)
	case a.account != r.login.Account:
		r.fail(codeWrongCredentials)
	default:
		return a
	}
	return nil
}

// refresh answers Refresh, RFC 8656#section-8.2.
func (r *request) refresh() {
	a := r.own()
	if a == nil {
		return
	}
	family := byte(0)
	if v, ok := r.get(attrRequestedFamily); ok {
		if len(v) < 1 || v[0] != family4 && v[0] != family6 {
			r.fail(codeFamilyMismatch)
			return
		}
		family = v[0]
	}
	lifetime, ok := r.lifetime()
	if !ok {
		r.fail(codeBadRequest)
		return
	}
	if !a.refresh(family, lifetime) {
		r.fail(codeFamilyMismatch)
		return
	}
	r.success().addUint32(attrLifetime, uint32(lifetime/time.Second))
	r.send()
}

// maxLifetime is the longest that an allocation may live without a refresh.
const maxLifetime = time.Hour

// lifetime is the one granted, RFC 8656#section-7.2: at least the default, at
// most an hour, and 0 when the client says so.
func (r *request) lifetime() (time.Duration, bool) {
	def := r.entrance.server.config.Load().AllocationLifetime
	v, ok := r.get(attrLifetime)
	if !ok {
		return def, true
	}
	if len(v) != 4 {
		return 0, false
	}
	asked := time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	if asked == 0 {
		return 0, true
	}
	return max(def, min(asked, maxLifetime)), true
}

// createPermission answers CreatePermission, RFC 8656#section-10.2.
func (r *request) createPermission() {
	a := r.own()
	if a == nil {
		return
	}
	var peers []netip.Addr
	bad := false
	r.each(func(typ uint16, v []byte) bool {
		if typ == attrXORPeerAddress {
			peer, ok := r.address(v)
			bad = bad || !ok
			peers = append(peers, peer.Addr())
		}
		return !bad
	})
	if bad || len(peers) == 0 {
		r.fail(codeBadRequest)
		return
	}
	for _, p := range peers {
		if c := r.mayReach(a, p); c != 0 {
			r.fail(c)
			return
		}
	}
	s := r.entrance.server
	if reason := a.permit(peers, s.now()+int64(s.config.Load().PermissionLifetime)); reason != "" {
		s.refuse("permission refused", reason, "user", a.account.User, s.addr("client", r.from))
		r.fail(codeInsufficientCapacity)
		return
	}
	r.success()
	r.send()
}

// mayReach is 0 or why the client may not reach a peer, in the words of RFC 8656.
func (r *request) mayReach(a *allocation, peer netip.Addr) code {
	s := r.entrance.server
	v, reason := s.policy.Load().judge(peer)
	if v == verdictRefused {
		s.refusePeer(reason, "user", a.account.User, s.addr("client", r.from), s.addr("peer", peer))
		return codeForbidden
	}
	if !a.hasFamily(peer) {
		return codeFamilyMismatch
	}
	return 0
}

// channelBind answers ChannelBind, RFC 8656#section-12.2.
func (r *request) channelBind() {
	a := r.own()
	if a == nil {
		return
	}
	v, ok := r.get(attrChannelNumber)
	p, hasPeer := r.get(attrXORPeerAddress)
	if !ok || len(v) != 4 || !hasPeer || a.tcp {
		r.fail(codeBadRequest)
		return
	}
	number := binary.BigEndian.Uint16(v)
	peer, ok := r.address(p)
	if !ok || number < minChannel || number > maxChannel {
		r.fail(codeBadRequest)
		return
	}
	if c := r.mayReach(a, peer.Addr()); c != 0 {
		r.fail(c)
		return
	}
	s := r.entrance.server
	conf := s.config.Load()
	c, reason := codeInsufficientCapacity, a.permit([]netip.Addr{peer.Addr()}, s.now()+int64(conf.PermissionLifetime))
	if reason == "" {
		c, reason = a.bind(number, peer, s.now()+int64(conf.ChannelLifetime))
	}
	if reason != "" {
		s.refuse("channel refused", reason, "user", a.account.User, s.addr("client", r.from))
	}
	if c != 0 {
		r.fail(c)
		return
	}
	r.success()
	r.send()
}
