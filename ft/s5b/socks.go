package s5b

import (
	"errors"
	"fmt"
	"io"
	"net"
)

// The subset of SOCKS5 that XEP-0065 needs: no authentication, CONNECT to a
// name of 40 hexadecimal digits, port 0. RFC 1928 §3 to §6, XEP-0065#direct
const (
	socksVersion  = 5
	methodNone    = 0
	methodRefused = 0xff
	cmdConnect    = 1
	addrIPv4      = 1
	addrName      = 3
	addrIPv6      = 4
	replyOK       = 0
	replyRefused  = 2 // connection not allowed by ruleset
)

// dstAddrLen is the length of the name asked for: a SHA-1 in hexadecimal.
const dstAddrLen = 40

var errSOCKS = errors.New("not the SOCKS5 that XEP-0065 asks for")

// request asks the SOCKS5 server at c for the stream named dst.
func request(c net.Conn, dst string) error {
	if _, err := c.Write([]byte{socksVersion, 1, methodNone}); err != nil {
		return err
	}
	var b [2]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if b[0] != socksVersion || b[1] != methodNone {
		return fmt.Errorf("%w: greeting answered by % x", errSOCKS, b)
	}
	if _, err := c.Write(address(cmdConnect, dst)); err != nil {
		return err
	}
	var h [4]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return err
	}
	if h[0] != socksVersion {
		return fmt.Errorf("%w: request answered by % x", errSOCKS, h)
	}
	if h[1] != replyOK {
		return fmt.Errorf("SOCKS5 server refuses with code %d", h[1])
	}
	// The address in the answer is not always what was asked for; it is read
	// over. interop Prosody 0.12: repeats the name.
	n := 0
	switch h[3] {
	case addrIPv4:
		n = net.IPv4len
	case addrIPv6:
		n = net.IPv6len
	case addrName:
		var l [1]byte
		if _, err := io.ReadFull(c, l[:]); err != nil {
			return err
		}
		n = int(l[0])
	default:
		return fmt.Errorf("%w: address of type %d", errSOCKS, h[3])
	}
	_, err := io.ReadFull(c, make([]byte, n+2))
	return err
}

// serve answers a client that asks for one of the streams named; it returns
// which. Anything else is refused.
func serve(c net.Conn, want func(dst string) bool) (string, error) {
	var h [2]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return "", err
	}
	if h[0] != socksVersion {
		return "", fmt.Errorf("%w: version %d", errSOCKS, h[0])
	}
	methods := make([]byte, h[1])
	if _, err := io.ReadFull(c, methods); err != nil {
		return "", err
	}
	answer := byte(methodRefused)
	for _, m := range methods {
		if m == methodNone {
			answer = methodNone
		}
	}
	if _, err := c.Write([]byte{socksVersion, answer}); err != nil {
		return "", err
	}
	if answer == methodRefused {
		return "", fmt.Errorf("%w: client insists on authentication", errSOCKS)
	}
	var r [5 + dstAddrLen + 2]byte
	if _, err := io.ReadFull(c, r[:5]); err != nil {
		return "", err
	}
	if r[0] != socksVersion || r[1] != cmdConnect || r[3] != addrName || r[4] != dstAddrLen {
		return "", fmt.Errorf("%w: request % x", errSOCKS, r[:5])
	}
	if _, err := io.ReadFull(c, r[5:]); err != nil {
		return "", err
	}
	dst := string(r[5 : 5+dstAddrLen])
	if !want(dst) {
		c.Write(address(replyRefused, dst))
		return "", errors.New("client asks for a stream of somebody else")
	}
	// interop Dino 0.4.2: the port in the answer must be zero.
	if _, err := c.Write(address(replyOK, dst)); err != nil {
		return "", err
	}
	return dst, nil
}

// address returns a request or a reply, which differ in one byte's meaning.
func address(code byte, dst string) []byte {
	b := []byte{socksVersion, code, 0, addrName, byte(len(dst))}
	return append(append(b, dst...), 0, 0)
}
