package tcp

import (
	"net"

	"golang.org/x/sys/unix"
)

// keepShort bounds what waits in the kernel for us when the peer is near: all
// of it comes again after a crash. A window of nearWindow bytes carries
// 500 MB/s over nearRTT, so it costs nothing there.
func keepShort(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.Rtt < nearRTT {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, nearWindow) // without it, it works as well
		}
	})
}

const (
	nearRTT    = 2000    // microseconds
	nearWindow = 1 << 20 // bytes
)
