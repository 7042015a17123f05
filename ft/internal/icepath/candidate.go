package icepath

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"

	"github.com/carillon-im/carillon/ft/internal/addr"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// candidates writes a candidate of ours, unless the peer must not or cannot
// know it. That of the socket stands for all its addresses. p.mu is held.
func (p *Path) candidates(c ice.Candidate) (list []iceudp.Candidate) {
	env := p.cfg.Env
	ip, err := netip.ParseAddr(c.Address())
	if err != nil || !addr.Usable(ip, env.Loopback) || env.RelayOnly && c.Type() != ice.CandidateTypeRelay {
		return nil
	}
	ip = ip.Unmap()
	el := iceudp.Candidate{
		Component: 1, Foundation: c.Foundation(), ID: id(), IP: ip.String(),
		Port: uint16(c.Port()), Priority: c.Priority(), Protocol: "udp", Type: kind(c.Type()),
	}
	if rel := c.RelatedAddress(); rel != nil {
		el.RelAddr, el.RelPort = rel.Address, uint16(rel.Port)
		if env.RelayOnly { // it would tell the address behind the relay
			el.RelAddr, el.RelPort = "0.0.0.0", 0
			if ip.Is6() {
				el.RelAddr = "::"
			}
		}
	}
	list = append(list, el)
	if c.Type() != ice.CandidateTypeHost {
		return list
	}
	for _, other := range p.hosts {
		if other.Is4() == ip.Is4() && other != ip {
			// Lower by one local preference each. RFC 8445 §5.1.2.1
			el.Foundation, el.ID, el.IP, el.Priority = fmt.Sprint(c.Foundation(), len(list)), id(), other.String(), el.Priority-1<<8
			list = append(list, el)
		}
	}
	return list
}

func id() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func kind(t ice.CandidateType) iceudp.CandidateType {
	switch t {
	case ice.CandidateTypeHost:
		return iceudp.Host
	case ice.CandidateTypeServerReflexive:
		return iceudp.SRflx
	case ice.CandidateTypePeerReflexive:
		return iceudp.PRflx
	}
	return iceudp.Relay
}

// remoteCandidate reads a candidate of the peer.
func remoteCandidate(c iceudp.Candidate, loopback bool) (ice.Candidate, error) {
	ip, err := netip.ParseAddr(c.IP) // never a name: no DNS for a peer
	switch {
	case err != nil:
		return nil, fmt.Errorf("address of a candidate: %w", err)
	case !addr.Usable(ip, loopback):
		return nil, fmt.Errorf("address %v is not one of another device", ip)
	case c.Protocol != "udp" || c.Component != 1 || c.Port == 0:
		// interop Dino 0.4: candidates of a second component.
		return nil, fmt.Errorf("candidate for %s, component %d, port %d", c.Protocol, c.Component, c.Port)
	}
	host, port := ip.Unmap().String(), int(c.Port)
	switch c.Type {
	case iceudp.Host:
		return ice.NewCandidateHost(&ice.CandidateHostConfig{Network: "udp", Address: host, Port: port, Component: 1, Priority: c.Priority})
	case iceudp.SRflx:
		return ice.NewCandidateServerReflexive(&ice.CandidateServerReflexiveConfig{Network: "udp", Address: host, Port: port, Component: 1, Priority: c.Priority})
	case iceudp.PRflx:
		return ice.NewCandidatePeerReflexive(&ice.CandidatePeerReflexiveConfig{Network: "udp", Address: host, Port: port, Component: 1, Priority: c.Priority})
	case iceudp.Relay:
		return ice.NewCandidateRelay(&ice.CandidateRelayConfig{Network: "udp", Address: host, Port: port, Component: 1, Priority: c.Priority})
	}
	return nil, fmt.Errorf("candidate of type %q", c.Type)
}

func usable(ip net.IP, loopback bool) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && addr.Usable(a, loopback)
}

// services returns the STUN and TURN servers that can be used.
func (p *Path) services() (list []*stun.URI) {
	for _, s := range p.cfg.Env.Services {
		u, err := stun.ParseURI(s.URL)
		if err != nil {
			p.log.Warn("STUN or TURN server is not used", "url", s.URL, "err", err)
			continue
		}
		u.Username, u.Password = s.Username, string(s.Password)
		turn := u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS
		if turn && (u.Username == "" || u.Password == "") {
			p.log.Warn("TURN server is not used: it has no credentials", "url", s.URL)
			continue
		}
		if len(list) < maxServices {
			list = append(list, u)
		}
	}
	return list
}

func hasRelay(list []*stun.URI) bool {
	for _, u := range list {
		if u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS {
			return true
		}
	}
	return false
}
