// Package ibb carries files inside XMPP stanzas (XEP-0261, XEP-0047): slow,
// and there whenever XMPP is.
//
// Several blocks are under way at once, as XMPP keeps their order: the number
// grows while acknowledgements come quickly and shrinks when the server slows
// the stream down, so that other stanzas are not held up behind a file.
package ibb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/ibb"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// Block sizes and windows.
const (
	blockSize    = 8192 // offered; as large as Conversations takes, a stanza of 11 kB
	minBlock     = 64   // smaller ones than this are refused
	leastBlock   = 1024 // offered
	maxBlock     = 65535
	firstWindow  = 2 // blocks under way at first
	maxWindow    = 16
	slow         = 500 * time.Millisecond // an acknowledgement that takes longer halves the window
	maxBuffered  = 1 << 20                // bytes received and not yet read
	closeTimeout = 2 * time.Second        // for the answer to a close
)

// Carrier makes negotiations. Its zero value is ready to use.
type Carrier struct{}

// Namespace is that of XEP-0261.
func (Carrier) Namespace() string { return ibb.NS }

// NeedsNoServices says that STUN and TURN servers are of no use here.
func (Carrier) NeedsNoServices() {}

// New begins a negotiation.
func (Carrier) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	if env.Ask == nil || env.HandleIQ == nil {
		return nil, fmt.Errorf("%w in band: there is no way to send stanzas", ft.ErrNoPath)
	}
	return &negotiation{env: env, role: role, remote: make(chan *ibb.Transport, 1)}, nil
}

type negotiation struct {
	env    ft.Env
	role   jingle.Role
	remote chan *ibb.Transport
	got    bool

	mu     sync.Mutex
	size   uint16 // what was offered or taken
	sid    string
	stream *stream
}

// Infos has none: XEP-0261 negotiates nothing further.
func (n *negotiation) Infos() <-chan jingle.Transport { return nil }

// Local names the stream and the block size. The responder's is never larger
// than the initiator's. XEP-0261#protocol
func (n *negotiation) Local(context.Context) (jingle.Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sid == "" {
		n.sid, n.size = token(), blockSize
	}
	n.listen()
	return &ibb.Transport{SID: n.sid, BlockSize: n.size}, nil
}

// listen makes the stream ready for what the peer opens. n.mu is held.
func (n *negotiation) listen() {
	if n.stream == nil {
		n.stream = newStream(n.env, n.sid)
	}
}

