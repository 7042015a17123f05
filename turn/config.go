package turn

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Transport is what clients use to reach a [Listener].
type Transport string

// The transports of RFC 8656#section-3.1 that a Listener may have.
const (
	UDP  Transport = "udp"
	TCP  Transport = "tcp"
	TLS  Transport = "tls"
	DTLS Transport = "dtls"
)

// A Listener is an address where clients are served.
type Listener struct {
	Transport Transport
	// Address to bind. An unspecified address stands for every address of this
	// machine that is not loopback or link-local, each with a socket of its
	// own, so that answers leave from where requests arrived. Port 0 lets the
	// system choose.
	Address netip.AddrPort
	// TLS is needed with the transports TLS and DTLS and ignored otherwise. Use
	// [CertificateFiles] for certificates that are renewed on disk. DTLS takes
	// the certificate, client authentication and cipher suites of it.
	TLS *tls.Config
	// Realm is the realm that clients are asked to log in to here; empty means
	// the first, Config.Realm. See [Realm].
	Realm string
	// Socket is one that somebody else has bound, as systemd does, in place of
	// Address; it is duplicated, and stays the caller's to close. A UDP socket
	// is served by one forwarding thread: several bound with SO_REUSEPORT, each
	// a Listener, by as many.
	Socket *os.File
}

// A Realm is a set of people who may use the relay. Clients are told which one
// they shall log in to: the one whose name they have asked for with TLS or DTLS
// (server name indication), else that of the listener. A request that names
// another realm of the relay is checked there.
type Realm struct {
	Name string
	// ServerNames are those that TLS and DTLS clients ask for to be of this realm.
	ServerNames []string
	Users       map[string]Secret
	Secrets     []Secret
}

// An Alternate is another relay that clients may be sent to,
// RFC 8489#section-14.15.
type Alternate struct {
	Address netip.AddrPort
	Domain  string // what its certificate says, RFC 8489#section-14.16; may be empty
}

// A Relay is an address that allocations are given.
type Relay struct {
	// Address of this machine to bind.
	Address netip.Addr
	// Public is what clients are told, behind a 1:1 NAT. The zero Addr means Address.
	Public netip.Addr
}

// A Quota bounds what somebody may take. In each field, zero means the default
// and a negative number means no limit.
type Quota struct {
	Allocations int
	Permissions int // peers, by address
	Channels    int
	// Bits per second that are relayed towards peers and towards the client.
	BitrateUp, BitrateDown int
	// BytesPerDay are relayed bytes, both ways together, in a day of UTC. When
	// they are used up, nothing is relayed until the next day begins.
	BytesPerDay int64
}

// Limits bound what clients may take. What is refused or dropped for a limit is
// counted and says so in the log, see [Status].
type Limits struct {
	// Total is for all clients together: 10,000 allocations, 200,000
	// permissions and 200,000 channels by default.
	Total Quota
	// PerUser is for one user of a realm: 64 allocations by default for
	// time-limited credentials; no limit for Users, whom programs share.
	PerUser Quota
	// PerAddress is for one client address (of IPv6 the /64 it is in): no
	// limits by default, since many people share one behind a NAT.
	PerAddress Quota
	// PerAllocation is 64 permissions and 64 channels by default; Allocations
	// has no meaning in it.
	PerAllocation Quota

	Connections           int // TCP, TLS and DTLS; default 4,096
	ConnectionsPerAddress int // default 256
	// Handshakes are those of TLS and DTLS in progress; default 512. One address
	// may have an eighth of them.
	Handshakes int

	// Replies per second to requests without valid credentials that are larger
	// than their requests, of one client address, over UDP: what somebody with a
	// spoofed address can make the relay send there. Default 50, with a burst
	// of ten times that; requests with valid credentials give back what they took.
	UnauthenticatedReplies int
	// FailedLogins of one user name from one address in a minute, and ten times
	// that of all names from one address; more requests that would be failures
	// or successes go unanswered until time has passed. Default 10.
	FailedLogins int
}

