package filetransfer

import (
	"encoding/base64"
	"encoding/xml"
	"strconv"
	"strings"
)

// NSThumbs is the namespace of thumbnails. XEP-0264
const NSThumbs = "urn:xmpp:thumbs:1"

// MaxThumbnail bounds the bytes of a thumbnail, sent or taken: it travels
// inside a stanza, and servers bound those.
const MaxThumbnail = 32 << 10

// maxThumbnails bounds the thumbnails of one file that are looked at.
const maxThumbnails = 4

// A Thumbnail is a small image that shows what is offered. It carries its data,
// in a "data" URI (RFC 2397): one that had to be fetched would tell others who
// looks at the offer, and is not taken. XEP-0264#thumbnail_element
//
// Nothing in it is checked to be an image. The sizes are hints of the sender
// and must not be used to make room for it. XEP-0264#security
type Thumbnail struct {
	MediaType     string
	Width, Height int // pixels; zero when not told
	Data          []byte
}

// Usable reports whether t may be sent, or shown once it is decoded.
func (t *Thumbnail) Usable() bool { return t != nil && len(t.Data) > 0 && len(t.Data) <= MaxThumbnail }

type thumbnailXML struct {
	XMLName   xml.Name `xml:"urn:xmpp:thumbs:1 thumbnail"`
	URI       string   `xml:"uri,attr"`
	MediaType string   `xml:"media-type,attr,omitempty"`
	Width     string   `xml:"width,attr,omitempty"`
	Height    string   `xml:"height,attr,omitempty"`
}

// MarshalXML implements xml.Marshaler. What is not usable is left out.
func (t Thumbnail) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	if !t.Usable() {
		return nil
	}
	return e.EncodeElement(thumbnailXML{
		URI: "data:" + t.MediaType + ";base64," + base64.StdEncoding.EncodeToString(t.Data), MediaType: t.MediaType,
		Width: pixels(t.Width), Height: pixels(t.Height),
	}, xml.StartElement{Name: xml.Name{Space: NSThumbs, Local: "thumbnail"}})
}

// UnmarshalXML implements xml.Unmarshaler. What cannot be read leaves t empty.
func (t *Thumbnail) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var x thumbnailXML
	if err := d.DecodeElement(&x, &start); err != nil {
		return err
	}
	*t = Thumbnail{}
	rest, ok := strings.CutPrefix(x.URI, "data:")
	if !ok {
		return nil
	}
	kind, data, ok := strings.Cut(rest, ";base64,")
	if !ok || base64.StdEncoding.DecodedLen(len(data)) > MaxThumbnail+2 {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(b) == 0 || len(b) > MaxThumbnail {
		return nil
	}
	*t = Thumbnail{MediaType: kind, Width: count(x.Width), Height: count(x.Height), Data: b}
	return nil
}

// maxPixels bounds a width or height that is believed.
const maxPixels = 1 << 16

func pixels(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func count(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxPixels {
		return 0
	}
	return n
}

// usable returns the first thumbnail that can be used.
func usable(list []Thumbnail) *Thumbnail {
	for i := range list[:min(len(list), maxThumbnails)] {
		if list[i].Usable() {
			return &list[i]
		}
	}
	return nil
}
