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

	"github.com/carillon-im/carillon/ft/internal/safename"
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
	// Holder is the name of the journal whose lock stands for that of this one;
	// empty when this one is locked itself while it is used.
	Holder string `json:"holder,omitempty"`
}

// A root is a file or folder at the top of a transfer while it is received.
type root struct {
	entry   Entry
	first   int      // index of its entry in the manifest
	part    string   // path of NAME.part
	file    *os.File // the journal, locked; nil where the lock of another stands for it
	journal journal
	resumed bool
	gone    bool  // committed or discarded: nothing of it is ours any more
	size    int64 // bytes of all its files
	prior   int64 // bytes that earlier attempts had brought
	kept    int64 // of them, proved right and not sent again
	got     int64 // bytes settled in this attempt
}

// Limits of a claimer.
const (
	// maxLocked bounds the journals that a transfer keeps open for their locks,
	// so that one of many roots does not use up the descriptors of the process.
	maxLocked = 64
	// maxResumable is how many unfinished transfers of one name are looked
	// through for one that goes on.
	maxResumable = 8
	// maxRaces is how often a name found free may be taken by somebody else
	// before we take it.
	maxRaces = 8
	// maxWaits bounds how often a transfer waits for somebody who only looks
	// whether a journal is locked.
	maxWaits = 64
)

// A claimer finds or makes the .part of each root of a transfer in dir.
type claimer struct {
	dir, peer string
	size      int64           // bytes of the transfer
	locked    map[string]bool // names of the journals that we hold open
	holder    string          // the first of them, whose lock stands for roots without an open journal
	waits     int
}

func newClaimer(dir, peer string, size int64) *claimer {
	return &claimer{dir: dir, peer: peer, size: size, locked: make(map[string]bool)}
}

// claim finds or makes the .part of one root. One that another transfer is
// using, or that belongs to somebody else, is left alone.
func (c *claimer) claim(e Entry, index int) (*root, error) {
	name := safename.Visible(e.Path)
	r, err := (*root)(nil), error(nil)
	for i := 0; i < maxResumable && r == nil && err == nil; i++ {
		r, err = c.try(e, index, numbered(name, i))
	}
	for i := 0; i < maxRaces && r == nil && err == nil; i++ {
		free, ok := freeName(name, func(name string) bool { return c.exists(name+journalSuffix) || c.exists(name+partSuffix) })
		if !ok {
			break
		}
		r, err = c.try(e, index, free)
	}
	if r == nil && err == nil {
		err = fs.ErrExist
	}
	if err != nil {
		return nil, fmt.Errorf("start receiving %q: %w", e.Path, err)
	}
	return r, nil
}

func (c *claimer) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(c.dir, name))
	return err == nil
}

