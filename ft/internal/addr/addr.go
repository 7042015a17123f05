// Package addr says which addresses are offered to peers and which addresses
// of peers are connected to.
package addr

import (
	"net"
	"net/netip"
)

// Own returns the addresses of this machine that a peer may reach.
func Own(loopback bool) (ips []netip.Addr) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && Usable(ip, loopback) {
			ips = append(ips, ip.Unmap())
		}
	}
	return ips
}

// Usable reports whether an address is one that a device of another person may
// have: not loopback unless asked for, not link-local, which needs a zone that
// means nothing elsewhere, not multicast.
func Usable(ip netip.Addr, loopback bool) bool {
	ip = ip.Unmap()
	if ip.IsLoopback() {
		return loopback
	}
	return ip.IsGlobalUnicast() && ip.Zone() == ""
}
