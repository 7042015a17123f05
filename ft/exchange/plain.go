package exchange

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/carillon-im/carillon/ft/internal/safename"
	"golang.org/x/crypto/blake2b"
)

// plainBuffer is how much of a plain file is read or written at once.
const plainBuffer = 256 << 10

// A Sum is the value of a hash function over a whole file, named as in XEP-0300.
type Sum struct {
	Algo  string
	Value []byte
}

// Algorithms are the hash functions that a received file is compared by, named
// as in XEP-0300. SHA-1 is known too, but nobody is asked to use it.
func Algorithms() []string {
	return []string{"sha-256", "sha-512", "sha3-256", "sha3-512", "blake2b-256", "blake2b-512"}
}

// newHash returns the hash function with a name of XEP-0300, or nil.
func newHash(algo string) hash.Hash {
	switch algo {
	case "sha-1":
		return sha1.New()
	case "sha-256":
		return sha256.New()
	case "sha-512":
		return sha512.New()
	case "sha3-256":
		return sha3.New256()
	case "sha3-512":
		return sha3.New512()
	case "blake2b-256":
		h, _ := blake2b.New256(nil) // fails only with a key
		return h
	case "blake2b-512":
		h, _ := blake2b.New512(nil)
		return h
	}
	return nil
}

// Each splits a source into one for each file, named by the last part of its
// path: other clients know files, not folders.
func (s *Source) Each() (list []*Source) {
	for i, e := range s.Manifest {
		if !e.Dir {
			e.Path = path.Base(e.Path)
			list = append(list, &Source{Manifest: Manifest{e}, local: []string{s.local[i]}})
		}
	}
	return list
}

// SendPlain writes the bytes of a source of one file, from offset on, with
// nothing around them. It returns the SHA-256 of the whole file. It does not
// close s: other clients end the transfer themselves once they have counted
// the bytes.
func SendPlain(ctx context.Context, s Stream, src *Source, offset int64, opt SendOptions) (*Result, error) {
	if len(src.Manifest) != 1 || src.Manifest[0].Dir {
		return &Result{}, errors.New("plain transfers carry one file")
	}
	e := src.Manifest[0]
	res := &Result{}
	f, err := os.Open(src.local[0])
	if err != nil {
		return res, err
	}
	defer f.Close()
	if err := unchanged(f, e); err != nil {
		return res, err
	}
	if offset < 0 || offset > e.Size {
		return res, fmt.Errorf("%w: it asks for byte %d of %d", ErrProtocol, offset, e.Size)
	}
	l := newLink(s)
	l.slow(opt.Limit)
	l.ctx = ctx
	stop := context.AfterFunc(ctx, func() {
		l.leaving.Store(true)
		s.SetWriteDeadline(time.Unix(1, 0))
	})
	defer stop()
	var (
		sum = sha256.New()
		buf = make([]byte, plainBuffer)
		now = Progress{Total: e.Size, File: e.Path, FileSize: e.Size, Kept: offset}
	)
	for pos := int64(0); pos < e.Size; {
		n, err := io.ReadFull(f, buf[:min(plainBuffer, e.Size-pos)])
		if err != nil {
			return res, ErrChanged
		}
		sum.Write(buf[:n])
		out := buf[min(max(offset-pos, 0), int64(n)):n]
		pos += int64(n)
		if len(out) > 0 {
			if _, err := l.Write(out); err != nil {
				return res, broken(ctx, "send data", err)
			}
			res.Wire += int64(len(out))
		}
		now.Bytes, now.FileBytes = pos, pos
		if opt.Progress != nil {
			opt.Progress(now)
		}
	}
	if err := unchanged(f, e); err != nil {
		return res, err
	}
	res.Bytes, res.Kept = e.Size, offset
	res.Files = []FileResult{{Path: e.Path, Size: e.Size, SHA256: sum.Sum(nil)}}
	return res, nil
}

func unchanged(f *os.File, e Entry) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != e.Size || !info.ModTime().Equal(e.ModTime) {
		return ErrChanged
	}
	return nil
}

// broken says why reading or writing s ended.
func broken(ctx context.Context, what string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrStalled
	}
	return fmt.Errorf("%s: %w", what, err)
}

// A PlainOffer is what a client that is no Carillon says about a file.
type PlainOffer struct {
	Name    string
	Size    int64 // -1 when it is not said: the file ends with the stream
	ModTime time.Time
	Sums    []Sum // of the whole file, if known beforehand
}

// A PlainFile receives one file from a client that is no Carillon.
type PlainFile struct {
	opt    ReceiveOptions
	offer  PlainOffer
	root   *root
	file   *os.File
	offset int64
	got    int64
	sums   map[string]hash.Hash
	done   bool
}

// ReceivePlain makes ready for a file. Close must be called.
func ReceivePlain(offer PlainOffer, opt ReceiveOptions) (*PlainFile, error) {
	if err := os.MkdirAll(opt.Dir, 0o777); err != nil {
		return nil, fmt.Errorf("open the folder for received files: %w", err)
	}
	e := Entry{Path: safename.Name(offer.Name), Size: max(0, offer.Size), ModTime: offer.ModTime}
	if n := Free(opt.Dir); n >= 0 && offer.Size > n {
		return nil, fmt.Errorf("%w: %d bytes are missing", ErrDiskFull, offer.Size-n)
	}
	r, err := newClaimer(opt.Dir, opt.Peer, e.Size).claim(e, 0)
	if err != nil {
		return nil, err
	}
	p := &PlainFile{opt: opt, offer: offer, root: r}
	if p.file, err = os.OpenFile(r.part, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		r.close()
		return nil, fmt.Errorf("write %q: %w", e.Path, err)
	}
	// What is there can be kept only if the hash of the whole shows in the end
	// that it belonged to this file.
	if info, err := p.file.Stat(); err == nil && p.verifiable() && offer.Size >= 0 {
		p.offset = min(info.Size(), offer.Size) / plainBuffer * plainBuffer
	}
	return p, nil
}

