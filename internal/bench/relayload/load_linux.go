package relayload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pion/stun/v4"
	"golang.org/x/sys/unix"
)

// A Load is what to send.
type Load struct {
	Server   netip.AddrPort
	At       netip.Addr // of clients and peers; the zero Addr is 127.0.0.1
	PID      int        // of the relay, whose processor time and memory are read
	User     string
	Password string

	Allocations int
	Size        int     // payload of a packet in bytes, at least 8
	Burst       int     // packets sent back to back
	Merged      bool    // a burst is one train (UDP_SEGMENT), as a NIC merges what arrives
	PPS         float64 // packets a second of each allocation and direction; 0: as fast as Window allows
	Window      int     // packets of one flow on their way
	For         time.Duration
}

// A Result is what was measured.
type Result struct {
	AllocationsPerSecond float64
	CPUPerAllocation     float64 // µs of the relay
	MemoryPerAllocation  float64 // kB of resident memory
	PPS                  float64 // packets that arrived in a second
	CPUPerPacket         float64 // µs of the relay for each of them
	// TotalPerPacket is CPUPerPacket with what this process and the threads for
	// software interrupts took: work for packets is charged to whoever it
	// interrupts, mostly who sends.
	TotalPerPacket float64
	Loss           float64 // share of what was sent
	P50, P99       time.Duration
}

// A flow is an allocation with its client and its peer.
type flow struct {
	client, peer   int // sockets
	server, relay  unix.SockaddrInet4
	up, down       way
	realm          stun.Realm
	nonce          stun.Nonce
	key            stun.MessageIntegrity
	user, password string
}

// A way is one direction of a flow.
type way struct {
	from      int
	to        unix.SockaddrInet4
	head      int // bytes before the payload
	sent, got atomic.Int64
	packets   []byte
	control   []byte
}

const (
	channel     = 0x4000
	channelHead = 4
	timeouts    = 6
)

// Run opens the allocations, sends, and measures. Without a duration the
// allocations stay idle for a moment and their memory is measured.
func Run(l Load) (r Result, err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no pauses of ours in the latency
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	flows := make([]*flow, l.Allocations)
	defer func() {
		for _, f := range flows {
			if f != nil {
				unix.Close(f.client)
				unix.Close(f.peer)
			}
		}
	}()
	memory, cpu, begin := resident(l.PID), processor(l.PID), time.Now()
	var next atomic.Int64
	var wait sync.WaitGroup
	failures := make(chan error, l.Allocations)
	for range 16 {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(flows) {
					return
				}
				f, err := open(l)
				if err != nil {
					failures <- err
					return
				}
				flows[i] = f
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failures:
		return r, err
	default:
	}
	n := float64(l.Allocations)
	r.AllocationsPerSecond = n / time.Since(begin).Seconds()
	r.CPUPerAllocation = float64((processor(l.PID) - cpu).Microseconds()) / n
	if l.For == 0 {
		time.Sleep(2 * time.Second)
		r.MemoryPerAllocation = float64(resident(l.PID)-memory) / 1024 / n
		return r, nil
	}
	return r, transmit(l, flows, &r)
}

func open(l Load) (*flow, error) {
	f := &flow{client: -1, peer: -1, server: sockaddr(l.Server), user: l.User, password: l.Password}
	var err error
	if f.client, _, err = socket(l); err != nil {
		return nil, err
	}
	peer := netip.AddrPort{}
	if f.peer, peer, err = socket(l); err != nil {
		return nil, err
	}
	m, err := f.request(stun.MethodAllocate, raw{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}})
	if err != nil {
		return nil, err
	}
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		return nil, err
	}
	f.relay = sockaddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte(relayed.IP.To4())), uint16(relayed.Port)))
	_, err = f.request(stun.MethodChannelBind, raw{stun.AttrChannelNumber, []byte{channel >> 8, channel & 0xff, 0, 0}}, peerAddress(peer))
	f.up.prepare(l, f.client, f.server, channelHead)
	f.down.prepare(l, f.peer, f.relay, 0)
	return f, err
}

type raw struct {
	typ stun.AttrType
	v   []byte
}

func (r raw) AddTo(m *stun.Message) error { m.Add(r.typ, r.v); return nil }

type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: net.IP(a.Addr().AsSlice()), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// request sends a request until it is answered, logging in when asked to.
func (f *flow) request(method stun.Method, attrs ...stun.Setter) (*stun.Message, error) {
	for range 3 {
		set := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attrs...)
		if f.key != nil {
			set = append(set, stun.NewUsername(f.user), f.realm, f.nonce, f.key)
		}
		m, err := stun.Build(set...)
		if err != nil {
			return nil, err
		}
		answer, err := f.ask(m)
		if err != nil {
			return nil, err
		}
		if answer.Type.Class == stun.ClassSuccessResponse {
			return answer, nil
		}
		if f.realm.GetFrom(answer) != nil || f.nonce.GetFrom(answer) != nil {
			return nil, fmt.Errorf("%v refused: %v", method, answer)
		}
		f.key = stun.NewLongTermIntegrity(f.user, f.realm.String(), f.password)
	}
	return nil, fmt.Errorf("%v: the relay wants credentials again and again", method)
}

