// Package turn is a TURN relay (RFC 8656): when two people's networks keep them
// from reaching each other, both send to the relay.
//
//	client                        relay                          peer
//	  |--- Allocate ---------------->|  pion: who is it, may he
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
// The control plane is github.com/pion/turn/v5: authentication, allocations,
// their lifetimes. It answers requests and tells us what it decided.
//
// The data plane, on Linux and for clients on UDP, is ours, since most of the
// cost of a relay is in how it waits and how it calls the kernel. A few
// goroutines each own an epoll set with the sockets of clients that the kernel
// hashes to them (SO_REUSEPORT) and the relay sockets of their allocations. They
// read with recvmmsg and UDP_GRO, and send what goes to one place as one train
// (UDP_SEGMENT), pointing at the bytes where they were read. They forward
// channel data and indications that a live permission allows, hand requests to
// pion through a net.PacketConn, and drop the rest. A relay socket has no
// goroutine and no buffer, a packet makes no garbage. pion's decisions change
// the loops' tables under a lock that a loop holds while it forwards: when a
// permission, channel or allocation is gone, no packet passes that needs it,
// and a channel passes nothing without the permission that RFC 8656#section-12
// wants beside it.
//
// Clients on TCP and TLS, and other systems, are forwarded by pion with the same
// policy, limits and meters.
//
// # Safe by default
//
// A relay stands inside a network that strangers are not in. Unless AllowPeers
// says otherwise, nobody reaches loopback, private, link-local, shared or
// multicast addresses, addresses that hide others (NAT64, 6to4, Teredo), or
// this machine: there only the ports of allocations, so that two people who
// both use the relay can talk. A v4-mapped address counts as the IPv4 address.
//
// Every queue and table is bounded, see [Limits]. Over UDP an address gets few
// replies until it has shown valid credentials, so that a spoofed one is not
// flooded; see UnauthenticatedReplies for the bound. Over TCP each frame is
// checked before pion sees it, and connections without an allocation end.
//
// # Measured
//
// Processor time of the server per relayed packet against coturn 4.6.1, both in
// turn in one run, on two shared cores over loopback in November 2026, with
// Gather at 200 µs: 200 calls of audio 0.56 to 0.66 (0.7 to 0.85 without
// gathering), video whose bursts arrive merged 0.32 to 0.42, four flows as fast
// as they go, merged, 0.06 at eleven times the packets a second. Gathered audio
// is at the peer 0.1 to 0.2 ms later. An idle allocation takes 12 kB of memory
// at 5,000 (coturn 23), most of it pion's. Forwarding allocates nothing on the
// heap, which a test holds to.
//
// # Left out
//
// DTLS listeners, RFC 5780 behaviour discovery, ADDITIONAL-ADDRESS-FAMILY,
// several realms in one Server, SHA-256 integrity, ALTERNATE-SERVER and mobility.
package turn
