package turn

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// Methods, RFC 8489#section-18.2, RFC 8656#section-17 and RFC 6062#section-6.1.
const (
	methodBinding          = 0x001
	methodAllocate         = 0x003
	methodRefresh          = 0x004
	methodSend             = 0x006
	methodCreatePermission = 0x008
	methodChannelBind      = 0x009
	methodConnect          = 0x00A
	methodConnectionBind   = 0x00B
	methodConnectAttempt   = 0x00C
)

// Attributes of the same specifications and RFC 5780#section-7.
const (
	attrMappedAddress           = 0x0001
	attrChangeRequest           = 0x0003
	attrUsername                = 0x0006
	attrMessageIntegrity        = 0x0008
	attrErrorCode               = 0x0009
	attrUnknownAttributes       = 0x000A
	attrChannelNumber           = 0x000C
	attrLifetime                = 0x000D
	attrXORPeerAddress          = 0x0012
	attrData                    = 0x0013
	attrRealm                   = 0x0014
	attrNonce                   = 0x0015
	attrXORRelayedAddress       = 0x0016
	attrRequestedFamily         = 0x0017
	attrEvenPort                = 0x0018
	attrRequestedTransport      = 0x0019
	attrDontFragment            = 0x001A
	attrMessageIntegritySHA256  = 0x001C
	attrPasswordAlgorithm       = 0x001D
	attrUserHash                = 0x001E
	attrXORMappedAddress        = 0x0020
	attrReservationToken        = 0x0022
	attrPriority                = 0x0024
	attrUseCandidate            = 0x0025
	attrResponsePort            = 0x0027
	attrConnectionID            = 0x002A
	attrAdditionalAddressFamily = 0x8000
	attrAddressErrorCode        = 0x8001
	attrPasswordAlgorithms      = 0x8002
	attrAlternateDomain         = 0x8003
	attrSoftware                = 0x8022
	attrAlternateServer         = 0x8023
	attrFingerprint             = 0x8028
	attrResponseOrigin          = 0x802B
	attrOtherAddress            = 0x802C
)

// A code is a STUN error code, RFC 8489#section-14.8.
type code uint16

const (
	codeTryAlternate         code = 300
	codeBadRequest           code = 400
	codeUnauthenticated      code = 401
	codeForbidden            code = 403
	codeUnknownAttribute     code = 420
	codeAllocationMismatch   code = 437
	codeStaleNonce           code = 438
	codeFamilyNotSupported   code = 440
	codeWrongCredentials     code = 441
	codeUnsupportedTransport code = 442
	codeFamilyMismatch       code = 443
	codeConnectionExists     code = 446
	codeConnectionFailed     code = 447
	codeQuotaReached         code = 486
	codeServerError          code = 500
	codeInsufficientCapacity code = 508
)

// Families as attributes name them, RFC 8489#section-14.1.
const (
	family4 = 1
	family6 = 2
)

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return family4
	}
	return family6
}

// A message is a STUN message that has been checked: its attributes fill it.
type message struct {
	raw []byte
	typ uint16
	// covered is where the attributes end that count: before the first of the
	// integrity attributes, or before FINGERPRINT. RFC 8489#section-14.5
	covered      int
	integrity    int // where MESSAGE-INTEGRITY begins; 0 is nowhere
	integrity256 int
	fingerprint  int
}

// parseMessage checks the STUN message that b is.
func parseMessage(b []byte) (m message, ok bool) {
	typ, ok := stunType(b)
	if !ok {
		return m, false
	}
	end := stunHeader + int(binary.BigEndian.Uint16(b[2:]))
	m = message{raw: b[:end], typ: typ}
	for i := stunHeader; i < end; {
		if end-i < 4 {
			return m, false
		}
		typ, n := binary.BigEndian.Uint16(b[i:]), int(binary.BigEndian.Uint16(b[i+2:]))
		next := i + 4 + (n+3)&^3
		if next > end {
			return m, false
		}
		switch typ {
		case attrMessageIntegrity:
			if m.integrity == 0 && m.integrity256 == 0 && m.fingerprint == 0 {
				if n != sha1.Size {
					return m, false
				}
				m.integrity = i
			}
		case attrMessageIntegritySHA256:
			if m.integrity256 == 0 && m.fingerprint == 0 {
				if n < 16 || n > sha256.Size || n%4 != 0 {
					return m, false
				}
				m.integrity256 = i
			}
		case attrFingerprint:
			if m.fingerprint == 0 {
				if n != 4 || next != end {
					return m, false
				}
				m.fingerprint = i
			}
		}
		i = next
	}
	m.covered = end
	for _, at := range []int{m.integrity, m.integrity256, m.fingerprint} {
		if at != 0 {
			m.covered = min(m.covered, at)
		}
	}
	if m.fingerprint != 0 && binary.BigEndian.Uint32(b[m.fingerprint+4:]) != fingerprint(b[:m.fingerprint]) {
		return m, false
	}
	return m, true
}

// fingerprint is that of the message that b begins with, whose length field
// counts the attribute. RFC 8489#section-14.7
func fingerprint(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ 0x5354554e }

func (m *message) method() uint16 {
	return m.typ&0x000F | m.typ&0x00E0>>1 | m.typ&0x3E00>>2
}

func (m *message) class() uint16 { return m.typ & classMask }

