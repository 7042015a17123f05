package xmpptest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds the nesting of one stanza; real stanzas stay below 20.
const maxDepth = 64

// An Element is one XML element with everything in it, as the server routes
// it: namespace declarations are resolved into names and written anew, text
// and order are kept. Once the server has routed an Element it is shared
// between sessions and must not be changed.
type Element struct {
	Name  xml.Name
	Attr  []xml.Attr
	Nodes []any // *Element or string, in document order
}

// Parse reads one element. Without an xmlns of its own it is in "jabber:client".
func Parse(s string) (*Element, error) {
	d := xml.NewDecoder(strings.NewReader(s))
	d.DefaultSpace = nsClient
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("parse element: %w", err)
		}
		if start, ok := tok.(xml.StartElement); ok {
			return readElement(d, start)
		}
	}
}

// MustParse is Parse for strings known to be well formed; it panics otherwise.
func MustParse(s string) *Element {
	e, err := Parse(s)
	if err != nil {
		panic("xmpptest: " + err.Error())
	}
	return e
}

var errRestrictedXML = errors.New("comment, processing instruction or DTD in a stream")

// readElement reads up to and including the end of start.
func readElement(d *xml.Decoder, start xml.StartElement) (*Element, error) {
	root := newElement(start)
	open := []*Element{root}
	for {
		tok, err := d.Token()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		top := open[len(open)-1]
		switch tok := tok.(type) {
		case xml.StartElement:
			if len(open) == maxDepth {
				return nil, fmt.Errorf("elements nested deeper than %d: %w", maxDepth, errTooLarge)
			}
			child := newElement(tok)
			top.Nodes = append(top.Nodes, child)
			open = append(open, child)
		case xml.EndElement:
			if open = open[:len(open)-1]; len(open) == 0 {
				return root, nil
			}
		case xml.CharData:
			top.Nodes = append(top.Nodes, string(tok))
		default:
			return nil, errRestrictedXML // RFC 6120 §11.1
		}
	}
}

func newElement(start xml.StartElement) *Element {
	e := &Element{Name: start.Name}
	for _, a := range start.Attr {
		if a.Name.Space != "xmlns" && a.Name != (xml.Name{Local: "xmlns"}) {
			e.Attr = append(e.Attr, a)
		}
	}
	return e
}

// el makes an element from alternating attribute names and values.
func el(space, local string, attrs ...string) *Element {
	e := &Element{Name: xml.Name{Space: space, Local: local}}
	for i := 0; i+1 < len(attrs); i += 2 {
		e.Attr = append(e.Attr, xml.Attr{Name: xml.Name{Local: attrs[i]}, Value: attrs[i+1]})
	}
	return e
}

// add appends children, *Element or string, and returns e.
func (e *Element) add(nodes ...any) *Element {
	e.Nodes = append(e.Nodes, nodes...)
	return e
}

// with returns a copy that shares the children and has one attribute set, or
// removed when value is empty.
func (e *Element) with(attr, value string) *Element {
	c := *e
	c.Attr = make([]xml.Attr, 0, len(e.Attr)+1)
	for _, a := range e.Attr {
		if a.Name != (xml.Name{Local: attr}) {
			c.Attr = append(c.Attr, a)
		}
	}
	if value != "" {
		c.Attr = append(c.Attr, xml.Attr{Name: xml.Name{Local: attr}, Value: value})
	}
	return &c
}

// copy returns a copy that can be added to.
func (e *Element) copy() *Element {
	return e.without(func(*Element) bool { return false })
}

// without returns a copy that lacks the children for which drop is true.
func (e *Element) without(drop func(*Element) bool) *Element {
	c := *e
	c.Nodes = nil
	for _, n := range e.Nodes {
		if child, ok := n.(*Element); !ok || !drop(child) {
			c.Nodes = append(c.Nodes, n)
		}
	}
	return &c
}

// Get returns an attribute without namespace, or "".
func (e *Element) Get(attr string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == attr {
			return a.Value
		}
	}
	return ""
}

// Is reports whether e has this name. An empty space matches any.
func (e *Element) Is(space, local string) bool {
	return e.Name.Local == local && (space == "" || e.Name.Space == space)
}

// Children returns the child elements.
func (e *Element) Children() []*Element {
	var out []*Element
	for _, n := range e.Nodes {
		if child, ok := n.(*Element); ok {
			out = append(out, child)
		}
	}
	return out
}

// Child returns the first child with this name, or nil. An empty space matches any.
func (e *Element) Child(space, local string) *Element {
	for _, n := range e.Nodes {
		if child, ok := n.(*Element); ok && child.Is(space, local) {
			return child
		}
	}
	return nil
}

// payload returns the first child element, or nil.
func (e *Element) payload() *Element {
	for _, n := range e.Nodes {
		if child, ok := n.(*Element); ok {
			return child
		}
	}
	return nil
}

// Text returns the character data directly inside e.
func (e *Element) Text() string {
	var b strings.Builder
	for _, n := range e.Nodes {
		if s, ok := n.(string); ok {
			b.WriteString(s)
		}
	}
	return b.String()
}

// String returns e as XML that stands alone.
func (e *Element) String() string { return string(e.appendXML(nil, noParent)) }

// Decode fills v as encoding/xml does.
func (e *Element) Decode(v any) error { return xml.Unmarshal(e.appendXML(nil, noParent), v) }

// noParent is not a namespace: an element that stands alone declares its own.
const noParent = "\x00"

// appendXML writes e as a child of an element whose default namespace is
// parent. Stream elements keep their prefix, which the stream header of a TCP
// stream declares; noParent writes that declaration too.
func (e *Element) appendXML(b []byte, parent string) []byte {
	name, inner := e.Name.Local, e.Name.Space
	if e.Name.Space == nsStream {
		name, inner = "stream:"+name, parent
	}
	b = append(append(b, '<'), name...)
	switch {
	case e.Name.Space == nsStream && parent == noParent:
		b = append(b, ` xmlns:stream="`+nsStream+`"`...)
	case e.Name.Space != nsStream && e.Name.Space != parent:
		b = appendAttr(b, "xmlns", e.Name.Space)
	}
	for i, a := range e.Attr {
		switch a.Name.Space {
		case "":
			b = appendAttr(b, a.Name.Local, a.Value)
		case nsXML:
			b = appendAttr(b, "xml:"+a.Name.Local, a.Value)
		default:
			prefix := fmt.Sprintf("n%d", i)
			b = appendAttr(b, "xmlns:"+prefix, a.Name.Space)
			b = appendAttr(b, prefix+":"+a.Name.Local, a.Value)
		}
	}
	if len(e.Nodes) == 0 {
		return append(b, '/', '>')
	}
	b = append(b, '>')
	for _, n := range e.Nodes {
		switch n := n.(type) {
		case *Element:
			b = n.appendXML(b, inner)
		case string:
			b = appendEscaped(b, n)
		}
	}
	return append(append(append(b, '<', '/'), name...), '>')
}

func appendAttr(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), '=', '"')
	return append(appendEscaped(b, value), '"')
}

func appendEscaped(b []byte, s string) []byte {
	if !strings.ContainsAny(s, "<>&\"'\t\n\r") {
		return append(b, s...)
	}
	var buf bytes.Buffer
	xml.EscapeText(&buf, []byte(s)) // a bytes.Buffer does not fail
	return append(b, buf.Bytes()...)
}
