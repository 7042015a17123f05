package turn

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	attach "github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// The relay's end of a cable of its own, and the addresses of the other.
const nearInterface = "relay0"

var (
	nearAddress = netip.MustParseAddr("10.77.0.1")
	farClient   = netip.MustParseAddr("10.77.0.2")
	farPeer     = netip.MustParseAddr("10.77.0.3")
)

// far makes sockets at the other end of the cable.
type far struct {
	t     testing.TB
	calls chan func()
}

// inNetwork runs the test again in a process in a network of its own, with a
// cable (veth) into another; there it returns that one, and in the first
// process nil when the test has passed.
func inNetwork(t testing.TB) *far {
	t.Helper()
	const marker = "CARILLON_TURN_NETWORK"
	if os.Getenv(marker) == "" {
		if os.Geteuid() != 0 {
			t.Skip("making network namespaces needs root")
		}
		if _, err := exec.LookPath("ip"); err != nil {
			t.Skipf("making interfaces needs iproute2: %v", err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
		cmd.Env = append(os.Environ(), marker+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		switch {
		case err != nil && len(out) == 0:
			t.Skipf("no network namespace here: %v", err)
		case err != nil:
			t.Fatalf("in a network namespace: %v\n%s", err, out)
		case bytes.Contains(out, []byte("--- SKIP")):
			t.Skipf("%s", out)
		}
		t.Logf("%s", out)
		return nil
	}
	ip(t, "link", "set", "lo", "up")
	ip(t, "link", "add", nearInterface, "type", "veth", "peer", "name", "far0")
	ip(t, "addr", "add", nearAddress.String()+"/24", "dev", nearInterface)
	ip(t, "link", "set", nearInterface, "up")

	f := &far{t: t, calls: make(chan func())}
	thread := make(chan int)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // for ever: the thread is of no use here any more
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		thread <- unix.Gettid()
		for call := range f.calls {
			call()
		}
	}()
	t.Cleanup(func() { close(f.calls); <-ended })
	ip(t, "link", "set", "far0", "netns", strconv.Itoa(<-thread))
	f.do(func() error {
		ip(t, "link", "set", "lo", "up")
		ip(t, "addr", "add", farClient.String()+"/24", "dev", "far0")
		ip(t, "addr", "add", farPeer.String()+"/24", "dev", "far0")
		ip(t, "link", "set", "far0", "up")
		// What a program at one end of a cable sends back is received only
		// where the other end has one too.
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2 /* XDP_PASS */), asm.Return()}})
		if err != nil {
			return err
		}
		defer p.Close()
		ifi, err := net.InterfaceByName("far0")
		if err != nil {
			return err
		}
		l, err := attach.AttachXDP(attach.XDPOptions{Program: p, Interface: ifi.Index})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	return f
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Errorf("ip %q: %v\n%s", args, err, out)
	}
}

// do does something at the far end.
func (f *far) do(what func() error) {
	f.t.Helper()
	err := make(chan error)
	f.calls <- func() { err <- what() }
	if err := <-err; err != nil {
		f.t.Fatalf("at the far end of the cable: %v", err)
	}
}

func (f *far) listen(at netip.Addr) (u *net.UDPConn) {
	f.t.Helper()
	f.do(func() (err error) {
		u, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
		return err
	})
	f.t.Cleanup(func() { u.Close() })
	return u
}
