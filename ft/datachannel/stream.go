package datachannel

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath"
	jdc "github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/pion/datachannel"
	"github.com/pion/sctp"
)

// How much waits to be sent or acknowledged. A write that would make it more
// than high waits until it is low: they are at least what is on its way on a
// fast long line.
//
// pion's own waiting, EnableDataChannelBlockWrite, hangs on lines with delay.
const (
	high = 8 << 20 // bytes
	low  = 4 << 20
)

// lingerTimeout is how long Close waits for the peer to have what was written.
const lingerTimeout = 3 * time.Second

type streamConfig struct {
	assoc           *sctp.Association
	path            *icepath.Path
	info            ft.StreamInfo
	log             *slog.Logger
	label, protocol string // of our channel
	first           bool   // we began the DTLS handshake
	max             int    // bytes of a message
}

// A stream is a channel each way.
type stream struct {
	streamConfig

	dead  chan struct{} // closed when the association is over
	ended chan struct{} // closed by Close
	wg    sync.WaitGroup

	wmu      sync.Mutex // held while writing
	out      *datachannel.DataChannel
	wclosed  bool
	drained  chan struct{}     // something was acknowledged
	deadline *icepath.Deadline // of writes

	rmu    sync.Mutex // held while reading
	buf    []byte     // for a message that does not fit
	unread []byte

	mu    sync.Mutex
	in    *datachannel.DataChannel
	came  chan struct{}     // closed when in is set
	rd    time.Time         // deadline of reads
	lost  bool              // the path
	rwait *icepath.Deadline // of reads before there is a channel

	close func() error
}

func newStream(cfg streamConfig) *stream {
	s := &stream{
		streamConfig: cfg,
		dead:         make(chan struct{}), ended: make(chan struct{}), came: make(chan struct{}),
		drained: make(chan struct{}, 1), deadline: icepath.NewDeadline(), rwait: icepath.NewDeadline(),
	}
	s.close = sync.OnceValue(s.end)
	s.wg.Go(s.accept)
	s.wg.Go(s.watch)
	return s
}

// accept waits for the peer's channel: the first one that is reliable.
func (s *stream) accept() {
	defer close(s.dead)
	for {
		c, err := datachannel.Accept(s.assoc, &datachannel.Config{LoggerFactory: icepath.Logger(s.log)})
		if errors.Is(err, datachannel.ErrInvalidPayloadProtocolIdentifier) || errors.Is(err, datachannel.ErrDataChannelMessageTooShort) ||
			errors.Is(err, datachannel.ErrUnexpectedDataChannelType) || errors.Is(err, datachannel.ErrExpectedAndActualLengthMismatch) ||
			errors.Is(err, datachannel.ErrInvalidMessageType) || errors.Is(err, io.ErrShortBuffer) {
			s.log.Debug("stream of the peer is no channel", "err", err)
			continue
		}
		if err != nil {
			return // the association is over
		}
		s.mu.Lock()
		if s.in != nil || c.Config.ChannelType != datachannel.ChannelTypeReliable {
			s.mu.Unlock()
			s.log.Debug("channel of the peer is not used", "label", c.Config.Label, "type", c.Config.ChannelType.String())
			c.Close()
			continue
		}
		s.in = c
		c.SetReadDeadline(s.rd)
		close(s.came)
		s.mu.Unlock()
	}
}

// watch ends the association when the path is lost: SCTP would try for ever.
func (s *stream) watch() {
	select {
	case <-s.path.Lost():
		s.mu.Lock()
		s.lost = true
		s.mu.Unlock()
		s.assoc.Close()
	case <-s.dead:
	case <-s.ended:
	}
}

// makeChannel makes our channel. s.wmu is held, or nobody else knows s.
func (s *stream) makeChannel() error {
	id := uint16(1) // RFC 8832 §6: even for the client of DTLS
	if s.first {
		id = 0
	}
	c, err := datachannel.Dial(s.assoc, id, &datachannel.Config{
		ChannelType: datachannel.ChannelTypeReliable, Priority: datachannel.ChannelPriorityNormal,
		Label: s.label, Protocol: s.protocol, LoggerFactory: icepath.Logger(s.log),
	})
	if err != nil {
		return fmt.Errorf("make a data channel: %w", err)
	}
	c.SetBufferedAmountLowThreshold(low)
	c.OnBufferedAmountLow(s.wake)
	s.out = c
	return nil
}

func (s *stream) wake() {
	select {
	case s.drained <- struct{}{}:
	default:
	}
}

func (s *stream) Info() ft.StreamInfo { return s.info }

