package xmpptest

import (
	"bufio"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// writeTimeout ends a connection whose client does not read.
const writeTimeout = 10 * time.Second

var errTooLarge = errors.New("larger than the server allows")

// A transport carries one XML stream. One goroutine reads and one writes;
// abort may be called by any.
type transport interface {
	open() (*Element, error) // the client's stream header, at the start and after each restart
	reply(h header) error    // writes ours
	read() (*Element, error) // the next top-level element; io.EOF when the client closed its stream
	write(e *Element) error  // buffered until flush
	writeRaw(b []byte) error // buffered until flush
	flush() error            // also fails when the client has not read for writeTimeout
	closeStream() error      // writes and flushes the end of our stream
	tlsState() (tls.ConnectionState, bool)
	abort() // closes the connection at once, unsent data is lost
}

// A header is what a server says at the start of a stream.
type header struct{ id, from, to string }

// tcpTransport is RFC 6120 over TCP or TLS.
type tcpTransport struct {
	raw   net.Conn // what abort closes, without waiting for a TLS alert
	conn  net.Conn
	limit int
	r     *budgetReader
	dec   *xml.Decoder
	w     *bufio.Writer
	buf   []byte
}

func newTCPTransport(c net.Conn, limit int) *tcpTransport {
	t := &tcpTransport{raw: c, limit: limit}
	t.use(c)
	return t
}

// use continues on c and forgets what was buffered, so that nothing sent
// before the handshake is believed after it (RFC 6120 §5.4.3.3).
func (t *tcpTransport) use(c net.Conn) {
	t.conn = c
	t.r = &budgetReader{r: bufio.NewReader(c)}
	t.w = bufio.NewWriterSize(c, 16<<10)
}

// startTLS runs the server's side of the handshake.
func (t *tcpTransport) startTLS(cfg *tls.Config) error {
	c := tls.Server(t.raw, cfg)
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	t.use(c)
	return nil
}

func (t *tcpTransport) open() (*Element, error) {
	t.r.next(t.limit)
	t.dec = xml.NewDecoder(t.r)
	for {
		tok, err := t.dec.Token()
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			return newElement(tok), nil
		case xml.ProcInst, xml.CharData:
		default:
			return nil, errRestrictedXML
		}
	}
}

func (t *tcpTransport) reply(h header) error {
	b := []byte("<?xml version='1.0'?><stream:stream xmlns='" + nsClient + "' xmlns:stream='" + nsStream + "' version='1.0' xml:lang='en'")
	b = h.appendAttrs(b)
	if _, err := t.w.Write(append(b, '>')); err != nil {
		return err
	}
	return t.flush()
}

func (h header) appendAttrs(b []byte) []byte {
	for _, a := range [][2]string{{"id", h.id}, {"from", h.from}, {"to", h.to}} {
		if a[1] != "" {
			b = appendAttr(b, a[0], a[1])
		}
	}
	return b
}

func (t *tcpTransport) read() (*Element, error) {
	t.r.next(t.limit)
	for {
		tok, err := t.dec.Token()
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			return readElement(t.dec, tok)
		case xml.EndElement:
			return nil, io.EOF
		case xml.CharData: // whitespace keeps connections alive
		default:
			return nil, errRestrictedXML
		}
	}
}

func (t *tcpTransport) write(e *Element) error {
	t.buf = e.appendXML(t.buf[:0], nsClient)
	return t.writeRaw(t.buf)
}

func (t *tcpTransport) writeRaw(b []byte) error {
	// bufio may write to the connection here, so the deadline is needed here too.
	if len(b) > t.w.Available() {
		t.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	_, err := t.w.Write(b)
	return err
}

func (t *tcpTransport) flush() error {
	if t.w.Buffered() == 0 {
		return nil
	}
	t.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	return t.w.Flush()
}

func (t *tcpTransport) closeStream() error {
	if err := t.writeRaw([]byte("</stream:stream>")); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	if c, ok := t.conn.(*tls.Conn); ok {
		return c.CloseWrite()
	}
	return nil
}

func (t *tcpTransport) tlsState() (tls.ConnectionState, bool) {
	if c, ok := t.conn.(*tls.Conn); ok {
		return c.ConnectionState(), true
	}
	return tls.ConnectionState{}, false
}

func (t *tcpTransport) abort() { t.raw.Close() }

// A budgetReader feeds an xml.Decoder byte by byte and stops it when one
// element is larger than allowed. Reading by the byte keeps the decoder from
// taking what follows a stream restart.
type budgetReader struct {
	r     *bufio.Reader
	left  int
	begun bool // something other than whitespace came since next
}

// next starts a new element.
func (b *budgetReader) next(limit int) { b.left, b.begun = limit, false }

func (b *budgetReader) ReadByte() (byte, error) {
	c, err := b.r.ReadByte()
	if err != nil {
		return 0, err
	}
	if !b.begun && (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
		return c, nil
	}
	b.begun = true
	if b.left--; b.left < 0 {
		return 0, errTooLarge
	}
	return c, nil
}

// Read makes budgetReader an io.Reader, as xml.NewDecoder wants; the decoder
// itself only calls ReadByte.
func (b *budgetReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := b.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}
