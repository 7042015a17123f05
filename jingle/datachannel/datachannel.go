// Package datachannel implements the elements of WebRTC data channels in
// Jingle: those that Conversations deploys, which no XEP describes, and those
// of XEP-0343.
//
//	Initiator                                          Responder
//	   |--- session-initiate (ICE, fingerprint actpass) -->|
//	   |<-- session-accept (ICE, fingerprint active) ------|
//	   |<-- transport-info (one candidate) --------------->|
//	   |<== ICE, DTLS, SCTP ==============================>|
//	   |=== a channel of each side =======================>|
//
// A [Transport] is what Conversations writes:
//
//	<transport xmlns='urn:xmpp:jingle:transports:webrtc-datachannel:1' sctp-port='5000' max-message-size='262144'>
//	  <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='…' pwd='…'>…</transport>
//	</transport>
//
// XEP-0343 puts an [SCTPMap] into the transport of ICE itself, see [WithMap]
// and [MapOf].
package datachannel

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
)

// Namespaces of the elements in this package.
const (
	NS    = "urn:xmpp:jingle:transports:webrtc-datachannel:1"
	NSMap = "urn:xmpp:jingle:transports:dtls-sctp:1"
)

// Defaults of what is negotiated.
const (
	Port           = 5000    // of SCTP. RFC 8832 leaves it to the signalling; all clients say this
	MaxMessageSize = 1 << 18 // bytes; what libwebrtc says, too
	// DefaultMaxMessageSize is that of a peer that says nothing. RFC 8841 §6.1
	DefaultMaxMessageSize = 1 << 16
)

// Protocol is the protocol of the channels in sctpmap elements.
const Protocol = "webrtc-datachannel"

// A Transport is the transport element of a content, as Conversations has it.
//
// interop Conversations 2.19: without either attribute it throws the offer away.
type Transport struct {
	XMLName        xml.Name          `xml:"urn:xmpp:jingle:transports:webrtc-datachannel:1 transport"`
	SCTPPort       uint16            `xml:"sctp-port,attr"`
	MaxMessageSize uint32            `xml:"max-message-size,attr"` // zero is any. RFC 8841 §6.1
	ICE            *iceudp.Transport `xml:"urn:xmpp:jingle:transports:ice-udp:1 transport"`
}

// Namespace is NS. It makes Transport a jingle.Transport.
func (*Transport) Namespace() string { return NS }

// Register makes reg decode transports to *Transport. Those of XEP-0343 are
// registered by package iceudp.
func Register(reg *jingle.Registry) {
	reg.AddTransport(NS, func() jingle.Transport { return new(Transport) })
}

// UnmarshalXML reads a transport leniently: an attribute that is missing or no
// number gets its default.
func (t *Transport) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var el struct {
		SCTPPort       string            `xml:"sctp-port,attr"`
		MaxMessageSize string            `xml:"max-message-size,attr"`
		ICE            *iceudp.Transport `xml:"urn:xmpp:jingle:transports:ice-udp:1 transport"`
	}
	if err := d.DecodeElement(&el, &start); err != nil {
		return err
	}
	*t = Transport{SCTPPort: Port, MaxMessageSize: DefaultMaxMessageSize, ICE: el.ICE}
	if n, err := strconv.ParseUint(strings.TrimSpace(el.SCTPPort), 10, 16); err == nil {
		t.SCTPPort = uint16(n)
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(el.MaxMessageSize), 10, 32); err == nil {
		t.MaxMessageSize = uint32(n)
	}
	return nil
}

// An SCTPMap says which SCTP port the channels use. XEP-0343
type SCTPMap struct {
	Number   uint16 // of the port
	Protocol string
	Streams  uint16 // at most; zero is not said
}

// ErrNoMap reports a transport of ICE that does not speak of data channels.
var ErrNoMap = errors.New("the transport has no sctpmap for data channels")

// WithMap puts a map into a transport of ICE.
func WithMap(t *iceudp.Transport, m SCTPMap) {
	attr := func(name, value string) xml.Attr { return xml.Attr{Name: xml.Name{Local: name}, Value: value} }
	u := jingle.Unknown{XMLName: xml.Name{Space: NSMap, Local: "sctpmap"}, Attr: []xml.Attr{
		attr("number", strconv.Itoa(int(m.Number))), attr("protocol", m.Protocol),
	}}
	if m.Streams > 0 {
		u.Attr = append(u.Attr, attr("streams", strconv.Itoa(int(m.Streams))))
	}
	t.Unknown = append(t.Unknown, u)
}

// MapOf returns the map of a transport of ICE, or ErrNoMap.
func MapOf(t *iceudp.Transport) (SCTPMap, error) {
	for _, u := range t.Unknown {
		if u.XMLName != (xml.Name{Space: NSMap, Local: "sctpmap"}) {
			continue
		}
		m := SCTPMap{Number: Port}
		for _, a := range u.Attr {
			n, err := strconv.ParseUint(strings.TrimSpace(a.Value), 10, 16)
			switch {
			case a.Name.Local == "protocol":
				m.Protocol = a.Value
			case a.Name.Local == "number" && err == nil:
				m.Number = uint16(n)
			case a.Name.Local == "streams" && err == nil:
				m.Streams = uint16(n)
			}
		}
		if strings.EqualFold(m.Protocol, Protocol) {
			return m, nil
		}
	}
	return SCTPMap{}, ErrNoMap
}