// A Config says what a [Server] does. Realm, one Listener and some credentials
// are needed; everything else has a default.
type Config struct {
	Realm     string
	Listeners []Listener
	// Realms are further ones; see [Realm]. Their Users and Secrets are their own.
	Realms []Realm
	// Relays default to the addresses of the listeners, those that others can
	// reach before private ones. The first of the family that a client asks for
	// is used.
	Relays []Relay
	// MinPort and MaxPort bound the ports of allocations; default 49152 to 65535.
	MinPort, MaxPort uint16

	// Users are people with a fixed password, by name.
	Users map[string]Secret
	// Secrets make and check time-limited credentials, as XMPP servers hand
	// them out (XEP-0215) by draft-uberti-behave-turn-rest-00. Any of them is
	// good, so that a new one can be introduced before an old one is dropped.
	Secrets []Secret
	// NonceSecret makes the nonces of RFC 8489#section-9.2. Relays with the same
	// one accept each other's, and those from before a restart. Empty means that
	// it is derived from the first of Secrets, or random where there is none.
	NonceSecret Secret
	// NonceLifetime is how long a nonce is good; default 1 hour.
	NonceLifetime time.Duration

	// Discovery is a second address and port for NAT behaviour discovery
	// (RFC 5780). Both differ from those of the first UDP listener of its
	// family, and the relay binds the two combinations besides. The zero
	// AddrPort turns it off.
	Discovery netip.AddrPort
	// Software is told to clients in SOFTWARE, RFC 8489#section-14.14; default nothing.
	Software string

	// Alternates are other relays. A client is sent to one of its family in turn
	// (300, Try Alternate) while this one is draining or full in total.
	Alternates []Alternate

	// Ledger counts allocations and bytes of users together with other relays.
	// Nil counts them here only.
	Ledger Ledger

	// AllowPeers may be reached although they are refused by default,
	// DenyPeers never; see [Config] and the package documentation.
	AllowPeers, DenyPeers []netip.Prefix

	// NoTCP refuses TCP allocations (RFC 6062), by which users connect to
	// services of others from this machine's address. Calls do without.
	NoTCP bool
	// MinTCPPort is the lowest port that users connect to by TCP; default 1024.
	// Below are mail, shells and web servers, whose owners blame this machine
	// for what users do there, and nobody waits for a peer of a TURN client. 1
	// allows all. What peers send over UDP, and the ports that peers connect
	// from, are not bounded: a NAT may give them any.
	MinTCPPort uint16

	Limits Limits

	AllocationLifetime time.Duration // when the client asks for none; default 10 minutes, RFC 8656#section-7.2
	PermissionLifetime time.Duration // default 5 minutes, RFC 8656#section-9
	ChannelLifetime    time.Duration // default 10 minutes, RFC 8656#section-12

	HandshakeTimeout  time.Duration // of TLS and DTLS; default 10 s
	AllocationTimeout time.Duration // of a connection (TCP, TLS, DTLS) without an allocation; default 30 s
	FrameTimeout      time.Duration // between the first and the last byte of a frame; default 10 s
	DialTimeout       time.Duration // of connections to peers, RFC 6062#section-5.2; default 30 s

	// Loops is how many threads forward packets; default one for each two
	// cores, at least one; see [DefaultLoops]. Ignored where there is no data plane of our own.
	Loops int
	// Gather is how long packets may wait for others, while two and more come
	// in this time, so that fewer wake-ups of a forwarding thread carry them:
	// 200 µs save about a sixth of the processor time of many calls. Zero
	// forwards each packet at once.
	Gather time.Duration
	// EBPF is a network interface of this machine where an eBPF program (XDP)
	// forwards channels of IPv4 clients and peers on UDP, past the sockets. It
	// needs Linux 5.18 and the capabilities BPF and NET_ADMIN. The loops forward
	// the rest: everything while a limit on bandwidth or bytes is set, peers
	// behind other interfaces, and the first packets of each channel. What the
	// program forwards passes no firewall of this machine, and datagrams leave
	// without a UDP checksum. It serves many calls better than bulk, of which the
	// loops forward whole trains. Empty: none.
	EBPF string
	// Portable leaves forwarding to goroutines everywhere, as happens on systems
	// other than Linux.
	Portable bool

	// HideAddresses keeps the addresses of clients and peers out of the log.
	HideAddresses bool
	// Logger receives one line per event. Nil discards.
	Logger *slog.Logger

	// What Listeners and Relays were before unspecified addresses were
	// expanded: the addresses of a machine come and go.
	asked struct {
		listeners []Listener
		relays    []Relay
	}
	// wall is the clock of the calendar, of a relay that New makes; default
	// time.Now.
	wall func() time.Time
}

