package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft/internal/safename"
	"go.uber.org/goleak"
	"lukechampine.com/blake3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// random writes a file of n bytes that no two seeds share.
func random(t testing.TB, path string, n int64, seed uint64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}), n); err != nil {
		t.Fatal(err)
	}
}

// streams returns two ends of a TCP connection on loopback.
func streams(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		var err error
		a, err = net.Dial("tcp", l.Addr().String())
		done <- err
	}()
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return a, b
}

// outcome is how both sides of a transfer ended.
type outcome struct {
	sent, got       *Result
	sendErr, getErr error
}

func exchange(t testing.TB, a, b Stream, src *Source, so SendOptions, ro ReceiveOptions) (o outcome) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.sent, o.sendErr = Send(t.Context(), a, src, so)
	}()
	o.got, o.getErr = Receive(t.Context(), b, ro)
	<-done
	return o
}

func scan(t testing.TB, paths ...string) *Source {
	t.Helper()
	s, err := Scan(t.Context(), paths...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// same fails unless both trees have the same files, contents, times and bits.
func same(t testing.TB, want, got string) {
	t.Helper()
	list := func(root string) map[string]string {
		m := make(map[string]string)
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode()&fs.ModeSymlink != 0 {
				return nil
			}
			rel, _ := filepath.Rel(root, p)
			s := fmt.Sprint(info.IsDir(), info.Mode()&0o111 != 0, info.ModTime().UnixNano())
			if !info.IsDir() {
				b, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				s += fmt.Sprintf(" %x", sha256.Sum256(b))
			}
			m[rel] = s
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	w, g := list(want), list(got)
	for name, s := range w {
		if g[name] != s {
			t.Errorf("%s: got %q, want %q", name, g[name], s)
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

func TestFolderArrivesAsItIs(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	root := filepath.Join(from, "holiday photos")
	for i, n := range []int64{0, 1, 1000, 1 << 20, 1<<20 + 1, 5<<20 + 17} {
		random(t, filepath.Join(root, "sizes", fmt.Sprint(n, ".bin")), n, uint64(i))
	}
	for i := range 300 {
		random(t, filepath.Join(root, "many", fmt.Sprint(i%7), fmt.Sprint(i)), int64(i*10), uint64(100+i))
	}
	os.MkdirAll(filepath.Join(root, "empty", "inside"), 0o777)
	os.WriteFile(filepath.Join(root, "run.sh"), []byte("#!/bin/sh\n"), 0o755)
	os.Symlink("/etc/passwd", filepath.Join(root, "link"))
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	os.Chtimes(filepath.Join(root, "run.sh"), old, old)
	os.Chtimes(filepath.Join(root, "empty"), old, old)
	random(t, filepath.Join(from, "single.iso"), 3<<20, 9)

	src := scan(t, root, filepath.Join(from, "single.iso"))
	if src.Skipped != 1 {
		t.Errorf("skipped = %d, want the one symbolic link", src.Skipped)
	}
	a, b := streams(t)
	var last Progress
	o := exchange(t, a, b, src, SendOptions{SHA256: true}, ReceiveOptions{Dir: to, Peer: "a", SHA256: true, Progress: func(p Progress) { last = p }})
	if o.sendErr != nil || o.getErr != nil {
		t.Fatalf("sender: %v, receiver: %v", o.sendErr, o.getErr)
	}
	same(t, root, filepath.Join(to, "holiday photos"))
	same(t, filepath.Join(from, "single.iso"), filepath.Join(to, "single.iso"))
	if left, _ := filepath.Glob(filepath.Join(to, "*.part*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	if size := src.Manifest.Size(); o.got.Bytes != size || o.sent.Bytes != size || o.got.Wire != size || last.Bytes != size {
		t.Errorf("bytes: received %d, sent %d, wire %d, progress %d; want %d", o.got.Bytes, o.sent.Bytes, o.got.Wire, last.Bytes, size)
	}
	if len(o.got.Files) != src.Manifest.Files() || len(o.sent.Files) != len(o.got.Files) {
		t.Errorf("%d and %d files in the results, want %d", len(o.sent.Files), len(o.got.Files), src.Manifest.Files())
	}
	for _, res := range []*Result{o.sent, o.got} {
		for _, f := range res.Files {
			data, _ := os.ReadFile(filepath.Join(from, f.Path))
			if sum := sha256.Sum256(data); !bytes.Equal(f.SHA256, sum[:]) || f.BLAKE3 != blake3.Sum256(data) {
				t.Errorf("%s: hashes differ from the file's", f.Path)
			}
		}
	}
}

// A cut stream fails after a number of bytes were read from it.
type cut struct {
	net.Conn
	left int
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.Conn.Close()
		return 0, errors.New("cut")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func TestResumeSendsOnlyWhatIsMissing(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	root := filepath.Join(from, "r")
	random(t, filepath.Join(root, "big"), 20<<20+5, 1)
	for i := range 200 {
		random(t, filepath.Join(root, "small", fmt.Sprint(i)), 20_000, uint64(i+2))
	}
	src := scan(t, root)
	total := src.Manifest.Size()
	rnd := rand.New(rand.NewPCG(1, 2))
	var wire int64
	cuts := 0
	for {
		a, b := streams(t)
		var end Stream = b
		if cuts < 12 {
			end = &cut{b, 1 + rnd.IntN(int(total)/4)}
		}
		o := exchange(t, a, end, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
		wire += o.got.Wire
		if cuts++; o.getErr == nil {
			if o.sendErr != nil {
				t.Fatal(o.sendErr)
			}
			break
		}
		if cuts > 13 {
			t.Fatal(o.getErr)
		}
	}
	if cuts < 3 {
		t.Fatalf("only %d attempts: nothing was resumed", cuts)
	}
	same(t, root, filepath.Join(to, "r"))
	// What a cut costs is at most one frame that was on its way.
	if again := wire - total; again > int64(cuts)*maxBody {
		t.Errorf("%d bytes sent again in %d attempts", again, cuts)
	}
}

func TestPartialDataIsNeverTrusted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(part, journal string) error
	}{
		{"part of another file", func(part, _ string) error { return os.WriteFile(part, bytes.Repeat([]byte("x"), 6<<20), 0o666) }},
		{"part longer than the file", func(part, _ string) error { return os.Truncate(part, 50<<20) }},
		{"part cut short", func(part, _ string) error { return os.Truncate(part, 1<<20+3) }},
		{"part gone", func(part, _ string) error { return os.Remove(part) }},
		{"one bit flipped", func(part, _ string) error {
			f, err := os.OpenFile(part, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{0xA5, 0x5A, 1}, 1<<20+77)
			return err
		}},
		{"journal lies about bytes", func(_, j string) error {
			b, _ := os.ReadFile(j)
			return os.WriteFile(j, bytes.Replace(b, []byte(`"received":`), []byte(`"received":99`), 1), 0o600)
		}},
		{"journal is garbage", func(_, j string) error { return os.WriteFile(j, []byte("\x00\xff{{"), 0o600) }},
		{"journal is empty", func(_, j string) error { return os.WriteFile(j, nil, 0o600) }},
		{"part is a symbolic link", func(part, _ string) error {
			os.Remove(part)
			return os.Symlink("/dev/null", part)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, to := t.TempDir(), t.TempDir()
			file := filepath.Join(from, "f.iso")
			random(t, file, 5<<20+9, 3)
			src := scan(t, file)
			a, b := streams(t)
			if o := exchange(t, a, &cut{b, 3 << 20}, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"}); o.getErr == nil {
				t.Fatal("the first attempt was not cut")
			}
			if err := tt.spoil(filepath.Join(to, "f.iso.part"), filepath.Join(to, "f.iso.part.journal")); err != nil {
				t.Fatal(err)
			}
			a, b = streams(t)
			o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
			if o.sendErr != nil || o.getErr != nil {
				t.Fatalf("sender: %v, receiver: %v", o.sendErr, o.getErr)
			}
			same(t, file, o.got.Paths[0])
		})
	}
}

func TestPartialDataOfAnotherPeerIsLeftAlone(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	file := filepath.Join(from, "f")
	random(t, file, 4<<20, 3)
	src := scan(t, file)
	a, b := streams(t)
	exchange(t, a, &cut{b, 3 << 20}, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "alice"})
	a, b = streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "mallory"})
	if o.getErr != nil || o.got.Kept != 0 {
		t.Fatalf("mallory's transfer: %v, kept %d bytes of alice's", o.getErr, o.got.Kept)
	}
	a, b = streams(t)
	o = exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "alice"})
	if o.getErr != nil || o.got.Kept < 2<<20 {
		t.Fatalf("alice's transfer: %v, kept %d bytes", o.getErr, o.got.Kept)
	}
	if got := filepath.Base(o.got.Paths[0]); got != "f (1)" {
		t.Errorf("alice's file is %q; mallory's has the name already", got)
	}
}

// A peer sends a file that, under its own name, would make it the owner of
// somebody else's partial data.
func TestJournalCannotBeSent(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	forged := `{"version":1,"peer":"mallory","name":"diary","dir":false}`
	os.WriteFile(filepath.Join(from, "diary.part.journal"), []byte(forged), 0o666)
	os.WriteFile(filepath.Join(from, "diary"), []byte("theirs"), 0o666)
	mine := filepath.Join(to, "diary.part")
	os.WriteFile(mine, []byte("secret"), 0o666)
	for _, name := range []string{"diary.part.journal", "diary"} {
		a, b := streams(t)
		o := exchange(t, a, b, scan(t, filepath.Join(from, name)), SendOptions{}, ReceiveOptions{Dir: to, Peer: "mallory"})
		if o.getErr != nil {
			t.Fatal(o.getErr)
		}
	}
	if b, err := os.ReadFile(mine); err != nil || string(b) != "secret" {
		t.Errorf("%s is %q, %v", mine, b, err)
	}
}

// The journal of every name that is accepted fits.
func TestNameOfCharactersThatJSONEscapes(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	file := filepath.Join(from, strings.Repeat("&", safename.MaxName))
	os.WriteFile(file, []byte("x"), 0o666)
	a, b := streams(t)
	peer := strings.Repeat("ü", 511) + "@" + strings.Repeat("x", 1023)
	o := exchange(t, a, b, scan(t, file), SendOptions{}, ReceiveOptions{Dir: to, Peer: peer})
	if o.getErr != nil {
		t.Fatal(o.getErr)
	}
	same(t, file, o.got.Paths[0])
}

func TestNothingIsOverwritten(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	file := filepath.Join(from, "a.tar.gz")
	random(t, file, 1000, 3)
	os.WriteFile(filepath.Join(to, "a.tar.gz"), []byte("mine"), 0o666)
	os.WriteFile(filepath.Join(to, "a.tar.gz.part"), []byte("mine too"), 0o666)
	src := scan(t, file)
	for i, want := range []string{"a (1).tar.gz", "a (2).tar.gz"} {
		a, b := streams(t)
		o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
		if o.getErr != nil {
			t.Fatal(o.getErr)
		}
		if got := filepath.Base(o.got.Paths[0]); got != want {
			t.Errorf("transfer %d became %q, want %q", i, got, want)
		}
	}
	for name, want := range map[string]string{"a.tar.gz": "mine", "a.tar.gz.part": "mine too"} {
		if b, _ := os.ReadFile(filepath.Join(to, name)); string(b) != want {
			t.Errorf("%s was changed to %q", name, b)
		}
	}
}

func TestChangedAndVanishedFilesAreNamed(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	root := filepath.Join(from, "d")
	for i, name := range []string{"a-small", "b-grows", "c-gone", "d-big"} {
		random(t, filepath.Join(root, name), []int64{10, 3 << 20, 2 << 20, 4 << 20}[i], uint64(i))
	}
	src := scan(t, root)
	f, _ := os.OpenFile(filepath.Join(root, "b-grows"), os.O_APPEND|os.O_WRONLY, 0)
	f.WriteString("more")
	f.Close()
	os.Remove(filepath.Join(root, "c-gone"))
	a, b := streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
	if o.sendErr != nil || o.getErr != nil {
		t.Fatalf("sender: %v, receiver: %v", o.sendErr, o.getErr)
	}
	failed := o.sent.Failed()
	if len(failed) != 2 || !errors.Is(failed[0].Err, ErrChanged) || !errors.Is(failed[1].Err, fs.ErrNotExist) {
		t.Errorf("sender's failed files: %+v", failed)
	}
	if got := o.got.Failed(); len(got) != 2 || strings.Contains(got[1].Err.Error(), from) {
		t.Errorf("receiver's failed files: %+v", got)
	}
	names, _ := filepath.Glob(filepath.Join(to, "d", "*"))
	if len(names) != 2 {
		t.Errorf("arrived: %q, want the two whole files", names)
	}
}

func TestRefusalReachesTheSender(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	random(t, filepath.Join(from, "f"), 10, 1)
	a, b := streams(t)
	o := exchange(t, a, b, scan(t, filepath.Join(from, "f")), SendOptions{}, ReceiveOptions{Dir: to, Accept: func(Manifest) error { return errors.New("over the quota of this contact") }})
	var said *PeerError
	if !errors.As(o.sendErr, &said) || said.Text != "over the quota of this contact" {
		t.Errorf("sender got %v", o.sendErr)
	}
	if left, _ := os.ReadDir(to); len(left) > 0 {
		t.Errorf("a refused transfer left %v", left)
	}
}

// Who stops with everything read has nothing put in its place, and all of it the
// next time.
func TestStoppedAtTheLastByte(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	random(t, filepath.Join(from, "f"), 3<<20, 1)
	src := scan(t, filepath.Join(from, "f"))
	a, b := streams(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Send(t.Context(), a, src, SendOptions{})
	}()
	_, err := Receive(ctx, b, ReceiveOptions{Dir: to, Peer: "m", Progress: func(p Progress) {
		if p.Bytes == p.Total {
			cancel()
		}
	}})
	<-done
	if list, _ := Partials(to); !errors.Is(err, context.Canceled) || len(list) != 1 {
		t.Fatalf("%v, and %d unfinished", err, len(list))
	}
	a, b = streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "m"})
	if o.getErr != nil || o.sent.Kept != 3<<20 {
		t.Fatalf("kept %d, %v", o.sent.Kept, o.getErr)
	}
	same(t, filepath.Join(from, "f"), filepath.Join(to, "f"))
}

