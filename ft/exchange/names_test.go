package exchange

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A contact whose files are taken without asking must not be able to leave
// settings in a home folder.
func TestLeadingDotsDoNotStay(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	random(t, filepath.Join(from, ".profile"), 100, 1)
	random(t, filepath.Join(from, ".config/autostart/x.desktop"), 100, 2)
	random(t, filepath.Join(from, "project/.git/config"), 100, 3)
	src := scan(t, filepath.Join(from, ".profile"), filepath.Join(from, ".config"), filepath.Join(from, "project"))
	a, b := streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "m"})
	if o.sendErr != nil || o.getErr != nil {
		t.Fatal(o.sendErr, o.getErr)
	}
	same(t, filepath.Join(from, ".profile"), filepath.Join(to, "_.profile"))
	same(t, filepath.Join(from, ".config"), filepath.Join(to, "_.config"))
	same(t, filepath.Join(from, "project"), filepath.Join(to, "project"))

	p, err := ReceivePlain(PlainOffer{Name: ".bashrc", Size: 0}, ReceiveOptions{Dir: to, Peer: "m"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, b := streams(t); p.Receive(t.Context(), b) != nil {
		t.Fatal("an empty file is not received")
	}
	res, _, err := p.Commit(nil)
	if err != nil || res.Paths[0] != filepath.Join(to, "_.bashrc") {
		t.Errorf("a plain file: %+v, %v", res, err)
	}
	list, err := os.ReadDir(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is there", e.Name())
		}
	}
}

func TestHiddenRootGoesOn(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	random(t, filepath.Join(from, ".big"), 6<<20, 1)
	src := scan(t, filepath.Join(from, ".big"))
	ctx, cancel := context.WithCancel(t.Context())
	a, b := streams(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Send(t.Context(), a, src, SendOptions{})
	}()
	Receive(ctx, b, ReceiveOptions{Dir: to, Peer: "m", Progress: func(p Progress) {
		if p.Bytes >= 3<<20 {
			cancel()
		}
	}})
	cancel()
	<-done
	list, err := Partials(to)
	if err != nil || len(list) != 1 || list[0].Name != ".big" || filepath.Base(list[0].Path) != "_.big.part" {
		t.Fatalf("unfinished: %+v, %v", list, err)
	}
	a, b = streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "m"})
	if o.getErr != nil || o.sent.Kept < 3<<20 {
		t.Errorf("kept %d bytes, %v", o.sent.Kept, o.getErr)
	}
	same(t, filepath.Join(from, ".big"), filepath.Join(to, "_.big"))
}

// Names that collide cost about as much as others, however many there are.
func TestCollidingNames(t *testing.T) {
	const n = 10_000
	list := make([]Entry, n)
	for i := range list {
		list[i] = Entry{Path: "a.txt", ModTime: time.Unix(1, 0)}
	}
	var m manifestReader
	if err := m.add(entries(list...)); err != nil {
		t.Fatal(err)
	}
	if got, want := m.entries[n-1].Path, fmt.Sprintf("a (%d).txt", n-1); got != want {
		t.Errorf("the last became %q, want %q", got, want)
	}
	if got := m.number["a.txt"]; got != n-1 {
		t.Errorf("%d numbers were tried, want %d", got, n-1)
	}
}

func TestFreeNameAsksLittle(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 999, 1000, 10_000, maxNumber} {
		have := make(map[string]bool)
		for i := range n {
			have[numbered("a.txt", i)] = true
		}
		asked := 0
		got, ok := freeName("a.txt", func(name string) bool { asked++; return have[name] })
		if want := numbered("a.txt", n); !ok || got != want || asked > 45 {
			t.Errorf("%d taken: %q, %t, asked %d times; want %q", n, got, ok, asked, want)
		}
	}
	asked := 0
	if got, ok := freeName("a", func(string) bool { asked++; return true }); ok || asked > 45 {
		t.Errorf("everything taken: %q, asked %d times", got, asked)
	}
}

func TestNameTakenAThousandTimes(t *testing.T) {
	dir := t.TempDir()
	for i := range 1200 {
		for _, suffix := range []string{"", journalSuffix} { // files that are there, and transfers of others
			if err := os.WriteFile(filepath.Join(dir, numbered("f", i)+suffix), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	from := filepath.Join(t.TempDir(), "f")
	random(t, from, 100, 1)
	a, b := streams(t)
	o := exchange(t, a, b, scan(t, from), SendOptions{}, ReceiveOptions{Dir: dir, Peer: "m"})
	if o.getErr != nil {
		t.Fatal(o.getErr)
	}
	same(t, from, filepath.Join(dir, "f (1200)"))
}

// One lock stands for those of many roots.
func TestManyRoots(t *testing.T) {
	const n = 3 * maxLocked
	from, to := t.TempDir(), t.TempDir()
	var paths []string
	for i := range n {
		p := filepath.Join(from, fmt.Sprintf("%03d", i))
		random(t, p, 20_000, uint64(i))
		paths = append(paths, p)
	}
	last := filepath.Join(from, "z") // so that there is progress with all the rest under way
	random(t, last, 3<<20, 7)
	paths = append(paths, last)
	src := scan(t, paths...)
	looked := false
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, b := streams(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Send(t.Context(), a, src, SendOptions{})
	}()
	_, err := Receive(ctx, b, ReceiveOptions{Dir: to, Peer: "m", Progress: func(p Progress) {
		if p.Bytes < 20_000*n+1<<20 || looked {
			return
		}
		looked = true
		defer cancel()
		if fds, err := os.ReadDir("/proc/self/fd"); err == nil && len(fds) > maxLocked+40 {
			t.Errorf("%d descriptors are open for %d roots", len(fds), n)
		}
		list, err := Partials(to)
		if err != nil || len(list) != n+1 {
			t.Fatalf("%d unfinished, %v", len(list), err)
		}
		for _, p := range list {
			if !p.Active() || Forget(p) == nil {
				t.Errorf("%s is not in use", p.Name)
			}
		}
		// The same peer begins one of them beside.
		c := newClaimer(to, "m", 5)
		r, err := c.claim(Entry{Path: "190", Size: 5}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r.resumed || filepath.Base(r.part) != "190 (1).part" {
			t.Errorf("what another transfer uses was taken: %s", r.part)
		}
		r.discard()
		r.close()
	}})
	<-done
	if !looked || !errors.Is(err, context.Canceled) {
		t.Fatalf("the first attempt: looked %t, %v", looked, err)
	}
	list, err := Partials(to)
	if err != nil || len(list) != n+1 || slices.ContainsFunc(list, Partial.Active) {
		t.Fatalf("after the first attempt: %d unfinished, %v", len(list), err)
	}
	a, b = streams(t)
	o := exchange(t, a, b, src, SendOptions{}, ReceiveOptions{Dir: to, Peer: "m"})
	if o.getErr != nil || o.sent.Kept < 20_000*n {
		t.Fatalf("kept %d, %v", o.sent.Kept, o.getErr)
	}
	if want := filepath.Join(to, "000"); len(o.got.Paths) != n+1 || o.got.Paths[0] != want {
		t.Errorf("paths: %d, the first %s, want %s", len(o.got.Paths), o.got.Paths[0], want)
	}
	for _, p := range paths {
		same(t, p, filepath.Join(to, filepath.Base(p)))
	}
}
