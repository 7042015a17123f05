package stream

import (
	"encoding/xml"
	"io"
	"iter"
	"slices"
	"strings"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// An Element is one whole XML element, copied out of the stream. Names carry
// their namespaces and declarations (xmlns) are gone. It is never changed
// after it was read, so any number of goroutines may use it. All methods may
// be called on nil, which stands for an element that is not there.
type Element struct {
	Start xml.StartElement
	inner []xml.Token // all between start and end, balanced
}

// Attr returns the value of the attribute without namespace called local, or "".
func (e *Element) Attr(local string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.Start.Attr {
		if a.Name.Local == local && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// TokenReader reads the element, from its start tag to its end tag, and then
// io.EOF. Every call starts anew.
func (e *Element) TokenReader() xml.TokenReader {
	if e == nil {
		return &elementReader{}
	}
	return &elementReader{e: e, next: -1}
}

type elementReader struct {
	e    *Element
	next int // -1: the start tag
}

func (r *elementReader) Token() (xml.Token, error) {
	switch {
	case r.e == nil:
		return nil, io.EOF
	case r.next < 0:
		r.next = 0
		return r.e.Start.Copy(), nil // callers may change the attributes they get
	case r.next < len(r.e.inner):
		r.next++
		return r.e.inner[r.next-1], nil
	}
	end := r.e.Start.End()
	r.e = nil
	return end, nil
}

// Decode fills v as [xml.Unmarshal] does. A field tagged innerxml stays empty.
func (e *Element) Decode(v any) error {
	return xml.NewTokenDecoder(e.TokenReader()).Decode(v)
}

// Children yields the elements directly inside, in order.
func (e *Element) Children() iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		if e == nil {
			return
		}
		for i := 0; i < len(e.inner); i++ {
			start, ok := e.inner[i].(xml.StartElement)
			if !ok {
				continue
			}
			end := matchingEnd(e.inner, i)
			if !yield(&Element{Start: start, inner: e.inner[i+1 : end : end]}) {
				return
			}
			i = end
		}
	}
}

// matchingEnd returns where the element that starts at toks[i] ends.
func matchingEnd(toks []xml.Token, i int) int {
	depth := 0
	for ; i < len(toks); i++ {
		switch toks[i].(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(toks)
}

// Child returns the first element directly inside with that name, or nil.
// An empty local name means any name in the namespace.
func (e *Element) Child(space, local string) *Element {
	for c := range e.Children() {
		if c.Start.Name.Space == space && (local == "" || c.Start.Name.Local == local) {
			return c
		}
	}
	return nil
}

// Text returns the text directly inside, without that of child elements.
func (e *Element) Text() string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	depth := 0
	for _, t := range e.inner {
		switch t := t.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 {
				b.Write(t)
			}
		}
	}
	return b.String()
}

// String returns the element as XML, for tests and logs. It may contain secrets.
func (e *Element) String() string {
	var b strings.Builder
	enc := xml.NewEncoder(&b)
	for r := e.TokenReader(); ; {
		t, err := r.Token()
		if err != nil {
			break
		}
		if enc.EncodeToken(t) != nil {
			break
		}
	}
	_ = enc.Flush()
	return b.String()
}

// A Stanza is one message, presence or iq. Its size, depth and number of
// tokens are bounded, and its addresses are valid or absent.
type Stanza struct {
	Element
	From jid.JID // the zero JID when absent, which means our own account (RFC 6120 §8.1.2.1)
	To   jid.JID // the zero JID when absent
}

// ID returns the attribute id.
func (st *Stanza) ID() string { return st.Attr("id") }

// Type returns the attribute type.
func (st *Stanza) Type() string { return st.Attr("type") }

// Err returns the error that a stanza of type error carries, and nil for any
// other stanza. An error without a condition is an undefined-condition.
func (st *Stanza) Err() error {
	if st == nil || st.Type() != "error" {
		return nil
	}
	e := st.stanzaError()
	if e == nil {
		return stanza.Error{Type: stanza.Cancel, Condition: stanza.UndefinedCondition}
	}
	var se stanza.Error
	if err := e.Decode(&se); err != nil || se.Condition == "" {
		se.Condition = stanza.UndefinedCondition
	}
	return se
}

func (st *Stanza) stanzaError() *Element { return st.Child(st.Start.Name.Space, "error") }

// NewStanza parses one stanza outside of any stream, for tests.
func NewStanza(s string) (*Stanza, error) {
	e, err := parseElement([]byte(s), nsClient)
	if err != nil {
		return nil, err
	}
	return newStanza(e, jid.Parse)
}

func newStanza(e *Element, parse func(string) (jid.JID, error)) (st *Stanza, err error) {
	st = &Stanza{Element: *e}
	if from := e.Attr("from"); from != "" {
		if st.From, err = parse(from); err != nil {
			return nil, &malformedError{"its sender is no address", err}
		}
	}
	if to := e.Attr("to"); to != "" {
		if st.To, err = parse(to); err != nil {
			return nil, &malformedError{"its recipient is no address", err}
		}
	}
	return st, nil
}

// withoutDeclarations drops xmlns attributes: names already carry namespaces.
func withoutDeclarations(attrs []xml.Attr) []xml.Attr {
	return slices.DeleteFunc(attrs, func(a xml.Attr) bool {
		return a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns"
	})
}
