package sdpmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/pion/sdp/v3"
)

// ToSDP writes the contents that share one transport as the description of the
// side from. Each content needs an *rtp.Description and an *iceudp.Transport
// with credentials and a fingerprint; the group that pion follows is made here.
func ToSDP(contents []jingle.Content, from jingle.Role) (string, error) {
	if len(contents) == 0 || len(contents) > maxSections {
		return "", malformed("%d contents", len(contents))
	}
	d := &sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "-", NetworkType: "IN", AddressType: "IP4", UnicastAddress: "0.0.0.0",
		},
		SessionName:      "-",
		TimeDescriptions: []sdp.TimeDescription{{}},
	}
	group := "BUNDLE"
	seen := make(map[string]bool)
	for _, c := range contents {
		if !isToken(c.Name, maxName) || seen[c.Name] {
			return "", malformed("name %q", c.Name)
		}
		seen[c.Name] = true
		group += " " + c.Name
	}
	d.WithValueAttribute(sdp.AttrKeyGroup, group)
	d.WithValueAttribute(sdp.AttrKeyICEOptions, "trickle")
	for _, c := range contents {
		m, err := toSection(c, from)
		if err != nil {
			return "", fmt.Errorf("content %q: %w", c.Name, err)
		}
		d.WithMedia(m)
	}
	b, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("write session description: %w", err)
	}
	return string(b), nil
}

