// Package signaling is an XMPP client for calls: it stays logged in, knows who
// can be called, and carries Jingle sessions between a [jingle.Application]
// and the people at the other end.
//
//	caller (Call)                               callee (Incoming)
//	  |--- propose, to the bare JID ---------------->|   every device rings
//	  |<-- ringing ----------------------------------|   Call.Ringing
//	  |<-- proceed, from one device -----------------|   IncomingCall.Accept
//	  |--- session-initiate, to that device -------->|   Application.Attach
//	  |<-- session-accept ---------------------------|
//	  |<== media, which this package never sees ====>|
//	  |--- session-terminate ------------------------|
//	  |--- finish ---------------- finish -----------|   CallRecord
//
// Start with [Dial]. [Client.Call] calls somebody, [Client.Incoming] delivers
// the calls of others, [Client.Subscribe] tells what happens besides, and
// [Client.Open] and [Client.Handle] carry sessions that are not calls.
//
// The package takes care of what surrounds a call: roster, presence with
// entity capabilities, carbons, receipts, the archive (missed calls), blocking
// and the relays the server offers. It does not keep chat messages.
//
// Nothing from the network is trusted: see the named limits in limits.go.
package signaling
