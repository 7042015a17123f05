package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/carillon-im/carillon/ft/internal/blocktree"
	"golang.org/x/time/rate"
)

// A link is one side's end of the stream: it writes whole frames, pings when
// it has nothing else to say, and gives up on a peer that is silent.
type link struct {
	s Stream

	over    atomic.Bool // nothing more is to be read
	leaving atomic.Bool // nothing more is to be written but the farewell

	mu    sync.Mutex    // held while a frame is written
	busy  bool          // something was written since the last look of the pinger
	piece int           // bytes written at once
	every time.Duration // between pings
	limit *rate.Limiter
	ctx   context.Context // of run; ends the waiting for limit
}

// maxPiece is how many bytes are written to the stream at once. A slow stream
// needs a while for a frame, and is not silent meanwhile: each piece has its
// own deadline.
const maxPiece = 128 << 10

func newLink(s Stream) *link {
	l := &link{s: s, piece: maxPiece, every: pingEvery}
	if r, ok := s.(interface{ Restless() time.Duration }); ok {
		l.every = r.Restless()
	}
	return l
}

// slow limits the rate of what is written, in bytes a second.
func (l *link) slow(limit int64) {
	if limit > 0 {
		l.piece = int(min(max(limit/4, 1<<10), maxPiece))
		l.limit = rate.NewLimiter(rate.Limit(limit), l.piece)
	}
}

// Write writes whole frames.
func (l *link) Write(frames []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = true
	for n < len(frames) {
		p := frames[n:min(n+l.piece, len(frames))]
		if l.limit != nil {
			if err := l.limit.WaitN(l.ctx, len(p)); err != nil {
				return n, cmp.Or(context.Cause(l.ctx), err)
			}
		}
		if err := l.s.SetWriteDeadline(time.Now().Add(stallAfter)); err != nil {
			return n, err
		}
		if l.leaving.Load() { // checked after the deadline is set, see farewell
			return n, net.ErrClosed
		}
		k, err := l.s.Write(p)
		n += k
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = ErrStalled
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Read reads from the stream, which is not dead as long as something comes.
func (l *link) Read(p []byte) (int, error) {
	if err := l.s.SetReadDeadline(time.Now().Add(stallAfter)); err != nil {
		return 0, err
	}
	if l.over.Load() { // checked after the deadline is set, see unblock
		return 0, errFinished
	}
	return l.s.Read(p)
}

func (l *link) send(t frameType, body []byte) error {
	if err := writeFrame(l, t, body); err != nil {
		return fmt.Errorf("write to peer: %w", err)
	}
	return nil
}

// recv returns the next frame that is not a ping. What the peer says when it
// gives up comes back as an error.
func (l *link) recv(buf []byte) (frameType, []byte, error) { return l.recvSum(buf, nil) }

// recvSum is recv that hashes a block on the way, if sum is not nil.
func (l *link) recvSum(buf []byte, sum *blocktree.Hash) (frameType, []byte, error) {
	for {
		t, body, err := readFrame(l, buf, sum)
		switch {
		case errors.Is(err, errFinished):
			return 0, nil, errFinished
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, nil, ErrStalled
		case errors.Is(err, ErrProtocol):
			return 0, nil, err
		case err != nil:
			return 0, nil, fmt.Errorf("read from peer: %w", noEOF(err))
		case t == framePing:
			continue
		case t == frameBye:
			return 0, nil, farewell(body)
		}
		return t, body, nil
	}
}

// greet says and hears the name of the protocol.
func (l *link) greet() error {
	if err := l.send(frameHello, []byte(protocol)); err != nil {
		return err
	}
	t, body, err := l.recv(make([]byte, maxBody))
	if err != nil {
		return err
	}
	if t != frameHello || string(body) != protocol {
		return fmt.Errorf("%w: it does not speak %q", ErrProtocol, strings.TrimSpace(protocol))
	}
	return nil
}

// run calls fn with the pinger beside it, and closes the stream. When ctx ends
// or fn fails, the peer is told why before that.
func (l *link) run(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	l.ctx = ctx
	var wg sync.WaitGroup
	wg.Go(func() { l.ping(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		if cause := context.Cause(ctx); cause != errFinished {
			l.farewell(cause)
		}
		l.s.Close()
	})
	err := fn(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // the reads and writes that failed did so because of it
	}
	if err != nil {
		cancel(err)
	} else {
		cancel(errFinished)
	}
	wg.Wait()
	return err
}

// errFinished ends a run that went well.
var errFinished = errors.New("finished")

func (l *link) ping(ctx context.Context) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.mu.Lock()
			busy := l.busy
			l.busy = false
			l.mu.Unlock()
			if !busy {
				l.send(framePing, nil) // a dead stream shows where it is read
			}
		case <-ctx.Done():
			return
		}
	}
}

// unblock makes a pending recv return, and later ones at once.
func (l *link) unblock() {
	l.over.Store(true)
	l.s.SetReadDeadline(time.Unix(1, 0))
}

// farewell tells the peer why this side gives up, if the stream still takes it.
func (l *link) farewell(cause error) {
	code := byeFailed
	var said *PeerError
	switch {
	case errors.Is(cause, context.Canceled), errors.Is(cause, ErrPaused):
		code = byePaused
	case errors.Is(cause, ErrCancelled):
		code = byeCancel
	case errors.As(cause, &said), errors.Is(cause, io.ErrUnexpectedEOF):
		return // the peer knows
	case errors.Is(cause, ErrStalled):
		return // another stream may do better; a reason would end the transfer
	}
	l.leaving.Store(true)
	l.s.SetWriteDeadline(time.Now().Add(time.Second)) // also frees a write that is stuck
	l.mu.Lock()
	defer l.mu.Unlock()
	writeFrame(l.s, frameBye, append([]byte{byte(code)}, text(cause)...))
}

// farewell decodes what a peer said when it gave up.
func farewell(body []byte) error {
	if len(body) == 0 {
		return fmt.Errorf("%w: empty bye", ErrProtocol)
	}
	switch byeCode(body[0]) {
	case byePaused:
		return ErrPaused
	case byeCancel:
		return ErrCancelled
	}
	return &PeerError{Text: clean(body[1:])}
}

// text returns what is told to the peer about an error. Paths of this machine
// stay here.
func text(err error) []byte {
	var p *os.PathError
	s := err.Error()
	switch {
	case errors.Is(err, ErrDiskFull):
		s = ErrDiskFull.Error() // whichever way the system says it
	case errors.As(err, &p):
		s = p.Err.Error()
	}
	return []byte(s[:min(len(s), maxTextSize)])
}

// clean makes text of a peer fit to be shown.
func clean(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), maxTextSize)]), "?"))
}

func unexpected(t frameType) error {
	return fmt.Errorf("%w: frame %q where it does not belong", ErrProtocol, byte(t))
}
