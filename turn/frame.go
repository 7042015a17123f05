package turn

import (
	"encoding/binary"
	"net/netip"
)

// What the first bytes of a packet say, RFC 8656#section-12.4 and RFC 8489#section-5.
const (
	stunHeader    = 20
	channelHeader = 4
	magicCookie   = 0x2112A442

	minChannel = 0x4000

	typeSendIndication = 0x0016
	typeDataIndication = 0x0017

	classMask       = 0x0110
	classRequest    = 0x0000
	classIndication = 0x0010
	classSuccess    = 0x0100
	classError      = 0x0110
)

// maxChannel is what RFC 5766 clients may use; RFC 8656 ends at 0x4FFF.
const maxChannel = 0x7FFF

// channelData splits a ChannelData message. What follows the data is padding.
func channelData(b []byte) (number uint16, data []byte, ok bool) {
	if len(b) < channelHeader {
		return 0, nil, false
	}
	number = binary.BigEndian.Uint16(b)
	n := int(binary.BigEndian.Uint16(b[2:]))
	if number < minChannel || number > maxChannel || n > len(b)-channelHeader {
		return 0, nil, false
	}
	return number, b[channelHeader : channelHeader+n], true
}

// stunType returns the type of the STUN message that b begins with.
func stunType(b []byte) (typ uint16, ok bool) {
	if len(b) < stunHeader || b[0]&0xC0 != 0 || binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return 0, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n%4 != 0 || n > len(b)-stunHeader {
		return 0, false
	}
	return binary.BigEndian.Uint16(b), true
}

// sendIndication finds the peer and the data of a Send indication that stunType
// has accepted. Of several attributes of a kind the first counts, RFC 8489#section-14.
// Unknown attributes that must be understood make it void.
func sendIndication(b []byte) (peer netip.AddrPort, data []byte, ok bool) {
	end := stunHeader + int(binary.BigEndian.Uint16(b[2:]))
	havePeer, haveData := false, false
	for i := stunHeader; i+4 <= end; {
		typ, n := binary.BigEndian.Uint16(b[i:]), int(binary.BigEndian.Uint16(b[i+2:]))
		if i+4+n > end {
			return netip.AddrPort{}, nil, false
		}
		v := b[i+4 : i+4+n]
		switch {
		case typ == attrXORPeerAddress && !havePeer:
			if peer, havePeer = xorAddress(v, b[4:stunHeader]); !havePeer {
				return netip.AddrPort{}, nil, false
			}
		case typ == attrData && !haveData:
			data, haveData = v, true
		case typ < 0x8000 && typ != attrXORPeerAddress && typ != attrData && typ != 0x001A: // DONT-FRAGMENT is a wish
			return netip.AddrPort{}, nil, false
		}
		i += 4 + (n+3)&^3
	}
	return peer, data, havePeer && haveData
}

// xorAddress decodes an XOR-MAPPED-ADDRESS; tail is the magic cookie and the
// transaction ID. RFC 8489#section-14.2
func xorAddress(v, tail []byte) (netip.AddrPort, bool) {
	if len(v) < 4 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ magicCookie>>16
	switch {
	case v[1] == 1 && len(v) == 8:
		var ip [4]byte
		for i := range ip {
			ip[i] = v[4+i] ^ tail[i]
		}
		return netip.AddrPortFrom(netip.AddrFrom4(ip), port), true
	case v[1] == 2 && len(v) == 20:
		var ip [16]byte
		for i := range ip {
			ip[i] = v[4+i] ^ tail[i]
		}
		return netip.AddrPortFrom(netip.AddrFrom16(ip), port), true
	}
	return netip.AddrPort{}, false
}

// dataIndicationMax is the longest head of a Data indication, up to its data.
const dataIndicationMax = stunHeader + 4 + 20 + 4

// dataIndication writes the head of a Data indication of n bytes from peer into
// b and returns its length; the data and its padding follow. RFC 8656#section-11.5
func dataIndication(b *[dataIndicationMax]byte, peer netip.AddrPort, n int, tx1 uint64, tx2 uint32) int {
	binary.BigEndian.PutUint16(b[0:], typeDataIndication)
	binary.BigEndian.PutUint32(b[4:], magicCookie)
	binary.BigEndian.PutUint64(b[8:], tx1)
	binary.BigEndian.PutUint32(b[16:], tx2)
	binary.BigEndian.PutUint16(b[20:], attrXORPeerAddress)
	binary.BigEndian.PutUint16(b[26:], peer.Port()^magicCookie>>16)
	at := 0
	b[24] = 0
	if a := peer.Addr(); a.Is4() {
		b[25] = 1
		binary.BigEndian.PutUint16(b[22:], 8)
		ip := a.As4()
		for i := range ip {
			b[28+i] = ip[i] ^ b[4+i]
		}
		at = 32
	} else {
		b[25] = 2
		binary.BigEndian.PutUint16(b[22:], 20)
		ip := a.As16()
		for i := range ip {
			b[28+i] = ip[i] ^ b[4+i]
		}
		at = 44
	}
	binary.BigEndian.PutUint16(b[at:], attrData)
	binary.BigEndian.PutUint16(b[at+2:], uint16(n))
	at += 4
	binary.BigEndian.PutUint16(b[2:], uint16(at-stunHeader+(n+3)&^3))
	return at
}

// frameLength returns how many bytes on a stream the frame that begins with b
// has, 0 when more of b is needed to know. It is not ok when b begins neither a
// STUN message nor ChannelData, or a longer frame than we take.
func frameLength(b []byte) (n int, ok bool) {
	if len(b) < channelHeader {
		return 0, len(b) == 0 || b[0]&0x80 == 0
	}
	switch b[0] & 0xC0 {
	case 0x00:
		n = stunHeader + int(binary.BigEndian.Uint16(b[2:]))
		if n%4 != 0 || len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) != magicCookie {
			return 0, false
		}
	case 0x40:
		n = channelHeader + (int(binary.BigEndian.Uint16(b[2:]))+3)&^3
	default:
		return 0, false
	}
	return n, n < maxFrame
}