// Remote takes the peer's block size.
func (n *negotiation) Remote(rt jingle.Transport) error {
	t, ok := rt.(*ibb.Transport)
	if !ok {
		return fmt.Errorf("transport %q is not %q", rt.Namespace(), ibb.NS)
	}
	if n.got {
		return nil
	}
	if t.BlockSize < minBlock {
		return fmt.Errorf("blocks of %d bytes are too small", t.BlockSize)
	}
	if t.Stanza == "message" {
		return errors.New("blocks in messages are not acknowledged and not supported")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sid == "" {
		if t.SID == "" || len(t.SID) > 256 {
			return errors.New("the peer names no stream")
		}
		n.sid, n.size = t.SID, blockSize
	}
	n.size = min(n.size, t.BlockSize)
	n.got = true
	n.remote <- t
	return nil
}

// Open opens the bytestream as the initiator, and waits for that as the
// responder. XEP-0261#protocol
func (n *negotiation) Open(ctx context.Context) (ft.Stream, error) {
	select {
	case <-n.remote:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	n.mu.Lock()
	n.listen()
	s, size := n.stream, n.size
	n.mu.Unlock()
	if n.role == jingle.Initiator {
		if err := n.dial(ctx, s, size); err != nil {
			s.Close()
			return nil, err
		}
	}
	select {
	case <-s.open:
		n.mu.Lock()
		n.stream = nil // it belongs to the caller now
		n.mu.Unlock()
		return s, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w in band: the peer does not open the stream: %w", ft.ErrNoPath, context.Cause(ctx))
	}
}

// dial opens the stream, with smaller blocks when the peer wants that.
// XEP-0047#create
func (n *negotiation) dial(ctx context.Context, s *stream, size uint16) error {
	for {
		s.expect(int(size))
		_, err := n.env.IQ(ctx, n.env.Peer, stanza.SetIQ, &ibb.Open{SID: n.sid, BlockSize: size, Stanza: "iq"})
		var e stanza.Error
		switch {
		case err == nil:
			s.opened(int(size))
			return nil
		case !errors.As(err, &e) || e.Condition != stanza.ResourceConstraint || size/2 < leastBlock:
			return fmt.Errorf("%w in band: open the stream: %w", ft.ErrNoPath, err)
		}
		size /= 2
	}
}

// Method is the namespace of in-band bytestreams.
func (Carrier) Method() string { return ibb.NSBytestream }

// DialStream opens a bytestream without Jingle.
func (Carrier) DialStream(ctx context.Context, env ft.Env, sid string) (ft.Stream, error) {
	n := bare(env, jingle.Initiator, sid)
	return n.Open(ctx)
}

// ListenStream waits for the peer to open a bytestream without Jingle.
func (Carrier) ListenStream(env ft.Env, sid string) (open func(context.Context) (ft.Stream, error), stop func()) {
	n := bare(env, jingle.Responder, sid)
	n.mu.Lock()
	n.listen()
	n.mu.Unlock()
	return n.Open, func() { n.Close() }
}

// bare is what Jingle would have negotiated.
func bare(env ft.Env, role jingle.Role, sid string) *negotiation {
	n := &negotiation{env: env, role: role, remote: make(chan *ibb.Transport, 1), sid: sid, size: blockSize}
	n.remote <- nil
	return n
}

// Close forgets the stream unless Open returned it.
func (n *negotiation) Close() error {
	n.mu.Lock()
	s := n.stream
	n.stream = nil
	n.mu.Unlock()
	if s != nil {
		s.Close()
	}
	return nil
}

// A stream is one bytestream. Each direction is opened with the stream and
// closed by one close element, so CloseWrite waits until the other side is
// done or closes both.
type stream struct {
	env    ft.Env
	sid    string
	remove func()
	open   chan struct{} // closed when both sides may send
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // blocks under way

	mu     sync.Mutex
	size   int    // of a block; 0 before it is open
	most   int    // bytes of a block that comes; 0 while none may
	in     []byte // received and not yet read
	inSeq  uint16
	inErr  error // io.EOF after the peer's close
	wake   chan struct{}
	rdl    time.Time
	wdl    time.Time
	outSeq uint16
	outErr error
	window int
	flying int
	done   bool // our close was sent
}

func newStream(env ft.Env, sid string) *stream {
	s := &stream{env: env, sid: sid, open: make(chan struct{}), wake: make(chan struct{}), window: firstWindow}
	s.ctx, s.cancel = context.WithCancelCause(context.Background()) // ends with Close
	s.remove = env.HandleIQ(ibb.NSBytestream, s.handle)
	return s
}

// Info says that every byte passes the servers.
func (s *stream) Info() ft.StreamInfo { return ft.StreamInfo{Kind: "ibb", Relayed: true} }

// signal wakes everybody who waits for a change. s.mu is held.
func (s *stream) signal() {
	close(s.wake)
	s.wake = make(chan struct{})
}

func expired(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

// wait releases s.mu until something changed or the deadline passed, and takes
// it again.
func (s *stream) wait(deadline time.Time) {
	wake := s.wake
	s.mu.Unlock()
	defer s.mu.Lock()
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-wake:
	case <-timeout:
	}
}

// expect takes blocks from now on: the peer may send its first one right behind
// its answer to our open element, which others have to hear of yet.
func (s *stream) expect(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
}

func (s *stream) opened(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size == 0 {
		s.size, s.most = size, size
		close(s.open)
	}
}

// Stanza errors of XEP-0047.
func stanzaError(c stanza.Condition) error { return stanza.Error{Type: stanza.Cancel, Condition: c} }

// handle takes an IQ of the peer. Its error is the answer.
func (s *stream) handle(from jid.JID, r xml.TokenReader) error {
	if !from.Equal(s.env.Peer) {
		return stanzaError(stanza.ItemNotFound)
	}
	d := xml.NewTokenDecoder(r)
	tok, err := d.Token()
	if err != nil {
		return stanzaError(stanza.BadRequest)
	}
	start, ok := tok.(xml.StartElement)
	if !ok {
		return stanzaError(stanza.BadRequest)
	}
	switch start.Name.Local {
	case "open":
		var o ibb.Open
		if d.DecodeElement(&o, &start) != nil || o.BlockSize < minBlock {
			return stanzaError(stanza.BadRequest)
		}
		if o.Stanza == "message" { // nobody acknowledges those
			return stanzaError(stanza.NotAcceptable)
		}
		if o.SID != s.sid { // perhaps of another transfer with this peer
			return stanzaError(stanza.ItemNotFound)
		}
		s.opened(min(int(o.BlockSize), maxBlock))
		return nil
	case "data":
		var b ibb.Data
		if d.DecodeElement(&b, &start) != nil {
			return stanzaError(stanza.BadRequest)
		}
		return s.receive(&b)
	case "close":
		var c ibb.Close
		if d.DecodeElement(&c, &start) != nil || c.SID != s.sid {
			return stanzaError(stanza.ItemNotFound)
		}
		s.end(io.EOF)
		return nil
	}
	return stanzaError(stanza.FeatureNotImplemented)
}

// receive takes a block. One that is out of order ends the stream: XMPP keeps
// the order, so something between lost one. XEP-0047#send
func (s *stream) receive(b *ibb.Data) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.SID != s.sid || s.most == 0 || s.inErr != nil {
		return stanzaError(stanza.ItemNotFound)
	}
	data, err := b.Bytes(s.most)
	if err != nil || b.Seq != s.inSeq {
		s.inErr = fmt.Errorf("in-band stream: block %d comes where %d should: %w", b.Seq, s.inSeq, errors.Join(err, io.ErrUnexpectedEOF))
		s.signal()
		return stanzaError(stanza.UnexpectedRequest)
	}
	if len(s.in)+len(data) > maxBuffered {
		// Nobody reads. The sender has at most a window of blocks under way,
		// so this peer ignores what it is told.
		return stanza.Error{Type: stanza.Wait, Condition: stanza.ResourceConstraint}
	}
	s.inSeq++
	s.in = append(s.in, data...)
	s.signal()
	return nil
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inErr == nil {
		s.inErr = err
	}
	s.signal()
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if len(s.in) > 0 {
			n := copy(p, s.in)
			s.in = s.in[n:]
			if len(s.in) == 0 {
				s.in = nil
			}
			return n, nil
		}
		if s.inErr != nil {
			return 0, s.inErr
		}
		if expired(s.rdl) {
			return 0, os.ErrDeadlineExceeded
		}
		s.wait(s.rdl)
	}
}

