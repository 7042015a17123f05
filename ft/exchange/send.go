package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/carillon-im/carillon/ft/internal/blocktree"
)

// readAhead is how many blocks are read and hashed before they are written to
// the stream.
const readAhead = 2

// maxResends bounds how often damaged blocks are sent again in one transfer.
const maxResends = 16

// SendOptions adjust Send. The zero value is ready to use.
type SendOptions struct {
	// Limit is the highest rate in bytes a second; zero means none.
	Limit int64
	// SHA256 asks for the SHA-256 of each file in the result. It costs as much
	// CPU again as everything else that is done to the data.
	SHA256 bool
	// Progress, if not nil, is called for every block settled.
	Progress func(Progress)
}

// Send offers src over s and returns when the receiver has everything in its
// place, or why not. It closes s. Called again with another stream it goes on
// where the receiver is. A context cancelled pauses the transfer: the receiver
// is told that the sender will come back.
func Send(ctx context.Context, s Stream, src *Source, opt SendOptions) (*Result, error) {
	snd := &sender{
		link: newLink(s), src: src, opt: opt,
		have:  make(map[uint32][]blocktree.Hash),
		total: src.Manifest.Size(),
		res:   &Result{Files: make([]FileResult, 0, src.Manifest.Files())},
		ready: make(chan chunk, readAhead),
		again: make(chan [2]uint32, maxResends),
		done:  make(chan error, 1),
		bufs:  make(chan []byte, readAhead+2),
	}
	for range cap(snd.bufs) {
		snd.bufs <- nil
	}
	snd.link.slow(opt.Limit)
	err := snd.link.run(ctx, snd.run)
	snd.res.Files = append(snd.res.Files, src.Unread...)
	return snd.res, err
}

// A chunk is a frame ready to be written, in a buffer that returns to the pool.
type chunk struct {
	buf   []byte
	data  int64 // bytes of file data in it
	after Progress
	err   error
}

type sender struct {
	*link
	src   *Source
	opt   SendOptions
	have  map[uint32][]blocktree.Hash // what the receiver says it has
	total int64
	res   *Result
	bytes int64 // settled by the reading goroutine

	ready chan chunk
	again chan [2]uint32
	done  chan error
	bufs  chan []byte
}

func (s *sender) run(ctx context.Context) error {
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.sendManifest(); err != nil {
		return err
	}
	if done, err := s.readHave(); err != nil {
		return err
	} else if done {
		return s.already(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { s.listen(cancel) })
	wg.Go(func() { s.produce(ctx) })
	err := s.write(ctx)
	if err == nil {
		err = s.finish(ctx)
	} else {
		select { // what the receiver said explains more than a broken write
		case said := <-s.done:
			if said != nil {
				err = said
			}
		default:
		}
	}
	cancel()
	s.unblock()
	wg.Wait()
	return err
}

func (s *sender) sendManifest() error {
	var body []byte
	for _, e := range s.src.Manifest {
		body = appendEntry(body, e)
		if len(body) > maxBody/2 {
			if err := s.send(frameManifest, body); err != nil {
				return err
			}
			body = body[:0]
		}
	}
	if err := s.send(frameManifest, body); err != nil {
		return err
	}
	return s.send(frameEnd, nil)
}

// readHave collects what the receiver has, until its start. done reports that
// everything was in its place before: it had said so, and nobody heard it.
func (s *sender) readHave() (done bool, err error) {
	buf := make([]byte, maxBody)
	var held int64
	for {
		t, body, err := s.recv(buf)
		if err != nil {
			return false, err
		}
		switch t {
		case frameStart:
			return false, nil
		case frameDone:
			return true, nil
		case frameHave:
			f, p, err := fields(body, 2)
			if err != nil {
				return false, err
			}
			file, first := f[0], f[1]
			if int(file) >= len(s.src.Manifest) || len(p)%blocktree.HashSize != 0 || int(first) != len(s.have[file]) {
				return false, fmt.Errorf("%w: have of file %d", ErrProtocol, file)
			}
			if held += int64(len(p)); int64(len(s.have[file])+len(p)/blocktree.HashSize) > blocktree.Blocks(s.src.Manifest[file].Size) {
				return false, fmt.Errorf("%w: more blocks than file %d has", ErrProtocol, file)
			}
			for ; len(p) > 0; p = p[blocktree.HashSize:] {
				s.have[file] = append(s.have[file], blocktree.Hash(p))
			}
		default:
			return false, unexpected(t)
		}
	}
}

// already makes the result of a transfer that an earlier session brought to
// its end.
func (s *sender) already(ctx context.Context) error {
	for i, e := range s.src.Manifest {
		if e.Dir {
			continue
		}
		r := FileResult{Path: e.Path, Size: e.Size}
		if s.opt.SHA256 {
			var err error
			if r.SHA256, err = sumFile(ctx, s.src.Local(i)); err != nil {
				return err
			}
		}
		s.res.Files = append(s.res.Files, r)
	}
	s.count()
	s.res.Kept = s.total
	if s.opt.Progress != nil {
		s.opt.Progress(Progress{Bytes: s.total, Total: s.total, Kept: s.total})
	}
	return nil
}

// sumFile returns the SHA-256 of a file.
func sumFile(ctx context.Context, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, blocktree.BlockSize)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		switch {
		case err == io.EOF:
			return h.Sum(nil), nil
		case err != nil:
			return nil, fmt.Errorf("hash %s: %w", name, err)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
	}
}

