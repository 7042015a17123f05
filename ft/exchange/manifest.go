package exchange

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/carillon-im/carillon/ft/internal/safename"
)

// Limits of a manifest. A transfer over them is refused with ErrManifest.
const (
	MaxEntries   = 250_000 // files and folders
	maxNameBytes = 16 << 20
	maxTotalSize = 1 << 50 // bytes of all files together, so that sums of sizes stay far from overflow
)

// ErrManifest reports a manifest that breaks its rules.
var ErrManifest = errors.New("manifest is not acceptable")

// An Entry is one file or folder of a transfer.
type Entry struct {
	Path    string // slash-separated; the first part is the name of a root
	Dir     bool
	Exec    bool // the executable bit of a file
	Size    int64
	ModTime time.Time
}

// A Manifest lists everything that a transfer carries: each folder before what
// is in it, files in the order they are sent.
type Manifest []Entry

// Size returns the bytes of all files together.
func (m Manifest) Size() (n int64) {
	for _, e := range m {
		n += e.Size
	}
	return n
}

// Files returns the number of files, not counting folders.
func (m Manifest) Files() (n int) {
	for _, e := range m {
		if !e.Dir {
			n++
		}
	}
	return n
}

// Roots returns the names at the top: what the sender chose to send.
func (m Manifest) Roots() (names []string) {
	for _, e := range m {
		if !strings.Contains(e.Path, "/") {
			names = append(names, e.Path)
		}
	}
	return names
}

// Flags of an encoded entry.
const (
	flagDir  = 1 << 0
	flagExec = 1 << 1
)

// appendEntry encodes e: flags, size, modification time in nanoseconds since
// 1970, and the path with its length.
func appendEntry(b []byte, e Entry) []byte {
	var flags byte
	if e.Dir {
		flags |= flagDir
	}
	if e.Exec {
		flags |= flagExec
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = binary.AppendVarint(b, e.ModTime.UnixNano())
	b = binary.AppendUvarint(b, uint64(len(e.Path)))
	return append(b, e.Path...)
}

// A manifestReader collects and checks the entries of a peer.
type manifestReader struct {
	entries Manifest
	kind    map[string]bool // path -> is a folder
	number  map[string]int  // path that came more than once -> the highest number given to it
	bytes   int             // of names
	total   int64           // of files
}

// add decodes the entries in p and checks each: safe, unique, and below a
// folder that came before it.
func (r *manifestReader) add(p []byte) error {
	if r.kind == nil {
		r.kind = make(map[string]bool)
	}
	for len(p) > 0 {
		if len(r.entries) == MaxEntries {
			return fmt.Errorf("%w: more than %d files and folders", ErrManifest, MaxEntries)
		}
		flags := p[0]
		size, n := binary.Uvarint(p[1:])
		if n <= 0 || size > uint64(maxTotalSize-r.total) {
			return fmt.Errorf("%w: impossible size", ErrManifest)
		}
		r.total += int64(size)
		p = p[1+n:]
		nanos, n := binary.Varint(p)
		if n <= 0 {
			return fmt.Errorf("%w: impossible time", ErrManifest)
		}
		p = p[n:]
		l, n := binary.Uvarint(p)
		if n <= 0 || l > safename.MaxPath || uint64(len(p)-n) < l {
			return fmt.Errorf("%w: impossible path", ErrManifest)
		}
		name := string(p[n : n+int(l)])
		p = p[n+int(l):]
		if r.bytes += len(name); r.bytes > maxNameBytes {
			return fmt.Errorf("%w: names take more than %d bytes", ErrManifest, maxNameBytes)
		}
		e := Entry{Dir: flags&flagDir != 0, Exec: flags&flagExec != 0, Size: int64(size), ModTime: time.Unix(0, nanos)}
		if err := r.check(name, &e); err != nil {
			return err
		}
		r.entries = append(r.entries, e)
	}
	return nil
}

func (r *manifestReader) check(name string, e *Entry) error {
	safe, err := safename.Path(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if dir := path.Dir(safe); dir != "." && !r.kind[dir] {
		return fmt.Errorf("%w: %q comes before its folder", ErrManifest, name)
	}
	if e.Dir && e.Size != 0 {
		return fmt.Errorf("%w: folder %q has a size", ErrManifest, name)
	}
	// Two names may become one when they are made safe; the later one gives way.
	// The number goes on where the last one ended, so that many cost no more each.
	if base := safe; r.taken(safe) {
		if r.number == nil {
			r.number = make(map[string]int)
		}
		for r.taken(safe) {
			r.number[base]++
			safe = numbered(base, r.number[base])
		}
	}
	if safe != name && e.Dir {
		// What is inside would name a folder that is not there; the sender
		// gives safe names to folders.
		return fmt.Errorf("%w: folder %q has an unsafe name", ErrManifest, name)
	}
	r.kind[safe] = e.Dir
	e.Path = safe
	return nil
}

func (r *manifestReader) taken(name string) bool {
	_, taken := r.kind[name]
	return taken
}

// maxNumber is the highest number tried to make a name unique.
const maxNumber = 1 << 20

// numbered returns the name with " (i)" before its extension; the name itself
// for 0.
func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	dir, base := path.Split(name)
	ext := path.Ext(base)
	if ext == base || len(ext) > 12 {
		ext = ""
	}
	if strings.HasSuffix(base, ".tar"+ext) {
		ext = ".tar" + ext
	}
	return fmt.Sprintf("%s%s (%d)%s", dir, strings.TrimSuffix(base, ext), i, ext)
}
