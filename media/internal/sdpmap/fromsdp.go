package sdpmap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/pion/sdp/v3"
)

// FromSDP reads a description that pion made for us, the side from, as
// contents. Candidates are left out: they come from the gatherer.
func FromSDP(s string, from jingle.Role) ([]jingle.Content, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(s); err != nil {
		return nil, fmt.Errorf("read session description: %w", err)
	}
	if len(d.MediaDescriptions) > maxSections {
		return nil, malformed("%d sections", len(d.MediaDescriptions))
	}
	var contents []jingle.Content
	for _, m := range d.MediaDescriptions {
		c, err := fromSection(&d, m, from)
		if err != nil {
			return nil, err
		}
		contents = append(contents, c)
	}
	return contents, nil
}

func fromSection(d *sdp.SessionDescription, m *sdp.MediaDescription, from jingle.Role) (jingle.Content, error) {
	c := jingle.Content{Creator: "initiator", Senders: jingle.SendersBoth}
	c.Name, _ = m.Attribute(sdp.AttrKeyMID)
	if !isToken(c.Name, maxName) {
		return c, malformed("mid %q", c.Name)
	}
	desc := &rtp.Description{Media: rtp.Media(m.MediaName.Media)}
	if desc.Media != rtp.Audio && desc.Media != rtp.Video {
		return c, malformed("section %q", m.MediaName.Media)
	}
	tr := &iceudp.Transport{}
	// pion writes the fingerprint once for the whole session.
	for _, a := range d.Attributes {
		switch a.Key {
		case "fingerprint":
			if f, ok := fromFingerprint(a.Value); ok {
				tr.Fingerprints = append(tr.Fingerprints, f)
			}
		case sdp.AttrKeyExtMapAllowMixed:
			desc.AllowMixed = &rtp.Flag{}
		}
	}
	index := make(map[string]int) // of payload types by format
	for _, f := range m.MediaName.Formats {
		n, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			return c, malformed("format %q", f)
		}
		p := rtp.PayloadType{ID: uint8(n)}
		if s, ok := static[p.ID]; ok {
			p.Name, p.ClockRate = s.name, s.rate
		}
		index[f] = len(desc.PayloadTypes)
		desc.PayloadTypes = append(desc.PayloadTypes, p)
	}
	setup := iceudp.Setup("")
	for _, a := range m.Attributes {
		id, rest, _ := strings.Cut(a.Value, " ")
		var p *rtp.PayloadType
		if i, ok := index[id]; ok {
			p = &desc.PayloadTypes[i]
		}
		switch a.Key {
		case "rtpmap":
			if p != nil {
				if err := readRTPMap(p, rest); err != nil {
					return c, err
				}
			}
		case "fmtp":
			if p != nil {
				p.Parameters = readFmtp(rest)
			}
		case "rtcp-fb":
			typ, sub, _ := strings.Cut(rest, " ")
			f := rtp.Feedback{Type: typ, Subtype: sub}
			if p != nil {
				p.Feedback = append(p.Feedback, f)
			} else if id == "*" {
				desc.Feedback = append(desc.Feedback, f)
			}
		case sdp.AttrKeyExtMap:
			n, err := strconv.ParseUint(id, 10, 8)
			if err != nil {
				return c, malformed("extmap %q", a.Value)
			}
			desc.HdrExts = append(desc.HdrExts, rtp.HdrExt{ID: uint16(n), URI: rest})
		case sdp.AttrKeySSRC:
			readSource(desc, id, rest)
		case sdp.AttrKeySSRCGroup:
			g := rtp.SSRCGroup{Semantics: id}
			for ssrc := range strings.FieldsSeq(rest) {
				g.Sources = append(g.Sources, rtp.SSRCOnly{SSRC: ssrc})
			}
			desc.SSRCGroups = append(desc.SSRCGroups, g)
		case sdp.AttrKeyRTCPMux:
			desc.RTCPMux = &rtp.Flag{}
		case sdp.AttrKeyExtMapAllowMixed:
			desc.AllowMixed = &rtp.Flag{}
		case "ice-ufrag":
			tr.Ufrag = a.Value
		case "ice-pwd":
			tr.Pwd = a.Value
		case "fingerprint":
			if f, ok := fromFingerprint(a.Value); ok {
				tr.Fingerprints = append(tr.Fingerprints, f)
			}
		case sdp.AttrKeyConnectionSetup:
			setup = iceudp.Setup(a.Value)
		default:
			if s, ok := senders(a.Key, from); ok {
				c.Senders = s
			}
		}
	}
	for i := range tr.Fingerprints {
		tr.Fingerprints[i].Setup = setup
	}
	c.Description, c.Transport = desc, tr
	return c, nil
}

func fromFingerprint(v string) (iceudp.Fingerprint, bool) {
	hash, value, ok := strings.Cut(v, " ")
	return iceudp.Fingerprint{Hash: strings.ToLower(hash), Value: strings.ToUpper(value)}, ok
}

func readRTPMap(p *rtp.PayloadType, v string) error {
	name, rest, ok := strings.Cut(v, "/")
	rate, channels, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(rate, 10, 32)
	if !ok || err != nil {
		return malformed("rtpmap %q", v)
	}
	p.Name, p.ClockRate = name, uint32(n)
	if channels != "" {
		n, err := strconv.ParseUint(channels, 10, 8)
		if err != nil {
			return malformed("rtpmap %q", v)
		}
		if n > 1 { // absent means 1
			p.Channels = uint8(n)
		}
	}
	return nil
}

func readFmtp(v string) []rtp.Parameter {
	var ps []rtp.Parameter
	for part := range strings.SplitSeq(v, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if name, value, ok := strings.Cut(part, "="); ok {
			ps = append(ps, rtp.Parameter{Name: name, Value: value})
		} else {
			ps = append(ps, rtp.Parameter{Value: part})
		}
	}
	return ps
}

func readSource(desc *rtp.Description, ssrc, attr string) {
	i := -1
	for j := range desc.Sources {
		if desc.Sources[j].SSRC == ssrc {
			i = j
		}
	}
	if i < 0 {
		i = len(desc.Sources)
		desc.Sources = append(desc.Sources, rtp.Source{SSRC: ssrc})
	}
	name, value, _ := strings.Cut(attr, ":")
	desc.Sources[i].Parameters = append(desc.Sources[i].Parameters, rtp.Parameter{Name: name, Value: value})
}
