// Package s5b implements the elements of the Jingle SOCKS5 Bytestreams
// transport (XEP-0260): a direct TCP connection either way, or a proxy.
//
//	Initiator                              Responder
//	   |--- session-initiate (candidates) ----->|
//	   |<-- session-accept (candidates) --------|   both try the other's candidates
//	   |--- transport-info candidate-used ----->|
//	   |<-- transport-info candidate-used ------|   the one with the higher priority is taken
//	   |--- transport-info activated ---------->|   only when it is a proxy
//	   |=== SOCKS5 bytestream (XEP-0065) =======|
package s5b

import (
	"crypto/sha1" // XEP-0065 names the destination by it; nothing relies on its strength
	"encoding/hex"
	"encoding/xml"

	"github.com/carillon-im/carillon/jingle"
	"mellium.im/xmpp/jid"
)

// Namespaces of the transport and of the bytestreams below it.
const (
	NS            = "urn:xmpp:jingle:transports:s5b:1"
	NSBytestreams = "http://jabber.org/protocol/bytestreams"
)

// A Transport is the transport element of a content. XEP-0260#protocol
type Transport struct {
	XMLName    xml.Name    `xml:"urn:xmpp:jingle:transports:s5b:1 transport"`
	SID        string      `xml:"sid,attr"` // of the bytestream, not of the session
	Mode       string      `xml:"mode,attr,omitempty"`
	DstAddr    string      `xml:"dstaddr,attr,omitempty"`
	Candidates []Candidate `xml:"candidate"`

	// One of these stands in a transport-info.
	Used       *CID   `xml:"candidate-used"`
	Activated  *CID   `xml:"activated"`
	NoneUsed   *Empty `xml:"candidate-error"`
	ProxyError *Empty `xml:"proxy-error"`
}

// Namespace is NS. It makes Transport a jingle.Transport.
func (*Transport) Namespace() string { return NS }

// Register makes reg decode transports to *Transport.
func Register(reg *jingle.Registry) {
	reg.AddTransport(NS, func() jingle.Transport { return new(Transport) })
}

// A CID names a candidate.
type CID struct {
	CID string `xml:"cid,attr"`
}

// Empty is an element without content.
type Empty struct{}

// A StreamHost is where a SOCKS5 server listens. XEP-0065#desc-streamhost
type StreamHost struct {
	JID  string `xml:"jid,attr"`
	Host string `xml:"host,attr"`
	Port uint16 `xml:"port,attr"`
}

// A Query negotiates a bytestream without Jingle, and asks a proxy where it
// listens or to activate a stream. XEP-0065#desc-query
type Query struct {
	XMLName  xml.Name     `xml:"http://jabber.org/protocol/bytestreams query"`
	SID      string       `xml:"sid,attr,omitempty"`
	DstAddr  string       `xml:"dstaddr,attr,omitempty"`
	Mode     string       `xml:"mode,attr,omitempty"`
	Hosts    []StreamHost `xml:"streamhost"`
	Used     *StreamUsed  `xml:"streamhost-used"`
	Activate string       `xml:"activate,omitempty"`
}

// A StreamUsed says which host the target reached. XEP-0065#desc-streamhost-used
type StreamUsed struct {
	JID string `xml:"jid,attr"`
}

// A Type says how a candidate is reached. XEP-0260#protocol
type Type string

// The types of candidates and their preference. XEP-0260#protocol
const (
	Assisted Type = "assisted"
	Direct   Type = "direct"
	Proxy    Type = "proxy"
	Tunnel   Type = "tunnel"
)

// Preference returns the type preference of XEP-0260#table-1.
func (t Type) Preference() uint32 {
	switch t {
	case Direct, "":
		return 126
	case Assisted:
		return 120
	case Tunnel:
		return 110
	case Proxy:
		return 10
	}
	return 0
}

// Priority returns 2^16 times the type preference plus the local preference.
// XEP-0260#protocol
func (t Type) Priority(local uint16) uint32 { return t.Preference()<<16 + uint32(local) }

// A Candidate is one address that may be connected to.
type Candidate struct {
	CID      string `xml:"cid,attr"`
	Host     string `xml:"host,attr"`
	JID      string `xml:"jid,attr"`
	Port     uint16 `xml:"port,attr,omitempty"` // absent means 1080
	Priority uint32 `xml:"priority,attr"`
	Type     Type   `xml:"type,attr,omitempty"` // absent means Direct
}

// DstAddr returns the name under which the bytestream is asked for at the
// candidates of owner: the SHA-1 of the stream's id, the full JID of whoever
// offers the candidate, and the full JID of the other. XEP-0260#protocol
func DstAddr(sid string, owner, other jid.JID) string {
	sum := sha1.Sum([]byte(sid + owner.String() + other.String()))
	return hex.EncodeToString(sum[:])
}
