package courier

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/safefile"
)

// Limits of what is remembered of transfers that are done.
const (
	finishedLife  = 24 * time.Hour
	maxFinished   = 256
	maxSums       = 64      // transfers of more files are remembered without hashes
	maxLedgerSize = 4 << 20 // bytes of the file
)

// A Ledger remembers, in a file, what was received and from whom, for a day. A
// sender who crashed before it heard that everything has arrived offers it
// again; the ledger keeps that from ending in a second copy. It is believed
// only as long as what it names is still there, with the sizes and times of
// the manifest.
type Ledger struct {
	path string
	mu   sync.Mutex
}

// OpenLedger returns the ledger in a file, which is made when needed.
func OpenLedger(path string) *Ledger { return &Ledger{path: path} }

type finished struct {
	Account  string            `json:"account,omitempty"`
	Peer     string            `json:"peer"`
	Manifest string            `json:"manifest"` // its hash
	Roots    map[string]string `json:"roots"`    // where each is now, by its name in the manifest
	SHA256   map[string]string `json:"sha256,omitempty"`
	At       time.Time         `json:"at"`
}

// identity is the same for the same files, names and times.
func identity(m exchange.Manifest) string {
	h := sha256.New()
	for _, e := range m {
		fmt.Fprintf(h, "%q %t %t %d %d\n", e.Path, e.Dir, e.Exec, e.Size, e.ModTime.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Forget removes what an account received, a bare JID, and what is not known to
// be of another one.
func (l *Ledger) Forget(account string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.DeleteFunc(l.read(), func(f finished) bool { return f.Account == account || f.Account == "" })
	if len(list) > 0 {
		return l.write(list)
	}
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what has arrived: %w", err)
	}
	return nil
}

// add remembers a transfer. Those that are not whole are not remembered.
func (l *Ledger) add(account, peer string, m exchange.Manifest, res *exchange.Result) error {
	roots := m.Roots()
	if len(res.Failed()) > 0 || len(roots) != len(res.Paths) || len(roots) == 0 {
		return nil
	}
	f := finished{Account: account, Peer: peer, Manifest: identity(m), Roots: make(map[string]string), At: time.Now().UTC()}
	for i, name := range roots {
		path, err := filepath.Abs(res.Paths[i])
		if err != nil {
			return fmt.Errorf("remember a transfer: %w", err)
		}
		f.Roots[name] = path
	}
	if len(res.Files) <= maxSums {
		f.SHA256 = make(map[string]string)
		for _, r := range res.Files {
			if r.SHA256 != nil {
				f.SHA256[r.Path] = hex.EncodeToString(r.SHA256)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	list := append(l.read(), f)
	if over := len(list) - maxFinished; over > 0 {
		list = list[over:]
	}
	return l.write(list)
}

// find returns the result of the transfer of a manifest that is still in dir
// unchanged, or nil.
func (l *Ledger) find(peer, dir string, m exchange.Manifest) *exchange.Result {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil
	}
	id := identity(m)
	l.mu.Lock()
	list := l.read()
	l.mu.Unlock()
	for _, f := range slices.Backward(list) {
		if f.Peer == peer && f.Manifest == id && f.unchanged(dir, m) {
			return f.result(m)
		}
	}
	return nil
}

func (f finished) unchanged(dir string, m exchange.Manifest) bool {
	for _, e := range m {
		name, rest, _ := strings.Cut(e.Path, "/")
		root := f.Roots[name]
		if root == "" || filepath.Dir(root) != dir {
			return false
		}
		info, err := os.Lstat(filepath.Join(root, filepath.FromSlash(rest)))
		if err != nil || info.IsDir() != e.Dir {
			return false
		}
		if !e.Dir && (!info.Mode().IsRegular() || info.Size() != e.Size || !sameTime(info.ModTime(), e.ModTime)) {
			return false
		}
	}
	return true
}

// sameTime allows for file systems that keep no nanoseconds.
func sameTime(a, b time.Time) bool {
	return a.Equal(b) || a.Nanosecond()%1000 == 0 && a.Sub(b).Abs() < time.Microsecond
}

func (f finished) result(m exchange.Manifest) *exchange.Result {
	res := &exchange.Result{Bytes: m.Size(), Kept: m.Size()}
	for _, name := range m.Roots() {
		res.Paths = append(res.Paths, f.Roots[name])
	}
	for _, e := range m {
		if e.Dir {
			continue
		}
		sum, err := hex.DecodeString(f.SHA256[e.Path])
		if err != nil || len(sum) == 0 {
			sum = nil
		}
		res.Files = append(res.Files, exchange.FileResult{Path: e.Path, Size: e.Size, SHA256: sum})
	}
	return res
}

// read returns what is not too old. A file that cannot be read says nothing:
// the worst that follows is a second copy. l.mu is held.
func (l *Ledger) read() (list []finished) {
	b, err := safefile.Read(l.path, maxLedgerSize)
	if err != nil || json.Unmarshal(b, &list) != nil {
		return nil
	}
	now := time.Now()
	return slices.DeleteFunc(list, func(f finished) bool { return now.Sub(f.At) > finishedLife || f.At.After(now.Add(finishedLife)) })
}

// write replaces the file in one piece. l.mu is held.
func (l *Ledger) write(list []finished) error {
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("remember a transfer: %w", err)
	}
	if err := safefile.Write(l.path, append(b, '\n')); err != nil {
		return fmt.Errorf("remember a transfer: %w", err)
	}
	return nil
}
