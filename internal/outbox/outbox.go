// Package outbox keeps what programs of the module need to go on with
// transfers of files that were interrupted.
package outbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/safefile"
)

// maxRecord bounds the file that keeps one transfer.
const maxRecord = 1 << 20

// A Box keeps what is needed to go on with interrupted transfers: what was to
// be sent to whom, and in which folders something was received. Every
// transfer has a file of its own, so that programs that run at once do not
// meet.
type Box struct{ dir string }

// Open returns the box in a folder, which is made when needed.
func Open(dir string) Box { return Box{filepath.Join(dir, "transfers")} }

// An Outgoing is a transfer that was begun and has not arrived.
type Outgoing struct {
	ID        string    `json:"-"`
	Account   string    `json:"account"`
	To        string    `json:"to"`
	Paths     []Path    `json:"paths"` // absolute
	Bytes     int64     `json:"bytes"` // in all
	Transport []string  `json:"transport,omitempty"`
	Limit     string    `json:"limit,omitempty"`
	RelayOnly bool      `json:"relay_only,omitempty"`
	Plain     bool      `json:"plain,omitempty"`
	Began     time.Time `json:"began"`
	// App is set for what the app sends. It goes on by itself when that starts
	// again, unless our user paused it.
	App    bool `json:"app,omitempty"`
	Paused bool `json:"paused,omitempty"`
	// Tries is how often the app went on by itself and failed.
	Tries int `json:"tries,omitempty"`
}

// A Path names a file. Written, it keeps also bytes that are no UTF-8, which a
// name may have on Unix: after a NUL, which no name has, in Base64.
type Path string

// MarshalText implements encoding.TextMarshaler.
func (p Path) MarshalText() ([]byte, error) {
	if utf8.ValidString(string(p)) {
		return []byte(p), nil
	}
	return append([]byte{0}, base64.StdEncoding.EncodeToString([]byte(p))...), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Path) UnmarshalText(text []byte) error {
	if coded, ok := bytes.CutPrefix(text, []byte{0}); ok {
		b, err := base64.StdEncoding.DecodeString(string(coded))
		*p = Path(b)
		return err
	}
	*p = Path(text)
	return nil
}

// keyBytes is so long that no two transfers have the same key by chance: one
// would take the place of the other.
const keyBytes = 8

// key is the same for the same files to the same person.
func key(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:keyBytes])
}

// Key is the id under which o is kept, the same for the same files to the same
// person.
func (o Outgoing) Key() string {
	parts := []string{o.Account, o.To}
	for _, p := range o.Paths {
		parts = append(parts, string(p))
	}
	return "s" + key(parts...)
}

// Put keeps a transfer, in place of the one of the same files to the same
// person, and returns its id.
func (b Box) Put(o Outgoing) (string, error) {
	id := o.Key()
	return id, b.write(id, o)
}

// Remove forgets a transfer.
func (b Box) Remove(id string) error {
	if err := os.Remove(b.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget a transfer: %w", err)
	}
	return nil
}

func (b Box) path(id string) string { return filepath.Join(b.dir, id+".json") }

func (b Box) write(id string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep a transfer: %w", err)
	}
	if err := safefile.Write(b.path(id), text); err != nil {
		return fmt.Errorf("keep a transfer: %w", err)
	}
	return nil
}

// read reads every file whose name begins with kind. Those that cannot be read
// may be of another version and are left out.
func (b Box) read(kind string, each func(id string, text []byte)) error {
	names, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list transfers: %w", err)
	}
	for _, n := range names {
		id, ok := strings.CutSuffix(n.Name(), ".json")
		if !ok || !strings.HasPrefix(id, kind) {
			continue
		}
		text, err := safefile.Read(b.path(id), maxRecord)
		if err == nil && text != nil {
			each(id, text)
		}
	}
	return nil
}

// Outgoing returns what has not arrived yet, the oldest first.
func (b Box) Outgoing() (list []Outgoing, err error) {
	err = b.read("s", func(id string, text []byte) {
		var o Outgoing
		if json.Unmarshal(text, &o) == nil && o.To != "" && len(o.Paths) > 0 {
			o.ID = id
			list = append(list, o)
		}
	})
	slices.SortFunc(list, func(a, b Outgoing) int { return a.Began.Compare(b.Began) })
	return list, err
}

// Forget forgets what an account, a bare JID, has not sent yet.
func (b Box) Forget(account string) error {
	list, err := b.Outgoing()
	for _, o := range list {
		if o.Account == account {
			err = errors.Join(err, b.Remove(o.ID))
		}
	}
	return err
}

type folder struct {
	Dir Path `json:"dir"`
}

// AddFolder remembers where files are received.
func (b Box) AddFolder(dir string) error { return b.write("d"+key(dir), folder{Path(dir)}) }

// An Incoming is something that was received in part.
type Incoming struct {
	ID string
	exchange.Partial
}

// Incoming returns what has been received in part.
func (b Box) Incoming() (list []Incoming, err error) {
	seen := make(map[Path]bool)
	err = b.read("d", func(id string, text []byte) {
		var f folder
		if json.Unmarshal(text, &f) != nil || f.Dir == "" || seen[f.Dir] {
			return
		}
		seen[f.Dir] = true
		partials, err := exchange.Partials(string(f.Dir))
		if err != nil {
			return // the folder may be on a disk that is not there now
		}
		for _, p := range partials {
			list = append(list, Incoming{"r" + key(p.Path), p})
		}
	})
	return list, err
}

// Ledger remembers what has arrived.
func (b Box) Ledger() *courier.Ledger { return courier.OpenLedger(filepath.Join(b.dir, "arrived")) }
