package jingle

import "encoding/xml"

// An Unknown is an element nobody registered, kept so that we can answer precisely.
type Unknown struct {
	XMLName xml.Name
	Attr    []xml.Attr `xml:",any,attr"`
	Inner   []byte     `xml:",innerxml"`
}

// Namespace is the namespace of the element.
func (u *Unknown) Namespace() string { return u.XMLName.Space }

// A Registry knows how to decode descriptions, transports and payloads by
// namespace. The zero Registry decodes them all to *Unknown. Fill it before
// first use; afterwards it is safe for concurrent use.
type Registry struct {
	// Each function returns a new pointer to decode into.
	Descriptions map[string]func() Description
	Transports   map[string]func() Transport
	Payloads     map[string]func() Payload
}

// Decode reads one jingle element, whose start tag is the next token of r.
func (reg *Registry) Decode(r xml.TokenReader) (*Jingle, error) { panic("todo") }