func toSection(c jingle.Content, from jingle.Role) (*sdp.MediaDescription, error) {
	desc, ok := c.Description.(*rtp.Description)
	if !ok || desc == nil {
		return nil, malformed("no RTP description")
	}
	tr, ok := c.Transport.(*iceudp.Transport)
	if !ok || tr == nil {
		return nil, malformed("no ICE transport")
	}
	if desc.Media != rtp.Audio && desc.Media != rtp.Video {
		return nil, malformed("media %q", desc.Media)
	}
	m := &sdp.MediaDescription{
		MediaName: sdp.MediaName{
			Media: string(desc.Media), Port: sdp.RangedPort{Value: 9},
			Protos: []string{"UDP", "TLS", "RTP", "SAVPF"},
		},
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	m.WithValueAttribute(sdp.AttrKeyMID, c.Name)
	m.WithPropertyAttribute(direction(c.Senders, from))
	if err := putTransport(m, tr); err != nil {
		return nil, err
	}
	// Multiplexing is all pion can do, so it is not asked for but assumed.
	m.WithPropertyAttribute(sdp.AttrKeyRTCPMux)
	if err := putPayloads(m, desc); err != nil {
		return nil, err
	}
	if err := putHdrExts(m, desc); err != nil {
		return nil, err
	}
	if err := putSources(m, desc); err != nil {
		return nil, err
	}
	return m, nil
}

func putTransport(m *sdp.MediaDescription, tr *iceudp.Transport) error {
	if !isICE(tr.Ufrag, 4) || !isICE(tr.Pwd, 22) {
		return malformed("ICE credentials")
	}
	f, err := PickFingerprint(tr)
	if err != nil {
		return err
	}
	m.WithICECredentials(tr.Ufrag, tr.Pwd)
	m.WithFingerprint(f.Hash, f.Value)
	m.WithValueAttribute(sdp.AttrKeyConnectionSetup, string(f.Setup))
	return nil
}

// hashes that a certificate may be pinned with, best known to peers first, and
// their length in bytes. SHA-1 is broken. RFC 8122 §5
var hashes = []struct {
	name string
	size int
}{{"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}}

// PickFingerprint returns the fingerprint of a transport that we hold the peer
// to, in canonical form. It fails when there is none with a hash we trust, a
// well-formed value and a role. XEP-0320
func PickFingerprint(tr *iceudp.Transport) (iceudp.Fingerprint, error) {
	for _, h := range hashes {
		for _, f := range tr.Fingerprints {
			if !strings.EqualFold(f.Hash, h.name) {
				continue
			}
			value := strings.ToUpper(strings.TrimSpace(f.Value))
			if !isFingerprint(value, h.size) {
				return iceudp.Fingerprint{}, malformed("fingerprint %q", f.Value)
			}
			switch f.Setup {
			case iceudp.ActPass, iceudp.Active, iceudp.Passive:
			default:
				return iceudp.Fingerprint{}, malformed("fingerprint with setup %q", f.Setup)
			}
			return iceudp.Fingerprint{XMLName: f.XMLName, Hash: h.name, Setup: f.Setup, Value: value}, nil
		}
	}
	return iceudp.Fingerprint{}, malformed("no fingerprint with a trusted hash")
}

func isFingerprint(s string, size int) bool {
	if len(s) != 3*size-1 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i%3 == 2 {
			if c != ':' {
				return false
			}
		} else if !('0' <= c && c <= '9' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return true
}

// static are payload types that need no name. RFC 3551 §6
var static = map[uint8]struct {
	name string
	rate uint32
}{0: {"PCMU", 8000}, 8: {"PCMA", 8000}, 9: {"G722", 8000}, 13: {"CN", 8000}}

// putPayloads writes the codecs. One that cannot be written is left out, as if
// the peer had not offered it, since one odd codec is no reason to lose a call.
func putPayloads(m *sdp.MediaDescription, desc *rtp.Description) error {
	seen := make(map[uint8]bool)
	for _, p := range desc.PayloadTypes {
		if len(seen) == maxPayloadTypes {
			break
		}
		if s, ok := static[p.ID]; ok && p.Name == "" {
			p.Name, p.ClockRate = s.name, s.rate
		}
		// With multiplexing 64 to 95 would look like RTCP. RFC 5761 §4
		if p.ID > 127 || 64 <= p.ID && p.ID <= 95 || seen[p.ID] || !isToken(p.Name, maxName) || p.ClockRate == 0 {
			continue
		}
		seen[p.ID] = true
		id := strconv.Itoa(int(p.ID))
		m.MediaName.Formats = append(m.MediaName.Formats, id)
		rtpmap := fmt.Sprintf("%s %s/%d", id, p.Name, p.ClockRate)
		if p.Channels > 1 {
			rtpmap += "/" + strconv.Itoa(int(p.Channels))
		}
		m.WithValueAttribute("rtpmap", rtpmap)
		if v := fmtp(p.Parameters); v != "" {
			m.WithValueAttribute("fmtp", id+" "+v)
		}
		putFeedback(m, id, p.Feedback)
	}
	if len(seen) == 0 {
		return malformed("no usable payload type")
	}
	putFeedback(m, "*", desc.Feedback)
	return nil
}

// fmtp writes parameters; one without a name is its value alone, as in "0-15"
// of telephone-event.
func fmtp(ps []rtp.Parameter) string {
	var parts []string
	for _, p := range ps[:min(len(ps), maxParameters)] {
		if p.Value == "" && p.Name == "" || !isText(p.Name, ";= ") || !isText(p.Value, ";") {
			continue
		}
		if p.Name == "" {
			parts = append(parts, p.Value)
		} else {
			parts = append(parts, p.Name+"="+p.Value)
		}
	}
	return strings.Join(parts, ";")
}

func putFeedback(m *sdp.MediaDescription, id string, fs []rtp.Feedback) {
	for _, f := range fs[:min(len(fs), maxFeedback)] {
		if !isToken(f.Type, maxName) || f.Subtype != "" && !isToken(f.Subtype, maxName) {
			continue
		}
		v := id + " " + f.Type
		if f.Subtype != "" {
			v += " " + f.Subtype
		}
		m.WithValueAttribute("rtcp-fb", v)
	}
}

func putHdrExts(m *sdp.MediaDescription, desc *rtp.Description) error {
	if desc.AllowMixed != nil {
		m.WithPropertyAttribute(sdp.AttrKeyExtMapAllowMixed)
	}
	for _, e := range desc.HdrExts[:min(len(desc.HdrExts), maxHdrExts)] {
		// RFC 8285: 1 to 14 in one byte, 1 to 255 in two; 15 is reserved.
		if e.ID == 0 || e.ID > 255 || e.ID == 15 || e.URI == "" || !isText(e.URI, " ") {
			continue
		}
		m.WithValueAttribute(sdp.AttrKeyExtMap, fmt.Sprintf("%d %s", e.ID, e.URI))
	}
	return nil
}

func putSources(m *sdp.MediaDescription, desc *rtp.Description) error {
	known := make(map[uint32]bool)
	for _, s := range desc.Sources[:min(len(desc.Sources), maxSources)] {
		n, err := strconv.ParseUint(s.SSRC, 10, 32)
		if err != nil || n == 0 {
			return malformed("source %q", s.SSRC)
		}
		ssrc := uint32(n)
		known[ssrc] = true
		wrote := false
		for _, p := range s.Parameters[:min(len(s.Parameters), maxParameters)] {
			if !isToken(p.Name, maxName) || !isText(p.Value, "") {
				continue
			}
			v := fmt.Sprintf("%d %s", ssrc, p.Name)
			if p.Value != "" {
				v += ":" + p.Value
			}
			m.WithValueAttribute(sdp.AttrKeySSRC, v)
			wrote = true
		}
		if !wrote { // RFC 5576 §4.1 wants at least one attribute
			m.WithValueAttribute(sdp.AttrKeySSRC, fmt.Sprintf("%d cname:-", ssrc))
		}
	}
	for _, g := range desc.SSRCGroups[:min(len(desc.SSRCGroups), maxSources)] {
		if !isToken(g.Semantics, maxName) || len(g.Sources) == 0 || len(g.Sources) > maxSources {
			continue
		}
		v := g.Semantics
		ok := true
		for _, s := range g.Sources {
			n, err := strconv.ParseUint(s.SSRC, 10, 32)
			ok = ok && err == nil && known[uint32(n)]
			v += " " + strconv.FormatUint(n, 10)
		}
		if ok {
			// pion wants the group before its sources.
			i := slices.IndexFunc(m.Attributes, func(a sdp.Attribute) bool { return a.Key == sdp.AttrKeySSRC })
			m.Attributes = slices.Insert(m.Attributes, i, sdp.NewAttribute(sdp.AttrKeySSRCGroup, v))
		}
	}
	return nil
}
