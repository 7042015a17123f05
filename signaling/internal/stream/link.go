package stream

import (
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A link is one connection to a server, from the first byte on. While logging
// in one goroutine uses it; afterwards one reads and one writes.
type link struct {
	carrier
	*splitter
	parser
	addr  string // as dialed
	how   method
	tls   *tls.ConnectionState // nil without TLS, and for WebSockets
	log   func(Direction, []byte)
	limit int        // bytes of a stanza the server accepts, 0 when it does not say
	early []*Element // what the server sent before it counted
}

// A carrier is how elements travel: RFC 6120 streams over TCP, or RFC 7395
// messages over a WebSocket.
type carrier interface {
	// header returns what opens a stream.
	header(domain, lang string) []byte
	// footer returns what closes it.
	footer() []byte
	// write sends whole elements; a late write ends the connection.
	write(elements [][]byte, timeout time.Duration) error
	// abort ends the connection at once and releases those who read and write.
	abort()
	// framed reports whether messages delimit the elements.
	framed() bool
	// message waits for the next message of a framed carrier.
	message() (io.Reader, error)
}

type method uint8

const (
	startTLS method = iota
	directTLS
	overWebSocket
)

func (m method) String() string {
	switch m {
	case startTLS:
		return "starttls"
	case directTLS:
		return "tls"
	}
	return "websocket"
}

func newLink(c carrier, r io.Reader, addr string, how method, cfg *Config) *link {
	l := &link{carrier: c, addr: addr, how: how, splitter: newSplitter(r, cfg.MaxStanza, c.framed())}
	if cfg.LogStanza != nil {
		l.log = func(d Direction, p []byte) { cfg.LogStanza(d, redact(p)) }
	}
	return l
}

// send writes elements.
func (l *link) send(timeout time.Duration, elements ...[]byte) error {
	if l.log != nil {
		for _, e := range elements {
			l.log(Sent, e)
		}
	}
	if err := l.write(elements, timeout); err != nil {
		return fmt.Errorf("write to %s: %w", l.addr, err)
	}
	return nil
}

// A frame is what arrived: an element, or something that stands for one that
// cannot be used.
type frame struct {
	*Element       // nil when problem is not
	problem  error // why there is no element
	head     xml.StartElement
	hasHead  bool // of the element with the problem
	size     int
}

// receive waits for the next element. At the end of the stream the error is
// errServerClosed.
func (l *link) receive() (frame, error) {
	for {
		p, err := l.next()
		if err == io.EOF && l.framed() {
			if p, err = l.nextMessage(); err == nil && p.data == nil {
				continue // nothing was left in that message
			}
		}
		if err != nil {
			return frame{}, l.readError(err)
		}
		if l.log != nil {
			l.log(Received, p.data)
		}
		switch p.kind {
		case pieceHeader:
			return frame{}, &StreamError{Condition: "bad-format", Text: "second stream header", Local: true}
		case pieceEnd:
			return frame{}, errServerClosed
		}
		f := frame{problem: p.problem, size: len(p.data)}
		if f.problem == nil {
			f.Element, f.problem = l.element(p.data)
		}
		if f.problem != nil {
			f.head, f.hasHead = l.head(p.data)
			return f, nil
		}
		switch f.Start.Name {
		case xml.Name{Space: nsFraming, Local: "close"}:
			return frame{}, errServerClosed
		case xml.Name{Space: nsStream, Local: "error"}:
			return frame{}, parseStreamError(f.Element)
		}
		return f, nil
	}
}

func (l *link) readError(err error) error {
	switch err {
	case errServerClosed, errNotXMPP, errDTD, errEndless:
		return err
	case io.EOF:
		return fmt.Errorf("read from %s: server closed the connection: %w", l.addr, err)
	}
	return fmt.Errorf("read from %s: %w", l.addr, err)
}

// nextMessage begins the next message. What the last one left open is a piece.
func (l *link) nextMessage() (piece, error) {
	var left piece
	if l.keep {
		left = piece{kind: pieceElement, data: []byte(string(l.buf)), problem: &malformedError{what: "not closed"}}
	}
	r, err := l.message()
	if err != nil {
		return piece{}, err
	}
	l.restart(r)
	return left, nil
}

// mustReceive waits for an element while logging in, where nothing may be odd.
func (l *link) mustReceive() (*Element, error) {
	f, err := l.receive()
	if err != nil {
		return nil, err
	}
	return f.Element, f.problem
}

// openStream begins a stream, anew after TLS and SASL, and returns its features.
func (l *link) openStream(cfg *Config) (*Element, error) {
	domain := cfg.JID.Domainpart()
	if err := l.send(cfg.LoginTimeout, l.header(domain, cfg.Lang)); err != nil {
		return nil, err
	}
	if !l.framed() {
		p, err := l.next()
		if err != nil {
			return nil, l.readError(err)
		}
		if l.log != nil {
			l.log(Received, p.data)
		}
		if p.kind != pieceHeader {
			return nil, errNotXMPP
		}
		start, err := l.parser.open(p.data)
		if err != nil {
			return nil, err
		}
		if start.Name != (xml.Name{Space: nsStream, Local: "stream"}) {
			return nil, errNotXMPP
		}
	} else {
		e, err := l.mustReceive()
		if err != nil {
			return nil, err
		}
		if e.Start.Name != (xml.Name{Space: nsFraming, Local: "open"}) {
			return nil, errNotXMPP
		}
	}
	e, err := l.mustReceive()
	if err != nil {
		return nil, err
	}
	if e.Start.Name != (xml.Name{Space: nsStream, Local: "features"}) {
		return nil, fmt.Errorf("expected stream features, not %s", e.Start.Name.Local)
	}
	return e, nil
}

// reopen forgets the stream so far: what follows is a new one on the same connection.
func (l *link) reopen() {
	if !l.framed() {
		in, r := l.in, l.r
		l.restart(r)
		l.in = in
		l.parser = parser{jids: l.jids}
	}
}

func parseStreamError(e *Element) *StreamError {
	se := &StreamError{Condition: "undefined-condition"}
	for c := range e.Children() {
		switch {
		case c.Start.Name.Space != nsStreams:
			se.App = c.Start.Name.Local
		case c.Start.Name.Local == "text":
			se.Text = strings.TrimSpace(c.Text())
		default:
			se.Condition = c.Start.Name.Local
			if se.Condition == "see-other-host" {
				se.Host = strings.TrimSpace(c.Text())
			}
		}
	}
	return se
}

// TCP

type tcpCarrier struct {
	conn net.Conn
	buf  []byte
}

func (c *tcpCarrier) header(domain, lang string) []byte {
	var b strings.Builder
	b.WriteString(`<?xml version='1.0'?><stream:stream to='` + escape(domain) + `' version='1.0'`)
	if lang != "" {
		b.WriteString(` xml:lang='` + escape(lang) + `'`)
	}
	b.WriteString(` xmlns='` + nsClient + `' xmlns:stream='` + nsStream + `'>`)
	return []byte(b.String())
}

func (c *tcpCarrier) footer() []byte { return []byte(`</stream:stream>`) }

func (c *tcpCarrier) write(elements [][]byte, timeout time.Duration) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if len(elements) == 1 {
		_, err := c.conn.Write(elements[0])
		return err
	}
	c.buf = c.buf[:0]
	for _, e := range elements {
		c.buf = append(c.buf, e...)
	}
	_, err := c.conn.Write(c.buf)
	return err
}

func (c *tcpCarrier) abort() {
	conn := c.conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn() // without waiting for a farewell of TLS
	}
	_ = conn.Close() // nothing can be done about it
}

func (c *tcpCarrier) framed() bool                { return false }
func (c *tcpCarrier) message() (io.Reader, error) { return nil, errors.ErrUnsupported }

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