// try takes the .part with this name for a root if it may be, and returns nil
// otherwise.
func (c *claimer) try(e Entry, index int, name string) (*root, error) {
	r := &root{entry: e, first: index, part: filepath.Join(c.dir, name+partSuffix)}
	f, err := os.OpenFile(r.journalPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ok, err := c.take(r, f)
	if !ok || err != nil || r.file == nil {
		f.Close()
	}
	if !ok || err != nil {
		return nil, err
	}
	return r, nil
}

// take makes r the owner of the journal in f if it may be.
func (c *claimer) take(r *root, f *os.File) (bool, error) {
	if locked, err := c.lockPatiently(f); err != nil || !locked {
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
		r.journal = journal{Version: 1, Peer: c.peer, Name: r.entry.Path, Dir: r.entry.Dir}
		return true, c.own(r, f)
	}
	var j journal
	if json.Unmarshal(b[:n], &j) != nil || j.Version != 1 || j.Peer != c.peer || j.Name != r.entry.Path || j.Dir != r.entry.Dir {
		return false, nil
	}
	if exists && part.IsDir() != r.entry.Dir || exists && !part.IsDir() && !part.Mode().IsRegular() {
		return false, nil
	}
	if j.Holder != "" && !c.locked[j.Holder] && inUse(holderPath(c.dir, j.Holder)) {
		return false, nil
	}
	r.journal, r.resumed = j, exists
	if exists {
		r.prior = j.Received
	}
	return true, c.own(r, f)
}

// own notes in the journal f that r is ours. f stays open for its lock while
// there are not too many of them.
func (c *claimer) own(r *root, f *os.File) error {
	r.journal.Offer, r.journal.Holder = c.size, ""
	name := filepath.Base(f.Name())
	if len(c.locked) >= maxLocked {
		r.journal.Holder = c.holder
		return r.write(f)
	}
	r.file, c.locked[name] = f, true
	if c.holder == "" {
		c.holder = name
	}
	return r.write(f)
}

// holderPath returns where the journal lies whose lock stands for another's.
func holderPath(dir, holder string) string { return filepath.Join(dir, filepath.Base(holder)) }

// inUse reports whether a transfer holds a journal.
func inUse(journal string) bool {
	f, err := os.OpenFile(journal, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	used, err := lockedByOther(f)
	return err == nil && used
}

// lockPatiently allows for somebody who only looks whether it is locked.
func (c *claimer) lockPatiently(f *os.File) (bool, error) {
	for range 3 {
		if ok, err := lock(f); ok || err != nil || c.waits == maxWaits {
			return ok, err
		}
		c.waits++
		time.Sleep(10 * time.Millisecond)
	}
	return lock(f)
}

// freeName returns name, or name with a number, so that taken says no. It asks
// some forty times at most, however many are taken, and finds the lowest number
// when there are no gaps.
func freeName(name string, taken func(string) bool) (string, bool) {
	if !taken(name) {
		return name, true
	}
	low, high := 0, 1 // taken; asked next
	for taken(numbered(name, high)) {
		if high >= maxNumber {
			return "", false
		}
		low, high = high, 2*high
	}
	for high-low > 1 {
		if middle := (low + high) / 2; taken(numbered(name, middle)) {
			low = middle
		} else {
			high = middle
		}
	}
	return numbered(name, high), true
}

func sameFile(f *os.File, info fs.FileInfo) bool {
	own, err := f.Stat()
	return err == nil && os.SameFile(own, info)
}

func (r *root) journalPath() string { return strings.TrimSuffix(r.part, partSuffix) + journalSuffix }

// write writes the journal to f in one piece.
func (r *root) write(f *os.File) error {
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
	_, err := f.WriteAt(b.Bytes(), 0)
	return err
}

// note writes how much has come, which the next attempt compares with what it
// can keep.
func (r *root) note() error {
	if r.gone || r.journal.Received == r.got {
		return nil
	}
	r.journal.Received = r.got
	f := r.file
	if f == nil {
		var err error
		if f, err = os.OpenFile(r.journalPath(), os.O_WRONLY, 0); err != nil {
			return fmt.Errorf("note progress of %q: %w", r.entry.Path, err)
		}
		defer f.Close()
	}
	if err := r.write(f); err != nil {
		return fmt.Errorf("note progress of %q: %w", r.entry.Path, err)
	}
	return nil
}

// close gives up the lock.
func (r *root) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// rel returns where an entry of this root lies while it is received, relative
// to the receiving folder.
func (r *root) rel(e Entry) string {
	return filepath.Base(r.part) + filepath.FromSlash(strings.TrimPrefix(e.Path, r.entry.Path))
}

// commit moves the .part to its name, or to one with a number that is free,
// and removes the journal.
func (r *root) commit(dir string) (string, error) {
	err := error(fs.ErrExist)
	for i := 0; i < maxRaces && errors.Is(err, fs.ErrExist); i++ {
		to := r.next(dir)
		if to == "" {
			break
		}
		if err = renameNew(r.part, to); err == nil {
			os.Remove(r.journalPath())
			r.gone = true
			return to, nil
		}
	}
	return "", fmt.Errorf("give %q its name: %w", r.entry.Path, err)
}

// next returns the name that commit will most likely give; empty when there is
// none.
func (r *root) next(dir string) string {
	name, ok := freeName(safename.Visible(r.entry.Path), func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	})
	if !ok {
		return ""
	}
	return filepath.Join(dir, name)
}

// discard removes everything of a root that is not wanted any more.
func (r *root) discard() {
	os.RemoveAll(r.part)
	os.Remove(r.journalPath())
	r.gone = true
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

	holder string // path of the journal whose lock stands for its own, if any
}

// Active reports whether a partial transfer is being received now.
func (p Partial) Active() bool {
	return inUse(p.Path+".journal") || p.holder != "" && inUse(p.holder)
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
			p := Partial{Name: j.Name, Peer: j.Peer, Path: strings.TrimSuffix(name, ".journal"), Dir: j.Dir, Offer: j.Offer, Received: j.Received, Updated: j.Updated}
			if j.Holder != "" {
				p.holder = holderPath(dir, j.Holder)
			}
			list = append(list, p)
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
