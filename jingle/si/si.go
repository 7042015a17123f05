// Package si implements the elements of SI File Transfer (XEP-0095, XEP-0096)
// and of the SOCKS5 bytestreams below it (XEP-0065): what clients without
// Jingle speak, such as Pidgin.
//
//	Sender                                     Receiver
//	   |--- iq set: si (file, stream methods) --->|   a person may be asked
//	   |<-- result: si (the method) --------------|
//	   |--- iq set: query (streamhosts) --------->|   or an in-band open, XEP-0047
//	   |<-- result: query (streamhost-used) ------|
//	   |=== bytes ===============================>|
package si

import (
	"encoding/xml"
	"slices"
)

// Namespaces of the elements, which are also what entities advertise.
const (
	NS        = "http://jabber.org/protocol/si"
	NSFile    = "http://jabber.org/protocol/si/profile/file-transfer"
	NSFeature = "http://jabber.org/protocol/feature-neg"
)

// streamMethod is the field of the form. XEP-0095#usecase-neg
const streamMethod = "stream-method"

// maxMethods bounds the stream methods that are looked at.
const maxMethods = 16

// An SI offers a file, or accepts one. XEP-0095#def-si
type SI struct {
	XMLName  xml.Name `xml:"http://jabber.org/protocol/si si"`
	ID       string   `xml:"id,attr,omitempty"` // of the bytestream, too
	MIMEType string   `xml:"mime-type,attr,omitempty"`
	Profile  string   `xml:"profile,attr,omitempty"`
	File     *File    `xml:"http://jabber.org/protocol/si/profile/file-transfer file"`
	Feature  *Feature `xml:"http://jabber.org/protocol/feature-neg feature"`
}

// A File says what is known about a file. XEP-0096#protocol
type File struct {
	Name  string `xml:"name,attr,omitempty"`
	Size  *int64 `xml:"size,attr"`           // bytes
	Date  string `xml:"date,attr,omitempty"` // XEP-0082
	Hash  string `xml:"hash,attr,omitempty"` // MD5 in hexadecimal
	Desc  string `xml:"http://jabber.org/protocol/si/profile/file-transfer desc,omitempty"`
	Range *Range `xml:"http://jabber.org/protocol/si/profile/file-transfer range"`
}

// A Range in an offer says that the sender knows ranges; in an answer, which
// part is wanted. XEP-0096#protocol
type Range struct {
	Offset int64  `xml:"offset,attr,omitempty"`
	Length *int64 `xml:"length,attr"` // nil means to the end
}

// A Feature is the form that settles the stream method. XEP-0020
type Feature struct {
	Form Form `xml:"jabber:x:data x"`
}

// A Form is as much of XEP-0004 as is needed here.
type Form struct {
	Type   string  `xml:"type,attr,omitempty"`
	Fields []Field `xml:"jabber:x:data field"`
}

// A Field of a form.
type Field struct {
	Var     string   `xml:"var,attr"`
	Type    string   `xml:"type,attr,omitempty"`
	Options []Option `xml:"jabber:x:data option"`
	Values  []string `xml:"jabber:x:data value"`
}

// An Option of a field.
type Option struct {
	Value string `xml:"jabber:x:data value"`
}

// NewOffer offers a file over the bytestream id by one of the methods.
func NewOffer(id, mimeType string, f File, methods ...string) *SI {
	field := Field{Var: streamMethod, Type: "list-single"}
	for _, m := range methods {
		field.Options = append(field.Options, Option{m})
	}
	return &SI{ID: id, MIMEType: mimeType, Profile: NSFile, File: &f, Feature: &Feature{Form{Type: "form", Fields: []Field{field}}}}
}

// NewAnswer accepts an offer by one method, and by a part of the file when r is
// not nil.
func NewAnswer(method string, r *Range) *SI {
	s := &SI{Feature: &Feature{Form{Type: "submit", Fields: []Field{{Var: streamMethod, Values: []string{method}}}}}}
	if r != nil {
		s.File = &File{Range: r}
	}
	return s
}

// Methods returns what an offer offers, or the one that an answer chose.
func (s *SI) Methods() (list []string) {
	if s.Feature == nil {
		return nil
	}
	for _, f := range s.Feature.Form.Fields {
		if f.Var != streamMethod {
			continue
		}
		for _, o := range f.Options {
			list = append(list, o.Value)
		}
		list = append(list, f.Values...)
	}
	list = slices.DeleteFunc(list, func(m string) bool { return m == "" })
	return list[:min(len(list), maxMethods)]
}
