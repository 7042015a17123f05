package xmpptest

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mellium.im/sasl"
	"mellium.im/xmlstream"
	"mellium.im/xmpp"
	"mellium.im/xmpp/jid"
)

// ten seconds is far more than anything here takes.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A client is a mellium session and the elements it received.
type client struct {
	t    testing.TB
	s    *xmpp.Session
	conn net.Conn
	in   chan *Element
}

// login connects a mellium client with STARTTLS or direct TLS.
func login(t testing.TB, srv *Server, account, password string, direct bool, mechanisms ...sasl.Mechanism) (*client, error) {
	t.Helper()
	ctx := testContext(t)
	j := jid.MustParse(account)
	cfg := &tls.Config{RootCAs: srv.CertPool(), ServerName: j.Domainpart()}
	if len(mechanisms) == 0 {
		mechanisms = []sasl.Mechanism{sasl.ScramSha256Plus, sasl.ScramSha256, sasl.ScramSha1}
	}
	features := []xmpp.StreamFeature{xmpp.SASL("", password, mechanisms...), bindFeature(j.Resourcepart())}
	var conn net.Conn
	var err error
	var state xmpp.SessionState
	if direct {
		conn, err = (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", srv.TLSAddr())
		state = xmpp.Secure
	} else {
		conn, err = srv.DialContext(ctx, "tcp", srv.Addr())
		features = append(features, xmpp.StartTLS(cfg))
	}
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	session, err := xmpp.NewSession(ctx, j.Domain(), j, conn, state, xmpp.NewNegotiator(func(*xmpp.Session, *xmpp.StreamConfig) xmpp.StreamConfig {
		return xmpp.StreamConfig{Features: features}
	}))
	if err != nil {
		return nil, err
	}
	c := &client{t: t, s: session, conn: conn, in: make(chan *Element, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(c.in)
		r := session.TokenReader()
		defer r.Close()
		d := xml.NewTokenDecoder(r)
		for {
			tok, err := d.Token()
			if err != nil {
				return
			}
			if start, ok := tok.(xml.StartElement); ok {
				e, err := readElement(d, start)
				if err != nil {
					return
				}
				c.in <- e
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return c, nil
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
			iq := el(nsClient, "iq", "type", "set", "id", "bind").add(el(nsBind, "bind").add(el(nsBind, "resource").add(resource)))
			if _, err := xmlstream.Copy(w, xml.NewDecoder(strings.NewReader(iq.String()))); err != nil {
				return 0, nil, err
			}
			if err := w.Flush(); err != nil {
				return 0, nil, err
			}
			w.Close()
			r := s.TokenReader()
			defer r.Close()
			d := xml.NewTokenDecoder(r)
			tok, err := d.Token()
			if err != nil {
				return 0, nil, err
			}
			e, err := readElement(d, tok.(xml.StartElement))
			if err != nil {
				return 0, nil, err
			}
			if e.Get("type") != "result" {
				return 0, nil, errUnexpected(e.String())
			}
			s.UpdateAddr(jid.MustParse(e.Child(nsBind, "bind").Child(nsBind, "jid").Text()))
			return xmpp.Ready, nil, nil
		},
	}
}

type errUnexpected string

func (e errUnexpected) Error() string { return "unexpected: " + string(e) }

func (c *client) send(x string) {
	c.t.Helper()
	e := MustParse(x)
	if err := c.s.Send(context.Background(), xml.NewDecoder(strings.NewReader(e.String()))); err != nil {
		c.t.Fatal(err)
	}
}

// want waits for an element that ok accepts and returns it; others are skipped.
func (c *client) want(what string, ok func(*Element) bool) *Element {
	c.t.Helper()
	ctx := testContext(c.t)
	var seen []string
	for {
		select {
		case e, open := <-c.in:
			if !open {
				c.t.Fatalf("stream ended, waiting for %s; got\n%s", what, strings.Join(seen, "\n"))
			}
			if ok(e) {
				return e
			}
			seen = append(seen, e.String())
		case <-ctx.Done():
			c.t.Fatalf("nothing came, waiting for %s; got\n%s", what, strings.Join(seen, "\n"))
		}
	}
}

// iq sends a request to `to` and returns its answer.
func (c *client) iq(typ, to, payload string) *Element {
	c.t.Helper()
	id := "q" + payload[:min(len(payload), 20)]
	e := el(nsClient, "iq", "type", typ, "id", id).with("to", to)
	if payload != "" {
		e.add(MustParse(payload))
	}
	c.send(e.String())
	return c.want("answer to "+payload, func(e *Element) bool { return e.Is("", "iq") && e.Get("id") == id })
}

// quiet checks that nothing but what the client asked for arrives before the answer to a ping.
func (c *client) quiet(what string) {
	c.t.Helper()
	id := "quiet"
	c.send(`<iq type="get" id="` + id + `"><ping xmlns="urn:xmpp:ping"/></iq>`)
	for {
		e := c.want("pong", func(*Element) bool { return true })
		if e.Get("id") == id {
			return
		}
		c.t.Errorf("%s: got %s, want nothing", what, e)
	}
}

func mustLogin(t testing.TB, srv *Server, account string) *client {
	t.Helper()
	c, err := login(t, srv, account, "secret", false)
	if err != nil {
		t.Fatalf("login %s: %v", account, err)
	}
	return c
}

// online is a client that has sent presence and seen its own.
func online(t testing.TB, srv *Server, account string) *client {
	t.Helper()
	c := mustLogin(t, srv, account)
	c.send(`<presence/>`)
	c.want("own presence", func(e *Element) bool { return e.Is("", "presence") && e.Get("from") == account })
	return c
}