func (f *flow) ask(m *stun.Message) (*stun.Message, error) {
	b := make([]byte, 1500)
	for try := range timeouts {
		if err := unix.Sendto(f.client, m.Raw, 0, &f.server); err != nil {
			return nil, os.NewSyscallError("sendto", err)
		}
		poll := []unix.PollFd{{Fd: int32(f.client), Events: unix.POLLIN}}
		for end := time.Now().Add(500 * time.Millisecond << try); time.Now().Before(end); {
			if n, _ := unix.Poll(poll, int(time.Until(end).Milliseconds())+1); n <= 0 {
				continue
			}
			n, _, err := unix.Recvfrom(f.client, b, unix.MSG_DONTWAIT)
			if err != nil {
				continue
			}
			answer := &stun.Message{Raw: slices.Clone(b[:n])}
			if answer.Decode() == nil && answer.TransactionID == m.TransactionID {
				return answer, nil
			}
		}
	}
	return nil, errors.New("the relay does not answer")
}

func sockaddr(a netip.AddrPort) unix.SockaddrInet4 {
	return unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

func socket(l Load) (fd int, at netip.AddrPort, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, at, os.NewSyscallError("socket", err)
	}
	if l.Window > 0 || l.Allocations <= 50 {
		for _, opt := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 4<<20) // what is lost shows in Loss
		}
	}
	if l.For > 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
			return fd, at, os.NewSyscallError("setsockopt UDP_GRO", err)
		}
	}
	own := [4]byte{127, 0, 0, 1}
	if l.At.IsValid() {
		own = l.At.As4()
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: own}); err != nil {
		return fd, at, os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fd, at, os.NewSyscallError("getsockname", err)
	}
	sa := name.(*unix.SockaddrInet4)
	return fd, netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
}

func (w *way) prepare(l Load, from int, to unix.SockaddrInet4, head int) {
	w.from, w.to, w.head = from, to, head
	for range max(1, l.Burst) {
		p := make([]byte, head+l.Size)
		if head > 0 {
			binary.BigEndian.PutUint16(p, channel)
			binary.BigEndian.PutUint16(p[2:], uint16(l.Size))
		}
		w.packets = append(w.packets, p...)
	}
	if l.Merged && l.Burst > 1 {
		w.control = make([]byte, unix.CmsgSpace(2))
		c := (*unix.Cmsghdr)(unsafe.Pointer(&w.control[0]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(w.control[unix.CmsgLen(0):], uint16(head+l.Size))
	}
}

// send sends one burst, each packet with the time at its beginning.
func (w *way) send(size, burst int, epoch time.Time) {
	now := uint64(time.Since(epoch))
	for at := w.head; at < len(w.packets); at += w.head + size {
		binary.BigEndian.PutUint64(w.packets[at:], now)
	}
	w.sent.Add(int64(burst))
	// A full queue loses packets, which shows in Loss.
	if w.control != nil {
		_, _ = unix.SendmsgN(w.from, w.packets, w.control, &w.to, 0)
		return
	}
	for b := w.packets; len(b) > 0; b = b[w.head+size:] {
		_ = unix.Sendto(w.from, b[:w.head+size], 0, &w.to)
	}
}

// A receiver reads the sockets of all flows with one thread.
type receiver struct {
	epoll     int
	ways      []*way
	sockets   []int
	heads     []int
	measuring atomic.Bool
	stopped   atomic.Bool
	latencies []int32 // µs
}

func (r *receiver) add(fd int, w *way, head int) error {
	r.ways, r.sockets, r.heads = append(r.ways, w), append(r.sockets, fd), append(r.heads, head)
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(r.ways) - 1)})
}

func (r *receiver) run(epoch time.Time) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, 128)
	b, control := make([]byte, 1<<16), make([]byte, 64)
	for !r.stopped.Load() {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(r.epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 20, 0, 0)
		if errno != 0 {
			continue
		}
		for _, e := range events[:n] {
			w, head := r.ways[e.Fd], r.heads[e.Fd]
			size, controls, _, _, err := unix.Recvmsg(r.sockets[e.Fd], b, control, unix.MSG_DONTWAIT)
			if err != nil || size < head+8 || head > 0 && b[0]&0xC0 != 0x40 {
				continue
			}
			segment := size
			if controls > 0 {
				c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
				if c.Level == unix.IPPROTO_UDP && c.Type == unix.UDP_GRO {
					segment = int(*(*int32)(unsafe.Pointer(&control[unix.CmsgLen(0)])))
				}
			}
			if r.measuring.Load() && len(r.latencies) < cap(r.latencies) {
				sent := time.Duration(binary.BigEndian.Uint64(b[head:]))
				r.latencies = append(r.latencies, int32((time.Since(epoch) - sent).Microseconds()))
			}
			w.got.Add(int64((size + segment - 1) / segment))
		}
	}
}