// listen takes what the receiver says while data flows.
func (s *sender) listen(cancel context.CancelFunc) {
	defer cancel()
	buf := make([]byte, maxBody)
	for {
		t, body, err := s.recv(buf)
		if err != nil {
			s.done <- err
			return
		}
		switch t {
		case frameAck:
		case frameDone:
			s.done <- nil
			return
		case frameResend:
			f, _, err := fields(body, 2)
			if err == nil {
				select {
				case s.again <- [2]uint32{f[0], f[1]}:
					continue
				default:
					err = fmt.Errorf("%w: %d blocks asked for again", ErrCorrupt, maxResends)
				}
			}
			s.done <- err
			return
		default:
			s.done <- unexpected(t)
			return
		}
	}
}

// write puts what is produced on the stream.
func (s *sender) write(ctx context.Context) error {
	for c := range s.ready {
		if c.err != nil {
			return c.err
		}
		if _, err := s.Write(c.buf); err != nil {
			return fmt.Errorf("send data: %w", err)
		}
		s.res.Wire += c.data
		s.bufs <- c.buf
		if s.opt.Progress != nil && c.after.Total > 0 {
			s.opt.Progress(c.after)
		}
	}
	return ctx.Err()
}

// finish sends again what arrived damaged, until the receiver is done.
func (s *sender) finish(ctx context.Context) error {
	if err := s.send(frameEnd, nil); err != nil {
		return err
	}
	for {
		var which [2]uint32
		select { // what was asked before the last word comes before it
		case which = <-s.again:
		default:
			select {
			case which = <-s.again:
			case err := <-s.done:
				if err == nil {
					s.count()
				}
				return err
			}
		}
		if err := s.resend(which[0], int64(which[1])); err != nil {
			return err
		}
	}
}

// count adds up the files that arrived.
func (s *sender) count() {
	for _, f := range s.res.Files {
		if f.Err == nil {
			s.res.Bytes += f.Size
		}
	}
}

func (s *sender) resend(file uint32, block int64) error {
	if int(file) >= len(s.src.Manifest) {
		return unexpected(frameResend)
	}
	e := s.src.Manifest[file]
	if e.Dir || block >= blocktree.Blocks(e.Size) {
		return unexpected(frameResend)
	}
	f, err := os.Open(s.src.Local(int(file)))
	if err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	defer f.Close()
	data := make([]byte, blocktree.BlockLen(e.Size, block))
	if _, err := f.ReadAt(data, block*blocktree.BlockSize); err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	s.res.Wire += int64(len(data))
	h := blocktree.Block(data, block)
	return s.send(frameBlock, append(append(numbers(file, uint32(block)), h[:]...), data...))
}

// produce reads and hashes everything, in the order of the manifest.
func (s *sender) produce(ctx context.Context) {
	defer close(s.ready)
	p := &packer{sender: s, ctx: ctx}
	for i, e := range s.src.Manifest {
		if e.Dir {
			continue
		}
		if err := p.file(uint32(i), e); err != nil {
			p.emit(chunk{err: err})
			return
		}
	}
	p.flush()
}

// A packer turns files into frames: large ones block by block, small ones many
// to a frame.
type packer struct {
	*sender
	ctx  context.Context
	pack []byte // frame under construction, header included
	data int64  // bytes of file data in it
	now  Progress
}

var errStopped = errors.New("stopped")

func (p *packer) emit(c chunk) error {
	select {
	case p.ready <- c:
		return nil
	case <-p.ctx.Done():
		return errStopped
	}
}

// buffer returns an empty buffer that holds any frame.
func (p *packer) buffer() ([]byte, error) {
	select {
	case b := <-p.bufs:
		if b == nil {
			b = make([]byte, 0, headerLen+maxBody)
		}
		return b[:0], nil
	case <-p.ctx.Done():
		return nil, errStopped
	}
}

// file sends one file. An error of the file alone is recorded and told to the
// receiver; only what ends the whole transfer is returned.
func (p *packer) file(i uint32, e Entry) error {
	p.now = Progress{Bytes: p.bytes, Total: p.total, Kept: p.res.Kept, File: e.Path, FileSize: e.Size}
	r := FileResult{Path: e.Path, Size: e.Size}
	err := p.contents(i, e, &r)
	if errors.Is(err, errStopped) {
		return err
	}
	if err != nil {
		r.Err = err
		if err := p.control(frameSkip, append(numbers(i), text(err)...)); err != nil {
			return err
		}
		p.bytes = p.now.Bytes - p.now.FileBytes + e.Size // nothing more of it will come
	}
	p.res.Files = append(p.res.Files, r)
	return nil
}

