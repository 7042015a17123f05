package xmpptest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mellium.im/sasl"
	"mellium.im/xmlstream"
	"mellium.im/xmpp"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/websocket"
)

// patience is far more than anything here takes.
const patience = 10 * time.Second

// A client is a logged-in session and the elements it receives.
type client struct {
	t     testing.TB
	jid   string
	conn  net.Conn
	write func(string) error
	in    chan *Element // closed at the end of the stream
}

func newClient(t testing.TB, j string, conn net.Conn, write func(string) error, next func() (*Element, error)) *client {
	c := &client{t: t, jid: j, conn: conn, write: write, in: make(chan *Element, 10000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(c.in)
		for {
			e, err := next()
			if err != nil {
				return
			}
			c.in <- e
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return c
}

type way string

const (
	starttls  way = "STARTTLS"
	directTLS way = "direct TLS"
	webSocket way = "WebSocket"
)

// login connects a mellium client.
func login(t testing.TB, srv *Server, account, password string, w way, mechanisms ...sasl.Mechanism) (*client, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	j := jid.MustParse(account)
	cfg := &tls.Config{RootCAs: srv.CertPool(), ServerName: j.Domainpart()}
	if len(mechanisms) == 0 {
		mechanisms = []sasl.Mechanism{sasl.ScramSha256Plus, sasl.ScramSha256, sasl.ScramSha1}
	}
	features := []xmpp.StreamFeature{xmpp.SASL("", password, mechanisms...), bindFeature(j.Resourcepart())}
	negotiator := xmpp.NewNegotiator
	var conn net.Conn
	var err error
	var state xmpp.SessionState
	switch w {
	case starttls:
		conn, err = srv.DialContext(ctx, "tcp", srv.Addr())
		features = append(features, xmpp.StartTLS(cfg))
	case directTLS:
		conn, err = (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", srv.TLSAddr())
		state = xmpp.Secure
	case webSocket:
		d := &websocket.Dialer{Origin: "https://example.org", TLSConfig: cfg}
		conn, err = d.DialDirect(ctx, srv.WebSocketURL())
		state = xmpp.Secure
		negotiator = websocket.Negotiator
	}
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	session, err := xmpp.NewSession(ctx, j.Domain(), j, conn, state, negotiator(func(*xmpp.Session, *xmpp.StreamConfig) xmpp.StreamConfig {
		return xmpp.StreamConfig{Features: features}
	}))
	if err != nil {
		return nil, err
	}
	r := session.TokenReader()
	d := xml.NewTokenDecoder(r)
	write := func(x string) error {
		return session.Send(context.Background(), xml.NewDecoder(strings.NewReader(x)))
	}
	return newClient(t, session.LocalAddr().String(), conn, write, func() (*Element, error) { return nextElement(d) }), nil
}

func nextElement(d *xml.Decoder) (*Element, error) {
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			return readElement(d, tok)
		case xml.EndElement:
			return nil, io.EOF
		}
	}
}

// bindFeature requests a resource, which mellium's own feature does not.
func bindFeature(resource string) xmpp.StreamFeature {
	return xmpp.StreamFeature{
		Name:       xml.Name{Space: nsBind, Local: "bind"},
		Necessary:  xmpp.Authn,
		Prohibited: xmpp.Ready,
		Parse: func(ctx context.Context, d *xml.Decoder, start *xml.StartElement) (bool, any, error) {
			return true, nil, d.Skip()
		},
		Negotiate: func(ctx context.Context, s *xmpp.Session, data any) (xmpp.SessionState, io.ReadWriter, error) {
			w := s.TokenWriter()
			defer w.Close()
			if _, err := xmlstream.Copy(w, xml.NewDecoder(strings.NewReader(bindRequest(resource)))); err != nil {
				return 0, nil, err
			}
			if err := w.Flush(); err != nil {
				return 0, nil, err
			}
			r := s.TokenReader()
			defer r.Close()
			e, err := nextElement(xml.NewTokenDecoder(r))
			if err != nil {
				return 0, nil, err
			}
			if e.Get("type") != "result" {
				return 0, nil, fmt.Errorf("bind: %s", e)
			}
			s.UpdateAddr(jid.MustParse(e.Child(nsBind, "bind").Child(nsBind, "jid").Text()))
			return xmpp.Ready, nil, nil
		},
	}
}

func bindRequest(resource string) string {
	return fmt.Sprintf(`<iq xmlns="jabber:client" type="set" id="bind"><bind xmlns="%s"><resource>%s</resource></bind></iq>`, nsBind, resource)
}

// rawLogin authenticates over direct TLS by hand, up to but not including binding.
func rawLogin(t testing.TB, srv *Server, account string) *client {
	t.Helper()
	a := mustAddr(account)
	raw, err := srv.DialContext(context.Background(), "tcp", srv.TLSAddr())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: srv.CertPool(), ServerName: a.domain})
	t.Cleanup(func() { raw.Close() })
	d := xml.NewDecoder(conn)
	write := func(x string) error { _, err := io.WriteString(conn, x); return err }
	open := func() {
		t.Helper()
		write("<stream:stream xmlns='jabber:client' xmlns:stream='" + nsStream + "' version='1.0' to='" + a.domain + "'>")
		if _, err := d.Token(); err != nil { // <?xml?>
			t.Fatal(err)
		}
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		if f, err := nextElement(d); err != nil || !f.Is(nsStream, "features") {
			t.Fatalf("got %v, %v, want features", f, err)
		}
	}
	open()
	auth := base64.StdEncoding.EncodeToString([]byte("\x00" + a.local + "\x00secret"))
	write("<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>" + auth + "</auth>")
	if e, err := nextElement(d); err != nil || !e.Is(nsSASL, "success") {
		t.Fatalf("got %v, %v, want success", e, err)
	}
	d = xml.NewDecoder(conn)
	open()
	return newClient(t, account, raw, write, func() (*Element, error) { return nextElement(d) })
}

