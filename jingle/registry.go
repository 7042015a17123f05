package jingle

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"github.com/carillon-im/carillon/jingle/group"
)

// A Registry knows how to decode descriptions, transports and payloads by
// namespace. The zero Registry decodes them all to *Unknown. Fill it before
// first use; afterwards it is safe for concurrent use.
//
// Element packages fill it with one call each, for example:
//
//	var reg jingle.Registry
//	rtp.Register(&reg)
//	iceudp.Register(&reg)
type Registry struct {
	// Each function returns a new pointer to decode into.
	Descriptions map[string]func() Description
	Transports   map[string]func() Transport
	Payloads     map[string]func() Payload
}

// AddDescription registers the description with this namespace.
func (reg *Registry) AddDescription(namespace string, make func() Description) {
	reg.Descriptions = with(reg.Descriptions, namespace, make)
}

// AddTransport registers the transport with this namespace.
func (reg *Registry) AddTransport(namespace string, make func() Transport) {
	reg.Transports = with(reg.Transports, namespace, make)
}

// AddPayload registers the payloads with this namespace.
func (reg *Registry) AddPayload(namespace string, make func() Payload) {
	reg.Payloads = with(reg.Payloads, namespace, make)
}

func with[T any](m map[string]func() T, namespace string, f func() T) map[string]func() T {
	if m == nil {
		m = make(map[string]func() T)
	}
	m[namespace] = f
	return m
}

// Limits of what is decoded. Beyond those of depth and size decoding fails;
// beyond the others the rest is left out.
const (
	maxDepth    = 24      // elements in elements
	maxTokens   = 1 << 14 // tokens of one jingle element
	maxBytes    = 1 << 18 // names, attributes and text of one jingle element
	maxGroups   = 8
	maxPayloads = 16
	maxUnknown  = 16 // unknown children of one element
)

// ErrTooLarge is the cause of a decoding error when an element is larger or
// deeper than any that makes sense.
var ErrTooLarge = errors.New("element is too large")

// Decode reads one jingle element, whose start tag is the next token of r. It is
// lenient: elements that are unknown or malformed inside become *Unknown, what
// exceeds the limits of a session is left out. Its errors are malformed XML,
// another element, no sid, or [ErrTooLarge]; answer them with bad-request.
func (reg *Registry) Decode(r xml.TokenReader) (*Jingle, error) {
	lim := &limiter{r: r}
	dec := decoder{reg: reg, lim: lim, d: xml.NewTokenDecoder(lim)}
	j, err := dec.jingle()
	if err != nil {
		return nil, fmt.Errorf("decode jingle: %w", err)
	}
	return j, nil
}

// A limiter passes tokens on, counts them, and knows how deep they are.
type limiter struct {
	r                    xml.TokenReader
	depth, tokens, bytes int
	err                  error
}

func (l *limiter) Token() (xml.Token, error) {
	if l.err != nil {
		return nil, l.err
	}
	tok, err := l.r.Token()
	if tok == nil {
		if err == nil {
			err = io.ErrNoProgress
		}
		l.err = err
		return nil, err
	}
	l.tokens++
	switch t := tok.(type) {
	case xml.StartElement:
		l.depth++
		l.bytes += len(t.Name.Space) + len(t.Name.Local)
		for _, a := range t.Attr {
			l.bytes += len(a.Name.Space) + len(a.Name.Local) + len(a.Value)
		}
	case xml.EndElement:
		l.depth--
	case xml.CharData:
		l.bytes += len(t)
	}
	if l.depth > maxDepth || l.tokens > maxTokens || l.bytes > maxBytes {
		l.err = ErrTooLarge
		return nil, l.err
	}
	if err != nil && err != io.EOF {
		l.err = err
	}
	return tok, nil
}

// A decoder reads one jingle element.
type decoder struct {
	reg *Registry
	lim *limiter
	d   *xml.Decoder
}