func (s *stream) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		for s.outErr == nil && !s.done && s.flying >= s.window {
			if expired(s.wdl) {
				return n, os.ErrDeadlineExceeded
			}
			s.wait(s.wdl)
		}
		if s.outErr != nil {
			return n, s.outErr
		}
		if s.done {
			return n, net.ErrClosed
		}
		k := min(len(p), s.size)
		d := ibb.NewData(s.sid, s.outSeq, p[:k])
		if err := s.launch(d); err != nil {
			s.outErr = err
			return n, err
		}
		s.outSeq++
		p, n = p[k:], n+k
	}
	return n, nil
}

// launch sends a block and waits for its answer beside. s.mu is held, which
// keeps the blocks in order.
func (s *stream) launch(d *ibb.Data) error {
	sent := time.Now()
	wait, err := s.env.Ask(s.ctx, s.env.Peer, stanza.SetIQ, d)
	if err != nil {
		return fmt.Errorf("in-band stream: block %d: %w", d.Seq, err)
	}
	s.flying++
	s.wg.Go(func() {
		_, err := wait(s.ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.flying--
		switch {
		case err != nil:
			if s.outErr == nil {
				s.outErr = fmt.Errorf("in-band stream: block %d: %w", d.Seq, err)
			}
		case time.Since(sent) > slow:
			s.window = max(1, s.window/2)
		case s.window < maxWindow:
			s.window++
		}
		s.signal()
	})
	return nil
}

// CloseWrite waits until every block is acknowledged, and sends the close
// element, which ends both directions: XEP-0047 has no other. What the peer
// has sent before it answers is still read.
func (s *stream) CloseWrite() error {
	s.mu.Lock()
	for s.outErr == nil && !s.done && s.flying > 0 {
		if expired(s.wdl) {
			s.mu.Unlock()
			return os.ErrDeadlineExceeded
		}
		s.wait(s.wdl)
	}
	err, first := s.outErr, !s.done
	s.done = true
	ended := s.inErr == io.EOF // the peer closed first: it knows no stream any more
	s.mu.Unlock()
	if err != nil || !first || ended {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, closeTimeout)
	defer cancel()
	_, err = s.env.IQ(ctx, s.env.Peer, stanza.SetIQ, &ibb.Close{SID: s.sid})
	var said stanza.Error
	switch {
	case err == nil, errors.Is(err, context.DeadlineExceeded): // interop Pidgin 2.14: does not answer
	case errors.As(err, &said) && said.Condition == stanza.ItemNotFound:
		// Its own close crosses ours, and it has acknowledged every block before.
		//
		// interop Psi 1.5: closes a stream for an empty file as soon as it is open.
	default:
		return fmt.Errorf("in-band stream: close: %w", err)
	}
	s.end(io.EOF)
	return nil
}

// Close ends the stream at once. What was written and not acknowledged may be
// lost; CloseWrite first says when it is not.
func (s *stream) Close() error {
	s.mu.Lock()
	tell := !s.done && s.size > 0 && s.inErr == nil
	s.done = true
	if s.inErr == nil || s.inErr == io.EOF && len(s.in) > 0 {
		s.inErr = net.ErrClosed
	}
	s.in = nil
	s.signal()
	s.mu.Unlock()
	if tell {
		ctx, cancel := context.WithTimeout(s.ctx, closeTimeout)
		s.env.IQ(ctx, s.env.Peer, stanza.SetIQ, &ibb.Close{SID: s.sid}) // a courtesy: the peer may be gone
		cancel()
	}
	s.remove()
	s.cancel(net.ErrClosed)
	s.wg.Wait()
	return nil
}

// SetReadDeadline bounds Read, also one that waits now.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rdl = t
	s.signal()
	return nil
}

// SetWriteDeadline bounds Write and CloseWrite, also those that wait now.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wdl = t
	s.signal()
	return nil
}

// token returns a random name.
func token() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
