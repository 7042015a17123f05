// Package filetransfer implements the elements of Jingle File Transfer
// (XEP-0234): one file in each content, what is known about it before it is
// sent, and what is said about it afterwards.
//
//	Initiator                                Responder
//	   |--- session-initiate (file) ------------->|
//	   |<-- session-accept (file, range) ---------|
//	   |=== bytes over the content's transport ==>|
//	   |--- session-info checksum --------------->|
//	   |<-- session-info received ----------------|
//	   |<-- session-terminate success ------------|
//
// The initiator sends when the content's senders is "initiator"; with
// "responder" it asks for a file instead. XEP-0234#requesting
package filetransfer

import (
	"encoding/base64"
	"encoding/xml"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-im/carillon/jingle"
)

// Namespaces of the elements in this package.
const (
	NS       = "urn:xmpp:jingle:apps:file-transfer:5"
	NSErrors = "urn:xmpp:jingle:apps:file-transfer:errors:0"
	NSHashes = "urn:xmpp:hashes:2"
)

// A Description offers or asks for a file. XEP-0234#offering
type Description struct {
	XMLName xml.Name `xml:"urn:xmpp:jingle:apps:file-transfer:5 description"`
	File    File     `xml:"file"`
}

// Namespace is NS. It makes Description a jingle.Description.
func (*Description) Namespace() string { return NS }

// A File says what is known about a file. XEP-0234#offering
type File struct {
	Name      string
	Size      *int64 // bytes; nil when unknown
	MediaType string
	Desc      string
	Date      time.Time // of the last modification; zero when unknown
	Range     *Range
	Hashes    []Hash
	HashUsed  []string // algorithms of hashes that follow in a checksum
	Thumbnail *Thumbnail
}

// A Range is the part of a file that is wanted. XEP-0234#range
type Range struct {
	Offset int64
	Length *int64 // nil means to the end
	Hashes []Hash // of this part alone
}

// A Hash is the value of a hash function over a file. XEP-0300#format
type Hash struct {
	Algo  string // as in XEP-0300, for example "sha-256"
	Value []byte
}

// An Info is what is said about a file once it was sent, in a session-info:
// checksum tells its hashes (XEP-0234#hash), received that it has arrived
// whole (XEP-0234#received).
type Info struct {
	XMLName xml.Name // Local is Checksum or Received
	Creator string   `xml:"creator,attr,omitempty"`
	Name    string   `xml:"name,attr"` // of the content
	File    *File    `xml:"file"`      // checksum only
}

// The messages of an Info.
const (
	Checksum = "checksum"
	Received = "received"
)

// Namespace is NS. It makes Info a jingle.Payload.
func (*Info) Namespace() string { return NS }

// NewReceived says that the file of a content has arrived whole.
func NewReceived(content string) *Info {
	return &Info{XMLName: xml.Name{Space: NS, Local: Received}, Creator: "initiator", Name: content}
}

// NewChecksum tells the hashes of the file of a content.
func NewChecksum(content string, hashes ...Hash) *Info {
	return &Info{XMLName: xml.Name{Space: NS, Local: Checksum}, Creator: "initiator", Name: content, File: &File{Hashes: hashes}}
}

// Register makes reg decode descriptions to *Description and payloads to *Info.
func Register(reg *jingle.Registry) {
	reg.AddDescription(NS, func() jingle.Description { return new(Description) })
	reg.AddPayload(NS, func() jingle.Payload { return new(Info) })
}

// maxHashes bounds the hashes kept of one element.
const maxHashes = 16

