package exchange

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft/internal/safename"
)

// Two who receive the same name into one folder at once do not meet, whoever
// sends it.
func TestTwoReceiversOfOneName(t *testing.T) {
	for _, peers := range [][2]string{{"a", "b"}, {"a", "a"}} {
		from, to := t.TempDir(), t.TempDir()
		var names []string
		done := make(chan outcome, 2)
		for i := range 2 {
			file := filepath.Join(from, fmt.Sprint(i), "f.bin")
			random(t, file, 6<<20, uint64(i+1))
			a, b := streams(t)
			go func() {
				done <- exchange(t, a, b, scan(t, file), SendOptions{Limit: 20 << 20}, ReceiveOptions{Dir: to, Peer: peers[i]})
			}()
		}
		for range 2 {
			o := <-done
			if o.sendErr != nil || o.getErr != nil {
				t.Fatalf("sender: %v, receiver: %v", o.sendErr, o.getErr)
			}
			names = append(names, filepath.Base(o.got.Paths[0]))
		}
		if slices.Sort(names); names[0] != "f (1).bin" || names[1] != "f.bin" {
			t.Errorf("names = %q", names)
		}
		var sizes int64
		for _, n := range names {
			info, err := os.Stat(filepath.Join(to, n))
			if err != nil {
				t.Fatal(err)
			}
			sizes += info.Size()
		}
		if sizes != 12<<20 {
			t.Errorf("both have %d bytes together", sizes)
		}
	}
}

// A manifest without end is refused at its limit, and what it takes meanwhile
// is bounded.
func TestManifestOfAMillionFiles(t *testing.T) {
	a, b := streams(t)
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		a.Write(script{}.hello())
		for i := 0; i < 1_000_000; {
			var body []byte
			for range 10_000 {
				body = appendEntry(body, Entry{Path: fmt.Sprintf("f%07d", i), Size: 1, ModTime: time.Unix(1, 0)})
				i++
			}
			if _, err := a.Write(script{}.frame(frameManifest, body)); err != nil {
				break
			}
		}
		a.Close()
	}()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	dir := t.TempDir()
	_, err := Receive(t.Context(), b, ReceiveOptions{Dir: dir})
	runtime.ReadMemStats(&after)
	<-stop
	if !errors.Is(err, ErrManifest) {
		t.Errorf("error = %v, want ErrManifest", err)
	}
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 150<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// The longest paths there may be arrive, and longer ones are named before
// anything is sent.
func TestLongPaths(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	t.Chdir(from)
	part := strings.Repeat("d", safename.MaxName)
	deep := filepath.Join("r", part, part, part, part, part)
	random(t, filepath.Join(deep, strings.Repeat("f", safename.MaxName)), 10, 1)
	a, b := streams(t)
	o := exchange(t, a, b, scan(t, "r"), SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
	if o.sendErr != nil || o.getErr != nil {
		t.Fatalf("sender: %v, receiver: %v", o.sendErr, o.getErr)
	}
	same(t, filepath.Join(from, "r"), filepath.Join(to, "r"))

	deeper := "s"
	for range safename.MaxDepth {
		deeper = filepath.Join(deeper, "d")
	}
	random(t, filepath.Join(deeper, "f"), 10, 1)
	if _, err := Scan(t.Context(), "s"); !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), "deeper than") {
		t.Errorf("error = %v, want the path that is too deep", err)
	}
	os.MkdirAll("n", 0o777)
	long := strings.Repeat("ü", 120) + ".txt" // 244 bytes: a name that files may have
	if err := os.WriteFile(filepath.Join("n", long), []byte("x"), 0o600); err != nil {
		t.Skipf("this disk has no such names: %v", err)
	}
	a, b = streams(t)
	o = exchange(t, a, b, scan(t, "n"), SendOptions{}, ReceiveOptions{Dir: to, Peer: "a"})
	if o.getErr != nil {
		t.Fatal(o.getErr)
	}
	names, _ := filepath.Glob(filepath.Join(to, "n", "*.txt"))
	if len(names) != 1 || len(filepath.Base(names[0])) > safename.MaxName {
		t.Errorf("arrived as %q", names)
	}
}

