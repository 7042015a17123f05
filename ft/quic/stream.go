package quic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath"
	"github.com/quic-go/quic-go"
)

// How a connection ends. README.md#end
const (
	codeDone = 0 // each has what the other said
	codeCut  = 1
)

// lingerTimeout is how long Close waits for the peer to have what was written.
const lingerTimeout = 3 * time.Second

// Limits of what is between the lanes and who reads. README.md#the-stream
const (
	header   = 12       // bytes: the number of a block, and its length
	blockMax = 64 << 10 // bytes of a block
	waitMax  = 16       // blocks that wait for those before them, beside the one that is next
)

// A lane is one of the connections that a stream is made of, and its stream.
type lane struct {
	conn *quic.Conn
	str  *quic.Stream
}

// A stream is cut into numbered blocks, and each goes by the lane that is free:
// one that lost a packet, and is slow for a while, holds up the others little.
//
// Closing a QUIC connection drops what is still on its way, so both sides say
// when they have everything: by opening a stream with nothing in it. Close
// waits for that.
type stream struct {
	lanes   []lane
	path    *icepath.Path
	relayed *quic.Transport // over the ICE connection; nil on the socket
	info    ft.StreamInfo

	wg     sync.WaitGroup
	closed chan struct{} // by Close
	broken chan struct{} // when a lane is
	close  func() error
	done   sync.Once // said that we have everything

	wmu     sync.Mutex // held while writing
	wclosed bool
	next    uint64
	work    chan []byte // blocks with their headers
	late    *icepath.Deadline

	mu       sync.Mutex
	changed  *sync.Cond        // of what follows
	ready    map[uint64][]byte // blocks that came
	expected uint64
	rest     []byte // of the block that is read
	ends     int    // lanes of the peer that have ended
	ended    bool
	over     bool // nobody reads any more
	deadline time.Time
	alarm    *time.Timer
	err      error // why it is broken
}

// Buffers of blocks, with their headers.
var blocks = sync.Pool{New: func() any { b := make([]byte, header+blockMax); return &b }}

func newStream(lanes []lane) *stream {
	s := &stream{
		lanes: lanes, closed: make(chan struct{}), broken: make(chan struct{}),
		work: make(chan []byte), late: icepath.NewDeadline(), ready: make(map[uint64][]byte),
	}
	s.changed = sync.NewCond(&s.mu)
	s.close = sync.OnceValue(s.end)
	for _, l := range lanes {
		s.wg.Go(func() { s.send(l) })
		s.wg.Go(func() { s.receive(l) })
	}
	return s
}

func (s *stream) Info() ft.StreamInfo { return s.info }

// send writes blocks to one lane.
func (s *stream) send(l lane) {
	for {
		select {
		case b, ok := <-s.work:
			if !ok {
				s.fail(l.str.Close())
				return
			}
			_, err := l.str.Write(b)
			release(b)
			if err != nil {
				s.fail(err)
				return
			}
		case <-l.conn.Context().Done():
			s.fail(context.Cause(l.conn.Context()))
			return
		}
	}
}

// receive takes the blocks of one lane.
func (s *stream) receive(l lane) {
	for {
		var h [header]byte
		if _, err := io.ReadFull(l.str, h[:]); err != nil {
			if err == io.EOF { // the end of one lane is not that of the stream
				s.laneEnds()
			} else {
				s.fail(err)
			}
			return
		}
		number, size := binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint32(h[8:])
		if size > blockMax {
			s.fail(fmt.Errorf("a block of %d bytes", size))
			return
		}
		b := (*blocks.Get().(*[]byte))[:size]
		if _, err := io.ReadFull(l.str, b); err != nil {
			s.fail(io.ErrUnexpectedEOF)
			return
		}
		if !s.take(number, b) {
			return
		}
	}
}

// laneEnds breaks the stream when every lane has ended and none brought its end.
func (s *stream) laneEnds() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends++; s.ends < len(s.lanes) || s.ended {
		return
	}
	for _, b := range s.ready {
		if len(b) == 0 {
			return
		}
	}
	s.breaks(io.ErrUnexpectedEOF)
}

// take keeps a block until it is read.
func (s *stream) take(number uint64, b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number > s.expected && len(s.ready) >= waitMax && !s.over && s.err == nil {
		s.changed.Wait()
	}
	if _, twice := s.ready[number]; twice || number < s.expected {
		s.breaks(fmt.Errorf("block %d comes twice", number))
	}
	if s.over || s.err != nil {
		return false
	}
	s.ready[number] = b
	s.changed.Broadcast()
	return true
}

// fail breaks the stream; nil does nothing.
func (s *stream) fail(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaks(err)
}

