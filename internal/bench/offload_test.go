//go:build bench && linux

package bench

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/internal/bench/relayload"
)

// What the relay's eBPF program gives, over a cable (veth) between two networks
// on this machine: clients and peers at one end, the relay at the other. What a
// program costs is charged to whoever is interrupted, here often the sender, so
// the time of the relay alone would flatter it: both ends count.
func TestBenchOffload(t *testing.T) {
	const marker = "CARILLON_BENCH_NETWORK"
	if os.Getenv(marker) == "" {
		if os.Geteuid() != 0 {
			t.Skip("making network namespaces needs root")
		}
		relay := filepath.Join(t.TempDir(), "carillon-turn")
		if out, err := exec.Command("go", "build", "-o", relay, "../../cmd/carillon-turn").CombinedOutput(); err != nil {
			t.Fatalf("build the relay: %v\n%s", err, out)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestBenchOffload$", "-test.v", "-test.count=1")
		cmd.Env = append(os.Environ(), marker+"="+relay)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	ways := []struct {
		name string
		args []string
	}{{"loops", nil}, {"eBPF", []string{"--ebpf", "near0"}}}
	for _, s := range []struct {
		name string
		load relayload.Load
	}{
		{"audio: 200 allocations, 50 packets/s of 160 bytes both ways", relayload.Load{Allocations: 200, Size: 160, Burst: 1, PPS: 50}},
		{"video: 20 at 2.6 Mbit/s both ways, bursts of 9", relayload.Load{Allocations: 20, Size: 1200, Burst: 9, PPS: 270}},
		{"bulk: 4 flows flat out, bursts of 32", relayload.Load{Allocations: 4, Size: 1200, Burst: 32, Window: 128}},
		{"bulk: 4 flows flat out, bursts of 32 merged", relayload.Load{Allocations: 4, Size: 1200, Burst: 32, Window: 128, Merged: true}},
	} {
		results := make([][]relayload.Result, len(ways))
		var program []float64
		for range relayRounds {
			for i, w := range ways {
				s.load.User, s.load.Password, s.load.For = "u", "p", relayTime
				r, ns := loadOverCable(t, os.Getenv(marker), w.args, s.load)
				results[i] = append(results[i], r)
				if ns > 0 {
					program = append(program, ns)
				}
			}
		}
		for i, w := range ways {
			of := func(f func(relayload.Result) float64) float64 { return medianOf(results[i], f) }
			t.Logf("%s; %s: of the relay %.2f µs a packet, of both ends and the kernel %.2f; %.0f packets/s, %.1f %% lost, at the other end after %.0f µs (p50), %.0f (p99)", s.name, w.name,
				of(func(r relayload.Result) float64 { return r.CPUPerPacket }), of(func(r relayload.Result) float64 { return r.TotalPerPacket }),
				of(func(r relayload.Result) float64 { return r.PPS }), 100*of(func(r relayload.Result) float64 { return r.Loss }),
				of(func(r relayload.Result) float64 { return float64(r.P50.Microseconds()) }), of(func(r relayload.Result) float64 { return float64(r.P99.Microseconds()) }))
		}
		slices.Sort(program)
		t.Logf("%s: the program took %.0f ns a packet", s.name, program[len(program)/2])
	}
}

// loadOverCable starts a relay in a network of its own and loads it. Nanoseconds
// are those of its eBPF program for each packet, 0 without one.
func loadOverCable(t *testing.T, relay string, args []string, load relayload.Load) (r relayload.Result, nanoseconds float64) {
	t.Helper()
	near, far := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	ip := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	cmd := exec.Command("sh", "-c", `read cable && ip link set lo up && ip addr add 10.77.0.1/24 dev near0 && ip link set near0 up && exec "$@"`, "sh",
		relay, "run", "--listen", "10.77.0.1:3478", "--relay-ip", "10.77.0.1", "--realm", "bench", "--user", "u:p", "--allow-peer", "10.77.0.0/24")
	cmd.Args = append(cmd.Args, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	ip("link add near0 type veth peer name far0")
	ip("link set near0 netns " + strconv.Itoa(cmd.Process.Pid))
	ip("addr add 10.77.0.2/24 dev far0")
	ip("link set far0 up")
	defer ip("link del far0")
	if len(args) > 0 {
		defer receive(t, "far0")()
	}
	fmt.Fprintln(stdin)

	log, serving := make([]byte, 0, 4096), false
	for !serving {
		b := make([]byte, 4096)
		n, err := stderr.Read(b)
		if log = append(log, b[:n]...); err != nil {
			t.Fatalf("the relay ended: %v\n%s", err, log)
		}
		serving = strings.Contains(string(log), "msg=serving")
	}
	go io.Copy(io.Discard, stderr)
	load.Server, load.At, load.PID = netip.AddrPortFrom(near, 3478), far, cmd.Process.Pid
	if r, err = relayload.Run(load); err != nil {
		t.Fatal(err)
	}
	return r, ranFor(t)
}

// receive lets an interface have what a program at the other end of the cable
// sends back, which it has only if it has a program of its own.
func receive(t *testing.T, name string) (end func()) {
	t.Helper()
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2 /* XDP_PASS */), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	at, err := link.AttachXDP(link.XDPOptions{Program: pass, Interface: ifi.Index})
	if err != nil {
		t.Fatal(err)
	}
	return func() { at.Close(); pass.Close() }
}

// ranFor is what a run of the relay's eBPF program took.
func ranFor(t *testing.T) (nanoseconds float64) {
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if err != nil {
			return nanoseconds
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue
		}
		info, err := p.Info()
		s, errStats := p.Stats()
		p.Close()
		if err == nil && errStats == nil && info.Name == "relay" && s.RunCount > 0 {
			nanoseconds = float64(s.Runtime.Nanoseconds()) / float64(s.RunCount)
		}
	}
}
