package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names of what lies in the folder while a transfer is under way.
const (
	partSuffix    = ".part"
	journalSuffix = ".part.journal"
	journalSize   = 4096 // bytes; written whole, so that a crash leaves the old or the new; the longest address has 3071
)

// A journal says whose a .part is. It is a hint where to look, nothing in it
// is believed about the data.
type journal struct {
	Version  int       `json:"version"`
	Peer     string    `json:"peer"`
	Name     string    `json:"name"`
	Dir      bool      `json:"dir"`
	Offer    int64     `json:"offer"`    // bytes of the transfer that was accepted
	Received int64     `json:"received"` // bytes that came in all attempts and were right
	Updated  time.Time `json:"updated"`
}

// A root is a file or folder at the top of a transfer while it is received.
type root struct {
	entry   Entry
	first   int    // index of its entry in the manifest
	part    string // path of NAME.part
	file    *os.File
	journal journal
	resumed bool
	size    int64 // bytes of all its files
	prior   int64 // bytes that earlier attempts had brought
	kept    int64 // of them, proved right and not sent again
	got     int64 // bytes settled in this attempt
}

// claim finds or makes the .part of a root in dir, for a transfer of size
// bytes. One that another transfer is using, or that belongs to somebody else,
// is left alone.
func claim(dir, peer string, e Entry, index int, size int64) (*root, error) {
	for i := range maxNumber {
		name := e.Path
		if i > 0 {
			name = numbered(e.Path, i)
		}
		r := &root{entry: e, first: index, part: filepath.Join(dir, name+partSuffix)}
		f, err := os.OpenFile(filepath.Join(dir, name+journalSuffix), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("start receiving %q: %w", e.Path, err)
		}
		ok, err := r.take(f, peer, size)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("start receiving %q: %w", e.Path, err)
		}
		if ok {
			return r, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("start receiving %q: %w", e.Path, fs.ErrExist)
}

// take makes r the owner of the journal in f if it may be.
func (r *root) take(f *os.File, peer string, size int64) (bool, error) {
	if locked, err := lockPatiently(f); err != nil || !locked {
		return false, err
	}
	if now, err := os.Stat(f.Name()); err != nil || !sameFile(f, now) {
		return false, nil // finished and removed by its owner in between
	}
	b := make([]byte, journalSize)
	n, _ := f.ReadAt(b, 0)
	part, err := os.Lstat(r.part)
	exists := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if n == 0 {
		if exists {
			os.Remove(f.Name()) // a .part that is not ours; the journal was made just now
			return false, nil
		}
		r.journal = journal{Version: 1, Peer: peer, Name: r.entry.Path, Dir: r.entry.Dir, Offer: size}
		r.file = f
		return true, r.save()
	}
	var j journal
	if json.Unmarshal(b[:n], &j) != nil || j.Version != 1 || j.Peer != peer || j.Name != r.entry.Path || j.Dir != r.entry.Dir {
		return false, nil
	}
	if exists && part.IsDir() != r.entry.Dir || exists && !part.IsDir() && !part.Mode().IsRegular() {
		return false, nil
	}
	r.journal, r.file, r.resumed = j, f, exists
	if exists {
		r.prior = j.Received
	}
	r.journal.Offer = size
	return true, r.save()
}

// lockPatiently allows for somebody who only looks whether it is locked.
func lockPatiently(f *os.File) (bool, error) {
	for range 3 {
		if ok, err := lock(f); ok || err != nil {
			return ok, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return lock(f)
}

func sameFile(f *os.File, info fs.FileInfo) bool {
	own, err := f.Stat()
	return err == nil && os.SameFile(own, info)
}

// save writes the journal in one piece.
func (r *root) save() error {
	r.journal.Updated = time.Now().UTC().Truncate(time.Second)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a name of 200 times & fits
	if err := enc.Encode(r.journal); err != nil {
		return err
	}
	if b.Len() > journalSize {
		return fmt.Errorf("journal of %q: name is too long", r.entry.Path)
	}
	b.WriteString(strings.Repeat(" ", journalSize-b.Len()))
	_, err := r.file.WriteAt(b.Bytes(), 0)
	return err
}

// note writes how much has come, which the next attempt compares with what it
// can keep.
func (r *root) note() error {
	r.journal.Received = r.got
	if err := r.save(); err != nil {
		return fmt.Errorf("note progress of %q: %w", r.entry.Path, err)
	}
	return nil
}

// rel returns where an entry of this root lies while it is received, relative
// to the receiving folder.
func (r *root) rel(e Entry) string {
	return filepath.Base(r.part) + filepath.FromSlash(strings.TrimPrefix(e.Path, r.entry.Path))
}

// commit moves the .part to its name, or to the next free one, and removes the
// journal.
func (r *root) commit(dir string) (string, error) {
	for i := range maxNumber {
		name := r.entry.Path
		if i > 0 {
			name = numbered(name, i)
		}
		to := filepath.Join(dir, name)
		err := renameNew(r.part, to)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("give %q its name: %w", r.entry.Path, err)
		}
		os.Remove(r.file.Name())
		return to, nil
	}
	return "", fmt.Errorf("give %q its name: %w", r.entry.Path, fs.ErrExist)
}

// next returns the name that commit will most likely give.
func (r *root) next(dir string) string {
	for i := range maxNumber {
		name := r.entry.Path
		if i > 0 {
			name = numbered(name, i)
		}
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// discard removes everything of a root that is not wanted any more.
func (r *root) discard() {
	os.RemoveAll(r.part)
	os.Remove(r.file.Name())
}

// A Partial is a transfer that was begun and not finished.
type Partial struct {
	Name     string // of the file or folder
	Peer     string
	Path     string // of NAME.part
	Dir      bool
	Offer    int64 // bytes of the transfer that was accepted
	Received int64
	Updated  time.Time
}

// Active reports whether a partial transfer is being received now.
func (p Partial) Active() bool {
	f, err := os.OpenFile(p.Path+".journal", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	free, err := lock(f)
	return err == nil && !free
}

// Partials lists what lies unfinished in dir.
func Partials(dir string) ([]Partial, error) {
	names, err := filepath.Glob(filepath.Join(globEscape(dir), "*"+journalSuffix))
	if err != nil {
		return nil, err
	}
	var list []Partial
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		b := make([]byte, journalSize)
		n, _ := f.ReadAt(b, 0)
		f.Close()
		var j journal
		if json.Unmarshal(b[:n], &j) == nil && j.Version == 1 {
			list = append(list, Partial{Name: j.Name, Peer: j.Peer, Path: strings.TrimSuffix(name, ".journal"), Dir: j.Dir, Offer: j.Offer, Received: j.Received, Updated: j.Updated})
		}
	}
	slices.SortFunc(list, func(a, b Partial) int { return b.Updated.Compare(a.Updated) })
	return list, nil
}

// Forget removes a partial transfer and what it received.
func Forget(p Partial) error {
	if p.Active() {
		return fmt.Errorf("forget %q: it is being received now", p.Name)
	}
	if err := os.RemoveAll(p.Path); err != nil {
		return fmt.Errorf("forget %q: %w", p.Name, err)
	}
	return os.Remove(p.Path + ".journal")
}

func globEscape(dir string) string {
	return strings.NewReplacer(`*`, `[*]`, `?`, `[?]`, `[`, `[[]`).Replace(dir)
}