// warm is how long packets pass before it is measured.
const warm = 500 * time.Millisecond

// stall is how long a window may stay full before what is missing counts as lost.
const stall = 20 * time.Millisecond

func transmit(l Load, flows []*flow, r *Result) error {
	epoch := time.Now()
	rx := &receiver{latencies: make([]int32, 0, 1<<20)}
	var err error
	if rx.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	defer unix.Close(rx.epoll)
	var ups, downs, all []*way
	for _, f := range flows {
		if err := errors.Join(rx.add(f.peer, &f.up, 0), rx.add(f.client, &f.down, channelHead)); err != nil {
			return fmt.Errorf("epoll_ctl: %w", err)
		}
		ups, downs = append(ups, &f.up), append(downs, &f.down)
	}
	all = append(slices.Clone(ups), downs...)
	var stopped atomic.Bool
	var senders, receivers sync.WaitGroup
	receivers.Go(func() { rx.run(epoch) })
	if l.PPS > 0 {
		// One thread for each direction, the bursts of all flows spread evenly.
		for k, set := range [][]*way{ups, downs} {
			step := time.Duration(float64(l.Burst) / l.PPS / float64(len(set)) * 1e9)
			senders.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0) // less precise without
				begin := time.Now().Add(step / 2 * time.Duration(k))
				for j := 0; !stopped.Load(); j++ {
					nap(time.Until(begin.Add(time.Duration(j) * step)))
					set[j%len(set)].send(l.Size, l.Burst, epoch)
				}
			})
		}
	} else {
		for _, w := range downs {
			w.send(l.Size, l.Burst, epoch) // each side is heard of, as ICE sees to
		}
		for _, w := range ups {
			senders.Go(func() { flat(l, w, &stopped, epoch) })
		}
	}
	sum := func() (sent, got int64) {
		for _, w := range all {
			sent, got = sent+w.sent.Load(), got+w.got.Load()
		}
		return sent, got
	}
	time.Sleep(warm)
	rx.measuring.Store(true)
	begin, cpu, others := time.Now(), processor(l.PID), aside()
	_, before := sum()
	time.Sleep(l.For)
	_, after := sum()
	used, besides, took := processor(l.PID)-cpu, aside()-others, time.Since(begin)
	rx.measuring.Store(false)
	stopped.Store(true)
	senders.Wait()
	time.Sleep(10 * stall) // what is on its way
	rx.stopped.Store(true)
	receivers.Wait()
	sent, got := sum()
	if after == before {
		return errors.New("nothing was relayed")
	}
	r.PPS = float64(after-before) / took.Seconds()
	r.CPUPerPacket = float64(used.Nanoseconds()) / 1000 / float64(after-before)
	r.TotalPerPacket = r.CPUPerPacket + float64(besides.Nanoseconds())/1000/float64(after-before)
	r.Loss = 1 - float64(got)/float64(sent)
	slices.Sort(rx.latencies)
	if n := len(rx.latencies); n > 0 {
		r.P50, r.P99 = time.Duration(rx.latencies[n/2])*time.Microsecond, time.Duration(rx.latencies[n*99/100])*time.Microsecond
	}
	return nil
}

// flat sends as fast as the window allows.
func flat(l Load, w *way, stopped *atomic.Bool, epoch time.Time) {
	lost, last, at := int64(0), int64(0), time.Now()
	for !stopped.Load() {
		got := w.got.Load()
		if got != last {
			last, at = got, time.Now()
		}
		if w.sent.Load()-got-lost+int64(l.Burst) > int64(l.Window) {
			if time.Since(at) > stall {
				lost = w.sent.Load() - got
			} else {
				nap(20 * time.Microsecond)
				continue
			}
		}
		w.send(l.Size, l.Burst, epoch)
	}
}

// nap sleeps without telling Go's scheduler, which is more precise.
func nap(d time.Duration) {
	if d <= 0 {
		return
	}
	ts := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// processor is the time that a process has used, of all its threads.
func processor(pid int) (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			if fields := strings.Fields(string(text)); len(fields) > 0 {
				ns, _ := strconv.ParseInt(fields[0], 10, 64)
				sum += time.Duration(ns)
			}
		}
	}
	return sum
}

// resident is the memory of a process in bytes.
func resident(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb * 1024
		}
	}
	return 0
}

// aside is the processor time of this process and of ksoftirqd.
func aside() time.Duration {
	sum := processor(os.Getpid())
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		if comm, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(comm), "ksoftirqd/") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			sum += processor(pid)
		}
	}
	return sum
}