// DefaultLoops is how many threads forward packets unless Config.Loops says
// another number. While there is traffic each occupies one of GOMAXPROCS, so a
// program that has the machine to itself should add as many.
func DefaultLoops() int { return min(maxLoops, max(1, runtime.NumCPU()/2)) }

// DefaultAllocationsPerUser is how many allocations somebody with time-limited
// credentials may have unless Limits.PerUser says otherwise.
const DefaultAllocationsPerUser = 64

const (
	defaultTotal = 10_000
	// Of these each takes some 100 bytes.
	defaultTotalPeers = 200_000
	defaultMinPort    = 49152
	defaultMaxPort    = 65535
	defaultMinTCPPort = 1024
	maxLoops          = 64
	// maxFrame bounds a frame on TCP and a request on UDP, in bytes. What an
	// Ethernet with jumbo frames can carry on to a peer fits.
	maxFrame = 9216
)

func orInt(v, def int) int {
	switch {
	case v == 0:
		return def
	case v < 0:
		return int(^uint(0) >> 1)
	}
	return v
}

func orDuration(v, def time.Duration) time.Duration {
	if v <= 0 {
		return def
	}
	return v
}

// withDefaults returns q complete: without a limit where q and def have none.
func (q Quota) withDefaults(def Quota) Quota {
	or := func(v, def int) int { return orInt(v, orInt(def, orInt(-1, 0))) }
	q.Allocations = or(q.Allocations, def.Allocations)
	q.Permissions = or(q.Permissions, def.Permissions)
	q.Channels = or(q.Channels, def.Channels)
	// These are not asked for without a limit.
	q.BitrateUp, q.BitrateDown, q.BytesPerDay = max(0, q.BitrateUp), max(0, q.BitrateDown), max(0, q.BytesPerDay)
	return q
}

func (l Limits) withDefaults() Limits {
	l.Total = l.Total.withDefaults(Quota{Allocations: defaultTotal, Permissions: defaultTotalPeers, Channels: defaultTotalPeers})
	perUser := l.PerUser.Allocations
	l.PerUser = l.PerUser.withDefaults(Quota{})
	l.PerUser.Allocations = perUser // whose default depends on the user
	if perUser < 0 {
		l.PerUser.Allocations = orInt(-1, 0)
	}
	l.PerAddress = l.PerAddress.withDefaults(Quota{})
	l.PerAllocation = l.PerAllocation.withDefaults(Quota{Permissions: 64, Channels: 64})
	l.Connections = orInt(l.Connections, 4096)
	l.ConnectionsPerAddress = orInt(l.ConnectionsPerAddress, 256)
	l.Handshakes = orInt(l.Handshakes, 512)
	l.UnauthenticatedReplies = orInt(l.UnauthenticatedReplies, 50)
	l.FailedLogins = orInt(l.FailedLogins, 10)
	return l
}

