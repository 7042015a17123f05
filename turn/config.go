package turn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"
)

// A Transport is what clients use to reach a [Listener].
type Transport string

// The transports of RFC 8656#section-3.1 that a Listener may have.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
	TLS Transport = "tls"
)

// A Listener is an address where clients are served.
type Listener struct {
	Transport Transport
	// Address to bind. An unspecified address stands for every address of this
	// machine that is not loopback or link-local, each with a socket of its
	// own, so that answers leave from where requests arrived. Port 0 lets the
	// system choose.
	Address netip.AddrPort
	// TLS is needed with the transport TLS and ignored otherwise. Use
	// [CertificateFiles] for certificates that are renewed on disk.
	TLS *tls.Config
}

// A Relay is an address that allocations are given.
type Relay struct {
	// Address of this machine to bind.
	Address netip.Addr
	// Public is what clients are told, behind a 1:1 NAT. The zero Addr means Address.
	Public netip.Addr
}

// Limits bound what clients may take. In each, zero means the default and a
// negative number means no limit.
type Limits struct {
	Allocations           int // in total; default 10,000
	AllocationsPerUser    int // default 64 with time-limited credentials; none for Users, whom programs share
	AllocationsPerAddress int // of one client address; default no limit, since many people share one behind a NAT
	Permissions           int // of one allocation; default 64
	Channels              int // of one allocation; default 64

	// Bits per second that are relayed towards peers and towards the client,
	// each; default no limit.
	BitratePerAllocation int
	BitratePerUser       int

	Connections           int // TCP and TLS; default 4,096
	ConnectionsPerAddress int // default 256

	// Replies per second to requests without valid credentials, of one client
	// address, over UDP: what somebody with a spoofed address can make the
	// relay send there. Default 50, with a burst of ten times that; requests
	// with valid credentials give back what they took.
	UnauthenticatedReplies int
}

// A Config says what a [Server] does. Realm, one Listener and some credentials
// are needed; everything else has a default.
type Config struct {
	Realm     string
	Listeners []Listener
	// Relays default to the addresses of the listeners. The first of the
	// family that a client asks for is used.
	Relays []Relay
	// MinPort and MaxPort bound the ports of allocations; default 49152 to 65535.
	MinPort, MaxPort uint16

	// Users are people with a fixed password, by name.
	Users map[string]Secret
	// Secrets make and check time-limited credentials, as XMPP servers hand
	// them out (XEP-0215) by draft-uberti-behave-turn-rest-00. Any of them is
	// good, so that a new one can be introduced before an old one is dropped.
	Secrets []Secret

	// AllowPeers may be reached although they are refused by default,
	// DenyPeers never; see [Config] and the package documentation.
	AllowPeers, DenyPeers []netip.Prefix

	Limits Limits

	AllocationLifetime time.Duration // when the client asks for none; default 10 minutes, RFC 8656#section-7.2
	PermissionLifetime time.Duration // default 5 minutes, RFC 8656#section-9
	ChannelLifetime    time.Duration // default 10 minutes, RFC 8656#section-12

	HandshakeTimeout  time.Duration // of TLS; default 10 s
	AllocationTimeout time.Duration // between connecting by TCP or TLS and the first allocation; default 30 s
	FrameTimeout      time.Duration // between the first and the last byte of a frame; default 10 s
	DialTimeout       time.Duration // of connections to peers, RFC 6062#section-5.2; default 30 s

	// Loops is how many threads forward packets; default one for each two
	// cores, at least one; see [DefaultLoops]. Ignored where there is no data plane of our own.
	Loops int
	// Gather is the least time between two rounds of a forwarding thread. While
	// more packets come than one in this time, each may wait for so long, and
	// fewer wake-ups carry them: 200 µs save about half of the processor time
	// of many calls. Zero forwards each packet at once.
	Gather time.Duration
	// Portable leaves forwarding to pion/turn everywhere, as happens on
	// systems other than Linux.
	Portable bool

	// HideAddresses keeps the addresses of clients and peers out of the log.
	HideAddresses bool
	// Logger receives one line per event. Nil discards.
	Logger *slog.Logger
}