// Write sends p in messages, no faster than they are acknowledged.
func (s *stream) Write(p []byte) (n int, err error) {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	if s.wclosed {
		return 0, net.ErrClosed
	}
	if s.out == nil {
		if err := s.makeChannel(); err != nil {
			return 0, err
		}
	}
	for len(p) > 0 {
		if err := s.room(); err != nil {
			return n, err
		}
		m := min(len(p), s.max)
		if _, err := s.out.Write(p[:m]); err != nil {
			return n, s.broken(err)
		}
		n += m
		p = p[m:]
	}
	return n, nil
}

// room waits until there is room for another message.
func (s *stream) room() error {
	for {
		select {
		case <-s.deadline.Passed():
			return os.ErrDeadlineExceeded
		case <-s.dead:
			return s.broken(io.ErrClosedPipe)
		case <-s.ended:
			return net.ErrClosed
		default:
		}
		if s.out.BufferedAmount() < high {
			return nil
		}
		select {
		case <-s.drained:
		case <-s.deadline.Passed():
		case <-s.dead:
		case <-s.ended:
		}
	}
}

// broken tells why the association does not work.
func (s *stream) broken(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ended:
		return net.ErrClosed
	default:
	}
	switch {
	case s.lost:
		return fmt.Errorf("the path to the peer is lost: %w", io.ErrUnexpectedEOF)
	case err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.ErrClosedPipe):
		return err
	}
	return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err) // the peer aborted, for example
}

// Read returns what the peer wrote to its channel.
func (s *stream) Read(p []byte) (int, error) {
	s.rmu.Lock()
	defer s.rmu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.unread) > 0 {
		n := copy(p, s.unread)
		s.unread = s.unread[n:]
		return n, nil
	}
	in, err := s.channel()
	if err != nil {
		return 0, err
	}
	for {
		buf := p
		if len(p) < jdc.MaxMessageSize {
			if s.buf == nil {
				s.buf = make([]byte, jdc.MaxMessageSize)
			}
			buf = s.buf
		}
		n, err := in.Read(buf)
		if errors.Is(err, sctp.ErrResetPacketInStateNotExist) {
			err = io.EOF // the peer closed all at once; pion wanted to answer that
		}
		if err != nil {
			return 0, s.broken(err)
		}
		if n == 0 {
			continue // an empty message
		}
		if len(p) < jdc.MaxMessageSize {
			m := copy(p, buf[:n])
			s.unread, n = buf[m:n], m
		}
		return n, nil
	}
}

// channel waits for the peer's channel.
func (s *stream) channel() (*datachannel.DataChannel, error) {
	select {
	case <-s.came:
	default:
		select {
		case <-s.came:
		case <-s.rwait.Passed():
			return nil, os.ErrDeadlineExceeded
		case <-s.ended:
			return nil, net.ErrClosed
		case <-s.dead:
			select {
			case <-s.came:
			default:
				return nil, s.broken(io.EOF)
			}
		}
	}
	return s.in, nil
}

func (s *stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ended:
		t = time.Time{} // nobody waits any more; pion would, with a goroutine
	default:
	}
	s.rd = t
	s.rwait.Set(t)
	if s.in != nil {
		return s.in.SetReadDeadline(t)
	}
	return nil
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	s.deadline.Set(t)
	return nil
}

// CloseWrite closes our channel after what was written. Among our own that is
// the end of what we say; others count bytes.
func (s *stream) CloseWrite() error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.closeWrite()
}

func (s *stream) closeWrite() error {
	if s.wclosed {
		return nil
	}
	s.wclosed = true
	if s.out == nil {
		if err := s.makeChannel(); err != nil {
			return err
		}
	}
	return s.out.Close()
}

// Close waits until the peer has what was written, not longer than a moment,
// and ends everything.
func (s *stream) Close() error { return s.close() }

func (s *stream) end() error {
	s.deadline.Set(time.Unix(1, 0)) // frees a write that is stuck
	s.wmu.Lock()
	if s.out != nil {
		s.out.SetBufferedAmountLowThreshold(0)
		timer := time.NewTimer(lingerTimeout)
		for s.out.BufferedAmount() > 0 {
			select {
			case <-s.drained:
				continue
			case <-timer.C:
			case <-s.dead:
			}
			break
		}
		timer.Stop()
		s.closeWrite()
	}
	s.wclosed = true
	s.wmu.Unlock()
	return s.abort()
}

// abort ends everything at once.
func (s *stream) abort() error {
	close(s.ended)
	s.SetReadDeadline(time.Time{}) // ends that goroutine
	s.assoc.Close()                // closes DTLS, too, which the peer sees
	err := s.path.Close()
	s.wg.Wait()
	return err
}
