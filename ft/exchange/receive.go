package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/carillon-im/carillon/ft/internal/blocktree"
)

// ackEvery is how many bytes are settled between two acknowledgements; it is
// also how often the journal is written.
const ackEvery = 4 << 20

// writeBehind is how many frames wait between the stream and the disk. What
// waits is lost in a crash.
const writeBehind = 1

// ErrDiskFull reports that what is offered does not fit.
var ErrDiskFull = errors.New("not enough free disk space")

// ReceiveOptions adjust Receive. Dir is required.
type ReceiveOptions struct {
	// Dir is the folder that receives. Nothing is written outside it.
	Dir string
	// Peer names who sends. Partial data of one peer is never shown to, or
	// continued by, another.
	Peer string
	// Accept, if not nil, is asked before anything is written; an error from
	// it refuses the transfer and is told to the sender.
	Accept func(Manifest) error
	// Finished, if not nil, is asked whether everything in a manifest has come
	// in an earlier transfer from this peer and is still there, so that a sender
	// who missed the last word does not send it all again. It returns the result
	// of that transfer, or nil.
	Finished func(Manifest) *Result
	// Arriving, if not nil, is told the result when everything is verified and
	// durable, just before the roots get their names, which are those in
	// Result.Paths unless somebody else takes them first. What is remembered then
	// is known also after a crash.
	Arriving func(Manifest, *Result)
	// SHA256 asks for the SHA-256 of each file in the result.
	SHA256 bool
	// Progress, if not nil, is called for every block settled.
	Progress func(Progress)
}

// Receive takes what the sender on s offers into opt.Dir and returns when all
// of it is verified and in its place, or why not. It closes s. After an error
// what has arrived stays in NAME.part, and the next Receive of the same name
// from the same peer goes on from there.
func Receive(ctx context.Context, s Stream, opt ReceiveOptions) (*Result, error) {
	r := &receiver{
		link: newLink(s), opt: opt, res: &Result{},
		frames:  make(chan frame, writeBehind),
		bufs:    make(chan []byte, writeBehind+2),
		hashes:  make(map[uint32][]blocktree.Hash),
		had:     make(map[uint32]int64),
		seen:    make(map[uint32]bits),
		sums:    make(map[uint32][]byte),
		pending: make(map[uint32]int),
		have:    make(map[uint32]blocktree.Hash),
	}
	for range cap(r.bufs) {
		r.bufs <- nil
	}
	err := r.link.run(ctx, r.run)
	if err != nil && r.now.Bytes == 0 && !r.committing && !slices.ContainsFunc(r.roots, func(c *root) bool { return c.resumed }) {
		r.dropEmpty() // nothing came that could go on
	}
	r.close()
	return r.res, err
}

// A fileState is how far one file is.
type fileState struct {
	missing int64 // blocks not yet verified
	skipped error // the sender cannot send it
	done    bool
}

type receiver struct {
	*link
	opt   ReceiveOptions
	res   *Result
	man   Manifest
	total int64
	roots []*root
	owner []*root // of each entry
	files []fileState

	frames chan frame
	bufs   chan []byte

	// Of large files that are not whole yet.
	hashes  map[uint32][]blocktree.Hash // verified, or found in .part
	had     map[uint32]int64            // blocks found in .part
	seen    map[uint32]bits             // blocks settled
	sums    map[uint32][]byte           // roots as the sender names them
	pending map[uint32]int              // blocks asked for again

	have   map[uint32]blocktree.Hash // of small files found in .part
	tree   *folder
	open   *os.File // large file being written
	openAt uint32

	now     Progress
	left    int // files not settled
	acked   int64
	resends int
	ended   bool

	committing bool
}

