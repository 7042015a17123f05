package ft

import (
	"encoding/xml"
	"strings"
	"unicode"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// NS is the namespace of the application that two Carillons use: any number of
// files and folders in one session, see README.md.
const NS = "https://carillon.im/protocol/transfer/0"

// A Description offers files and folders. The manifest itself comes on the
// stream; this is what a person needs to decide.
type Description struct {
	XMLName xml.Name `xml:"https://carillon.im/protocol/transfer/0 description"`
	Files   int      `xml:"files,attr"`
	Folders int      `xml:"folders,attr"`
	Size    int64    `xml:"size,attr"` // bytes of all files
	Roots   []Root   `xml:"root"`      // what the sender chose; at most maxRoots
	// Thumbnail shows what is offered; nil without one. XEP-0264
	Thumbnail *filetransfer.Thumbnail `xml:"urn:xmpp:thumbs:1 thumbnail"`
}

// A Root is a file or folder at the top.
type Root struct {
	Name   string `xml:"name,attr"`
	Folder bool   `xml:"folder,attr,omitempty"`
}

// maxRoots bounds the names in a Description.
const maxRoots = 32

// Namespace is NS. It makes Description a jingle.Description.
func (*Description) Namespace() string { return NS }

// Register makes reg decode descriptions to *Description.
func Register(reg *jingle.Registry) {
	reg.AddDescription(NS, func() jingle.Description { return new(Description) })
}

// describe sums up a manifest.
func describe(m exchange.Manifest) *Description {
	d := &Description{Size: m.Size(), Files: m.Files(), Folders: len(m) - m.Files()}
	for _, e := range m {
		if !strings.Contains(e.Path, "/") && len(d.Roots) < maxRoots {
			d.Roots = append(d.Roots, Root{Name: e.Path, Folder: e.Dir})
		}
	}
	return d
}

// An Offer is what a peer wants to send, as a person may see it: names are
// cleaned of characters that deceive.
type Offer struct {
	Names   []string
	Files   int
	Folders int
	Size    int64 // bytes; -1 when the peer does not say
	// Resumable says that the transfer can go on after an interruption and
	// that every block is checked. Only two Carillons do that.
	Resumable bool
	// Thumbnail is an image of the sender's making, not decoded; nil without one.
	Thumbnail *filetransfer.Thumbnail `json:"-"`
}

// ReadOffer returns what a description offers, and whether it is one of files.
func ReadOffer(d jingle.Description) (Offer, bool) {
	switch d := d.(type) {
	case *Description:
		o := Offer{Files: d.Files, Folders: d.Folders, Size: d.Size, Resumable: true}
		if d.Thumbnail.Usable() {
			o.Thumbnail = d.Thumbnail
		}
		for _, r := range d.Roots[:min(len(d.Roots), maxRoots)] {
			o.Names = append(o.Names, printable(r.Name))
		}
		return o, d.Files >= 0 && d.Folders >= 0 && d.Size >= 0 && len(d.Roots) > 0
	case *filetransfer.Description:
		size := int64(-1)
		if d.File.Size != nil {
			size = *d.File.Size
		}
		o := FileOffer(d.File.Name, size)
		o.Thumbnail = d.File.Thumbnail
		return o, true
	}
	return Offer{}, false
}

// FileOffer is the offer of one file by another client. A size of -1 is not
// known.
func FileOffer(name string, size int64) Offer {
	return Offer{Names: []string{printable(name)}, Files: 1, Size: size}
}

// printable makes a peer's text fit for a screen.
func printable(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Summary is what the offer of a manifest looks like to the receiver.
func Summary(m exchange.Manifest) Offer {
	o, _ := ReadOffer(describe(m))
	return o
}
