package icepath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendSegments sends data as packets of size bytes, the last one shorter.
func sendSegments(u *net.UDPConn, data []byte, size int, to netip.AddrPort) error {
	oob := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(size))
	_, _, err := u.WriteMsgUDPAddrPort(data, oob, to)
	return err
}

// merge asks for packets that belong together to come as one, and reports
// whether they may.
func merge(u *net.UDPConn) bool {
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	var set error
	err = raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
	return err == nil && set == nil
}

// mergedSpace is the room that the size of merged packets needs.
var mergedSpace = unix.CmsgSpace(4)

// merged returns the size of the packets that came as one, or 0.
func merged(oob []byte) int {
	if len(oob) < unix.CmsgLen(4) {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	if h.Level != unix.IPPROTO_UDP || h.Type != unix.UDP_GRO {
		return 0
	}
	return int(binary.NativeEndian.Uint32(oob[unix.CmsgLen(0):]))
}
