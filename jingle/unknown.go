package jingle

import (
	"bytes"
	"encoding/xml"
	"strconv"
)

// MaxUnknown is how much inner XML is kept of an element nobody registered, in
// bytes. Inner is nil when there was more.
const MaxUnknown = 1 << 14

// An Unknown is an element nobody registered, kept so that we can answer precisely.
type Unknown struct {
	XMLName xml.Name
	Attr    []xml.Attr `xml:",any,attr"` // without namespace declarations
	Inner   []byte     `xml:",innerxml"` // written anew: prefixes may differ from the original
}

// Namespace is the namespace of the element.
func (u *Unknown) Namespace() string { return u.XMLName.Space }

// UnmarshalXML keeps any element.
func (u *Unknown) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	*u = Unknown{XMLName: start.Name, Attr: plain(start.Attr)}
	var b bytes.Buffer
	spaces := []string{start.Name.Space} // of the open elements
	for {
		tok, err := d.Token()
		if err != nil {
			return err
		}
		if b.Len() > MaxUnknown {
			b.Truncate(MaxUnknown + 1) // remember that there was more, no more of it
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if b.Len() <= MaxUnknown {
				writeStart(&b, t, spaces[len(spaces)-1])
			}
			spaces = append(spaces, t.Name.Space)
		case xml.EndElement:
			spaces = spaces[:len(spaces)-1]
			if len(spaces) == 0 {
				if b.Len() > 0 && b.Len() <= MaxUnknown {
					u.Inner = b.Bytes()
				}
				return nil
			}
			if b.Len() <= MaxUnknown {
				b.WriteString("</" + t.Name.Local + ">")
			}
		case xml.CharData:
			if b.Len() <= MaxUnknown {
				_ = xml.EscapeText(&b, t) // a Buffer does not fail
			}
		}
	}
}

const xmlSpace = "http://www.w3.org/XML/1998/namespace"

// writeStart writes a start tag in an element of namespace parent.
func writeStart(b *bytes.Buffer, t xml.StartElement, parent string) {
	attr := func(name, value string) {
		b.WriteString(" " + name + `="`)
		_ = xml.EscapeText(b, []byte(value))
		b.WriteByte('"')
	}
	b.WriteString("<" + t.Name.Local)
	if t.Name.Space != parent {
		attr("xmlns", t.Name.Space)
	}
	for i, a := range plain(t.Attr) {
		switch a.Name.Space {
		case "":
			attr(a.Name.Local, a.Value)
		case xmlSpace:
			attr("xml:"+a.Name.Local, a.Value)
		default:
			prefix := "n" + strconv.Itoa(i)
			attr("xmlns:"+prefix, a.Name.Space)
			attr(prefix+":"+a.Name.Local, a.Value)
		}
	}
	b.WriteByte('>')
}

// plain returns the attributes that are not namespace declarations.
func plain(attrs []xml.Attr) []xml.Attr {
	var out []xml.Attr
	for _, a := range attrs {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		out = append(out, a)
	}
	return out
}
