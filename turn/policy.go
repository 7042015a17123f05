package turn

import (
	"fmt"
	"net/netip"
)

// refused is what nobody may reach through the relay unless AllowPeers says
// so: places that trust this machine for where it stands, and forms that hide
// another address.
var refused = []struct {
	prefix netip.Prefix
	reason string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network (RFC 1122)"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private (RFC 1918)"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared behind a carrier's NAT (RFC 6598)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where cloud metadata lives (RFC 3927)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private (RFC 1918)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments (RFC 6890)"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relays (RFC 7526)"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private (RFC 1918)"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking (RFC 2544)"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation (RFC 5737)"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved or broadcast"},
	{netip.MustParsePrefix("::/96"), "unspecified, loopback or IPv4-compatible"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64 (RFC 6052)"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "NAT64 (RFC 8215)"},
	{netip.MustParsePrefix("100::/64"), "discarded (RFC 6666)"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments and Teredo (RFC 2928)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation (RFC 3849)"},
	{netip.MustParsePrefix("2002::/16"), "6to4 (RFC 3056)"},
	{netip.MustParsePrefix("3fff::/20"), "documentation (RFC 9637)"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing (RFC 9602)"},
	{netip.MustParsePrefix("fc00::/7"), "unique local, also cloud metadata (RFC 4193)"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local (RFC 3879)"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// hidden is 1 for addresses that nobody may reach without AllowPeers, else 0.
func hidden(a netip.Addr) int {
	for _, r := range refused {
		if r.prefix.Contains(a) {
			return 1
		}
	}
	return 0
}

// A verdict is what the policy says of a peer.
type verdict uint8

const (
	verdictRefused verdict = iota
	verdictAllowed
	// verdictAllocations allows the peer's ports that are allocations of this
	// relay: two people who both use it can talk, but nobody reaches what else
	// listens on this machine.
	verdictAllocations
)

// A policy decides who may be reached through the relay. It does not change.
type policy struct {
	allow, deny []netip.Prefix
	own         map[netip.Addr]bool
}

// newPolicy makes the policy of a complete Config.
func newPolicy(c Config) *policy {
	p := &policy{allow: c.AllowPeers, deny: c.DenyPeers, own: map[netip.Addr]bool{}}
	for _, l := range c.Listeners {
		p.own[l.Address.Addr()] = true
	}
	for _, r := range c.Relays {
		p.own[r.Address], p.own[r.Public] = true, true
	}
	// The other addresses of this machine are as much its own. Not knowing them
	// is no reason to refuse service.
	if own, err := interfaceAddrs(); err == nil {
		for _, a := range own {
			p.own[a] = true
		}
	}
	return p
}

// judge says whether peer may be reached and, when not without condition, why.
// Lists of the operator come first, and what they deny stays denied.
func (p *policy) judge(peer netip.Addr) (verdict, string) {
	if !peer.IsValid() {
		return verdictRefused, "not an address"
	}
	if peer.Zone() != "" {
		return verdictRefused, "link-local"
	}
	// On the wire a v4-mapped address is the IPv4 address.
	peer = peer.Unmap()
	for _, prefix := range p.deny {
		if prefix.Contains(peer) {
			return verdictRefused, fmt.Sprintf("denied by %v", prefix)
		}
	}
	for _, prefix := range p.allow {
		if prefix.Contains(peer) {
			return verdictAllowed, ""
		}
	}
	for _, r := range refused {
		if r.prefix.Contains(peer) {
			// A relay that itself lives on such an address serves others there.
			if p.own[peer] && !peer.IsLoopback() && !peer.IsLinkLocalUnicast() {
				return verdictAllocations, "an address of this relay"
			}
			return verdictRefused, r.reason
		}
	}
	if p.own[peer] {
		return verdictAllocations, "an address of this relay"
	}
	return verdictAllowed, ""
}
