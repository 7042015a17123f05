package quic

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
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

// A stream is the one stream of a connection.
//
// Closing a QUIC connection drops what is still on its way, so both sides say
// when they have everything: by opening a stream with nothing in it. Close
// waits for that.
type stream struct {
	conn    *quic.Conn
	str     *quic.Stream
	path    *icepath.Path
	relayed *quic.Transport // over the ICE connection; nil on the socket
	info    ft.StreamInfo

	wmu     sync.Mutex // held while writing
	wclosed bool

	ended atomic.Bool // Read has returned io.EOF
	done  sync.Once   // said that we have everything
	close func() error
}

func newStream(conn *quic.Conn, str *quic.Stream) *stream {
	s := &stream{conn: conn, str: str}
	s.close = sync.OnceValue(s.end)
	return s
}

func (s *stream) Info() ft.StreamInfo { return s.info }

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.str.Read(p)
	if err == io.EOF {
		s.ended.Store(true)
		s.sayDone()
		return n, err
	}
	return n, s.plain(err)
}

func (s *stream) Write(p []byte) (int, error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.wclosed {
		return 0, net.ErrClosed
	}
	n, err := s.str.Write(p)
	return n, s.plain(err)
}

func (s *stream) SetReadDeadline(t time.Time) error  { return s.str.SetReadDeadline(t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.str.SetWriteDeadline(t) }

// CloseWrite says that nothing more will be written.
func (s *stream) CloseWrite() error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.wclosed {
		return nil
	}
	s.wclosed = true
	return s.plain(s.str.Close())
}

// plain makes errors of a connection that we closed what callers expect.
func (s *stream) plain(err error) error {
	var app *quic.ApplicationError
	if errors.As(err, &app) {
		if !app.Remote {
			return net.ErrClosed
		}
		return io.ErrUnexpectedEOF // the peer is gone before it said that it is done
	}
	var str *quic.StreamError
	if errors.As(err, &str) && !str.Remote {
		return net.ErrClosed
	}
	return err
}

// sayDone tells the peer that we have, or want, no more of what it writes.
func (s *stream) sayDone() {
	s.done.Do(func() {
		if u, err := s.conn.OpenUniStream(); err == nil {
			u.Close()
		}
	})
}

// Close waits until the peer has what was written, not longer than a moment,
// and ends everything.
func (s *stream) Close() error { return s.close() }

func (s *stream) end() error {
	s.str.SetWriteDeadline(time.Unix(1, 0)) // frees a write that is stuck
	s.CloseWrite()
	if !s.ended.Load() {
		s.str.CancelRead(codeDone)
	}
	s.sayDone()
	ctx, cancel := context.WithTimeout(s.conn.Context(), lingerTimeout)
	defer cancel()
	code := quic.ApplicationErrorCode(codeDone)
	if _, err := s.conn.AcceptUniStream(ctx); err != nil {
		code = codeCut
	}
	s.conn.CloseWithError(code, "")
	if s.relayed != nil {
		s.relayed.Close()
	}
	return s.path.Close()
}
