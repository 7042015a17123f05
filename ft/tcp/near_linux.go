package tcp

import (
	"net"

	"golang.org/x/sys/unix"
)

// How much may wait in the kernel, on either side. All of it is sent again
// after a crash.
const (
	unsent     = 512 << 10 // bytes written and not on their way
	nearRTT    = 5_000     // microseconds; farther peers need what the system gives
	nearWindow = 5 << 18   // bytes: 250 MB/s over nearRTT
)

// keepShort bounds what waits in the kernel, but not the speed: what was
// written and is not sent yet, and, when the peer is near, what has come and
// is not read. Where it does not work, the system's own bounds hold.
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
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		// The least of all round trips: the others have in them how long a busy
		// peer thought about its answer.
		if err == nil && info.Min_rtt < nearRTT {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, nearWindow)
		}
	})
}
