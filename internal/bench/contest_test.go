//go:build bench

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/lab"
)

const (
	raceTimeout = 2 * time.Minute // for one transfer
	lookEvery   = 20 * time.Millisecond
)

// A contest compares programs that move files on this machine. Files lie in
// memory, so that the disk is no part of it.
type contest struct {
	t        *testing.T
	dir      string
	carillon string
	floor    string
	server   *lab.Prosody
	sshd     *lab.SSHD
}

// newContest starts the servers and makes sure that there is memory for files
// of size bytes: pages that the machine has never touched cost more than
// others, and would be charged to whoever comes first.
func newContest(t *testing.T, size int64) *contest {
	t.Helper()
	lab.Need(t, "scp", "rsync")
	base := os.Getenv("CARILLON_BENCH_DIR")
	if base == "" {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "carillon-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if free := exchange.Free(dir); free < 3*size {
		t.Fatalf("%s has %d MB free, and %d are needed; CARILLON_BENCH_DIR names another folder in memory", base, free/1e6, 3*size/1e6)
	}
	c := &contest{t: t, dir: dir, carillon: lab.CarillonPath(t), floor: filepath.Join(t.TempDir(), "floor")}
	if out, err := exec.Command("go", "build", "-o", c.floor, "github.com/carillon-im/carillon/internal/bench/floor").CombinedOutput(); err != nil {
		t.Fatalf("build the floor: %v\n%s", err, out)
	}
	c.server, c.sshd = lab.StartProsody(t, lab.ProsodyConfig{}), lab.StartSSHD(t)
	c.fill(filepath.Join(dir, "touch"), 2*size)
	if err := os.Remove(filepath.Join(dir, "touch")); err != nil {
		t.Fatal(err)
	}
	return c
}

// fill writes a file that does not compress.
func (c *contest) fill(path string, size int64) {
	c.t.Helper()
	random, err := os.Open("/dev/urandom")
	if err != nil {
		c.t.Fatal(err)
	}
	defer random.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		c.t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = io.CopyN(f, random, size)
	if err := errors.Join(err, f.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// folder makes n files of size bytes each.
func (c *contest) folder(n int, size int64) string {
	c.t.Helper()
	dir := filepath.Join(c.dir, "src", fmt.Sprintf("%d-files", n))
	for i := range n {
		c.fill(filepath.Join(dir, fmt.Sprintf("f%05d", i)), size)
	}
	return dir
}

// A tool moves files from one place to another.
type tool struct {
	name    string
	receive func(dst string) *exec.Cmd // nil when the sender starts the other end
	send    func(src, dst string) *exec.Cmd
	servers []int // process ids of what works for it
}

// ours is carillon through Prosody. The receiver goes online at the same time,
// so that logging in and finding each other is part of what is measured.
func (c *contest) ours(args ...string) tool {
	return tool{
		name: "carillon",
		receive: func(dst string) *exec.Cmd {
			return c.program("bob", "receive", "--accept", "contacts", "--once", "--loopback", "--dir", dst)
		},
		send: func(src, _ string) *exec.Cmd {
			return c.program("alice", append([]string{"send", "--wait", "--loopback", src, c.server.JID("bob")}, args...)...)
		},
		servers: []int{c.server.PID()},
	}
}

// program is carillon with a home of its own.
func (c *contest) program(user string, args ...string) *exec.Cmd {
	cmd := exec.Command(c.carillon, append([]string{"--account", c.server.JID(user), "--server", "starttls://" + c.server.Addr, "--ca-file", c.server.CAFile}, args...)...)
	home := filepath.Join(c.dir, "home", user)
	// No bus: the keyring of whoever runs the benchmark is none of ours.
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "XDG_STATE_HOME=", "XDG_CACHE_HOME=",
		"CARILLON_PASSWORD="+lab.Password(user), "DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(home, "no-bus"))
	return cmd
}

func (c *contest) goTLS(hash string) tool {
	name := map[string]string{"plain": "Go TLS", "sha256": "Go TLS and SHA-256"}[hash]
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(lab.FreePort(c.t, "127.0.0.1")))
	return tool{
		name:    name,
		receive: func(dst string) *exec.Cmd { return exec.Command(c.floor, "recv", hash, addr, dst) },
		send:    func(src, _ string) *exec.Cmd { return exec.Command(c.floor, "send", hash, addr, src) },
	}
}

func (c *contest) scp() tool {
	return tool{name: "scp", servers: []int{c.sshd.PID()}, send: func(src, dst string) *exec.Cmd {
		return exec.Command("scp", slices.Concat([]string{"-q", "-r", "-P", strconv.Itoa(c.sshd.Port)}, c.sshd.Options, []string{src, c.sshd.Host + ":" + dst + "/"})...)
	}}
}

func (c *contest) rsync(args ...string) tool {
	return tool{name: strings.Join(append([]string{"rsync"}, args...), " "), servers: []int{c.sshd.PID()}, send: func(src, dst string) *exec.Cmd {
		return exec.Command("rsync", slices.Concat([]string{"-a", "-e", c.sshd.SSH}, args, []string{src, c.sshd.Host + ":" + dst + "/"})...)
	}}
}

// crocDelay is how long croc's receiver waits for its sender: one that comes
// first finds no room at the relay and fails.
const crocDelay = 500 * time.Millisecond

// croc is what it says, through a relay of its own on this machine. ok is false
// when it is not installed.
func (c *contest) croc(args ...string) (to tool, ok bool) {
	c.t.Helper()
	path, err := exec.LookPath("croc")
	if err != nil {
		c.t.Log("croc is not on the PATH and does not take part")
		return tool{}, false
	}
	var ports []string
	for range 5 {
		ports = append(ports, strconv.Itoa(lab.FreePort(c.t, "127.0.0.1")))
	}
	home := filepath.Join(c.dir, "home", "croc")
	if err := os.MkdirAll(home, 0o777); err != nil {
		c.t.Fatal(err)
	}
	program := func(args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "CROC_SECRET=1234-carillon-bench")
		return cmd
	}
	relay := c.begin(program("relay", "--host", "127.0.0.1", "--ports", strings.Join(ports, ",")))
	c.t.Cleanup(relay.kill)
	options := []string{"--relay", net.JoinHostPort("127.0.0.1", ports[0]), "--yes", "--ignore-stdin", "--disable-clipboard", "--overwrite"}
	options = append(options, args...)
	return tool{
		name: strings.Join(append([]string{"croc"}, args...), " "),
		receive: func(dst string) *exec.Cmd {
			cmd := program(slices.Concat(options, []string{"--out", dst})...)
			cmd.Path = "/bin/sh"
			cmd.Args = slices.Concat([]string{"sh", "-c", fmt.Sprintf(`sleep %g; exec "$@"`, crocDelay.Seconds()), "sh", path}, cmd.Args[1:])
			return cmd
		},
		send: func(src, _ string) *exec.Cmd {
			return program(append(slices.Clone(options), "send", "--no-local", src)...)
		},
		servers: []int{relay.cmd.Process.Pid},
	}, true
}

