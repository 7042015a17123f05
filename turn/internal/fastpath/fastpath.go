// Package fastpath forwards channels of a relay (RFC 8656#section-12) in the
// Linux kernel: an eBPF program at an interface (XDP) turns channel data into
// datagrams to peers, and back, before a packet reaches a socket.
//
// Begin with [Open], and say with [Path.Add] which channels pass. The program
// forwards nothing else: packets of others, fragments, IP options, frames too
// short or too long, go on to the sockets as if it were not there. A packet is
// sent back through the interface along the path that packets from there have
// come, so the first of each side go through user space too.
//
// Datagrams leave without a UDP checksum, as IPv4 permits. What a firewall of
// this machine would do to relayed packets is not done to these. IPv6 and VLANs
// are not forwarded.
package fastpath

import "net/netip"

//go:generate sh compile.sh relay.o

// A Channel is one that the program forwards; all addresses are IPv4.
type Channel struct {
	Client, Server netip.AddrPort // between which channel data passes
	Relay, Peer    netip.AddrPort // between which datagrams pass
	Number         uint16
}

// Counters are what was forwarded of a channel since it was added, up being
// from the client to its peer. Bytes are those of the data.
type Counters struct {
	UpPackets, UpBytes     uint64
	DownPackets, DownBytes uint64
}
