// Package iceudp implements the Jingle ICE-UDP transport (XEP-0176) together
// with the DTLS fingerprint that rides in it (XEP-0320).
package iceudp

import (
	"encoding/xml"

	"github.com/carillon-im/carillon/jingle"
)

// Namespaces of the elements in this package.
const (
	NS        = "urn:xmpp:jingle:transports:ice-udp:1"
	NSDTLS    = "urn:xmpp:jingle:apps:dtls:0"
	NSOptions = "http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option"
)

// A Transport is the transport element of a content. XEP-0176#protocol-syntax
type Transport struct {
	XMLName      xml.Name      `xml:"urn:xmpp:jingle:transports:ice-udp:1 transport"`
	Ufrag        string        `xml:"ufrag,attr,omitempty"`
	Pwd          string        `xml:"pwd,attr,omitempty"`
	Fingerprints []Fingerprint `xml:"urn:xmpp:jingle:apps:dtls:0 fingerprint"`
	Trickle      *Option       `xml:"http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option trickle"`
	Renomination *Option       `xml:"http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option renomination"`
	Candidates   []Candidate   `xml:"candidate"`
	Unknown      []jingle.Unknown
}

// Namespace is NS. It makes Transport a jingle.Transport.
func (*Transport) Namespace() string { return NS }

// An Option is an empty element that switches an ICE option on.
type Option struct{}

// A Setup is the DTLS role a side offers or takes. RFC 4145 §4, XEP-0320
type Setup string

// Values of Setup.
const (
	ActPass Setup = "actpass"
	Active  Setup = "active"
	Passive Setup = "passive"
)

// A Fingerprint pins the certificate of the DTLS handshake. XEP-0320
type Fingerprint struct {
	XMLName xml.Name `xml:"urn:xmpp:jingle:apps:dtls:0 fingerprint"`
	Hash    string   `xml:"hash,attr"`
	Setup   Setup    `xml:"setup,attr,omitempty"`
	Value   string   `xml:",chardata"` // upper hex with colons
}

// A CandidateType says how a candidate was found. RFC 8445 §5.1.1
type CandidateType string

// The candidate types.
const (
	Host  CandidateType = "host"
	PRflx CandidateType = "prflx"
	Relay CandidateType = "relay"
	SRflx CandidateType = "srflx"
)

// A Candidate is one address that may reach its sender. XEP-0176#protocol-syntax
type Candidate struct {
	Component  int           `xml:"component,attr"`
	Foundation string        `xml:"foundation,attr"`
	Generation int           `xml:"generation,attr"`
	ID         string        `xml:"id,attr"`
	IP         string        `xml:"ip,attr"`
	Network    int           `xml:"network,attr"`
	Port       uint16        `xml:"port,attr"`
	Priority   uint32        `xml:"priority,attr"`
	Protocol   string        `xml:"protocol,attr"` // "udp"; anything else is skipped, not an error
	Type       CandidateType `xml:"type,attr"`
	RelAddr    string        `xml:"rel-addr,attr,omitempty"`
	RelPort    uint16        `xml:"rel-port,attr,omitempty"`
}
