package tcp

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath/wire"
	"github.com/carillon-im/carillon/jingle"
	"golang.org/x/sys/unix"
)

// The line of BenchmarkLongLine.
const (
	lineRate = 500e6 / 8 // bytes a second, with all headers
	lineSize = 1 << 30   // bytes that are sent
	lineEnd  = "CARILLON_LONG_LINE"
)

// BenchmarkLongLine tells which part of a line of 500 Mbit/s and 40 ms round
// trip a stream fills, its start included: the TCP of the kernel in two network
// namespaces, with a wire in user space between them. Needs root.
func BenchmarkLongLine(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("network namespaces need root")
	}
	allowed, err := os.ReadFile("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
	if err != nil {
		b.Fatal(err)
	}
	for _, control := range []string{"cubic", "bbr", "reno"} {
		b.Run(control, func(b *testing.B) {
			if !slices.Contains(strings.Fields(string(allowed)), control) {
				b.Skip("this machine does not allow it in network namespaces")
			}
			for b.Loop() {
				longLine(b, control)
			}
		})
	}
}

func longLine(b *testing.B, control string) {
	var (
		ends [2]*bufio.ReadWriter
		tuns [2]*os.File
		wg   sync.WaitGroup
		lost atomic.Int64
	)
	defer wg.Wait()
	for i, role := range []string{"send", "receive"} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		theirs := os.NewFile(uintptr(pair[1]), "end")
		cmd := exec.Command(os.Args[0], "-test.run", "^TestLongLineEnd$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", lineEnd, role, i+1, control))
		cmd.ExtraFiles = []*os.File{theirs}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		theirs.Close()
		wg.Go(func() {
			if err := cmd.Wait(); err != nil {
				b.Errorf("%s: %v\n%s", role, err, out.String())
			}
		})
		f := os.NewFile(uintptr(pair[0]), "own end")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		if tuns[i], err = receiveFile(c.(*net.UnixConn)); err != nil {
			b.Fatal(err)
		}
		defer tuns[i].Close()
		ends[i] = bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
	}
	cfg := wire.Config{Delay: 20 * time.Millisecond, Rate: lineRate, Queue: lineRate * 40 / 1000, Lost: &lost}
	for i := range tuns {
		wg.Go(func() { cfg.Carry(tuns[i].Read, func(p []byte) { tuns[1-i].Write(p) }) })
	}
	pass := func(from, to int) string {
		s, err := ends[from].ReadString('\n')
		if err == nil && to >= 0 {
			_, err = ends[to].WriteString(s)
			err = errors.Join(err, ends[to].Flush())
		}
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	pass(0, 1) // the offer
	pass(1, 0) // the answer
	pass(1, 0) // that both are there, so that the clock runs
	took, err := time.ParseDuration(strings.TrimSpace(pass(1, -1)))
	if err != nil {
		b.Fatal(err)
	}
	pass(0, -1) // the sender has ended as well
	b.ReportMetric(lineSize/took.Seconds()/lineRate, "of-the-line")
	b.ReportMetric(float64(lost.Load()), "lost")
}

// TestLongLineEnd is one of the two processes of BenchmarkLongLine.
func TestLongLineEnd(t *testing.T) {
	if os.Getenv(lineEnd) == "" {
		t.Skip("it is a part of BenchmarkLongLine")
	}
	var number int
	var kind, control string
	if _, err := fmt.Sscan(os.Getenv(lineEnd), &kind, &number, &control); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(3, "end")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	req, err := unix.NewIfreq("line")
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(tun.Fd()), unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{fmt.Sprintf("addr add 198.18.0.%d/24 dev line", number), "link set line up txqueuelen 10000"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte(control), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.(*net.UnixConn).WriteMsgUnix([]byte{0}, unix.UnixRights(int(tun.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	tun.Close() // the other process has it; closing ours leaves the interface up

	role := jingle.Initiator
	if kind == "receive" {
		role = jingle.Responder
	}
	in := bufio.NewReader(c)
	say := func(s string) {
		if _, err := io.WriteString(c, s+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	hear := func() string {
		s, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	n, err := Carrier{}.New(ft.Env{}, role)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	local, err := n.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := xml.Marshal(local)
	if err != nil {
		t.Fatal(err)
	}
	var remote Transport
	if role == jingle.Initiator {
		say(string(text))
	}
	if err := xml.Unmarshal([]byte(hear()), &remote); err != nil {
		t.Fatal(err)
	}
	if role == jingle.Responder {
		say(string(text))
	}
	if err := n.Remote(&remote); err != nil {
		t.Fatal(err)
	}
	s, err := n.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if role == jingle.Responder {
		say("open")
		began := time.Now()
		if n, err := io.Copy(io.Discard, s); err != nil || n != lineSize {
			t.Fatalf("%d bytes came, %v", n, err)
		}
		say(time.Since(began).String())
		return
	}
	hear()
	data := make([]byte, 1<<20)
	for range lineSize / len(data) {
		if _, err := s.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, s)
	say("done")
}

// receiveFile takes a file from another process.
func receiveFile(c *net.UnixConn) (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return nil, fmt.Errorf("no file came: %v", err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("no file came: %v", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // or reading it could not be ended
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "tun"), nil
}
