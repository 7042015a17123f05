package device

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A quietConn is a connection to a Unix socket that wakes the program only when
// there is something to read.
//
// Go's poller wants to know of every socket when it can be written to as well,
// and a Unix socket says so each time the other end has read something. In a
// call that is more often than anything else happens, and being woken is most
// of what a call costs. So the poller watches an epoll instance, which itself
// watches the socket for nothing but what can be read.
type quietConn struct {
	poll *os.File // the epoll instance
	wait syscall.RawConn

	mu     sync.RWMutex // held to read while the socket is used
	socket int          // -1 when closed
}

// dialUnix connects to a Unix socket. It does not wait: the server of a stream
// socket need not have accepted.
func dialUnix(ctx context.Context, address string) (conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	fail := func(what string, err error) error {
		return &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Net: "unix", Name: address}, Err: os.NewSyscallError(what, err)}
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fail("socket", err)
	}
	if err := unix.Connect(socket, &unix.SockaddrUnix{Name: address}); err != nil {
		unix.Close(socket)
		return nil, fail("connect", err)
	}
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		unix.Close(socket)
		return nil, fail("epoll_create1", err)
	}
	// Nonblocking is what tells os.NewFile to give it to the poller.
	err = unix.SetNonblock(poll, true)
	if err == nil {
		err = unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(socket)})
	}
	if err != nil {
		unix.Close(poll)
		unix.Close(socket)
		return nil, fail("epoll_ctl", err)
	}
	c := &quietConn{poll: os.NewFile(uintptr(poll), address), socket: socket}
	if c.wait, err = c.poll.SyscallConn(); err != nil {
		c.Close()
		return nil, fail("poll", err)
	}
	return c, nil
}

// try uses the socket, without waiting.
func (c *quietConn) try(use func(socket int) (int, error)) (n int, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.socket < 0 {
		return 0, net.ErrClosed
	}
	for {
		if n, err = use(c.socket); err != unix.EINTR {
			return n, err
		}
	}
}

func (c *quietConn) Read(b []byte) (n int, err error) {
	waited := c.wait.Read(func(uintptr) bool {
		n, err = c.try(func(socket int) (int, error) { return unix.Read(socket, b) })
		return err != unix.EAGAIN
	})
	switch {
	case waited != nil:
		return 0, net.ErrClosed // nothing else ends it, there being no deadline
	case err != nil:
		return 0, fmt.Errorf("read: %w", err)
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write waits at most pulseTimeout for a server that reads nothing.
func (c *quietConn) Write(b []byte) (done int, err error) {
	var end time.Time
	for done < len(b) {
		n, err := c.try(func(socket int) (int, error) { return unix.Write(socket, b[done:]) })
		if err == nil {
			done += n
			continue
		}
		if err != unix.EAGAIN {
			return done, fmt.Errorf("write: %w", err)
		}
		if end.IsZero() {
			end = time.Now().Add(pulseTimeout)
		}
		left := time.Until(end)
		if left <= 0 {
			return done, fmt.Errorf("write: %w", os.ErrDeadlineExceeded)
		}
		// Rare: the socket holds seconds of sound. In short turns, so that
		// Close need not wait for it.
		_, err = c.try(func(socket int) (int, error) {
			ready := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLOUT}}
			return unix.Poll(ready, int(min(left, writeTurn).Milliseconds())+1)
		})
		if err != nil {
			return done, fmt.Errorf("write: %w", err)
		}
	}
	return done, nil
}

// writeTurn is how long a Write that has to wait may hold up Close.
const writeTurn = 20 * time.Millisecond

func (c *quietConn) Close() error {
	c.mu.Lock()
	socket := c.socket
	c.socket = -1
	c.mu.Unlock()
	if socket < 0 {
		return net.ErrClosed
	}
	err := c.poll.Close() // ends a waiting Read
	unix.Close(socket)
	return err
}
