package exchange

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of size bytes.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestWhatDoesNotFitIsRefusedBeforeItIsSent(t *testing.T) {
	from, to := t.TempDir(), smallDisk(t, "size=4m")
	random(t, filepath.Join(from, "f"), 5<<20, 1)
	a, b := streams(t)
	o := exchange(t, a, b, scan(t, filepath.Join(from, "f")), SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
	var said *PeerError
	if !errors.Is(o.getErr, ErrDiskFull) || !errors.As(o.sendErr, &said) || said.Text != ErrDiskFull.Error() {
		t.Errorf("receiver: %v, sender: %v; want a full disk, and to be told", o.getErr, o.sendErr)
	}
	if o.got.Wire != 0 {
		t.Errorf("%d bytes came all the same", o.got.Wire)
	}
	if left, _ := os.ReadDir(to); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// The disk is filled by somebody else under way: the transfer says so, keeps
// what it has, and goes on when there is room.
func TestDiskThatBecomesFull(t *testing.T) {
	from, to := t.TempDir(), smallDisk(t, "size=12m")
	file := filepath.Join(from, "f")
	random(t, file, 8<<20, 1)
	other := filepath.Join(to, "other")
	src := scan(t, file)
	a, b := streams(t)
	filled := false
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a", Progress: func(p Progress) {
		if p.Bytes >= 3<<20 && !filled {
			filled = true
			os.WriteFile(other, make([]byte, 8<<20), 0o600) // as much as fits
		}
	}})
	var said *PeerError
	if !errors.Is(o.getErr, ErrDiskFull) || !errors.As(o.sendErr, &said) || said.Text != ErrDiskFull.Error() {
		t.Fatalf("receiver: %v, sender: %v; want a full disk, and to be told", o.getErr, o.sendErr)
	}
	if _, err := os.Stat(filepath.Join(to, "f")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a file has its name: %v", err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	a, b = streams(t)
	o = exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
	if o.getErr != nil || o.got.Kept < 2<<20 {
		t.Fatalf("with room again: %v, %d bytes kept", o.getErr, o.got.Kept)
	}
	same(t, file, filepath.Join(to, "f"))
}

func TestReadOnlyFolder(t *testing.T) {
	from, to := t.TempDir(), smallDisk(t, "ro")
	random(t, filepath.Join(from, "f"), 10, 1)
	if err := CheckDir(to); !errors.Is(err, syscall.EROFS) {
		t.Errorf("CheckDir: %v, want %v", err, syscall.EROFS)
	}
	a, b := streams(t)
	o := exchange(t, a, b, scan(t, filepath.Join(from, "f")), SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
	var said *PeerError
	if !errors.Is(o.getErr, syscall.EROFS) || !errors.As(o.sendErr, &said) || said.Text != "read-only file system" {
		t.Errorf("receiver: %v, sender: %v", o.getErr, o.sendErr)
	}
}

// A disk image that is mostly zeros takes no more space here than there.
func TestZerosBecomeHoles(t *testing.T) {
	const size = 64<<20 + 5
	from, to := t.TempDir(), t.TempDir()
	file := filepath.Join(from, "disk.img")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 7<<20 + 3, 40 << 20} {
		if _, err := f.WriteAt([]byte("data"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	src := scan(t, file)
	a, b := streams(t)
	if o := exchange(t, a, &cut{b, 30 << 20}, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"}); o.getErr == nil {
		t.Fatal("the first attempt was not cut")
	}
	a, b = streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
	if o.getErr != nil || o.got.Kept < 28<<20 {
		t.Fatalf("%v, %d bytes kept", o.getErr, o.got.Kept)
	}
	same(t, file, filepath.Join(to, "disk.img"))
	var s syscall.Stat_t
	if err := syscall.Stat(filepath.Join(to, "disk.img"), &s); err != nil {
		t.Fatal(err)
	}
	if got := s.Blocks * 512; got > 8<<20 {
		t.Errorf("it takes %d bytes of the disk, want the blocks with data", got)
	}
}
