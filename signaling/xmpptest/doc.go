// Package xmpptest runs an XMPP server inside a test or a demonstration, in the
// spirit of net/http/httptest: real streams over TCP, TLS and WebSocket on the
// loopback interface, with its own certificate authority, and nothing on disk.
//
//	srv := xmpptest.Run(t, xmpptest.Config{
//		Accounts: map[string]string{"alice@example.org": "secret", "bob@example.org": "secret"},
//	})
//	srv.Befriend("alice@example.org", "bob@example.org")
//	// clients connect to srv.Addr() (STARTTLS), srv.TLSAddr() or srv.WebSocketURL(),
//	// and trust srv.CertPool()
//
// A client of the server goes through
//
//	Client                                 Server
//	   |--- stream, STARTTLS ---------------->|   or direct TLS, or WebSocket
//	   |<-- features: SASL mechanisms --------|   SetMechanisms
//	   |--- SCRAM or PLAIN ------------------>|   AddAccount
//	   |<-- features: bind, sm ---------------|
//	   |--- bind a resource, or resume ------>|   Forget
//	   |--- presence, messages, IQs --------->|   Intercept, Tap, HandleIQ
//	   |<-- what others send to it -----------|   Inject, Cut, Freeze, Expel
//
// The server implements RFC 6120 and 6121 for clients, with rosters,
// subscriptions and presence, message carbons (XEP-0280), stream management
// with resumption (XEP-0198), an archive (XEP-0313, XEP-0359), blocking
// (XEP-0191) and external services (XEP-0215). Several domains live in one
// server and reach each other.
//
// It is made to be disturbed: [Server.Intercept] sees every stanza and may lose
// or delay it or cut the connection there, [Server.Freeze] makes a network go
// away silently, [Server.Inject] forges what no server would send, and
// [Server.SetGate] keeps clients out.
//
// It is not a server for the Internet: no storage, no federation, no group
// chats, no quotas beyond what keeps the memory of a test bounded.
package xmpptest
