// Package stream keeps an XMPP stream of a client alive: it finds the server,
// connects, logs in, notices when the connection dies, and resumes it.
//
//	we                                             server
//	 | SRV, addresses; TCP or WebSocket              |
//	 |<== TLS, certificate verified for the domain =>|
//	 |<-- SASL: SCRAM, pinned ---------------------->|
//	 |--- bind the wanted resource ----------------->|
//	 |--- enable stream management ----------------->|   Handler.Online(false)
//	 |<-- stanzas, counted both ways --------------->|   Send, IQ, Handler.Stanza
//	 x   the connection is lost                      |   Handler.Offline
//	 |--- resume, what was not acknowledged again -->|   Handler.Online(true)
//
// Call [Dial], or [New] and [Stream.Connect]. Only logging in can fail for
// good; afterwards the stream reconnects by itself until [Stream.Close], or
// until the server says that it must not ([Stream.Err]).
//
// What is handed to [Stream.Send] is sent exactly once as far as the server
// lets us know: across a resumed connection nothing is lost or doubled
// (XEP-0198). See the method for the cases where the server has forgotten us.
//
// Of mellium.im/xmpp the types of addresses and stanzas are used, and not its
// session: it has no limits, no stream management and ends the stream for odd
// stanzas. Nor is mellium.im/sasl: its SCRAM never ends on some challenges,
// takes any iteration count, and does not protect the choice of mechanism.
//
// BOSH, stream compression, SASL2 and server-to-server streams are left out.
package stream
