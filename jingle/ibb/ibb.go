// Package ibb implements the elements of the Jingle In-Band Bytestreams
// transport (XEP-0261) and of the bytestream itself (XEP-0047): data inside
// stanzas, which works wherever XMPP does and is slow.
//
//	Initiator                            Responder
//	   |--- session-initiate (block-size) --->|
//	   |<-- session-accept (block-size) ------|
//	   |--- open ---------------------------->|
//	   |--- data seq=0 ---------------------->|   each acknowledged by its IQ result
//	   |--- close --------------------------->|
package ibb

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/carillon-im/carillon/jingle"
)

// Namespaces of the transport and of the bytestream.
const (
	NS           = "urn:xmpp:jingle:transports:ibb:1"
	NSBytestream = "http://jabber.org/protocol/ibb"
)

// MaxBlock is the largest block size that can be written. XEP-0047#create
const MaxBlock = 65535

// A Transport is the transport element of a content. XEP-0261#protocol
type Transport struct {
	XMLName   xml.Name `xml:"urn:xmpp:jingle:transports:ibb:1 transport"`
	BlockSize uint16   `xml:"block-size,attr"` // bytes before base64
	SID       string   `xml:"sid,attr"`        // of the bytestream, not of the session
	Stanza    string   `xml:"stanza,attr,omitempty"`
}

// Namespace is NS. It makes Transport a jingle.Transport.
func (*Transport) Namespace() string { return NS }

// Register makes reg decode transports to *Transport.
func Register(reg *jingle.Registry) {
	reg.AddTransport(NS, func() jingle.Transport { return new(Transport) })
}

// Open begins a bytestream. XEP-0047#create
type Open struct {
	XMLName   xml.Name `xml:"http://jabber.org/protocol/ibb open"`
	BlockSize uint16   `xml:"block-size,attr"`
	SID       string   `xml:"sid,attr"`
	Stanza    string   `xml:"stanza,attr,omitempty"`
}

// Data is one block. XEP-0047#send
type Data struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/ibb data"`
	Seq     uint16   `xml:"seq,attr"` // wraps from 65535 to 0
	SID     string   `xml:"sid,attr"`
	Base64  string   `xml:",chardata"`
}

// Close ends a bytestream. XEP-0047#close
type Close struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/ibb close"`
	SID     string   `xml:"sid,attr"`
}

// NewData returns the block with the given number.
func NewData(sid string, seq uint16, block []byte) *Data {
	return &Data{Seq: seq, SID: sid, Base64: base64.StdEncoding.EncodeToString(block)}
}

// Bytes returns the block. It may be no longer than blockSize bytes.
// XEP-0047#send
func (d *Data) Bytes(blockSize int) ([]byte, error) {
	s := d.Base64
	if strings.ContainsAny(s, " \t\r\n") {
		s = strings.Join(strings.Fields(s), "")
	}
	if len(s) > base64.StdEncoding.EncodedLen(blockSize) {
		return nil, fmt.Errorf("block %d is longer than %d bytes", d.Seq, blockSize)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", d.Seq, err)
	}
	if len(b) > blockSize {
		return nil, fmt.Errorf("block %d is longer than %d bytes", d.Seq, blockSize)
	}
	return b, nil
}