func (p *packer) contents(i uint32, e Entry, r *FileResult) error {
	f, err := os.Open(p.src.Local(int(i)))
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return err
	}
	if before.Size() != e.Size || !before.ModTime().Equal(e.ModTime) {
		return ErrChanged
	}
	var sum hash.Hash
	if p.opt.SHA256 {
		sum = sha256.New()
	}
	if e.Size <= blocktree.BlockSize {
		err = p.small(i, e, f, r, sum)
	} else {
		err = p.large(i, e, f, r, sum)
	}
	if err != nil {
		return err
	}
	if sum != nil {
		r.SHA256 = sum.Sum(nil)
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return ErrChanged
	}
	return nil
}

// ErrChanged reports a file that changed while it was sent.
var ErrChanged = errors.New("file changed while it was being sent")

// small puts a whole file into a pack.
func (p *packer) small(i uint32, e Entry, f io.Reader, r *FileResult, sum hash.Hash) error {
	if len(p.pack)+packHead+int(e.Size) > headerLen+maxBody {
		if err := p.flush(); err != nil {
			return err
		}
	}
	if p.pack == nil {
		b, err := p.buffer()
		if err != nil {
			return err
		}
		p.pack = b[:headerLen]
	}
	start := len(p.pack)
	b := p.pack[:start+packHead+int(e.Size)]
	data := b[start+packHead:]
	if _, err := io.ReadFull(f, data); err != nil {
		return ErrChanged
	}
	r.BLAKE3 = blocktree.One(data)
	if sum != nil {
		sum.Write(data)
	}
	if h := p.have[i]; len(h) == 1 && h[0] == r.BLAKE3 {
		return p.keep(i, 0, 1, e.Size)
	}
	binary.BigEndian.PutUint32(b[start:], i)
	binary.BigEndian.PutUint32(b[start+4:], uint32(e.Size))
	copy(b[start+8:], r.BLAKE3[:])
	p.pack = b
	p.data += e.Size
	p.settle(e.Size)
	return nil
}

func (p *packer) settle(n int64) {
	p.bytes += n
	p.now.Bytes += n
	p.now.FileBytes += n
}

func (p *packer) flush() error {
	if p.pack == nil {
		return nil
	}
	b, n := p.pack, p.data
	p.pack, p.data = nil, 0
	if len(b) == headerLen {
		p.bufs <- b
		return nil
	}
	putHeader(b, framePack, len(b)-headerLen)
	return p.emit(chunk{buf: b, data: n, after: p.now})
}

// keep tells the receiver that blocks it has are right.
func (p *packer) keep(file uint32, first, n, bytes int64) error {
	p.res.Kept += bytes
	p.now.Kept += bytes
	p.settle(bytes)
	return p.control(frameKeep, numbers(file, uint32(first), uint32(n)))
}

// control queues a small frame behind the data before it.
func (p *packer) control(t frameType, body []byte) error {
	if err := p.flush(); err != nil {
		return err
	}
	b, err := p.buffer()
	if err != nil {
		return err
	}
	b = b[:headerLen]
	putHeader(b, t, len(body))
	return p.emit(chunk{buf: append(b, body...), after: p.now})
}

// large sends a file block by block, and then the hash of all of it.
func (p *packer) large(i uint32, e Entry, f io.Reader, r *FileResult, sum hash.Hash) error {
	if err := p.flush(); err != nil {
		return err
	}
	var (
		have   = p.have[i]
		hashes = make([]blocktree.Hash, blocktree.Blocks(e.Size))
		kept   int64 // blocks before this one that the receiver has
		bytes  int64
	)
	tell := func(before int64) error {
		if kept == 0 {
			return nil
		}
		n, b := kept, bytes
		kept, bytes = 0, 0
		return p.keep(i, before-n, n, b)
	}
	for block := range int64(len(hashes)) {
		b, err := p.buffer()
		if err != nil {
			return err
		}
		n := blocktree.BlockLen(e.Size, block)
		b = b[:headerLen+blockHead+n]
		data := b[headerLen+blockHead:]
		hasher := blocktree.NewHasher(block)
		if err := hashFull(f, data, &hasher); err != nil {
			p.bufs <- b
			return ErrChanged
		}
		h := hasher.Block()
		hashes[block] = h
		if sum != nil {
			sum.Write(data)
		}
		if block < int64(len(have)) && have[block] == h {
			p.bufs <- b
			kept++
			bytes += int64(n)
			if bytes >= 64<<20 { // progress also while nothing is sent
				if err := tell(block + 1); err != nil {
					return err
				}
			}
			continue
		}
		if err := tell(block); err != nil {
			return err
		}
		putHeader(b, frameBlock, blockHead+n)
		binary.BigEndian.PutUint32(b[headerLen:], i)
		binary.BigEndian.PutUint32(b[headerLen+4:], uint32(block))
		copy(b[headerLen+8:], h[:])
		p.settle(int64(n))
		if err := p.emit(chunk{buf: b, data: int64(n), after: p.now}); err != nil {
			return err
		}
	}
	if err := tell(int64(len(hashes))); err != nil {
		return err
	}
	r.BLAKE3 = blocktree.Root(hashes)
	return p.control(frameRoot, append(numbers(i), r.BLAKE3[:]...))
}