// DefaultLoops is how many threads forward packets unless Config.Loops says
// another number. While there is traffic each occupies one of GOMAXPROCS, so a
// program that has the machine to itself should add as many.
func DefaultLoops() int { return min(maxLoops, max(1, runtime.NumCPU()/2)) }

const (
	defaultPerUser = 64
	defaultMinPort = 49152
	defaultMaxPort = 65535
	maxLoops       = 64
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

func (l Limits) withDefaults() Limits {
	none := -1
	l.Allocations = orInt(l.Allocations, 10_000)
	if l.AllocationsPerUser < 0 {
		l.AllocationsPerUser = orInt(none, 0)
	}
	l.AllocationsPerAddress = orInt(l.AllocationsPerAddress, orInt(none, 0))
	l.Permissions = orInt(l.Permissions, 64)
	l.Channels = orInt(l.Channels, 64)
	l.Connections = orInt(l.Connections, 4096)
	l.ConnectionsPerAddress = orInt(l.ConnectionsPerAddress, 256)
	l.UnauthenticatedReplies = orInt(l.UnauthenticatedReplies, 50)
	l.BitratePerAllocation = max(0, l.BitratePerAllocation)
	l.BitratePerUser = max(0, l.BitratePerUser)
	return l
}

// Validate reports the first thing that is wrong with c.
func (c Config) Validate() error {
	_, err := c.withDefaults()
	return err
}

// withDefaults returns c complete, with unspecified addresses expanded.
func (c Config) withDefaults() (Config, error) {
	if c.Realm == "" {
		return c, errors.New("no realm")
	}
	if len(c.Realm) > 763 { // RFC 8489#section-14.9
		return c, errors.New("realm is longer than 763 bytes")
	}
	if len(c.Users) == 0 && len(c.Secrets) == 0 {
		return c, errors.New("no credentials: neither users nor a secret")
	}
	for name, password := range c.Users {
		if name == "" || password == "" {
			return c, fmt.Errorf("user %q without name or password", name)
		}
	}
	if slices.Contains(c.Secrets, "") {
		return c, errors.New("empty secret")
	}
	if len(c.Listeners) == 0 {
		return c, errors.New("no listener")
	}
	var listeners []Listener
	for _, l := range c.Listeners {
		if !l.Address.IsValid() {
			return c, fmt.Errorf("listener %q without address", l.Transport)
		}
		l.Address = netip.AddrPortFrom(l.Address.Addr().Unmap(), l.Address.Port())
		switch {
		case l.Transport != UDP && l.Transport != TCP && l.Transport != TLS:
			return c, fmt.Errorf("listener at %v: unknown transport %q", l.Address, l.Transport)
		case l.Transport == TLS && l.TLS == nil:
			return c, fmt.Errorf("listener at %v: TLS needs a certificate", l.Address)
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
			if r := (Relay{Address: l.Address.Addr()}); !slices.Contains(relays, r) {
				relays = append(relays, r)
			}
		}
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
	if c.MinPort == 0 {
		c.MinPort = defaultMinPort
	}
	if c.MaxPort == 0 {
		c.MaxPort = defaultMaxPort
	}
	if c.MinPort > c.MaxPort {
		return c, fmt.Errorf("ports %d to %d are none", c.MinPort, c.MaxPort)
	}
	c.Limits = c.Limits.withDefaults()
	c.AllocationLifetime = orDuration(c.AllocationLifetime, 10*time.Minute)
	c.PermissionLifetime = orDuration(c.PermissionLifetime, 5*time.Minute)
	c.ChannelLifetime = orDuration(c.ChannelLifetime, 10*time.Minute)
	c.HandshakeTimeout = orDuration(c.HandshakeTimeout, 10*time.Second)
	c.AllocationTimeout = orDuration(c.AllocationTimeout, 30*time.Second)
	c.FrameTimeout = orDuration(c.FrameTimeout, 10*time.Second)
	c.DialTimeout = orDuration(c.DialTimeout, 30*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
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
