//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
)

const (
	bigFile    = 1 << 30 // bytes
	bigRounds  = 5
	fileRounds = 5
)

// A file of 1 GiB, memory to memory, by what people would use.
func TestBenchFile(t *testing.T) {
	c := newContest(t, bigFile)
	src := filepath.Join(c.dir, "src", "big.bin")
	c.fill(src, bigFile)
	tools := []tool{c.ours(), c.scp(), c.rsync(), c.goTLS("sha256"), c.goTLS("plain"), c.cp()}
	for _, args := range [][]string{nil, {"--no-compress"}} { // what comes does not compress
		if croc, ok := c.croc(args...); ok {
			tools = append(tools, croc)
		}
	}
	res := c.interleave(bigRounds, src, tools...)
	res.print(t, bigFile, "carillon", tools...)
}

// Folders of small files.
func TestBenchFolders(t *testing.T) {
	for _, tt := range []struct {
		files int
		size  int64
	}{{1000, 64 << 10}, {10_000, 4 << 10}} {
		t.Run(fmt.Sprintf("%d files of %d KiB", tt.files, tt.size>>10), func(t *testing.T) {
			c := newContest(t, 256<<20)
			src := c.folder(tt.files, tt.size)
			tools := []tool{c.ours(), c.scp(), c.rsync(), c.goTLS("sha256"), c.cp()}
			if croc, ok := c.croc(); ok {
				tools = append(tools, croc)
			}
			res := c.interleave(fileRounds, src, tools...)
			res.print(t, int64(tt.files)*tt.size, "carillon", tools...)
		})
	}
}

// crossed returns the bytes that have crossed the loopback interface.
func crossed(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^\s*lo:\s*(\d+)`).FindSubmatch(b)
	if m == nil {
		t.Fatal("no interface lo")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kill -9 of both ends when half of 1 GiB has crossed, and the same commands
// again. What crosses the interface is counted, headers of TCP and IP and all.
func TestBenchResume(t *testing.T) {
	c := newContest(t, bigFile)
	src := filepath.Join(c.dir, "src", "big.bin")
	c.fill(src, bigFile)
	for _, to := range []tool{c.ours(), c.scp(), c.rsync(), c.rsync("--append-verify")} {
		dst := c.empty()
		zero := crossed(t)
		ends := c.start(to, src, dst)
		for end := time.Now().Add(raceTimeout); crossed(t)-zero < bigFile/2; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s does not come to half", to.name)
			}
		}
		var others []int
		if to.receive == nil { // its other half is a child of a server
			others = children(to.servers)
		}
		for _, e := range ends {
			syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
		}
		for _, pid := range others {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		for _, e := range ends {
			<-e.done
		}
		settled(t, to.servers)
		first := crossed(t) - zero
		left := treeSize(dst)
		zero = crossed(t)
		began := time.Now()
		c.finish(to, c.start(to, src, dst))
		took := time.Since(began)
		second := crossed(t) - zero
		if err := sameFile(src, filepath.Join(dst, "big.bin"), newBuffers()); err != nil {
			t.Fatalf("%s: %v", to.name, err)
		}
		again := max(0, float64(first+second)-1.005*bigFile) // half a percent is headers
		t.Logf("%-24s killed at %4d MiB, %4d MiB left on disk; then %4d MiB in %.1f s: %5.1f %% of what had gone was sent again",
			to.name, first>>20, left>>20, second>>20, took.Seconds(), 100*again/float64(first))
	}
}

// treeSize returns the bytes of all files below a folder.
func treeSize(dir string) (n int64) {
	filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// A sparse file of 20 GiB: what both ends keep in memory does not grow with it.
func TestBenchMemory(t *testing.T) {
	const size = 20 << 30
	c := newContest(t, 64<<20)
	src := filepath.Join(c.dir, "src", "sparse.bin")
	c.fill(src, 1<<20)
	if err := os.Truncate(src, size); err != nil {
		t.Fatal(err)
	}
	to := c.ours()
	dst := c.empty()
	began := time.Now()
	ends := c.start(to, src, dst)
	c.finish(to, ends)
	took := time.Since(began)
	info, err := os.Stat(filepath.Join(dst, "sparse.bin"))
	if err != nil || info.Size() != size {
		t.Fatalf("what arrived: %v, %v", info, err)
	}
	t.Logf("20 GiB, sparse: %.0f s (%.0f MB/s); resident memory: receiver %d MiB, sender %d MiB", took.Seconds(), size/1e6/took.Seconds(), ends[0].rss>>20, ends[1].rss>>20)
}

// From the command to the first byte of the file on the receiver's disk, with
// the receiver online.
func TestBenchFirstByte(t *testing.T) {
	const times = 20
	c := newContest(t, 64<<20)
	src := filepath.Join(c.dir, "src", "first.bin")
	bob := lab.StartCarillon(t, c.carillon, lab.CarillonConfig{Server: c.server, User: "bob", Args: []string{"receive", "--accept", "contacts", "--loopback", "--dir", c.empty()}})
	bob.Wait("online")
	var first, whole Figures
	for range times {
		c.fill(src, 4<<20) // new content each time: nothing of it is there
		began := time.Now()
		ends := []*racer{c.begin(c.program("alice", "send", "--loopback", src, c.server.JID("bob")))}
		first = append(first, bob.Wait("progress").Time.Sub(began))
		c.finish(c.ours(), ends)
		whole = append(whole, time.Since(began))
		bob.Wait("done")
	}
	t.Logf("from the command to the first byte: %v; to the end of the command with 4 MiB: %v", first, whole)
}