func (c *contest) cp() tool {
	return tool{name: "cp", send: func(src, dst string) *exec.Cmd { return exec.Command("cp", "-r", src, dst+"/") }}
}

// A run is what one transfer took.
type run struct {
	wall time.Duration // from the start of the commands to the end of both
	cpu  time.Duration // of everything that took part
	rss  int64         // bytes, of the larger of the two ends; of what they started, nothing
}

// A racer is a program that is running.
type racer struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
	err  error
	rss  int64 // valid after done
}

func (c *contest) begin(cmd *exec.Cmd) *racer {
	c.t.Helper()
	r := &racer{cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &r.out
	}
	cmd.Stderr = &r.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		c.t.Fatalf("start %s: %v", cmd.Path, err)
	}
	watched := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			r.rss = max(r.rss, peakMemory(cmd.Process.Pid))
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	}()
	go func() {
		r.err = cmd.Wait()
		close(ended)
		<-watched
		close(r.done)
	}()
	return r
}

// peakMemory returns the largest resident memory a process has had. What
// wait4 tells is that of the test when it forked, if it is more.
func peakMemory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kb int64
	fmt.Sscan(rest, &kb)
	return kb << 10
}

// kill is kill -9 of a racer and what it started.
func (r *racer) kill() {
	select {
	case <-r.done:
	default:
		syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) // a group of its own
		<-r.done
	}
}

func (r *racer) cpu() time.Duration {
	return r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime()
}

// start starts both ends, the receiver first.
func (c *contest) start(to tool, src, dst string) (ends []*racer) {
	c.t.Helper()
	if to.receive != nil {
		ends = append(ends, c.begin(to.receive(dst)))
	}
	return append(ends, c.begin(to.send(src, dst)))
}

// race moves src with a tool and looks at what arrived.
func (c *contest) race(to tool, src string) run {
	c.t.Helper()
	dst := c.empty()
	before := serverTime(c.t, to.servers)
	began := time.Now()
	ends := c.start(to, src, dst)
	c.finish(to, ends)
	r := run{wall: time.Since(began)}
	for _, e := range ends {
		r.cpu += e.cpu()
		r.rss = max(r.rss, e.rss)
	}
	settled(c.t, to.servers)
	r.cpu += serverTime(c.t, to.servers) - before
	if err := sameTree(src, filepath.Join(dst, filepath.Base(src))); err != nil {
		c.t.Fatalf("%s: %v", to.name, err)
	}
	return r
}