// breaks is fail with s.mu held.
func (s *stream) breaks(err error) {
	if s.err == nil {
		s.err = plain(err)
		close(s.broken)
		s.changed.Broadcast()
	}
}

// plain makes errors of a connection what callers expect.
func plain(err error) error {
	var (
		app *quic.ApplicationError
		str *quic.StreamError
	)
	switch {
	case errors.As(err, &app) && !app.Remote, errors.As(err, &str) && !str.Remote:
		return net.ErrClosed
	case errors.As(err, &app), errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF // the peer is gone before it said that it is done
	}
	return err
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 && len(s.rest) == 0 && !s.ended {
		b, ok := s.ready[s.expected]
		switch {
		case s.over:
			return 0, net.ErrClosed
		case ok && len(b) == 0:
			s.ended = true
			s.sayDone()
		case ok:
			s.rest = b
		case s.err != nil:
			return 0, s.err
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return 0, os.ErrDeadlineExceeded
		default:
			s.changed.Wait()
		}
	}
	if s.ended {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	if s.rest = s.rest[n:]; n > 0 && len(s.rest) == 0 {
		release(s.ready[s.expected])
		delete(s.ready, s.expected)
		s.expected++
		s.changed.Broadcast()
	}
	return n, nil
}

// release gives a block back.
func release(b []byte) {
	if cap(b) == header+blockMax {
		b = b[:cap(b)]
		blocks.Put(&b)
	}
}

// Write hands p to the lanes.
func (s *stream) Write(p []byte) (n int, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.wclosed {
		return 0, net.ErrClosed
	}
	for len(p) > 0 {
		m := min(len(p), blockMax)
		if err := s.hand(p[:m], s.late.Passed(), s.closed); err != nil {
			return n, err
		}
		n += m
		p = p[m:]
	}
	return n, nil
}

// hand gives the next block to the first lane that is free. s.wmu is held.
func (s *stream) hand(p []byte, late, closed <-chan struct{}) error {
	select { // a deadline that has passed counts before a lane that is free
	case <-late:
		return os.ErrDeadlineExceeded
	default:
	}
	b := (*blocks.Get().(*[]byte))[:header+len(p)]
	binary.BigEndian.PutUint64(b, s.next)
	binary.BigEndian.PutUint32(b[8:], uint32(len(p)))
	copy(b[header:], p)
	select {
	case s.work <- b:
		s.next++
		return nil
	case <-late:
		return os.ErrDeadlineExceeded
	case <-closed:
		return net.ErrClosed
	case <-s.broken:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.err
	}
}

func (s *stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	if s.alarm != nil {
		s.alarm.Stop()
		s.alarm = nil
	}
	if !t.IsZero() && !s.over {
		s.alarm = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock() // or Read looks at the clock before and waits after
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
	return nil
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	s.late.Set(t)
	return nil
}

// CloseWrite says that nothing more will be written.
func (s *stream) CloseWrite() error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.closeWrite(s.late.Passed())
}

func (s *stream) closeWrite(late <-chan struct{}) error {
	if s.wclosed {
		return nil
	}
	if err := s.hand(nil, late, nil); err != nil {
		return err
	}
	s.wclosed = true
	close(s.work)
	return nil
}

// sayDone tells the peer that we have, or want, no more of what it writes.
func (s *stream) sayDone() {
	s.done.Do(func() {
		if u, err := s.lanes[0].conn.OpenUniStream(); err == nil {
			u.Close()
		}
	})
}

// Close waits until the peer has what was written, not longer than a moment,
// and ends everything.
func (s *stream) Close() error { return s.close() }

func (s *stream) end() error {
	close(s.closed) // frees a write that is stuck
	ctx, cancel := context.WithTimeout(s.lanes[0].conn.Context(), lingerTimeout)
	defer cancel()
	s.wmu.Lock()
	err := s.closeWrite(ctx.Done())
	if !s.wclosed {
		s.wclosed = true
		close(s.work)
	}
	s.wmu.Unlock()

	s.mu.Lock()
	s.over = true
	if s.alarm != nil {
		s.alarm.Stop()
	}
	s.changed.Broadcast()
	ended := s.ended
	s.mu.Unlock()
	if !ended {
		for _, l := range s.lanes {
			l.str.CancelRead(codeDone)
		}
	}
	s.sayDone()

	code := quic.ApplicationErrorCode(codeDone)
	if err == nil {
		_, err = s.lanes[0].conn.AcceptUniStream(ctx)
	}
	if err != nil {
		code = codeCut
	}
	for _, l := range s.lanes {
		l.conn.CloseWithError(code, "")
	}
	s.wg.Wait()
	if s.relayed != nil {
		s.relayed.Close()
	}
	return s.path.Close()
}
