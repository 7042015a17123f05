package exchange

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/carillon-im/carillon/ft/internal/blocktree"
)

// Times after which a silent peer is given up. Both sides send a ping when
// they have nothing else to say, so silence means a dead stream.
const (
	pingEvery  = 5 * time.Second
	stallAfter = 20 * time.Second
)

// Errors that callers branch on.
var (
	// ErrStalled reports that nothing arrived for a while; another stream may do better.
	ErrStalled = errors.New("peer is silent")
	// ErrPaused reports that the peer paused; it will come back.
	ErrPaused = errors.New("peer paused the transfer")
	// ErrCancelled reports that the peer does not want the transfer any more.
	ErrCancelled = errors.New("peer cancelled the transfer")
	// ErrCorrupt reports data that stayed wrong although it was sent again.
	ErrCorrupt = errors.New("data arrives damaged")
)

// A PeerError is what the peer said before it gave up.
type PeerError struct{ Text string }

func (e *PeerError) Error() string { return fmt.Sprintf("peer gave up: %s", e.Text) }

// A Stream carries an exchange. Deadlines bound how long a silent peer is
// waited for. One with a method Restless() time.Duration is pinged that often
// while there is nothing to say, because something on its way holds the last
// bytes back until more come.
type Stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// A Progress tells how far a transfer is. It is delivered from the goroutine
// that moves the data, so it must return at once.
type Progress struct {
	Bytes, Total int64  // settled so far, of all files; includes Kept
	Kept         int64  // was there already and proved right
	File         string // path of the file at hand
	FileBytes    int64
	FileSize     int64
}

// A FileResult tells how one file ended.
type FileResult struct {
	Path   string
	Size   int64
	BLAKE3 blocktree.Hash // of the whole file
	SHA256 []byte         // nil unless asked for
	Err    error          // why it was not transferred; nil when it was
}

// A Result tells how a transfer ended. It is complete also when an error is
// returned beside it.
type Result struct {
	Bytes  int64 // of all files that are in their place
	Wire   int64 // bytes of file data that crossed the stream this time
	Kept   int64 // bytes that were there already
	Resent int64 // bytes that crossed the stream although an earlier attempt had brought them
	Files  []FileResult
	Paths  []string // receiver: where the roots are now
}

// Failed returns the files that were not transferred.
func (r *Result) Failed() (files []FileResult) {
	for _, f := range r.Files {
		if f.Err != nil {
			files = append(files, f)
		}
	}
	return files
}