func (d *decoder) jingle() (*Jingle, error) {
	start, err := d.start()
	if err != nil {
		return nil, err
	}
	if start.Name != (xml.Name{Space: NS, Local: "jingle"}) {
		return nil, fmt.Errorf("unexpected element %q in namespace %q", start.Name.Local, start.Name.Space)
	}
	j := &Jingle{XMLName: start.Name}
	for _, a := range start.Attr {
		if a.Name.Space != "" {
			continue
		}
		switch a.Name.Local {
		case "action":
			j.Action = Action(a.Value)
		case "initiator":
			j.Initiator = a.Value
		case "responder":
			j.Responder = a.Value
		case "sid":
			j.SID = a.Value
		}
	}
	if j.SID == "" || len(j.SID) > MaxSID {
		return nil, fmt.Errorf("sid of %d bytes", len(j.SID))
	}
	err = d.children(func(child xml.StartElement) error {
		switch {
		case child.Name == xml.Name{Space: NS, Local: "content"}:
			if len(j.Contents) == MaxContents {
				return d.d.Skip()
			}
			c, err := d.content(child)
			if err == nil {
				j.Contents = append(j.Contents, c)
			}
			return err
		case child.Name.Local == "reason" && j.Reason == nil:
			// interop Monal 2024-10: gets the namespace of reasons wrong.
			r := new(Reason)
			if err := r.UnmarshalXML(d.d, child); err != nil {
				return err
			}
			j.Reason = r
			return nil
		case child.Name == xml.Name{Space: group.NS, Local: "group"}:
			var g group.Group
			ok, err := d.into(&g, child)
			if ok && len(j.Groups) < maxGroups {
				g.Contents = g.Contents[:min(len(g.Contents), MaxContents)]
				j.Groups = append(j.Groups, g)
			}
			return err
		case len(j.Payloads) == maxPayloads:
			return d.d.Skip()
		}
		p, err := element(d, d.reg.Payloads, child, func(u *Unknown) Payload { return u })
		if err == nil {
			j.Payloads = append(j.Payloads, p)
		}
		return err
	})
	return j, err
}

func (d *decoder) content(start xml.StartElement) (Content, error) {
	var c Content
	for _, a := range start.Attr {
		if a.Name.Space != "" {
			continue
		}
		switch a.Name.Local {
		case "creator":
			c.Creator = a.Value
		case "disposition":
			c.Disposition = a.Value
		case "name":
			c.Name = a.Value
		case "senders":
			c.Senders = Senders(a.Value)
		}
	}
	if len(c.Name) > MaxSID {
		return c, fmt.Errorf("content name of %d bytes", len(c.Name))
	}
	err := d.children(func(child xml.StartElement) (err error) {
		switch {
		case child.Name.Local == "description" && c.Description == nil:
			c.Description, err = element(d, d.reg.Descriptions, child, func(u *Unknown) Description { return u })
		case child.Name.Local == "transport" && c.Transport == nil:
			c.Transport, err = element(d, d.reg.Transports, child, func(u *Unknown) Transport { return u })
		case child.Name.Local == "security" && c.Security == nil:
			c.Security = new(Unknown)
			err = c.Security.UnmarshalXML(d.d, child)
		case len(c.Unknown) == maxUnknown:
			err = d.d.Skip()
		default:
			u := new(Unknown)
			if err = u.UnmarshalXML(d.d, child); err == nil {
				c.Unknown = append(c.Unknown, u)
			}
		}
		return err
	})
	return c, err
}

// element decodes an element by its namespace. One that is not registered, or is
// malformed, becomes *Unknown.
func element[T any](d *decoder, known map[string]func() T, start xml.StartElement, unknown func(*Unknown) T) (T, error) {
	if make, ok := known[start.Name.Space]; ok {
		v := make()
		ok, err := d.into(v, start)
		if ok || err != nil {
			return v, err
		}
		return unknown(&Unknown{XMLName: start.Name, Attr: plain(start.Attr)}), nil
	}
	u := new(Unknown)
	err := u.UnmarshalXML(d.d, start)
	return unknown(u), err
}

// into decodes an element into v. It reports false when the element does not
// make sense, having read past it; an error means that the XML is broken.
func (d *decoder) into(v any, start xml.StartElement) (bool, error) {
	depth := d.lim.depth // with the element open
	err := d.d.DecodeElement(v, &start)
	if err == nil {
		return true, nil
	}
	for d.lim.depth >= depth {
		if _, err := d.d.Token(); err != nil {
			return false, err
		}
	}
	return false, nil
}

// start returns the next start tag; only what is no element may precede it.
func (d *decoder) start() (xml.StartElement, error) {
	for {
		tok, err := d.d.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			return t, nil
		case xml.EndElement:
			return xml.StartElement{}, errors.New("unexpected end tag")
		}
	}
}

// children calls f with each child of the open element. f reads up to its end.
func (d *decoder) children(f func(xml.StartElement) error) error {
	for {
		tok, err := d.d.Token()
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if err := f(t); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}
