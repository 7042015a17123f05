//go:build unix

package turn

import (
	"net"
	"sync"
	"syscall"
	"testing"
)

// shrink makes the queue of connections that nobody has accepted short.
func shrink(t testing.TB, l net.Listener) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), 1) }); err != nil || failed != nil {
		t.Skipf("shrink the queue of connections: %v, %v", err, failed)
	}
}

// exhaustFiles lets this process open no more files until restore is called.
func exhaustFiles(t testing.TB) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Skipf("limit the number of files: %v", err)
	}
	restore = sync.OnceFunc(func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) })
	t.Cleanup(restore)
	return restore
}