// Validate reports the first thing that is wrong with c.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults returns c complete, with unspecified addresses expanded.
func (c Config) withDefaults() (Config, error) {
	if err := c.validateRealms(); err != nil {
		return c, err
	}
	if len(c.Listeners) == 0 {
		return c, errors.New("no listener")
	}
	if c.EBPF != "" && c.Portable {
		return c, errors.New("an eBPF program forwards beside loops, which portable leaves out")
	}
	c.asked.listeners, c.asked.relays = c.Listeners, c.Relays
	c.AllowPeers, c.DenyPeers = unmap(c.AllowPeers), unmap(c.DenyPeers)
	var listeners []Listener
	for _, l := range c.Listeners {
		if !l.Address.IsValid() {
			return c, fmt.Errorf("listener %q without address", l.Transport)
		}
		l.Address = netip.AddrPortFrom(l.Address.Addr().Unmap(), l.Address.Port())
		switch {
		case l.Transport != UDP && l.Transport != TCP && l.Transport != TLS && l.Transport != DTLS:
			return c, fmt.Errorf("listener at %v: unknown transport %q", l.Address, l.Transport)
		case (l.Transport == TLS || l.Transport == DTLS) && l.TLS == nil:
			return c, fmt.Errorf("listener at %v: %s needs a certificate", l.Address, strings.ToUpper(string(l.Transport)))
		case l.Realm != "" && !c.hasRealm(l.Realm):
			return c, fmt.Errorf("listener at %v: unknown realm %q", l.Address, l.Realm)
		case l.Socket != nil:
			listeners = append(listeners, l)
			continue
		}
		all, err := expand(l.Address.Addr())
		if err != nil {
			return c, fmt.Errorf("listener at %v: %w", l.Address, err)
		}
		for _, a := range all {
			l.Address = netip.AddrPortFrom(a, l.Address.Port())
			listeners = append(listeners, l)
		}
	}
	c.Listeners = listeners

	relays := slices.Clone(c.Relays)
	if len(relays) == 0 {
		for _, l := range listeners {
			// What an inherited socket is bound to may stand for several.
			all, err := expand(l.Address.Addr())
			if err != nil {
				return c, fmt.Errorf("listener at %v: %w", l.Address, err)
			}
			for _, a := range all {
				if r := (Relay{Address: a}); !slices.Contains(relays, r) {
					relays = append(relays, r)
				}
			}
		}
		// Beside a public address stand those of bridges and private networks,
		// where no peer would find the client.
		slices.SortStableFunc(relays, func(a, b Relay) int { return cmp.Compare(hidden(a.Address), hidden(b.Address)) })
	}
	for i, r := range relays {
		if !r.Address.IsValid() || r.Address.IsUnspecified() || r.Address.IsMulticast() {
			return c, fmt.Errorf("relay address %v is not an address of this machine", r.Address)
		}
		if !r.Public.IsValid() {
			r.Public = r.Address
		}
		r.Address, r.Public = r.Address.Unmap(), r.Public.Unmap()
		if r.Address.Is4() != r.Public.Is4() {
			return c, fmt.Errorf("relay address %v and its public address %v are of two families", r.Address, r.Public)
		}
		relays[i] = r
	}
	c.Relays = relays
	if err := c.validateDiscovery(); err != nil {
		return c, err
	}
	for _, a := range c.Alternates {
		if !a.Address.IsValid() || a.Address.Addr().IsUnspecified() || a.Address.Port() == 0 {
			return c, fmt.Errorf("alternate server %v is not an address and a port", a.Address)
		}
	}
	if len(c.Software) > maxSoftware {
		return c, fmt.Errorf("software is longer than %d bytes", maxSoftware)
	}
	if c.MinPort == 0 {
		c.MinPort = defaultMinPort
	}
	if c.MaxPort == 0 {
		c.MaxPort = defaultMaxPort
	}
	if c.MinPort > c.MaxPort {
		return c, fmt.Errorf("ports %d to %d are none", c.MinPort, c.MaxPort)
	}
	if c.MinTCPPort == 0 {
		c.MinTCPPort = defaultMinTCPPort
	}
	c.Limits = c.Limits.withDefaults()
	c.AllocationLifetime = orDuration(c.AllocationLifetime, 10*time.Minute)
	c.PermissionLifetime = orDuration(c.PermissionLifetime, 5*time.Minute)
	c.ChannelLifetime = orDuration(c.ChannelLifetime, 10*time.Minute)
	c.NonceLifetime = orDuration(c.NonceLifetime, time.Hour)
	c.HandshakeTimeout = orDuration(c.HandshakeTimeout, 10*time.Second)
	c.AllocationTimeout = orDuration(c.AllocationTimeout, 30*time.Second)
	c.FrameTimeout = orDuration(c.FrameTimeout, 10*time.Second)
	c.DialTimeout = orDuration(c.DialTimeout, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// unmap writes v4-mapped prefixes as IPv4, which is what peers are judged as.
func unmap(prefixes []netip.Prefix) []netip.Prefix {
	const mapped = 96
	out := slices.Clone(prefixes)
	for i, p := range out {
		if p.Addr().Is4In6() && p.Bits() >= mapped {
			out[i] = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
		}
	}
	return out
}

// maxSoftware keeps answers small, in bytes; RFC 8489#section-14.14 allows 763.
const maxSoftware = 64

func (c *Config) hasRealm(name string) bool {
	return name == c.Realm || slices.ContainsFunc(c.Realms, func(r Realm) bool { return r.Name == name })
}

func (c *Config) validateRealms() error {
	seen := map[string]bool{}
	for _, r := range append([]Realm{{Name: c.Realm, Users: c.Users, Secrets: c.Secrets}}, c.Realms...) {
		switch {
		case r.Name == "":
			return errors.New("no realm")
		case len(r.Name) > maxRealm:
			return fmt.Errorf("realm is longer than %d bytes", maxRealm)
		case seen[r.Name]:
			return fmt.Errorf("realm %q is there twice", r.Name)
		case len(r.Users) == 0 && len(r.Secrets) == 0:
			if len(c.Realms) == 0 {
				return errors.New("no credentials: neither users nor a secret")
			}
			return fmt.Errorf("realm %q without credentials: neither users nor a secret", r.Name)
		case slices.Contains(r.Secrets, ""):
			return errors.New("empty secret")
		}
		seen[r.Name] = true
		for name, password := range r.Users {
			if name == "" || password == "" {
				return fmt.Errorf("user %q without name or password", name)
			}
		}
	}
	return nil
}

// maxRealm bounds a realm's name in bytes. RFC 8489#section-14.9 allows 763,
// which would make the answer to a stranger as long.
const maxRealm = 255

// primary is the listener beside which Discovery stands.
func (c *Config) primary() (netip.AddrPort, bool) {
	for _, l := range c.Listeners {
		if l.Transport == UDP && l.Address.Addr().Is4() == c.Discovery.Addr().Unmap().Is4() {
			return l.Address, true
		}
	}
	return netip.AddrPort{}, false
}

func (c *Config) validateDiscovery() error {
	if c.Discovery == (netip.AddrPort{}) {
		return nil
	}
	first, ok := c.primary()
	switch {
	case !ok:
		return fmt.Errorf("discovery at %v: no UDP listener of its family", c.Discovery)
	case first.Port() == 0 || c.Discovery.Port() == 0 || c.Discovery.Addr().IsUnspecified():
		return fmt.Errorf("discovery at %v beside %v: both need an address and a port", c.Discovery, first)
	case first.Addr() == c.Discovery.Addr().Unmap() || first.Port() == c.Discovery.Port():
		return fmt.Errorf("discovery at %v: address and port must both differ from those of the listener %v", c.Discovery, first)
	}
	return nil
}

// expand returns a, or the addresses of this machine when a is unspecified.
func expand(a netip.Addr) ([]netip.Addr, error) {
	if !a.IsUnspecified() {
		return []netip.Addr{a}, nil
	}
	own, err := interfaceAddrs()
	if err != nil {
		return nil, err
	}
	own = slices.DeleteFunc(own, func(o netip.Addr) bool {
		return o.Is4() != a.Is4() || o.IsLoopback() || o.IsLinkLocalUnicast()
	})
	if len(own) == 0 {
		return nil, fmt.Errorf("this machine has no address that %v could stand for", a)
	}
	return own, nil
}

func interfaceAddrs() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this machine: %w", err)
	}
	var own []netip.Addr
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, addr.Unmap())
			}
		}
	}
	return own, nil
}
