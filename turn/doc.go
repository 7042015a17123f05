// Package turn is a TURN relay (RFC 8656): when two people's networks keep them
// from reaching each other, both send to the relay.
//
//	client                        relay                          peer
//	  |--- Allocate ---------------->|  who is it, may he
//	  |<-- relayed address ----------|
//	  |--- CreatePermission -------->|  policy: may he reach the peer
//	  |--- ChannelBind 0x4000 ------>|
//	  |=== 0x4000, data ============>|  loop  ================= data ===>|
//	  |<== 0x4000, data =============|  loop  <================ data ====|
//	  |--- Refresh 0 --------------->|  nothing passes any more
//
// Begin with [New], which serves until [Server.Close]. [Server.Reload] takes
// over credentials, policy and limits while calls run, [Server.Drain] waits for
// the last of them. [Credentials] makes what an XMPP server hands out.
//
// # Two halves
//
// The control plane answers requests: who is it (auth.go), may he (scope.go,
// policy.go), and what he has now (allocation.go). A goroutine for each socket
// of clients and for each connection reads and answers; what may take time, a
// connection to a peer or a question to a [Ledger], has a goroutine of its own.
// One goroutine and one timer end what is over, for all allocations (agenda.go).
//
// The data plane, on Linux and for clients on UDP, is loops, since most of the
// cost of a relay is in how it waits and how it calls the kernel. A few
// goroutines each own an epoll set with the sockets of clients that the kernel
// hashes to them (SO_REUSEPORT) and the relay sockets of their allocations. They
// read with recvmmsg and UDP_GRO, and send what goes to one place as one train
// (UDP_SEGMENT), pointing at the bytes where they were read. They forward
// channel data and indications that a live permission allows, hand requests to
// the control plane, and drop the rest. A relay socket has no goroutine and no
// buffer, a packet makes no garbage. The control plane changes the loops' tables
// under a lock that a loop holds while it forwards: when a permission, channel
// or allocation is gone, no packet passes that needs it, and a channel passes
// nothing without the permission that RFC 8656#section-12 wants beside it.
//
// With Config.EBPF a program in the kernel forwards channels between clients and
// peers of IPv4 before the loops see their packets (offload_linux.go). A channel
// is in its map only while the loop would forward for it too.
//
// For clients on TCP, TLS and DTLS, and on other systems, a goroutine for each
// relay socket forwards (forward.go), with the same policy, limits and meters.
//
// # What is spoken
//
// STUN (RFC 8489) with long-term credentials: MD5 or SHA-256 keys
// (PASSWORD-ALGORITHMS), MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256, USERHASH
// in realms whose users are all known by name. TURN (RFC 8656) with IPv4 and
// IPv6, ADDITIONAL-ADDRESS-FAMILY, EVEN-PORT and reservations. TCP allocations
// (RFC 6062) for clients on TCP and TLS. NAT behaviour discovery (RFC 5780) when
// Config.Discovery says so. ALTERNATE-SERVER while draining or full.
//
// Credentials are checked with every request. Time-limited ones must not have
// expired when a client refreshes: hand out some that outlast a call.
//
// # Safe by default
//
// A relay stands inside a network that strangers are not in. Unless AllowPeers
// says otherwise, nobody reaches loopback, private, link-local, shared or
// multicast addresses, addresses that hide others (NAT64, 6to4, Teredo), or
// this machine: there only the ports of allocations, so that two people who
// both use the relay can talk. A v4-mapped address counts as the IPv4 address.
// By TCP nobody reaches a port below 1024 (Config.MinTCPPort), and nothing at
// all with Config.NoTCP.
//
// Every queue and table is bounded, see [Limits], and what is refused is counted
// and logged with its reason, see [Status]; floods do not flood the log.
//
// Over UDP the sender's address may be spoofed. The 401 that a login begins with
// cannot be as small as the request: an Allocate may have 28 bytes, and realm,
// nonce and PASSWORD-ALGORITHMS (RFC 8489#section-9.2.4) make the answer some 90.
// It is as short as it can be (no reason phrase, no SOFTWARE by default, a short
// nonce), and an address gets few answers larger than their requests until it
// has shown valid credentials: Limits.UnauthenticatedReplies. Answers that are
// not larger are not counted. A DTLS client that has not returned a cookie is not
// remembered, and what it gets is smaller than what it sent.
//
// Over TCP each frame is checked before it is answered, and connections without
// an allocation end.
//
// # Left out
//
// DONT-FRAGMENT (answered with 420), the ICMP attribute, mobility (RFC 8016),
// OAuth (RFC 7635), and PADDING of RFC 5780.
package turn