// rawClient binds as well.
func rawClient(t testing.TB, srv *Server, account string) *client {
	t.Helper()
	c := rawLogin(t, srv, account)
	c.send(bindRequest(mustAddr(account).resource))
	c.want("binding", func(e *Element) bool { return e.Get("id") == "bind" && e.Get("type") == "result" })
	return c
}

func mustLogin(t testing.TB, srv *Server, account string) *client {
	t.Helper()
	c, err := login(t, srv, account, "secret", starttls)
	if err != nil {
		t.Fatalf("login %s: %v", account, err)
	}
	return c
}

// online is a client that has sent presence and seen its own.
func online(t testing.TB, srv *Server, account string) *client {
	t.Helper()
	c := mustLogin(t, srv, account)
	c.present()
	return c
}

func (c *client) present() {
	c.t.Helper()
	c.send(`<presence xmlns="jabber:client"/>`)
	c.want("own presence", func(e *Element) bool { return e.Is("", "presence") && e.Get("from") == c.jid })
}

func (c *client) send(x string) {
	c.t.Helper()
	if err := c.write(x); err != nil {
		c.t.Fatalf("%s sends %s: %v", c.jid, x, err)
	}
}

// message sends a chat message.
func (c *client) message(to, text string, extra ...string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`<message xmlns="jabber:client" type="chat" to="%s"><body>%s</body>%s</message>`, to, text, strings.Join(extra, "")))
}

// want waits for an element that ok accepts; others are skipped.
func (c *client) want(what string, ok func(*Element) bool) *Element {
	c.t.Helper()
	var seen []string
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case e, open := <-c.in:
			if !open {
				c.t.Fatalf("%s: stream ended, waiting for %s; got\n%s", c.jid, what, strings.Join(seen, "\n"))
			}
			if ok(e) {
				return e
			}
			seen = append(seen, e.String())
		case <-timer.C:
			c.t.Fatalf("%s: nothing came, waiting for %s; got\n%s", c.jid, what, strings.Join(seen, "\n"))
		}
	}
}

// wantText waits for a message with this body, which may be inside a carbon or
// an archive result.
func (c *client) wantText(text string) *Element {
	c.t.Helper()
	return c.want("message "+text, func(e *Element) bool {
		return e.Is("", "message") && strings.Contains(e.String(), "<body>"+text+"</body>")
	})
}

// wantEnd waits for the end of the stream and returns the stream error before it, or "".
func (c *client) wantEnd() (condition string) {
	c.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case e, open := <-c.in:
			if !open {
				return condition
			}
			if e.Is(nsStream, "error") {
				condition = e.payload().Name.Local
			}
		case <-timer.C:
			c.t.Fatalf("%s: the stream did not end", c.jid)
		}
	}
}

// iq sends a request and returns its answer.
func (c *client) iq(typ, to, payload string) *Element {
	c.t.Helper()
	e := el(nsClient, "iq", "type", typ, "id", "request").with("to", to)
	if payload != "" {
		e.add(MustParse(payload))
	}
	c.send(e.String())
	return c.want("answer to "+payload, func(e *Element) bool { return e.Is("", "iq") && e.Get("id") == "request" })
}

// mustIQ is iq that must succeed.
func (c *client) mustIQ(typ, to, payload string) *Element {
	c.t.Helper()
	answer := c.iq(typ, to, payload)
	if answer.Get("type") != "result" {
		c.t.Fatalf("%s asks %s: got %s, want a result", c.jid, payload, answer)
	}
	return answer
}

// rest returns what has arrived so far, up to the answer to a ping.
func (c *client) rest() []*Element {
	c.t.Helper()
	c.send(`<iq xmlns="jabber:client" type="get" id="rest"><ping xmlns="urn:xmpp:ping"/></iq>`)
	var out []*Element
	c.want("pong", func(e *Element) bool {
		if e.Get("id") == "rest" {
			return true
		}
		if e.Name.Space == nsClient {
			out = append(out, e)
		}
		return false
	})
	return out
}

// quiet checks that nothing has arrived.
func (c *client) quiet(what string) {
	c.t.Helper()
	for _, e := range c.rest() {
		c.t.Errorf("%s: %s: got %s, want nothing", c.jid, what, e)
	}
}

func condition(e *Element) string {
	if x := e.Child(nsClient, "error"); x != nil && x.payload() != nil {
		return x.payload().Name.Local
	}
	return ""
}