// A context that ends when everything is done makes it no failure.
func TestStoppedAfterTheEnd(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	go io.Copy(io.Discard, b)
	ctx, cancel := context.WithCancel(t.Context())
	if err := newLink(a).run(ctx, func(context.Context) error { cancel(); return nil }); err != nil {
		t.Error(err)
	}
}

func TestPauseIsTold(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	random(t, filepath.Join(from, "f"), 40<<20, 1)
	a, b := streams(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Send(ctx, a, scan(t, filepath.Join(from, "f")), SendOptions{Limit: 20 << 20, Progress: func(p Progress) {
			if p.Bytes > 2<<20 {
				cancel()
			}
		}})
		done <- err
	}()
	_, err := Receive(t.Context(), b, ReceiveOptions{Dir: to, Peer: "a"})
	if !errors.Is(err, ErrPaused) {
		t.Errorf("receiver: %v, want ErrPaused", err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("sender: %v, want context.Canceled", err)
	}
	list, err := Partials(to)
	if err != nil || len(list) != 1 || list[0].Name != "f" || list[0].Peer != "a" || list[0].Active() || list[0].Received == 0 {
		t.Fatalf("partial transfers: %+v, %v", list, err)
	}
	if err := Forget(list[0]); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(to); len(left) > 0 {
		t.Errorf("after forgetting: %v", left)
	}
}