func messageType(method, class uint16) uint16 {
	return method&0x000F | method&0x0070<<1 | method&0x0F80<<2 | class
}

// each calls f with every attribute that counts until it returns false.
func (m *message) each(f func(typ uint16, v []byte) bool) {
	for i := stunHeader; i < m.covered; {
		n := int(binary.BigEndian.Uint16(m.raw[i+2:]))
		if !f(binary.BigEndian.Uint16(m.raw[i:]), m.raw[i+4:i+4+n]) {
			return
		}
		i += 4 + (n+3)&^3
	}
}

// get returns the first attribute of a type, RFC 8489#section-14.
func (m *message) get(typ uint16) (v []byte, ok bool) {
	m.each(func(t uint16, b []byte) bool {
		if t == typ {
			v, ok = b, true
		}
		return !ok
	})
	return v, ok
}

func (m *message) has(typ uint16) bool { _, ok := m.get(typ); return ok }

// address decodes an XOR-PEER-ADDRESS.
func (m *message) address(v []byte) (netip.AddrPort, bool) { return xorAddress(v, m.raw[4:stunHeader]) }

// unknown lists attributes that must be understood and are not.
func (m *message) unknown(known func(typ uint16) bool) (types []uint16) {
	const most = 16
	m.each(func(t uint16, _ []byte) bool {
		if t < 0x8000 && !known(t) && len(types) < most {
			types = append(types, t)
		}
		return true
	})
	return types
}

// signedBy says whether the integrity attribute is key's: the SHA-256 one if
// there are both. RFC 8489#section-9.2.4
func (m *message) signedBy(key []byte) bool {
	at := m.integrity
	if m.integrity256 != 0 {
		at = m.integrity256
	}
	if at == 0 {
		return false
	}
	n := int(binary.BigEndian.Uint16(m.raw[at+2:]))
	// The length in the header is that of a message that ends with it.
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(at+4+n-stunHeader))
	mac := hmac.New(sha1.New, key)
	if m.integrity256 != 0 {
		mac = hmac.New(sha256.New, key)
	}
	mac.Write(m.raw[:2])
	mac.Write(length[:])
	mac.Write(m.raw[4:at])
	var sum [sha256.Size]byte
	return hmac.Equal(mac.Sum(sum[:0])[:n], m.raw[at+4:at+4+n])
}

// An answer is a message being written.
type answer struct {
	b   []byte
	buf [maxAnswer]byte
}

// maxAnswer holds the longest: realm, nonce, software and two addresses.
const maxAnswer = 1024

// begin makes it an answer to m, or with class classIndication a message alike.
func (a *answer) begin(method, class uint16, transaction []byte) {
	a.b = a.buf[:stunHeader]
	binary.BigEndian.PutUint16(a.b, messageType(method, class))
	binary.BigEndian.PutUint32(a.b[4:], magicCookie)
	copy(a.b[8:stunHeader], transaction)
	a.measure(0)
}

// measure sets the length field for what is there and more bytes to come.
func (a *answer) measure(more int) {
	binary.BigEndian.PutUint16(a.b[2:], uint16(len(a.b)-stunHeader+more))
}

func (a *answer) add(typ uint16, v []byte) {
	a.b = binary.BigEndian.AppendUint16(a.b, typ)
	a.b = binary.BigEndian.AppendUint16(a.b, uint16(len(v)))
	a.b = append(a.b, v...)
	for len(a.b)%4 != 0 {
		a.b = append(a.b, 0)
	}
	a.measure(0)
}

func (a *answer) addUint32(typ uint16, v uint32) { a.add(typ, binary.BigEndian.AppendUint32(nil, v)) }

// addAddress adds an address that is not obfuscated.
func (a *answer) addAddress(typ uint16, ap netip.AddrPort) {
	var v [20]byte
	v[1] = familyOf(ap.Addr())
	binary.BigEndian.PutUint16(v[2:], ap.Port())
	a.add(typ, append(v[:4], ap.Addr().AsSlice()...))
}

// addXOR adds an address as RFC 8489#section-14.2 writes it.
func (a *answer) addXOR(typ uint16, ap netip.AddrPort) {
	var v [20]byte
	v[1] = familyOf(ap.Addr())
	binary.BigEndian.PutUint16(v[2:], ap.Port()^magicCookie>>16)
	ip := ap.Addr().AsSlice()
	for i := range ip {
		v[4+i] = ip[i] ^ a.b[4+i]
	}
	a.add(typ, v[:4+len(ip)])
}

// addCode adds an ERROR-CODE. The reason phrase is empty: it is for people who
// read captures, and would make what strangers get larger.
func (a *answer) addCode(c code) {
	a.add(attrErrorCode, []byte{0, 0, byte(c / 100), byte(c % 100)})
}

// sign ends the message with an integrity attribute.
func (a *answer) sign(key []byte, with256 bool) {
	typ, mac := uint16(attrMessageIntegrity), hmac.New(sha1.New, key)
	if with256 {
		typ, mac = attrMessageIntegritySHA256, hmac.New(sha256.New, key)
	}
	a.measure(4 + mac.Size())
	mac.Write(a.b)
	a.add(typ, mac.Sum(nil))
}

// mark adds a FINGERPRINT.
func (a *answer) mark() {
	a.measure(8)
	a.addUint32(attrFingerprint, fingerprint(a.b))
}
