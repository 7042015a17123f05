package turn

import (
	"encoding/binary"
	"net/netip"
)

// A discovery is what an entrance knows of the three others that NAT behaviour
// discovery (RFC 5780) sends answers from.
type discovery struct {
	origin, other netip.AddrPort // public
	// Index: changeIP and changePort, as bits.
	from [4]*entrance
}

// Flags of CHANGE-REQUEST, RFC 5780#section-7.2, and what index they make.
const (
	changeIP        = 4
	changePort      = 2
	changeIndexIP   = 1
	changeIndexPort = 2
)

// binding answers Binding, RFC 8489#section-12 and RFC 5780#section-6.1.
func (r *request) binding() {
	d := r.entrance.discovery
	if unknown := r.unknown(func(t uint16) bool {
		switch t {
		case attrPriority, attrUseCandidate, attrUsername, attrRealm, attrNonce, attrUserHash, attrPasswordAlgorithm:
			return true
		case attrChangeRequest, attrResponsePort:
			return d != nil
		}
		return false
	}); len(unknown) > 0 {
		r.refuseUnknown(unknown)
		return
	}
	a := r.success()
	a.addXOR(attrXORMappedAddress, r.from)
	if d == nil {
		r.send()
		return
	}
	via := r.entrance
	if v, ok := r.get(attrChangeRequest); ok {
		if len(v) != 4 {
			r.fail(codeBadRequest)
			return
		}
		index := 0
		if v[3]&changeIP != 0 {
			index |= changeIndexIP
		}
		if v[3]&changePort != 0 {
			index |= changeIndexPort
		}
		via = d.from[index]
	}
	to := r.from
	if v, ok := r.get(attrResponsePort); ok {
		if len(v) < 2 {
			r.fail(codeBadRequest)
			return
		}
		to = netip.AddrPortFrom(to.Addr(), binary.BigEndian.Uint16(v))
	}
	a.addAddress(attrMappedAddress, r.from)
	a.addAddress(attrResponseOrigin, via.discovery.origin)
	a.addAddress(attrOtherAddress, d.other)
	link, from := r.link, r.from
	r.link, r.from = via.link, to
	r.send()
	r.link, r.from = link, from
}
