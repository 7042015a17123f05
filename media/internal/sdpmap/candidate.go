package sdpmap

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/pion/webrtc/v4"
)

// ToICE writes a peer's candidate as pion takes it. It fails for candidates
// that we do not use: other protocols than UDP, other components than 1 (we
// always multiplex), names instead of addresses (a name would be looked up,
// which tells others whom we call), and addresses nobody can be reached at.
// ufrag are the credentials it belongs to.
func ToICE(c iceudp.Candidate, ufrag string) (webrtc.ICECandidateInit, error) {
	var none webrtc.ICECandidateInit
	if !strings.EqualFold(c.Protocol, "udp") {
		return none, malformed("candidate with protocol %q", c.Protocol)
	}
	if c.Component != 1 {
		return none, malformed("candidate of component %d", c.Component)
	}
	ip, err := literal(c.IP)
	if err != nil {
		return none, err
	}
	if c.Port == 0 {
		return none, malformed("candidate without port")
	}
	switch c.Type {
	case iceudp.Host, iceudp.PRflx, iceudp.Relay, iceudp.SRflx:
	default:
		return none, malformed("candidate of type %q", c.Type)
	}
	if !isICE(ufrag, 4) {
		return none, malformed("candidate for ufrag %q", ufrag)
	}
	foundation := c.Foundation
	if !isICE(foundation, 1) || len(foundation) > 32 {
		foundation = "0" // it only spares checks, which we do not spare
	}
	priority := max(c.Priority, 1)
	var b strings.Builder
	fmt.Fprintf(&b, "candidate:%s 1 udp %d %s %d typ %s", foundation, priority, ip, c.Port, c.Type)
	if c.Type != iceudp.Host {
		// The related address is for people who debug. Not everyone sends it
		// (Monal misspells the port), and pion wants both or none.
		if rel, err := netip.ParseAddr(c.RelAddr); err == nil && rel.Zone() == "" {
			fmt.Fprintf(&b, " raddr %s rport %d", rel, c.RelPort)
		} else {
			b.WriteString(" raddr 0.0.0.0 rport 0")
		}
	}
	fmt.Fprintf(&b, " ufrag %s", ufrag)
	return webrtc.ICECandidateInit{Candidate: b.String()}, nil
}

// literal reads an address that packets can be sent to.
func literal(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return ip, malformed("candidate with address %q", s)
	}
	ip = ip.Unmap()
	if ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return ip, malformed("candidate with address %q", s)
	}
	return ip, nil
}

// FromICE reads one of our candidates. generation counts ICE restarts, id is
// to be unique in the session.
func FromICE(c *webrtc.ICECandidate, generation int, id string) (iceudp.Candidate, bool) {
	if c.Protocol != webrtc.ICEProtocolUDP || c.Component != 1 {
		return iceudp.Candidate{}, false
	}
	ip, err := literal(c.Address)
	if err != nil || ip.Is6() && ip.IsLinkLocalUnicast() {
		// interop Dino drops fe80 addresses; without a zone they lead nowhere.
		return iceudp.Candidate{}, false
	}
	out := iceudp.Candidate{
		Component: 1, Foundation: c.Foundation, Generation: generation, ID: id,
		IP: ip.String(), Port: c.Port, Priority: c.Priority, Protocol: "udp",
		Type: CandidateType(c.Typ),
	}
	if !isICE(out.Foundation, 1) {
		out.Foundation = "0"
	}
	if out.Type != iceudp.Host {
		// XEP-0176 wants rel-addr, and it would tell the address behind a
		// relay; only host candidates, which are sent anyway, tell addresses.
		out.RelAddr, out.RelPort = c.RelatedAddress, c.RelatedPort
		if out.Type == iceudp.Relay {
			out.RelAddr, out.RelPort = "0.0.0.0", 0
			if ip.Is6() {
				out.RelAddr = "::"
			}
		}
	}
	return out, true
}

// CandidateType translates pion's name for a type.
func CandidateType(t webrtc.ICECandidateType) iceudp.CandidateType {
	switch t {
	case webrtc.ICECandidateTypeSrflx:
		return iceudp.SRflx
	case webrtc.ICECandidateTypePrflx:
		return iceudp.PRflx
	case webrtc.ICECandidateTypeRelay:
		return iceudp.Relay
	default:
		return iceudp.Host
	}
}