// A file that shrinks or is written to while it is read is not taken for the
// one that was offered.
func TestFileThatChangesUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(path string) error
	}{
		{"cut short", func(p string) error { return os.Truncate(p, 3<<20) }},
		{"written to", func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("changed"), 9<<20)
			return errors.Join(err, f.Close(), os.Chtimes(p, time.Time{}, time.Now().Add(time.Second)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, to := t.TempDir(), t.TempDir()
			file := filepath.Join(from, "f")
			random(t, file, 12<<20, 1)
			changed := false
			a, b := streams(t)
			o := exchange(t, a, b, scan(t, file), SendOptions{Progress: func(p Progress) {
				if p.Bytes > 1<<20 && !changed {
					changed = true
					if err := tt.change(file); err != nil {
						t.Error(err)
					}
				}
			}, Limit: 20 << 20}, ReceiveOptions{Dir: to, Peer: "a"})
			if o.sendErr != nil || o.getErr != nil {
				t.Fatalf("sender: %v, receiver: %v", o.sendErr, o.getErr)
			}
			for who, res := range map[string]*Result{"sender": o.sent, "receiver": o.got} {
				if f := res.Failed(); len(f) != 1 || !strings.Contains(f[0].Err.Error(), ErrChanged.Error()) {
					t.Errorf("%s: failed files %+v, want the one that changed", who, f)
				}
			}
			if left, _ := os.ReadDir(to); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// FuzzJournal lets anything be in the journal of an earlier transfer: nothing
// of another peer's is taken, and what is taken arrives whole.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"version":1,"peer":"a","name":"f","dir":false,"received":1,"updated":"2026-11-26T00:00:00Z"}`), []byte("part"))
	f.Add([]byte(`{"version":1,"peer":"b","name":"f","received":9223372036854775807}`), []byte{})
	f.Add([]byte(`{"version":1,"peer":"a","name":"f","received":-9223372036854775808}`), []byte("x"))
	f.Add([]byte("\x00\xff{{"), []byte("x"))
	f.Fuzz(func(t *testing.T, journal, part []byte) {
		dir := t.TempDir()
		j, p := filepath.Join(dir, "f"+journalSuffix), filepath.Join(dir, "f"+partSuffix)
		if err := errors.Join(os.WriteFile(j, journal, 0o600), os.WriteFile(p, part, 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := Partials(dir); err != nil {
			t.Fatal(err)
		}
		s := script{}.hello().frame(frameManifest, entries(Entry{Path: "f", Size: 3, ModTime: time.Unix(1, 0)})).frame(frameEnd).
			frame(framePack, packed(0, []byte("abc"))).frame(frameEnd)
		res, err := receiveScript(t, s, dir)
		if err != nil {
			t.Fatalf("journal %q: %v", journal, err)
		}
		if got, err := os.ReadFile(res.Paths[0]); string(got) != "abc" {
			t.Errorf("journal %q: arrived as %q, %v", journal, got, err)
		}
		if strings.Contains(string(journal), `"peer":"b"`) && len(journal) <= journalSize {
			if got, err := os.ReadFile(p); err != nil || string(got) != string(part) {
				t.Errorf("what b had sent is %q now: %v", got, err)
			}
		}
	})
}

// A transfer that ends before anything came leaves nothing, however many
// files it was to have.
func TestNothingIsLeftWhereNothingCame(t *testing.T) {
	list := []Entry{{Path: "d", Dir: true, ModTime: time.Unix(1, 0)}}
	for i := range 20 {
		list = append(list, Entry{Path: fmt.Sprint(i), Size: 2 << 20, ModTime: time.Unix(1, 0)})
	}
	dir := t.TempDir()
	_, err := receiveScript(t, script{}.hello().frame(frameManifest, entries(list...)).frame(frameEnd), dir)
	if err == nil {
		t.Fatal("a stream that ended early is no error")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}
