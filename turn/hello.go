package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"reflect"
	"time"

	"github.com/pion/dtls/v3"
)

// What DTLS 1.2 records begin with, RFC 6347#section-4.1 and #section-4.2.2.
const (
	recordHeader       = 13
	recordAlert        = 21
	recordHandshake    = 22
	handshakeHeader    = 12
	clientHello        = 1
	helloVerifyRequest = 3
	helloRandom        = 32
	maxSessionID       = 32
)

func isHandshake(b []byte, typ byte) bool {
	return len(b) > recordHeader && b[0] == recordHandshake && b[recordHeader] == typ
}

// A hello is the beginning of a ClientHello, RFC 6347#section-4.2.1. What is
// read of it is small enough to be whole in the first fragment.
type hello struct {
	record   [6]byte // sequence number of the record
	sequence uint16  // of the message: 0, and 1 for the one with the cookie
	start    []byte  // version, random and session ID
	cookie   []byte
	rest     []byte // cipher suites and compression methods
}

// parseHello reads the ClientHello that a datagram begins with.
func parseHello(b []byte) (h hello, ok bool) {
	if !isHandshake(b, clientHello) || len(b) < recordHeader+handshakeHeader || b[1] != 0xFE || b[3] != 0 || b[4] != 0 {
		return h, false
	}
	copy(h.record[:], b[5:])
	n := int(binary.BigEndian.Uint16(b[11:]))
	if b = b[recordHeader:]; n > len(b) || n < handshakeHeader {
		return h, false
	}
	b = b[:n]
	h.sequence = binary.BigEndian.Uint16(b[4:])
	offset, fragment := uint24(b[6:]), uint24(b[9:])
	if b = b[handshakeHeader:]; offset != 0 || fragment > len(b) {
		return h, false
	}
	b = b[:fragment]
	const sessionAt = 2 + helloRandom
	if len(b) <= sessionAt || b[sessionAt] > maxSessionID {
		return h, false
	}
	at := sessionAt + 1 + int(b[sessionAt])
	if len(b) <= at {
		return h, false
	}
	h.start = b[:at]
	if h.cookie, b, ok = vector(b[at:], 1); !ok {
		return h, false
	}
	_, after, ok := vector(b, 2)
	if ok {
		_, after, ok = vector(after, 1)
	}
	if !ok {
		return h, false
	}
	h.rest = b[:len(b)-len(after)]
	return h, true
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

func appendUint24(b []byte, n int) []byte { return append(b, byte(n>>16), byte(n>>8), byte(n)) }

// vector splits off bytes with their length of size bytes before them.
func vector(b []byte, size int) (v, rest []byte, ok bool) {
	if len(b) < size {
		return nil, nil, false
	}
	n := 0
	for _, c := range b[:size] {
		n = n<<8 | int(c)
	}
	if b = b[size:]; n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// handshakeRecord is a record with one whole handshake message.
func handshakeRecord(record [6]byte, typ byte, body ...[]byte) []byte {
	n := 0
	for _, part := range body {
		n += len(part)
	}
	b := append([]byte{recordHandshake, 0xFE, 0xFD, 0, 0}, record[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(handshakeHeader+n))
	b = appendUint24(append(b, typ), n)
	b = append(b, 0, 0, 0, 0, 0) // message 0, from its first byte on
	b = appendUint24(b, n)
	for _, part := range body {
		b = append(b, part...)
	}
	return b
}

// verify is the HelloVerifyRequest that asks for a cookie. It is smaller than
// any ClientHello, and has the number of that one's record, so that we need
// not count.
func (h *hello) verify(cookie []byte) []byte {
	return handshakeRecord(h.record, helloVerifyRequest, []byte{0xFE, 0xFD, byte(len(cookie))}, cookie)
}

// spoken says whether the client offers DTLS 1.2, which is what pion knows.
func (h *hello) spoken() bool { return h.start[0] == 0xFE && h.start[1] == 0xFD }

// unspoken is the alert that tells a client so: some then try another version.
func (h *hello) unspoken() []byte {
	const fatal, protocolVersion = 2, 70
	return append(append([]byte{recordAlert, 0xFE, 0xFF, 0, 0}, h.record[:]...), 0, 2, fatal, protocolVersion)
}

// first is the ClientHello that this one, which returns the cookie, came after,
// but for extensions, of which nothing is wanted before the cookie.
func (h *hello) first() []byte {
	record := h.record
	record[5] ^= 1 // not that of this one
	return handshakeRecord(record, clientHello, h.start, []byte{0}, h.rest)
}

// cookieLength is what pion wants.
const cookieLength = 20

// cookieTime is how long a cookie is made; it is good for as long again, so that
// those which somebody has collected at an address are of no use later.
const cookieTime = time.Minute

// cookies makes and checks cookies without remembering them.
type cookies struct {
	key [sha256.Size]byte
	now func() int64
}

func newCookies(now func() int64) cookies {
	c := cookies{now: now}
	rand.Read(c.key[:]) // never fails
	return c
}

// sum is a code over the address and what must be the same in both hellos,
// RFC 6347#section-4.2.1.
func (c *cookies) sum(from netip.AddrPort, h *hello, period int64) []byte {
	address := from.Addr().As16()
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(nil, uint64(period)), from.Port()))
	mac.Write(address[:])
	mac.Write(h.start)
	mac.Write(h.rest)
	return mac.Sum(nil)[:cookieLength]
}

func (c *cookies) make(from netip.AddrPort, h *hello) []byte {
	return c.sum(from, h, c.now()/int64(cookieTime))
}

func (c *cookies) good(from netip.AddrPort, h *hello) bool {
	period := c.now() / int64(cookieTime)
	return hmac.Equal(h.cookie, c.sum(from, h, period)) || hmac.Equal(h.cookie, c.sum(from, h, period-1))
}

// pionCookie is the cookie that a session of pion has sent and waits for. It is
// pion's to choose, at random, once it has a session: there is no way to ask
// it to go on after an exchange that was ours, and the two sign that exchange.
// So its cookie is overwritten, by its own goroutine, as it sends it.
func pionCookie(c *dtls.Conn) []byte {
	return reflect.ValueOf(c).Elem().FieldByName("state").FieldByName("cookie").Bytes()
}

// pionTakesCookies says whether pionCookie finds what it looks for.
func pionTakesCookies() bool {
	state, ok := reflect.TypeFor[dtls.Conn]().FieldByName("state")
	if !ok || state.Type.Kind() != reflect.Struct {
		return false
	}
	cookie, ok := state.Type.FieldByName("cookie")
	return ok && cookie.Type == reflect.TypeFor[[]byte]()
}
