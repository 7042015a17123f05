//go:build bench

package bench

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/bench/relayload"
	"github.com/carillon-im/carillon/internal/lab"
)

const (
	relayRounds = 3
	relayTime   = 3 * time.Second
	relayStart  = 10 * time.Second
)

// Our relay and coturn in turn, in one run: what a packet and an allocation
// cost. The machine is the same for both and as busy, so the ratios are what
// counts.
func TestBenchRelay(t *testing.T) {
	lab.Need(t, "turnserver")
	dir := t.TempDir()
	ours := filepath.Join(dir, "carillon-turn")
	if out, err := exec.Command("go", "build", "-o", ours, "../../cmd/carillon-turn").CombinedOutput(); err != nil {
		t.Fatalf("build the relay: %v\n%s", err, out)
	}
	conf := filepath.Join(dir, "turn.conf")
	if err := os.WriteFile(conf, []byte("listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nallow-loopback-peers\nlt-cred-mech\nuser=u:p\nrealm=bench\nno-tls\nno-dtls\nno-cli\nno-stdout-log\nlog-file="+
		filepath.Join(dir, "log")+"\npidfile="+filepath.Join(dir, "pid")+"\nuserdb="+filepath.Join(dir, "db")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	relays := []struct {
		name    string
		command func(port int) *exec.Cmd
	}{
		{"coturn", func(port int) *exec.Cmd { return exec.Command("turnserver", "-c", conf, "-p", strconv.Itoa(port)) }},
		{"Carillon", func(port int) *exec.Cmd {
			return exec.Command(ours, "run", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--relay-ip", "127.0.0.1", "--realm", "bench", "--user", "u:p", "--allow-peer", "127.0.0.0/8")
		}},
		{"Carillon, nothing gathered", func(port int) *exec.Cmd {
			return exec.Command(ours, "run", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--relay-ip", "127.0.0.1", "--realm", "bench", "--user", "u:p", "--allow-peer", "127.0.0.0/8", "--gather-us=-1")
		}},
	}
	for _, s := range []struct {
		name string
		load relayload.Load
	}{
		{"audio: 200 allocations, 50 packets/s of 160 bytes both ways", relayload.Load{Allocations: 200, Size: 160, Burst: 1, PPS: 50, For: relayTime}},
		{"video: 20 at 2.6 Mbit/s both ways, bursts of 9 merged", relayload.Load{Allocations: 20, Size: 1200, Burst: 9, PPS: 270, Merged: true, For: relayTime}},
		{"bulk: 4 flows flat out, bursts of 32 merged", relayload.Load{Allocations: 4, Size: 1200, Burst: 32, Window: 128, Merged: true, For: relayTime}},
		{"idle: 5,000 allocations with a channel each", relayload.Load{Allocations: 5000, Size: 160, Burst: 1}},
	} {
		t.Run(s.name, func(t *testing.T) {
			results := make([][]relayload.Result, len(relays))
			for range relayRounds {
				for i, r := range relays {
					s.load.User, s.load.Password = "u", "p"
					results[i] = append(results[i], loadRelay(t, r.command, s.load))
				}
			}
			base := results[0]
			for i, r := range relays {
				median := func(of func(relayload.Result) float64) (own, ratio float64) {
					own = medianOf(results[i], of)
					return own, own / medianOf(base, of)
				}
				if s.load.For == 0 {
					rate, rateRatio := median(func(r relayload.Result) float64 { return r.AllocationsPerSecond })
					cpu, cpuRatio := median(func(r relayload.Result) float64 { return r.CPUPerAllocation })
					memory, memoryRatio := median(func(r relayload.Result) float64 { return r.MemoryPerAllocation })
					t.Logf("%s: %.0f allocations/s (%.2f of coturn), %.0f µs each (%.2f), %.1f kB of memory each (%.2f)", r.name, rate, rateRatio, cpu, cpuRatio, memory, memoryRatio)
					continue
				}
				cpu, cpuRatio := median(func(r relayload.Result) float64 { return r.CPUPerPacket })
				pps, ppsRatio := median(func(r relayload.Result) float64 { return r.PPS })
				p50, _ := median(func(r relayload.Result) float64 { return float64(r.P50.Microseconds()) })
				p99, _ := median(func(r relayload.Result) float64 { return float64(r.P99.Microseconds()) })
				loss, _ := median(func(r relayload.Result) float64 { return r.Loss })
				t.Logf("%s: %.2f µs a packet (%.3f of coturn), %.0f packets/s (%.2f), %.1f %% lost, at the other end after %.0f µs (p50), %.0f µs (p99)",
					r.name, cpu, cpuRatio, pps, ppsRatio, loss*100, p50, p99)
			}
		})
	}
}

func medianOf(results []relayload.Result, of func(relayload.Result) float64) float64 {
	var all []float64
	for _, r := range results {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// loadRelay starts a relay, loads it, and ends it.
func loadRelay(t *testing.T, command func(port int) *exec.Cmd, load relayload.Load) relayload.Result {
	t.Helper()
	port := lab.FreePort(t, "127.0.0.1")
	cmd := command(port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	load.Server = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	load.PID = cmd.Process.Pid
	for end := time.Now().Add(relayStart); !bound(t, port); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not serve", cmd.Path)
		}
	}
	time.Sleep(200 * time.Millisecond) // all its sockets
	r, err := relayload.Run(load)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bound says whether somebody has a UDP port, without taking it even for a moment.
func bound(t *testing.T, port int) bool {
	t.Helper()
	sockets, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(sockets), fmt.Sprintf(":%04X ", port))
}
