// Package ft transfers files and folders between XMPP accounts, directly where
// it can be, verified, and resumed after anything.
//
// A transfer has two halves. A [Carrier] negotiates a byte stream with the
// peer: the packages tcp, quic, datachannel, s5b and ibb below this one each
// know one way. What travels on the stream is the protocol of package exchange
// between two Carillons, and plain file bytes with everybody else.
package ft