// finish waits for the end of both.
func (c *contest) finish(to tool, ends []*racer) {
	c.t.Helper()
	timeout := time.After(raceTimeout)
	for _, e := range ends {
		select {
		case <-e.done:
		case <-timeout:
			for _, e := range ends {
				e.kill()
			}
			c.t.Fatalf("%s: not done within %v", to.name, raceTimeout)
		}
		if e.err != nil {
			for _, e := range ends {
				e.kill()
			}
			c.t.Fatalf("%s: %v\n%s", to.name, e.err, e.out.String())
		}
	}
}

// empty returns an empty folder to receive into.
func (c *contest) empty() string {
	c.t.Helper()
	dst := filepath.Join(c.dir, "dst")
	if err := errors.Join(os.RemoveAll(dst), os.MkdirAll(dst, 0o777)); err != nil {
		c.t.Fatal(err)
	}
	return dst
}

// tick is the unit of times in /proc.
const tick = 10 * time.Millisecond

// serverTime returns the processor time of servers and of their children that
// have ended.
func serverTime(t *testing.T, pids []int) (d time.Duration) {
	t.Helper()
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(b)[bytes.LastIndexByte(b, ')')+1:])
		for _, s := range f[11:15] { // utime, stime, cutime, cstime
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			d += time.Duration(n) * tick
		}
	}
	return d
}

// children returns the processes that the servers have started, and theirs.
func children(pids []int) (list []int) {
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		for _, s := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(s); err == nil {
				list = append(list, n)
			}
		}
	}
	if len(list) > 0 {
		list = append(list, children(list)...)
	}
	return list
}

// settled waits until the servers' children have ended.
func settled(t *testing.T, pids []int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); len(children(pids)) > 0; time.Sleep(lookEvery) {
		if time.Now().After(end) {
			t.Fatal("a server's child does not end")
		}
	}
}

// sameTree compares files and folders.
func sameTree(want, got string) error {
	n, bufs := 0, newBuffers()
	err := filepath.WalkDir(want, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		rel, err := filepath.Rel(want, p)
		if err != nil {
			return err
		}
		return sameFile(p, filepath.Join(got, rel), bufs)
	})
	if err == nil && n == 0 {
		err = errors.New("nothing to compare")
	}
	return err
}

// buffers are what two files are compared with.
type buffers [2][]byte

func newBuffers() buffers { return buffers{make([]byte, 1<<20), make([]byte, 1<<20)} }

func sameFile(want, got string, bufs buffers) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := bufs[0], bufs[1]
	for {
		n, err := io.ReadFull(a, x)
		m, _ := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return fmt.Errorf("%s differs from %s", got, want)
		}
		if err != nil {
			return nil // both have ended
		}
	}
}

// A table is what several tools took, round by round.
type table map[string][]run

// interleave lets every tool do the same in turn, several times.
func (c *contest) interleave(rounds int, src string, tools ...tool) table {
	c.t.Helper()
	res := make(table)
	for range rounds {
		for _, to := range tools {
			res[to.name] = append(res[to.name], c.race(to, src))
		}
	}
	return res
}

func (b table) wall(name string) Figures {
	var f Figures
	for _, r := range b[name] {
		f = append(f, r.wall)
	}
	return f
}

func (b table) cpu(name string) Figures {
	var f Figures
	for _, r := range b[name] {
		f = append(f, r.cpu)
	}
	return f
}

// print shows the table, and our time and processor time as a share of the others'.
func (b table) print(t *testing.T, size int64, ours string, tools ...tool) {
	t.Helper()
	mb, gb := float64(size)/1e6, float64(size)/1e9
	var s strings.Builder
	fmt.Fprintf(&s, "%-24s %-34s %8s %18s %8s   %s\n", "", "wall", "MB/s", "CPU-s/GB, all", "RSS MiB", "carillon's time and CPU by this one's")
	for _, to := range tools {
		var rss int64
		for _, r := range b[to.name] {
			rss = max(rss, r.rss)
		}
		w, cpu := b.wall(to.name), b.cpu(to.name)
		fmt.Fprintf(&s, "%-24s %-34s %8.0f %18.2f %8d   %.2f %.2f\n", to.name, w, mb/w.Median().Seconds(), cpu.Median().Seconds()/gb, rss>>20,
			b.wall(ours).Median().Seconds()/w.Median().Seconds(), b.cpu(ours).Median().Seconds()/cpu.Median().Seconds())
	}
	t.Logf("%.0f MB\n%s", mb, s.String())
}
