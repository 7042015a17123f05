package stream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// A wsCarrier carries a stream over a WebSocket, one element a message. RFC 7395
type wsCarrier struct {
	conn   *websocket.Conn
	ctx    context.Context // ends with abort
	cancel context.CancelFunc
	http   *http.Transport
}

func (c *wsCarrier) header(domain, lang string) []byte {
	s := `<open xmlns='` + nsFraming + `' to='` + escape(domain) + `' version='1.0'`
	if lang != "" {
		s += ` xml:lang='` + escape(lang) + `'`
	}
	return []byte(s + `/>`)
}

func (c *wsCarrier) footer() []byte { return []byte(`<close xmlns='` + nsFraming + `'/>`) }

func (c *wsCarrier) write(elements [][]byte, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	for _, e := range elements {
		if err := c.conn.Write(ctx, websocket.MessageText, withNamespace(e)); err != nil {
			return err
		}
	}
	return nil
}

func (c *wsCarrier) abort() {
	c.cancel()
	_ = c.conn.CloseNow() // nothing can be done about it
	c.http.CloseIdleConnections()
}

func (c *wsCarrier) framed() bool { return true }

func (c *wsCarrier) message() (io.Reader, error) {
	_, r, err := c.conn.Reader(c.ctx)
	if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
		return nil, errServerClosed
	}
	return r, err
}

// withNamespace declares the namespace of a stanza: there is no stream header
// that would. RFC 7395 §3.3.3
func withNamespace(e []byte) []byte {
	end := 1
	for end < len(e) && !strings.ContainsRune(" \t\r\n/>", rune(e[end])) {
		end++
	}
	switch string(e[1:end]) {
	case "message", "presence", "iq":
	default:
		return e
	}
	for i, quote := end, byte(0); i < len(e); i++ { // a declaration in the start tag?
		switch c := e[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			out := make([]byte, 0, len(e)+len(nsClient)+9)
			out = append(append(out, e[:end]...), ` xmlns="`+nsClient+`"`...)
			return append(out, e[end:]...)
		case strings.IndexByte(" \t\r\n", c) >= 0 && declaresNamespace(e[i+1:]):
			return e
		}
	}
	return e
}

// declaresNamespace reports whether p begins with xmlns and an equals sign.
func declaresNamespace(p []byte) bool {
	rest, ok := bytes.CutPrefix(p, []byte("xmlns"))
	return ok && bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte("="))
}

// dialWebSocket connects to a wss address.
func (d *dialer) dialWebSocket(ctx context.Context, addr string) (*link, error) {
	u, err := url.Parse(addr)
	if err != nil {
		return nil, fmt.Errorf("WebSocket address: %w", err)
	}
	switch {
	case u.Scheme == "wss":
	case u.Scheme == "ws" && d.cfg.InsecureLoopback && isLoopback(u.Hostname()):
	default:
		return nil, ErrNoEncryption
	}
	tr := d.httpTransport()
	conn, resp, err := websocket.Dial(ctx, addr, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: tr, CheckRedirect: sameSecurity},
		Subprotocols: []string{"xmpp"},
	})
	if resp != nil && resp.Body != nil && err != nil {
		_ = resp.Body.Close() // already read by the library
	}
	if err != nil {
		tr.CloseIdleConnections()
		return nil, certificateError(u.Hostname(), addr, err)
	}
	if conn.Subprotocol() != "xmpp" {
		_ = conn.CloseNow() // it was no use
		tr.CloseIdleConnections()
		return nil, errNotXMPP
	}
	conn.SetReadLimit(-1) // the splitter skips what is too large
	c := &wsCarrier{conn: conn, http: tr}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return newLink(c, strings.NewReader(""), addr, overWebSocket, d.cfg), nil
}

func (d *dialer) httpTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.dialTCP(ctx, addr)
		},
		TLSClientConfig:        d.tlsConfig("", "http/1.1"),
		TLSHandshakeTimeout:    d.cfg.LoginTimeout,
		ResponseHeaderTimeout:  d.cfg.LoginTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		IdleConnTimeout:        time.Second,
	}
}

// sameSecurity follows redirects only where they stay encrypted.
func sameSecurity(req *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return fmt.Errorf("redirected too often, at last to %s", req.URL.Redacted())
	}
	if s := via[0].URL.Scheme; req.URL.Scheme != s {
		return fmt.Errorf("redirected from %s to %s", s, req.URL.Scheme)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
