// Package group implements the Jingle Grouping Framework (XEP-0338): which
// contents of a session belong together, for example in one BUNDLE.
package group

import "encoding/xml"

// NS is the namespace of the group element. XEP-0338#registrar-ns
const NS = "urn:xmpp:jingle:apps:grouping:0"

// Feature is what XEP-0338#disco asks entities to advertise.
const Feature = "urn:ietf:rfc:5888"

// Semantics says what a group means. RFC 5888 §5
type Semantics string

// The semantics in use.
const (
	Bundle  Semantics = "BUNDLE" // one transport for all (RFC 9143)
	LipSync Semantics = "LS"     // played in step (RFC 5888 §8)
)

// A Group names contents that belong together, in order. XEP-0338#sdp
type Group struct {
	XMLName   xml.Name  `xml:"urn:xmpp:jingle:apps:grouping:0 group"`
	Semantics Semantics `xml:"semantics,attr"`
	Contents  []Content `xml:"content"`
}

// Content names one member of a group.
type Content struct {
	Name string `xml:"name,attr"`
}

// New returns a group of the named contents.
func New(s Semantics, names ...string) Group {
	g := Group{XMLName: xml.Name{Space: NS, Local: "group"}, Semantics: s}
	for _, n := range names {
		g.Contents = append(g.Contents, Content{Name: n})
	}
	return g
}

// Names returns the names of the members in order.
func (g Group) Names() []string {
	names := make([]string, len(g.Contents))
	for i, c := range g.Contents {
		names[i] = c.Name
	}
	return names
}
