package lab

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// An archive is what Linux unpacks into its first file system: cpio in its
// format newc, as initramfs documentation of the kernel describes it.
type archive struct {
	w      io.Writer
	err    error // the first
	inode  int
	at     int64           // bytes written
	folder map[string]bool // those that are there
}

// Kinds of files, as stat(2) has them.
const (
	modeFolder  = 0o040000
	modeFile    = 0o100000
	modeCharDev = 0o020000
)

func newArchive(w io.Writer) *archive { return &archive{w: w, folder: map[string]bool{".": true}} }

// add appends an entry, and the folders above it. The device is that of a node.
func (a *archive) add(name string, mode int, major, minor int, size int64, content io.Reader) {
	a.above(name)
	a.entry(name, mode, major, minor, size, content)
}

func (a *archive) above(name string) {
	dir := path.Dir(name)
	if a.folder[dir] {
		return
	}
	a.above(dir)
	a.folder[dir] = true
	a.entry(dir, modeFolder|0o755, 0, 0, 0, strings.NewReader(""))
}

func (a *archive) entry(name string, mode int, major, minor int, size int64, content io.Reader) {
	a.inode++
	fields := []any{a.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, len(name) + 1, 0}
	a.copy(strings.NewReader("070701" + fmt.Sprintf(strings.Repeat("%08X", len(fields)), fields...) + name + "\x00"))
	a.pad()
	if n := a.copy(content); a.err == nil && n != size {
		a.err = fmt.Errorf("%s has %d bytes instead of %d", name, n, size)
	}
	a.pad()
}

func (a *archive) copy(r io.Reader) int64 {
	if a.err != nil {
		return 0
	}
	n, err := io.Copy(a.w, r)
	a.at += n
	a.err = err
	return n
}

func (a *archive) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// pad fills up to a multiple of four.
func (a *archive) pad() { a.copy(strings.NewReader("\x00\x00\x00"[:(4-a.at%4)%4])) }

// text adds a file.
func (a *archive) text(name, content string) {
	a.add(name, modeFile|0o644, 0, 0, int64(len(content)), strings.NewReader(content))
}

// file adds one that is on this machine.
func (a *archive) file(name, from string) {
	f, err := os.Open(from)
	if err != nil {
		a.fail(err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		a.fail(err)
		return
	}
	a.add(name, modeFile|0o755, 0, 0, info.Size(), f)
}

// close ends the archive.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, 0, 0, 0, strings.NewReader(""))
	return a.err
}