// fileXML is how a File stands on the wire. The media type is written under
// both names in use: XEP-0234 says "media-type".
//
// interop Conversations 2.19: writes and reads only "mediaType".
type fileXML struct {
	Date       string        `xml:"date,omitempty"`
	MediaType  string        `xml:"media-type,omitempty"`
	MediaType2 string        `xml:"mediaType,omitempty"`
	Name       string        `xml:"name,omitempty"`
	Desc       string        `xml:"desc,omitempty"`
	Size       string        `xml:"size,omitempty"`
	Range      *rangeXML     `xml:"range"`
	Hashes     []hashXML     `xml:"urn:xmpp:hashes:2 hash"`
	HashUsed   []hashUsedXML `xml:"urn:xmpp:hashes:2 hash-used"`
	Thumbnails []Thumbnail   `xml:"urn:xmpp:thumbs:1 thumbnail"`
}

type rangeXML struct {
	Offset string    `xml:"offset,attr,omitempty"`
	Length string    `xml:"length,attr,omitempty"`
	Hashes []hashXML `xml:"urn:xmpp:hashes:2 hash"`
}

type hashXML struct {
	Algo  string `xml:"algo,attr"`
	Value string `xml:",chardata"`
}

type hashUsedXML struct {
	Algo string `xml:"algo,attr"`
}

// MarshalXML implements xml.Marshaler.
func (f File) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	x := fileXML{
		MediaType: f.MediaType, MediaType2: f.MediaType,
		Name: f.Name, Desc: f.Desc, Hashes: hashesXML(f.Hashes),
	}
	if !f.Date.IsZero() {
		x.Date = f.Date.UTC().Format(time.RFC3339)
	}
	if f.Size != nil {
		x.Size = strconv.FormatInt(*f.Size, 10)
	}
	if f.Range != nil {
		x.Range = &rangeXML{Hashes: hashesXML(f.Range.Hashes)}
		if f.Range.Offset > 0 {
			x.Range.Offset = strconv.FormatInt(f.Range.Offset, 10)
		}
		if f.Range.Length != nil {
			x.Range.Length = strconv.FormatInt(*f.Range.Length, 10)
		}
	}
	for _, a := range f.HashUsed {
		x.HashUsed = append(x.HashUsed, hashUsedXML{Algo: a})
	}
	if f.Thumbnail.Usable() {
		x.Thumbnails = []Thumbnail{*f.Thumbnail}
	}
	return e.EncodeElement(x, start)
}

// UnmarshalXML implements xml.Unmarshaler. What cannot be read, such as a
// negative size or a hash that is no base64, is left out.
func (f *File) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var x fileXML
	if err := d.DecodeElement(&x, &start); err != nil {
		return err
	}
	*f = File{Name: x.Name, MediaType: x.MediaType, Desc: x.Desc, Size: number(x.Size), Hashes: hashes(x.Hashes), Thumbnail: usable(x.Thumbnails)}
	if f.MediaType == "" {
		f.MediaType = x.MediaType2
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} { // XEP-0082
		if t, err := time.Parse(layout, strings.TrimSpace(x.Date)); err == nil {
			f.Date = t
			break
		}
	}
	if x.Range != nil {
		f.Range = &Range{Length: number(x.Range.Length), Hashes: hashes(x.Range.Hashes)}
		if n := number(x.Range.Offset); n != nil {
			f.Range.Offset = *n
		}
	}
	for _, h := range x.HashUsed[:min(len(x.HashUsed), maxHashes)] {
		f.HashUsed = append(f.HashUsed, h.Algo)
	}
	return nil
}

// number reads a size: nil unless it is a number that a file can have.
func number(s string) *int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 {
		return nil
	}
	return &n
}

func hashesXML(hs []Hash) (xs []hashXML) {
	for _, h := range hs {
		xs = append(xs, hashXML{Algo: h.Algo, Value: base64.StdEncoding.EncodeToString(h.Value)})
	}
	return xs
}

func hashes(xs []hashXML) (hs []Hash) {
	for _, x := range xs[:min(len(xs), maxHashes)] {
		v, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(x.Value), ""))
		if err == nil && len(v) > 0 {
			hs = append(hs, Hash{Algo: x.Algo, Value: v})
		}
	}
	return hs
}