func (r *receiver) run(ctx context.Context) error {
	if err := r.greet(); err != nil {
		return err
	}
	if err := r.readManifest(); err != nil {
		return err
	}
	if r.opt.Accept != nil {
		if err := r.opt.Accept(r.man); err != nil {
			return err
		}
	}
	if r.opt.Finished != nil {
		if res := r.opt.Finished(r.man); res != nil {
			return r.again(res)
		}
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.send(frameStart, nil); err != nil {
		return err
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() { r.read(stop) })
	err := r.data()
	if err == nil {
		err = context.Cause(ctx) // whoever was stopped with all of it read finds it in .part
	}
	if err == nil {
		err = r.commit()
	}
	if err == nil {
		err = r.send(frameDone, nil)
	}
	if err == nil {
		r.drain()
	} else {
		r.unblock()
	}
	close(stop)
	wg.Wait()
	return err
}

// again tells a sender that missed it that everything is in its place.
func (r *receiver) again(res *Result) error {
	r.res = res
	if err := r.send(frameDone, nil); err != nil {
		return err
	}
	r.s.SetReadDeadline(time.Now().Add(lastWords))
	readFrame(r.s, make([]byte, maxBody), nil) // the sender closes; nothing else is to come
	return nil
}

func (r *receiver) readManifest() error {
	var m manifestReader
	buf := make([]byte, maxBody)
	for {
		t, body, err := r.recv(buf)
		if err != nil {
			return err
		}
		switch t {
		case frameManifest:
			if err := m.add(body); err != nil {
				return err
			}
		case frameEnd:
			if len(m.entries) == 0 {
				return fmt.Errorf("%w: it is empty", ErrManifest)
			}
			r.man, r.total = m.entries, m.entries.Size()
			r.now.Total = r.total
			return nil
		default:
			return unexpected(t)
		}
	}
}

// prepare claims a .part for each root, makes the folders, and tells the
// sender what is there already.
func (r *receiver) prepare(ctx context.Context) error {
	if err := os.MkdirAll(r.opt.Dir, 0o777); err != nil {
		return fmt.Errorf("open the folder for received files: %w", err)
	}
	r.files = make([]fileState, len(r.man))
	r.owner = make([]*root, len(r.man))
	r.left = r.man.Files()
	var held int64
	claims := newClaimer(r.opt.Dir, r.opt.Peer, r.total)
	for i, e := range r.man {
		if !isRoot(e) {
			r.owner[i] = r.owner[i-1]
			continue
		}
		c, err := claims.claim(e, i)
		if err != nil {
			return err
		}
		r.roots = append(r.roots, c)
		r.owner[i] = c
	}
	for i, e := range r.man {
		r.owner[i].size += e.Size
	}
	for _, c := range r.roots {
		if c.resumed { // as much as can be there, whatever the journal says
			c.prior = min(max(0, c.prior), c.size)
			held += c.prior
		}
	}
	if n := Free(r.opt.Dir); n >= 0 && r.total-held > n {
		r.dropEmpty()
		return fmt.Errorf("%w: %d bytes are missing", ErrDiskFull, r.total-held-n)
	}
	var err error
	if r.tree, err = openFolder(r.opt.Dir); err != nil {
		return err
	}
	for i, e := range r.man {
		r.files[i].missing = max(1, blocktree.Blocks(e.Size))
		if e.Dir {
			r.files[i] = fileState{done: true}
			if err := r.tree.mkdir(r.rel(i)); err != nil {
				return fmt.Errorf("make folder %q: %w", e.Path, err)
			}
			continue
		}
		if r.owner[i].resumed {
			if err := r.report(ctx, uint32(i), e); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropEmpty removes journals of roots that have nothing yet, the one whose lock
// stands for others last.
func (r *receiver) dropEmpty() {
	for _, c := range slices.Backward(r.roots) {
		if !c.resumed {
			c.discard()
		}
	}
}

func isRoot(e Entry) bool {
	for i := range len(e.Path) {
		if e.Path[i] == '/' {
			return false
		}
	}
	return true
}

// rel returns the path of an entry's partial data within opt.Dir.
func (r *receiver) rel(i int) string { return r.owner[i].rel(r.man[i]) }

// report hashes what .part has of a file and tells the sender.
func (r *receiver) report(ctx context.Context, i uint32, e Entry) error {
	f, err := r.tree.open(r.rel(int(i)), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read partial %q: %w", e.Path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read partial %q: %w", e.Path, err)
	}
	size := min(info.Size(), e.Size)
	if e.Size <= blocktree.BlockSize && size < e.Size || e.Size == 0 {
		return nil // a small file comes whole
	}
	blocks := size / blocktree.BlockSize
	if size == e.Size {
		blocks = blocktree.Blocks(size)
	}
	var (
		buf    = make([]byte, blocktree.BlockSize)
		hashes = make([]blocktree.Hash, 0, blocks)
		body   []byte
		first  int64
	)
	for b := range blocks {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		p := buf[:blocktree.BlockLen(e.Size, b)]
		if _, err := io.ReadFull(f, p); err != nil {
			break // what is left is asked for again
		}
		if e.Size <= blocktree.BlockSize {
			hashes = append(hashes, blocktree.One(p))
		} else {
			hashes = append(hashes, blocktree.Block(p, b))
		}
		body = append(body, hashes[b][:]...)
		if len(body) >= 1024*blocktree.HashSize {
			if err := r.send(frameHave, append(numbers(i, uint32(first)), body...)); err != nil {
				return err
			}
			body, first = body[:0], b+1
		}
	}
	if len(body) > 0 {
		if err := r.send(frameHave, append(numbers(i, uint32(first)), body...)); err != nil {
			return err
		}
	}
	switch {
	case e.Size > blocktree.BlockSize:
		r.hashes[i], r.had[i] = hashes, int64(len(hashes))
	case len(hashes) == 1:
		r.have[i] = hashes[0]
	}
	return nil
}

// A frame is what the reading goroutine hands to the one that verifies and
// writes; reading the stream and writing the disk overlap.
type frame struct {
	t    frameType
	buf  []byte // returns to the pool
	body []byte
	sum  blocktree.Hash // of the data, when it is a block
	err  error          // the last one
}

// read moves frames from the stream to r.frames until the stream ends.
func (r *receiver) read(stop <-chan struct{}) {
	for {
		var f frame
		select {
		case f.buf = <-r.bufs:
		case <-stop:
			return
		}
		if f.buf == nil {
			f.buf = make([]byte, maxBody)
		}
		f.t, f.body, f.err = r.recvSum(f.buf, &f.sum)
		select {
		case r.frames <- f:
		case <-stop:
			return
		}
		if f.err != nil {
			return
		}
	}
}

// data applies frames until every file is settled.
func (r *receiver) data() error {
	for !r.ended || !r.settled() {
		f := <-r.frames
		if f.err != nil {
			return f.err
		}
		if err := r.apply(f); err != nil {
			return err
		}
		r.bufs <- f.buf
	}
	return nil
}

// lastWords bounds how long a receiver that is done waits for the sender to
// close the stream.
const lastWords = 3 * time.Second

// drain waits until the sender has closed: it closes first, so that our last
// word is not lost with the stream.
func (r *receiver) drain() {
	r.s.SetReadDeadline(time.Now().Add(lastWords))
	for f := range r.frames {
		if f.err != nil {
			return
		}
		r.bufs <- f.buf
	}
}

func (r *receiver) apply(in frame) error {
	t, body := in.t, in.body
	switch t {
	case frameBlock:
		f, p, err := fields(body, 2)
		if err != nil {
			return err
		}
		return r.block(f[0], int64(f[1]), p, in.sum)
	case framePack:
		return r.pack(body)
	case frameKeep:
		f, _, err := fields(body, 3)
		if err != nil {
			return err
		}
		return r.keep(f[0], int64(f[1]), int64(f[2]))
	case frameRoot:
		f, p, err := fields(body, 1)
		if err != nil {
			return err
		}
		e, err := r.entry(f[0])
		if err != nil {
			return err
		}
		if len(p) != blocktree.HashSize || e.Size <= blocktree.BlockSize || r.sums[f[0]] != nil {
			return unexpected(t)
		}
		r.sums[f[0]] = append([]byte(nil), p...)
		return r.large(f[0])
	case frameSkip:
		f, p, err := fields(body, 1)
		if err != nil {
			return err
		}
		return r.skip(f[0], &PeerError{Text: clean(p)})
	case frameEnd:
		r.ended = true
		for i := range r.files {
			st := &r.files[i]
			if !st.done && st.missing > int64(r.pending[uint32(i)]) {
				return fmt.Errorf("%w: it ended before %q was whole", ErrProtocol, r.man[i].Path)
			}
		}
		return nil
	}
	return unexpected(t)
}

// entry returns the file that a frame is about, if data of it may come.
func (r *receiver) entry(i uint32) (Entry, error) {
	if int(i) >= len(r.man) || r.man[i].Dir || r.files[i].done {
		return Entry{}, fmt.Errorf("%w: data of file %d, which takes none", ErrProtocol, i)
	}
	return r.man[i], nil
}

// settled reports whether nothing is left to come.
func (r *receiver) settled() bool { return r.left == 0 }

// block verifies and writes one block of a large file. sum is the hash of its
// data as it came.
func (r *receiver) block(i uint32, b int64, p []byte, sum blocktree.Hash) error {
	e, err := r.entry(i)
	if err != nil {
		return err
	}
	if len(p) < blocktree.HashSize {
		return unexpected(frameBlock)
	}
	want, data := blocktree.Hash(p), p[blocktree.HashSize:]
	if e.Size <= blocktree.BlockSize || b >= blocktree.Blocks(e.Size) || len(data) != blocktree.BlockLen(e.Size, b) {
		return fmt.Errorf("%w: block %d of %q has %d bytes", ErrProtocol, b, e.Path, len(data))
	}
	r.res.Wire += int64(len(data))
	hashes := r.hashes[i]
	if r.seen[i] == nil {
		r.seen[i] = newBits(blocktree.Blocks(e.Size))
	}
	if r.seen[i].has(b) {
		return fmt.Errorf("%w: block %d of %q came twice", ErrProtocol, b, e.Path)
	}
	if sum != want {
		if r.resends++; r.resends > maxResends {
			return fmt.Errorf("%w: block %d of %q", ErrCorrupt, b, e.Path)
		}
		r.pending[i]++
		return r.send(frameResend, numbers(i, uint32(b)))
	}
	if err := r.write(i, e, b, data); err != nil {
		return err
	}
	for int64(len(hashes)) <= b {
		hashes = append(hashes, blocktree.Hash{})
	}
	hashes[b] = want
	r.hashes[i] = hashes
	r.seen[i].set(b)
	if r.ended {
		r.pending[i]--
	}
	r.files[i].missing--
	if err := r.settle(i, int64(len(data))); err != nil {
		return err
	}
	return r.large(i)
}

// write puts data into the partial file, which stays open while its blocks come.
func (r *receiver) write(i uint32, e Entry, b int64, data []byte) error {
	if r.open == nil || r.openAt != i {
		r.closeFile()
		f, err := r.tree.open(r.rel(int(i)), os.O_WRONLY|os.O_CREATE)
		if err != nil {
			return fmt.Errorf("write %q: %w", e.Path, err)
		}
		r.open, r.openAt = f, i
	}
	if err := put(r.open, data, b*blocktree.BlockSize); err != nil {
		return fmt.Errorf("write %q: %w", e.Path, diskFull(err))
	}
	return nil
}

// put writes data at an offset. Zeros at the end of f become a hole, which
// takes no space: disk images are full of them.
func put(f *os.File, data []byte, at int64) error {
	if zeros(data) {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() <= at {
			return f.Truncate(at + int64(len(data)))
		}
	}
	_, err := f.WriteAt(data, at)
	return err
}

func zeros(p []byte) bool {
	return len(p) > 0 && p[0] == 0 && bytes.Equal(p[:len(p)-1], p[1:])
}

func (r *receiver) closeFile() error {
	if r.open == nil {
		return nil
	}
	err := r.open.Close()
	r.open = nil
	return err
}

func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// keep takes the sender's word that blocks reported by us are right.
func (r *receiver) keep(i uint32, first, n int64) error {
	e, err := r.entry(i)
	if err != nil {
		return err
	}
	if e.Size <= blocktree.BlockSize {
		if _, ok := r.have[i]; !ok || first != 0 || n != 1 {
			return unexpected(frameKeep)
		}
		r.res.Kept += e.Size
		r.now.Kept += e.Size
		r.owner[i].kept += e.Size
		return r.small(i, e, nil, r.have[i])
	}
	have := int64(len(r.hashes[i]))
	if r.seen[i] == nil {
		r.seen[i] = newBits(blocktree.Blocks(e.Size))
	}
	for b := first; b < first+n; b++ {
		if b >= r.had[i] || b >= have || r.seen[i].has(b) {
			return fmt.Errorf("%w: block %d of %q is to be kept, which is not there", ErrProtocol, b, e.Path)
		}
		r.seen[i].set(b)
		l := int64(blocktree.BlockLen(e.Size, b))
		r.files[i].missing--
		r.res.Kept += l
		r.now.Kept += l
		r.owner[i].kept += l
		if err := r.settle(i, l); err != nil {
			return err
		}
	}
	return nil
}

// large finishes a file when its last block and its root have come.
func (r *receiver) large(i uint32) error {
	sum := r.sums[i]
	if sum == nil || r.files[i].missing > 0 {
		return nil
	}
	e := r.man[i]
	root := blocktree.Root(r.hashes[i])
	if root != blocktree.Hash(sum) {
		return fmt.Errorf("%w: %q as a whole", ErrCorrupt, e.Path)
	}
	if err := r.closeFile(); err != nil {
		return fmt.Errorf("write %q: %w", e.Path, diskFull(err))
	}
	f, err := r.tree.open(r.rel(int(i)), os.O_RDWR)
	if err != nil {
		return fmt.Errorf("finish %q: %w", e.Path, err)
	}
	defer f.Close()
	if err := f.Truncate(e.Size); err != nil { // what an earlier, longer file left
		return fmt.Errorf("finish %q: %w", e.Path, err)
	}
	delete(r.hashes, i)
	delete(r.seen, i)
	delete(r.sums, i)
	return r.finish(i, e, f, root)
}

// pack takes whole small files.
func (r *receiver) pack(p []byte) error {
	for len(p) > 0 {
		f, rest, err := fields(p, 2)
		if err != nil {
			return err
		}
		i, n := f[0], int(f[1])
		e, err := r.entry(i)
		if err != nil {
			return err
		}
		if len(rest) < blocktree.HashSize || len(rest)-blocktree.HashSize < n || int64(n) != e.Size || n > blocktree.BlockSize {
			return fmt.Errorf("%w: %q comes with %d bytes", ErrProtocol, e.Path, n)
		}
		want, data := blocktree.Hash(rest), rest[blocktree.HashSize:][:n]
		p = rest[blocktree.HashSize+n:]
		r.res.Wire += int64(n)
		if blocktree.One(data) != want {
			// The sender has no way to send a packed file again; the next
			// attempt brings what is missing.
			return fmt.Errorf("%w: %q", ErrCorrupt, e.Path)
		}
		if err := r.small(i, e, data, want); err != nil {
			return err
		}
	}
	return nil
}

// small writes a small file, or keeps the one that is there when data is nil
// and the file is not empty.
func (r *receiver) small(i uint32, e Entry, data []byte, root blocktree.Hash) error {
	mode := os.O_RDWR
	if data != nil || e.Size == 0 {
		mode |= os.O_CREATE | os.O_TRUNC
	}
	f, err := r.tree.open(r.rel(int(i)), mode)
	if err != nil {
		return fmt.Errorf("write %q: %w", e.Path, err)
	}
	defer f.Close()
	if data != nil {
		if _, err := f.Write(data); err != nil {
			return fmt.Errorf("write %q: %w", e.Path, diskFull(err))
		}
	} else if err := f.Truncate(e.Size); err != nil {
		return fmt.Errorf("write %q: %w", e.Path, err)
	}
	r.files[i].missing = 0
	if err := r.settle(i, e.Size); err != nil {
		return err
	}
	return r.finish(i, e, f, root)
}

// finish gives a whole file its attributes and records it.
func (r *receiver) finish(i uint32, e Entry, f *os.File, root blocktree.Hash) error {
	res := FileResult{Path: e.Path, Size: e.Size, BLAKE3: root}
	if r.opt.SHA256 {
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(f, 0, e.Size)); err != nil {
			return fmt.Errorf("hash %q: %w", e.Path, err)
		}
		res.SHA256 = sum.Sum(nil)
	}
	if e.Exec {
		if err := r.tree.executable(f); err != nil {
			return fmt.Errorf("finish %q: %w", e.Path, err)
		}
	}
	if err := r.tree.chtimes(r.rel(int(i)), e.ModTime); err != nil {
		return fmt.Errorf("finish %q: %w", e.Path, err)
	}
	r.files[i].done = true
	r.left--
	r.res.Bytes += e.Size
	r.res.Files = append(r.res.Files, res)
	return nil
}

// skip records a file that the sender cannot send.
func (r *receiver) skip(i uint32, why error) error {
	if int(i) >= len(r.man) || r.man[i].Dir || r.files[i].skipped != nil {
		return unexpected(frameSkip)
	}
	e := r.man[i]
	if r.open != nil && r.openAt == i {
		r.closeFile()
	}
	if err := r.tree.remove(r.rel(int(i))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop %q: %w", e.Path, err)
	}
	if r.files[i].done { // it came, and then turned out to have changed meanwhile
		r.res.Bytes -= e.Size
		r.res.Files = slices.DeleteFunc(r.res.Files, func(f FileResult) bool { return f.Path == e.Path })
	} else {
		r.left--
	}
	delete(r.hashes, i)
	delete(r.seen, i)
	r.files[i] = fileState{done: true, skipped: why}
	r.res.Files = append(r.res.Files, FileResult{Path: e.Path, Size: e.Size, Err: why})
	return nil
}

// settle counts n more bytes of a file and acknowledges now and then.
func (r *receiver) settle(i uint32, n int64) error {
	r.now.Bytes += n
	r.owner[i].got += n
	if name := r.man[i].Path; name != r.now.File {
		r.now.File, r.now.FileBytes, r.now.FileSize = name, 0, r.man[i].Size
	}
	r.now.FileBytes += n
	if r.opt.Progress != nil {
		r.opt.Progress(r.now)
	}
	if r.now.Bytes-r.acked < ackEvery {
		return nil
	}
	r.acked = r.now.Bytes
	if err := r.owner[i].note(); err != nil {
		return err
	}
	return r.send(frameAck, binary.BigEndian.AppendUint64(nil, uint64(r.acked)))
}

// commit makes everything durable and gives it its names.
func (r *receiver) commit() error {
	r.committing = true
	if err := r.closeFile(); err != nil {
		return err
	}
	for i := len(r.man) - 1; i >= 0; i-- { // inner folders first, as writing changes the outer
		if e := r.man[i]; e.Dir {
			if err := r.tree.chtimes(r.rel(i), e.ModTime); err != nil {
				return fmt.Errorf("finish folder %q: %w", e.Path, err)
			}
		}
	}
	if err := r.tree.settle(); err != nil {
		return fmt.Errorf("write to disk: %w", err)
	}
	if r.opt.Arriving != nil {
		will := *r.res
		for _, c := range r.roots {
			will.Paths = append(will.Paths, c.next(r.opt.Dir))
		}
		r.opt.Arriving(r.man, &will)
	}
	paths := make([]string, len(r.roots))
	defer func() {
		r.res.Paths = slices.DeleteFunc(paths, func(p string) bool { return p == "" })
	}()
	commit := func(i int, c *root) error {
		if r.files[c.first].skipped != nil {
			c.discard()
			return nil
		}
		if c.resumed {
			r.res.Resent += max(0, c.prior-c.kept)
		}
		var err error
		paths[i], err = c.commit(r.opt.Dir)
		return err
	}
	for i, c := range r.roots[1:] {
		if err := commit(i+1, c); err != nil {
			return err
		}
	}
	return commit(0, r.roots[0]) // its lock may stand for those of the others
}

// close ends what is open; partial data stays.
func (r *receiver) close() {
	r.closeFile()
	for _, c := range r.roots {
		c.note()
		c.close()
	}
	if r.tree != nil {
		r.tree.close()
	}
}
