// Package rtp implements Jingle RTP sessions (XEP-0167) with RTCP feedback
// (XEP-0293), header extensions (XEP-0294) and source attributes (XEP-0339).
package rtp

import (
	"encoding/xml"

	"github.com/carillon-im/carillon/jingle"
)

// Namespaces and features of the elements in this package.
const (
	NS           = "urn:xmpp:jingle:apps:rtp:1"
	NSInfo       = "urn:xmpp:jingle:apps:rtp:info:1"
	NSErrors     = "urn:xmpp:jingle:apps:rtp:errors:1"
	NSFeedback   = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"
	NSHdrExt     = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"
	NSSources    = "urn:xmpp:jingle:apps:rtp:ssma:0"
	FeatureAudio = "urn:xmpp:jingle:apps:rtp:audio"
	FeatureVideo = "urn:xmpp:jingle:apps:rtp:video"
)

// A Media is the kind of media of a description.
type Media string

// The kinds of media.
const (
	Audio Media = "audio"
	Video Media = "video"
)

// A Description is the RTP session offered or accepted in a content. XEP-0167#format
type Description struct {
	XMLName      xml.Name      `xml:"urn:xmpp:jingle:apps:rtp:1 description"`
	Media        Media         `xml:"media,attr"`
	SSRC         string        `xml:"ssrc,attr,omitempty"`
	PayloadTypes []PayloadType `xml:"payload-type"` // in order of preference
	Feedback     []Feedback    `xml:"urn:xmpp:jingle:apps:rtp:rtcp-fb:0 rtcp-fb"`
	HdrExts      []HdrExt      `xml:"urn:xmpp:jingle:apps:rtp:rtp-hdrext:0 rtp-hdrext"`
	AllowMixed   *Flag         `xml:"urn:xmpp:jingle:apps:rtp:rtp-hdrext:0 extmap-allow-mixed"`
	Sources      []Source      `xml:"urn:xmpp:jingle:apps:rtp:ssma:0 source"`
	SSRCGroups   []SSRCGroup   `xml:"urn:xmpp:jingle:apps:rtp:ssma:0 ssrc-group"`
	RTCPMux      *Flag         `xml:"rtcp-mux"`
	Unknown      []jingle.Unknown
}

// Namespace is NS. It makes Description a jingle.Description.
func (*Description) Namespace() string { return NS }

// A Flag is an empty element whose presence is its meaning.
type Flag struct{}

// A PayloadType is one codec with its number. XEP-0167#format
type PayloadType struct {
	ID         uint8       `xml:"id,attr"`
	Name       string      `xml:"name,attr,omitempty"`
	ClockRate  uint32      `xml:"clockrate,attr,omitempty"`
	Channels   uint8       `xml:"channels,attr,omitempty"` // absent means 1
	PTime      uint32      `xml:"ptime,attr,omitempty"`    // milliseconds
	MaxPTime   uint32      `xml:"maxptime,attr,omitempty"` // milliseconds
	Parameters []Parameter `xml:"parameter"`
	Feedback   []Feedback  `xml:"urn:xmpp:jingle:apps:rtp:rtcp-fb:0 rtcp-fb"`
}

// A Parameter is a name and value, as in an SDP fmtp line. Name may be empty.
type Parameter struct {
	Name  string `xml:"name,attr,omitempty"`
	Value string `xml:"value,attr"`
}

// Feedback is one kind of RTCP feedback. XEP-0293
type Feedback struct {
	Type    string `xml:"type,attr"`
	Subtype string `xml:"subtype,attr,omitempty"`
}

// A HdrExt is one RTP header extension. XEP-0294
type HdrExt struct {
	ID      uint16 `xml:"id,attr"`
	URI     string `xml:"uri,attr"`
	Senders string `xml:"senders,attr,omitempty"`
}

// A Source describes one synchronization source. XEP-0339
type Source struct {
	SSRC       string      `xml:"ssrc,attr"`
	Parameters []Parameter `xml:"parameter"`
}

// An SSRCGroup ties sources together, for example "FID" for retransmission. XEP-0339
type SSRCGroup struct {
	Semantics string     `xml:"semantics,attr"`
	Sources   []SSRCOnly `xml:"source"`
}

// An SSRCOnly names a source by its SSRC.
type SSRCOnly struct {
	SSRC string `xml:"ssrc,attr"`
}

// An Info is an informational message about a running session: one of the
// elements active, hold, unhold, mute, unmute, ringing. XEP-0167#info
type Info struct {
	XMLName xml.Name // Local is the message, for example "mute"
	Creator string   `xml:"creator,attr,omitempty"` // mute and unmute only
	Name    string   `xml:"name,attr,omitempty"`    // content that is meant; empty means all
}

// Namespace is NSInfo. It makes Info a jingle.Payload.
func (*Info) Namespace() string { return NSInfo }

// NewInfo returns the informational message with the given name, for example
// "ringing" or "hold".
func NewInfo(message string) *Info {
	return &Info{XMLName: xml.Name{Space: NSInfo, Local: message}}
}
