package iceudp

import (
	"encoding/xml"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/carillon-im/carillon/jingle"
)

// Limits of what is decoded; the rest is left out.
const (
	MaxCandidates   = 64
	MaxFingerprints = 4

	maxUnknown = 8
	maxText    = 256 // bytes of an attribute or fingerprint
)

// Register makes reg decode transports to *Transport.
func Register(reg *jingle.Registry) {
	reg.AddTransport(NS, func() jingle.Transport { return new(Transport) })
}

// Stub returns a transport that only names the method.
func (*Transport) Stub() jingle.Transport { return new(Transport) }

// OffersRestart reports whether the transport, in a transport-info, asks for an
// ICE restart: credentials and no candidate.
//
// interop Conversations 2.19: with a candidate it would be the answer.
func (t *Transport) OffersRestart() bool {
	return t.Ufrag != "" && t.Pwd != "" && len(t.Candidates) == 0
}

// UnmarshalXML reads a transport leniently: candidates that make no sense are
// left out, unknown children are kept.
func (t *Transport) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	*t = Transport{}
	for _, a := range start.Attr {
		switch a.Name.Local {
		case "ufrag":
			t.Ufrag = short(a.Value)
		case "pwd":
			t.Pwd = short(a.Value)
		}
	}
	for {
		tok, err := d.Token()
		if err != nil {
			return err
		}
		child, ok := tok.(xml.StartElement)
		if !ok {
			if _, end := tok.(xml.EndElement); end {
				return nil
			}
			continue
		}
		switch name := child.Name; {
		case name == xml.Name{Space: NSDTLS, Local: "fingerprint"}:
			var f Fingerprint
			if err = d.DecodeElement(&f, &child); err == nil && len(t.Fingerprints) < MaxFingerprints {
				f.XMLName = xml.Name{}
				f.Hash, f.Value = strings.TrimSpace(f.Hash), short(strings.TrimSpace(f.Value))
				t.Fingerprints = append(t.Fingerprints, f)
			}
		case name == xml.Name{Space: NSOptions, Local: "trickle"}:
			t.Trickle, err = new(Option), d.Skip()
		case name == xml.Name{Space: NSOptions, Local: "renomination"}:
			t.Renomination, err = new(Option), d.Skip()
		case name.Local == "candidate":
			if c, ok := candidate(child.Attr); ok && len(t.Candidates) < MaxCandidates {
				t.Candidates = append(t.Candidates, c)
			}
			err = d.Skip()
		case len(t.Unknown) == maxUnknown:
			err = d.Skip()
		default:
			var u jingle.Unknown
			if err = u.UnmarshalXML(d, child); err == nil {
				t.Unknown = append(t.Unknown, u)
			}
		}
		if err != nil {
			return err
		}
	}
}

// candidate reads the attributes of a candidate. It reports false for one that
// nothing can be done with; a host name instead of an address is one of them.
func candidate(attrs []xml.Attr) (Candidate, bool) {
	var c Candidate
	ok := true
	number := func(s string, bits int) uint64 {
		n, err := strconv.ParseUint(strings.TrimSpace(s), 10, bits)
		ok = ok && err == nil
		return n
	}
	lenient := func(s string, bits int) uint64 {
		n, err := strconv.ParseUint(strings.TrimSpace(s), 10, bits)
		if err != nil {
			return 0
		}
		return n
	}
	for _, a := range attrs {
		v := short(a.Value)
		switch a.Name.Local {
		case "component":
			c.Component = int(number(v, 8))
		case "foundation":
			c.Foundation = v
		case "generation":
			c.Generation = int(lenient(v, 16))
		case "id":
			c.ID = v
		case "ip":
			c.IP = v
		case "network":
			c.Network = int(lenient(v, 16))
		case "port":
			c.Port = uint16(number(v, 16))
		case "priority":
			c.Priority = uint32(number(v, 32))
		case "protocol":
			c.Protocol = strings.ToLower(v)
		case "type":
			c.Type = CandidateType(v)
		case "rel-addr":
			c.RelAddr = v
		case "rel-port", "rel_port":
			// interop Monal 2024-10: writes rel_port.
			c.RelPort = uint16(lenient(v, 16))
		}
	}
	ip, err := netip.ParseAddr(c.IP)
	known := slices.Contains([]CandidateType{Host, PRflx, Relay, SRflx}, c.Type)
	return c, ok && err == nil && ip.Zone() == "" && known &&
		c.Component > 0 && c.Port > 0 && c.Protocol != "" && c.Foundation != ""
}

// short bounds a value; one that long means nothing.
func short(s string) string {
	if len(s) > maxText {
		return ""
	}
	return s
}