func (p *PlainFile) verifiable() bool {
	for _, s := range p.offer.Sums {
		if newHash(s.Algo) != nil {
			return true
		}
	}
	return false
}

// Offset returns how many bytes are there already, to be asked for as the
// start of a range. A peer that ignores it sends all; say so with Restart.
func (p *PlainFile) Offset() int64 { return p.offset }

// Restart gives up what is there.
func (p *PlainFile) Restart() { p.offset = 0 }

// Receive reads the file from s, from Offset on, to the announced size and not
// a byte more. It closes nothing.
func (p *PlainFile) Receive(ctx context.Context, s Stream) error {
	stop := context.AfterFunc(ctx, func() { s.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	// The hashes that clients send; others are computed afterwards.
	p.sums = map[string]hash.Hash{"sha-256": sha256.New(), "sha-1": sha1.New()}
	w := io.MultiWriter(p.sums["sha-256"], p.sums["sha-1"])
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.CopyN(w, p.file, p.offset); err != nil {
		return fmt.Errorf("read partial %q: %w", p.root.entry.Path, err)
	}
	if err := p.file.Truncate(p.offset); err != nil {
		return fmt.Errorf("write %q: %w", p.root.entry.Path, err)
	}
	p.got = p.offset
	var (
		buf   = make([]byte, plainBuffer)
		now   = Progress{Total: p.offer.Size, File: p.root.entry.Path, FileSize: p.offer.Size, Kept: p.offset}
		noted = p.got
	)
	for p.offer.Size < 0 || p.got < p.offer.Size {
		if err := s.SetReadDeadline(time.Now().Add(stallAfter)); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		want := buf
		if p.offer.Size >= 0 {
			want = buf[:min(int64(len(buf)), p.offer.Size-p.got)]
		}
		n, err := s.Read(want)
		w.Write(buf[:n])
		if _, werr := p.file.Write(buf[:n]); werr != nil {
			return fmt.Errorf("write %q: %w", p.root.entry.Path, diskFull(werr))
		}
		p.got += int64(n)
		if p.offer.Size < 0 {
			if left := Free(p.opt.Dir); left >= 0 && left < reserve {
				return fmt.Errorf("%w: a file of unknown size", ErrDiskFull)
			}
		}
		now.Bytes, now.FileBytes = p.got, p.got
		if p.opt.Progress != nil && n > 0 {
			p.opt.Progress(now)
		}
		if p.got-noted >= ackEvery {
			noted = p.got
			p.root.got = p.got
			if err := p.root.note(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			if p.offer.Size < 0 {
				break
			}
			return broken(ctx, "read from peer", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return broken(ctx, "read from peer", err)
		}
	}
	return nil
}

// reserve is what a file of unknown size leaves free on the disk.
const reserve = 64 << 20

// Commit compares the file with the hashes that the peer tells, beforehand or
// afterwards, and gives it its name. verified is false when the peer told none
// that we know; a file that differs is removed.
func (p *PlainFile) Commit(later []Sum) (res *Result, verified bool, err error) {
	for _, s := range append(append([]Sum(nil), p.offer.Sums...), later...) {
		h := p.sums[s.Algo]
		if h == nil {
			if h = newHash(s.Algo); h == nil {
				continue
			}
			if _, err := io.Copy(h, io.NewSectionReader(p.file, 0, p.got)); err != nil {
				return nil, false, fmt.Errorf("hash %q: %w", p.root.entry.Path, err)
			}
		}
		if !bytes.Equal(h.Sum(nil), s.Value) {
			p.root.discard()
			p.done = true
			return nil, false, fmt.Errorf("%w: the %s of %q is not what the sender says", ErrCorrupt, s.Algo, p.root.entry.Path)
		}
		verified = true
	}
	if err := p.file.Sync(); err != nil {
		return nil, false, fmt.Errorf("write to disk: %w", err)
	}
	if !p.offer.ModTime.IsZero() {
		os.Chtimes(p.root.part, p.offer.ModTime, p.offer.ModTime) // a nicety
	}
	to, err := p.root.commit(p.opt.Dir)
	if err != nil {
		return nil, false, err
	}
	p.done = true
	return &Result{
		Bytes: p.got, Wire: p.got - p.offset, Kept: p.offset, Paths: []string{to},
		Files: []FileResult{{Path: filepath.Base(to), Size: p.got, SHA256: p.sums["sha-256"].Sum(nil)}},
	}, verified, nil
}

// Close ends the attempt. What came stays for the next one if it can be
// verified then, and is removed otherwise.
func (p *PlainFile) Close() error {
	if !p.done {
		if p.verifiable() {
			p.root.got = p.got
			p.root.note()
		} else {
			p.root.discard()
		}
	}
	p.root.close()
	return p.file.Close()
}
