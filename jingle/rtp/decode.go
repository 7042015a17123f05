package rtp

import (
	"encoding/xml"
	"strconv"
	"strings"

	"github.com/carillon-im/carillon/jingle"
)

// Limits of what is decoded of one description; the rest is left out.
const (
	MaxPayloadTypes = 128 // there are no more numbers
	MaxParameters   = 64  // of one payload type or source
	MaxFeedback     = 32
	MaxHdrExts      = 64
	MaxSources      = 64

	maxUnknown = 16
)

// Register makes reg decode descriptions to *Description and informational
// messages to *Info.
func Register(reg *jingle.Registry) {
	reg.AddDescription(NS, func() jingle.Description { return new(Description) })
	reg.AddPayload(NSInfo, func() jingle.Payload { return new(Info) })
}

// Kind returns the kind of media: two descriptions of one kind serve the same
// purpose when both sides add a content at once.
func (d *Description) Kind() string { return string(d.Media) }

// Stub returns a description that only names the kind of media.
func (d *Description) Stub() jingle.Description { return &Description{Media: d.Media} }

// UnmarshalXML reads a description leniently: payload types and header
// extensions without usable number are left out, unknown children are kept.
func (d *Description) UnmarshalXML(x *xml.Decoder, start xml.StartElement) error {
	*d = Description{}
	for _, a := range start.Attr {
		switch a.Name.Local {
		case "media":
			d.Media = Media(a.Value)
		case "ssrc":
			d.SSRC = a.Value
		}
	}
	return children(x, func(child xml.StartElement) error {
		switch child.Name {
		case xml.Name{Space: start.Name.Space, Local: "payload-type"}:
			p, ok, err := payloadType(x, child)
			return keep(&d.PayloadTypes, p, ok && len(d.PayloadTypes) < MaxPayloadTypes, err)
		case xml.Name{Space: start.Name.Space, Local: "rtcp-mux"}:
			d.RTCPMux = new(Flag)
			return x.Skip()
		case xml.Name{Space: NSFeedback, Local: "rtcp-fb"}:
			return keep(&d.Feedback, feedback(child), len(d.Feedback) < MaxFeedback, x.Skip())
		case xml.Name{Space: NSHdrExt, Local: "rtp-hdrext"}:
			h, ok := hdrExt(child)
			return keep(&d.HdrExts, h, ok && len(d.HdrExts) < MaxHdrExts, x.Skip())
		case xml.Name{Space: NSHdrExt, Local: "extmap-allow-mixed"}:
			d.AllowMixed = new(Flag)
			return x.Skip()
		case xml.Name{Space: NSSources, Local: "source"}:
			s, err := source(x, child)
			return keep(&d.Sources, s, len(d.Sources) < MaxSources, err)
		case xml.Name{Space: NSSources, Local: "ssrc-group"}:
			g, err := ssrcGroup(x, child)
			return keep(&d.SSRCGroups, g, len(d.SSRCGroups) < MaxSources, err)
		}
		var u jingle.Unknown
		err := u.UnmarshalXML(x, child)
		return keep(&d.Unknown, u, len(d.Unknown) < maxUnknown, err)
	})
}

// keep appends v if it is wanted and there was no error.
func keep[T any](list *[]T, v T, wanted bool, err error) error {
	if wanted && err == nil {
		*list = append(*list, v)
	}
	return err
}

// children calls f with each child of the open element. f reads up to its end.
func children(x *xml.Decoder, f func(xml.StartElement) error) error {
	for {
		tok, err := x.Token()
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

func value(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// number reads an attribute; one that is absent or malformed is zero and not ok.
func number(start xml.StartElement, name string, bits int) (n uint64, ok bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(value(start, name)), 10, bits)
	if err != nil {
		return 0, false
	}
	return n, true
}

func payloadType(x *xml.Decoder, start xml.StartElement) (p PayloadType, ok bool, err error) {
	id, ok := number(start, "id", 7)
	rate, _ := number(start, "clockrate", 32)
	channels, _ := number(start, "channels", 8)
	ptime, _ := number(start, "ptime", 32)
	maxptime, _ := number(start, "maxptime", 32)
	p = PayloadType{
		ID: uint8(id), Name: value(start, "name"), ClockRate: uint32(rate), Channels: uint8(channels),
		PTime: uint32(ptime), MaxPTime: uint32(maxptime),
	}
	err = children(x, func(child xml.StartElement) error {
		switch child.Name {
		case xml.Name{Space: start.Name.Space, Local: "parameter"}:
			return keep(&p.Parameters, parameter(child), len(p.Parameters) < MaxParameters, x.Skip())
		case xml.Name{Space: NSFeedback, Local: "rtcp-fb"}:
			return keep(&p.Feedback, feedback(child), len(p.Feedback) < MaxFeedback, x.Skip())
		}
		return x.Skip()
	})
	return p, ok, err
}

func parameter(start xml.StartElement) Parameter {
	return Parameter{Name: value(start, "name"), Value: value(start, "value")}
}

func feedback(start xml.StartElement) Feedback {
	return Feedback{Type: value(start, "type"), Subtype: value(start, "subtype")}
}

func hdrExt(start xml.StartElement) (HdrExt, bool) {
	id, ok := number(start, "id", 16)
	h := HdrExt{ID: uint16(id), URI: value(start, "uri"), Senders: value(start, "senders")}
	return h, ok && h.URI != ""
}

func source(x *xml.Decoder, start xml.StartElement) (Source, error) {
	s := Source{SSRC: value(start, "ssrc")}
	err := children(x, func(child xml.StartElement) error {
		if child.Name.Local != "parameter" {
			return x.Skip()
		}
		return keep(&s.Parameters, parameter(child), len(s.Parameters) < MaxParameters, x.Skip())
	})
	return s, err
}

func ssrcGroup(x *xml.Decoder, start xml.StartElement) (SSRCGroup, error) {
	g := SSRCGroup{Semantics: value(start, "semantics")}
	err := children(x, func(child xml.StartElement) error {
		if child.Name.Local != "source" {
			return x.Skip()
		}
		return keep(&g.Sources, SSRCOnly{SSRC: value(child, "ssrc")}, len(g.Sources) < MaxSources, x.Skip())
	})
	return g, err
}
