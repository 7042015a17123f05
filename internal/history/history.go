// Package history keeps the calls of an account in a file of its own: one JSON
// object a line, the newest last. It is a [signaling.History], so calls that
// were missed, or taken on another device, come into it from the archive of
// the server.
package history

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/carillon-im/carillon/internal/safefile"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// Limits of a history. Beyond maxLines the oldest calls are forgotten.
const (
	maxLines = 5000
	maxFile  = 16 << 20
	maxKept  = maxFile / 4 // bytes of the newest calls that are kept
)

// A File is the history of one account. It may be used by several goroutines,
// and by several programs at once: a line is appended in one write.
type File struct {
	path, mark string

	mu sync.Mutex
}

// Open returns the history of an account in the given folder. Nothing is
// created before the first call.
func Open(dir, account string) *File {
	name := url.PathEscape(account) // an address may contain what is no file name
	return &File{
		path: filepath.Join(dir, "history", name+".jsonl"),
		mark: filepath.Join(dir, "history", name+".mark"),
	}
}

// line is a call as it is in the file.
type line struct {
	SID       string              `json:"sid"`
	Peer      string              `json:"peer"`
	Direction signaling.Direction `json:"direction"`
	Outcome   signaling.Outcome   `json:"outcome"`
	Reason    string              `json:"reason,omitempty"`
	Media     []rtp.Media         `json:"media,omitempty"`
	Start     time.Time           `json:"start"`
	Seconds   float64             `json:"seconds"`
	Archived  bool                `json:"archived,omitempty"`
}

// Record stores a call in place of the one with the same session id.
func (f *File) Record(_ context.Context, r signaling.CallRecord) error {
	text, err := json.Marshal(line{
		SID: r.SID, Peer: r.Peer.String(), Direction: r.Direction, Outcome: r.Outcome,
		Reason: string(r.Reason.Condition), Media: r.Media, Start: r.Start.UTC(),
		Seconds: r.Duration.Seconds(), Archived: r.Archived,
	})
	if err != nil {
		return fmt.Errorf("record call: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.append(append(text, '\n')); err != nil {
		return fmt.Errorf("record call: %w", err)
	}
	return nil
}

func (f *File) append(text []byte) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	w, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	info, statErr := w.Stat()
	if err := errors.Join(err, statErr, w.Close()); err != nil || info.Size() <= maxFile/2 {
		return err
	}
	// Whoever never lists the calls has a file that only grows.
	calls, _, err := f.read()
	if err != nil {
		return err
	}
	return f.compact(calls)
}

// Mark returns up to where the archive of the server was read.
func (f *File) Mark(context.Context) (string, error) {
	text, err := safefile.Read(f.mark, 4<<10)
	return string(text), err
}

// SetMark stores up to where the archive of the server was read.
func (f *File) SetMark(_ context.Context, mark string) error {
	return safefile.Write(f.mark, []byte(mark))
}

// Calls returns the newest calls, at most limit of them, the oldest first. A
// limit of 0 means all. A line that cannot be read is left out: the file may
// be from another version.
func (f *File) Calls(limit int) ([]signaling.CallRecord, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines, n, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	if n > maxLines+maxLines/2 {
		if err := f.compact(lines); err != nil {
			return nil, fmt.Errorf("shorten history: %w", err)
		}
	}
	if limit > 0 && len(lines) > limit {
		lines = lines[len(lines)-limit:]
	}
	out := make([]signaling.CallRecord, 0, len(lines))
	for _, l := range lines {
		peer, err := jid.Parse(l.Peer)
		if err != nil {
			continue
		}
		out = append(out, signaling.CallRecord{
			SID: l.SID, Peer: peer, Direction: l.Direction, Outcome: l.Outcome,
			Reason: jingle.Reason{Condition: jingle.Condition(l.Reason)}, Media: l.Media, Start: l.Start,
			Duration: time.Duration(l.Seconds * float64(time.Second)), Archived: l.Archived,
		})
	}
	return out, nil
}

// read returns the calls by when they began, each once, and how many lines the
// file has.
func (f *File) read() (calls []line, n int, err error) {
	text, err := f.tail()
	if err != nil {
		return nil, 0, err
	}
	at := make(map[string]int)
	sc := bufio.NewScanner(bytes.NewReader(text))
	sc.Buffer(nil, maxFile)
	for sc.Scan() {
		n++
		var l line
		if json.Unmarshal(sc.Bytes(), &l) != nil || l.SID == "" {
			continue
		}
		// One session id may be used by two peers, by accident or on purpose.
		key := l.SID + " " + bare(l.Peer)
		if i, ok := at[key]; ok {
			// The archive knows less of a call than who had it, unless they
			// missed it: it does not know our device of last time.
			if !l.Archived || calls[i].Archived || calls[i].Outcome == signaling.MissedCall {
				calls[i] = l
			}
			continue
		}
		at[key] = len(calls)
		calls = append(calls, l)
	}
	slices.SortStableFunc(calls, func(a, b line) int { return a.Start.Compare(b.Start) })
	return calls, n, nil
}

func bare(peer string) string {
	b, _, _ := strings.Cut(peer, "/")
	return b
}

// tail returns the file, or of one that is too long its newest part.
func (f *File) tail() ([]byte, error) {
	info, err := os.Stat(f.path)
	if err != nil || info.Size() <= maxFile {
		return safefile.Read(f.path, maxFile)
	}
	if err := safefile.Check(f.path); err != nil {
		return nil, err
	}
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text := make([]byte, maxFile)
	n, err := r.ReadAt(text, info.Size()-maxFile)
	if err != nil && err != io.EOF {
		return nil, err
	}
	_, text, _ = bytes.Cut(text[:n], []byte("\n")) // the first line is cut
	return text, nil
}

// compact writes the newest calls anew.
func (f *File) compact(calls []line) error {
	var lines [][]byte // the newest first
	size := 0
	for i := len(calls) - 1; i >= 0 && len(lines) < maxLines; i-- {
		text, err := json.Marshal(calls[i])
		if err != nil {
			return err
		}
		if size += len(text) + 1; size > maxKept {
			break
		}
		lines = append(lines, append(text, '\n'))
	}
	slices.Reverse(lines)
	return safefile.Write(f.path, bytes.Join(lines, nil))
}
