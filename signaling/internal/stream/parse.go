package stream

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"mellium.im/xmpp/jid"
)

// A parser turns one piece after the other into elements. It keeps the
// namespaces declared by the root of the stream.
type parser struct {
	root []byte
	dec  *xml.Decoder
	src  sliceReader
	jids map[string]jid.JID
}

// A sliceReader gives a decoder one piece at a time.
type sliceReader struct{ p []byte }

func (r *sliceReader) ReadByte() (byte, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	c := r.p[0]
	r.p = r.p[1:]
	return c, nil
}

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.p)
	r.p = r.p[n:]
	return n, nil
}

// open takes the start tag of the root, and returns it.
func (p *parser) open(header []byte) (xml.StartElement, error) {
	p.root = bytes.Clone(header)
	return p.reset()
}

// reset begins anew after an element that was not well-formed.
func (p *parser) reset() (xml.StartElement, error) {
	p.src.p = p.root
	p.dec = xml.NewDecoder(&p.src)
	if len(p.root) == 0 {
		return xml.StartElement{}, nil
	}
	tok, err := p.dec.Token()
	if err != nil {
		return xml.StartElement{}, fmt.Errorf("stream header: %w", err)
	}
	start, ok := tok.(xml.StartElement)
	if !ok {
		return start, fmt.Errorf("stream header: %w", errNotXMPP)
	}
	return start.Copy(), nil
}

// element parses the bytes of exactly one element.
func (p *parser) element(data []byte) (*Element, error) {
	if p.dec == nil {
		if _, err := p.reset(); err != nil {
			return nil, err
		}
	}
	p.src.p = data
	e, err := p.read()
	if err == nil && len(p.src.p) > 0 {
		err = errors.New("something follows its end")
	}
	if err != nil {
		p.dec = nil
		var m *malformedError
		if errors.As(err, &m) {
			return nil, err
		}
		return nil, &malformedError{"not well-formed", err}
	}
	return e, nil
}

func (p *parser) read() (*Element, error) {
	tok, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	start, ok := tok.(xml.StartElement)
	if !ok {
		return nil, errors.New("not an element")
	}
	start.Attr = withoutDeclarations(start.Attr)
	e := &Element{Start: start}
	for depth := 0; ; {
		tok, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			depth++
			t.Attr = withoutDeclarations(t.Attr)
			tok = t
		case xml.EndElement:
			if depth--; depth < 0 {
				return e, nil
			}
		case xml.CharData:
			tok = t.Copy() // the decoder reuses its memory
		default:
			return nil, errForbidden
		}
		if len(e.inner) == maxTokens {
			return nil, &malformedError{what: "too many tags and texts"}
		}
		e.inner = append(e.inner, tok)
	}
}

// head returns the start tag of an element of which only the beginning is there.
func (p *parser) head(data []byte) (xml.StartElement, bool) {
	var q parser
	q.root = p.root
	if _, err := q.reset(); err != nil {
		return xml.StartElement{}, false
	}
	q.src.p = data
	tok, err := q.dec.Token()
	start, ok := tok.(xml.StartElement)
	if err != nil || !ok {
		return xml.StartElement{}, false
	}
	start.Attr = withoutDeclarations(start.Attr)
	return start, true
}

const maxJIDCache = 256

// jid parses an address, remembering the last ones: a stream has few senders.
func (p *parser) jid(s string) (jid.JID, error) {
	if j, ok := p.jids[s]; ok {
		return j, nil
	}
	j, err := jid.Parse(s)
	if err != nil {
		return j, err
	}
	if p.jids == nil || len(p.jids) >= maxJIDCache {
		p.jids = make(map[string]jid.JID)
	}
	p.jids[s] = j
	return j, nil
}

// parseElement parses one element outside of a stream, with a default namespace.
func parseElement(data []byte, space string) (*Element, error) {
	if err := checkElement(data); err != nil {
		return nil, err
	}
	var p parser
	if space != "" {
		if _, err := p.open([]byte(`<stream xmlns="` + space + `">`)); err != nil {
			return nil, err
		}
	}
	return p.element(data)
}

// checkElement reports whether data looks like one element and nothing else.
func checkElement(data []byte) error {
	if len(data) == 0 || data[0] != '<' {
		return &malformedError{what: "no element"}
	}
	sp := splitter{max: len(data), rootless: true, in: data, rerr: io.EOF}
	piece, err := sp.next()
	switch {
	case err == io.EOF:
		return &malformedError{what: "not closed"}
	case err != nil:
		return &malformedError{"not well-formed", err}
	case piece.problem != nil:
		return piece.problem
	case len(sp.in) > 0:
		return &malformedError{what: "something follows its end"}
	}
	return nil
}
