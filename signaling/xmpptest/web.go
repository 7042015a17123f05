package xmpptest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

const (
	webSocketPath = "/xmpp-websocket"
	hostMetaPath  = "/.well-known/host-meta"
)

// A webServer offers XMPP over WebSocket, and says where. RFC 7395, XEP-0156
type webServer struct {
	srv      *Server
	listener net.Listener
	http     *http.Server
}

type connKey struct{}

func newWebServer(s *Server, l net.Listener) *webServer {
	w := &webServer{srv: s, listener: l}
	mux := http.NewServeMux()
	mux.HandleFunc(webSocketPath, w.webSocket)
	mux.HandleFunc(hostMetaPath, w.hostMeta)
	mux.HandleFunc(hostMetaPath+".json", w.hostMetaJSON)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // a WebSocket begins as HTTP/1.1
	w.http = &http.Server{
		Handler:     mux,
		TLSConfig:   s.tls.Clone(),
		Protocols:   protocols,
		ErrorLog:    log.New(io.Discard, "", 0), // a client that refuses our certificate is no news
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	return w
}

func (w *webServer) run()   { w.http.ServeTLS(gatedListener{w.listener, w.srv}, "", "") }
func (w *webServer) close() { w.http.Close() }

// gatedListener applies Server.SetGate.
type gatedListener struct {
	net.Listener
	srv *Server
}

func (l gatedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.srv.admit(c) {
			return c, err
		}
	}
}

// WebSocketURL is the address for RFC 7395.
func (s *Server) WebSocketURL() string {
	return "wss://" + s.web.listener.Addr().String() + webSocketPath
}

// HostMetaURL is the address of the XEP-0156 document that a client finds at
// https://DOMAIN/.well-known/host-meta. With ".json" appended it is JSON.
func (s *Server) HostMetaURL() string {
	return "https://" + s.web.listener.Addr().String() + hostMetaPath
}

func (w *webServer) hostMeta(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/xrd+xml")
	fmt.Fprintf(rw, "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>"+
		"<Link rel='urn:xmpp:alt-connections:websocket' href='%s'/></XRD>\n", w.srv.WebSocketURL())
}

func (w *webServer) hostMetaJSON(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	json.NewEncoder(rw).Encode(map[string]any{"links": []map[string]string{
		{"rel": "urn:xmpp:alt-connections:websocket", "href": w.srv.WebSocketURL()},
	}})
}

// webSocket serves one connection.
func (w *webServer) webSocket(rw http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(rw, r, &websocket.AcceptOptions{
		Subprotocols:       []string{"xmpp"},
		InsecureSkipVerify: true, // pages of any origin may connect: they have no cookies here
	})
	if err != nil {
		return // Accept has answered
	}
	defer ws.CloseNow()
	if ws.Subprotocol() != "xmpp" {
		ws.Close(websocket.StatusPolicyViolation, "subprotocol xmpp is required")
		return
	}
	t := &wsTransport{ws: ws, tls: *r.TLS, limit: w.srv.cfg.MaxStanza}
	t.raw = r.Context().Value(connKey{}).(*tls.Conn).NetConn()
	ws.SetReadLimit(2 * int64(t.limit)) // beyond MaxStanza a stream error, far beyond it no more reading
	c := newConn(w.srv, t)
	if !w.srv.register(c) {
		return
	}
	defer w.srv.forget(c)
	c.serve()
}

// wsTransport is RFC 7395: a message is one element with all its namespaces.
type wsTransport struct {
	ws    *websocket.Conn
	raw   net.Conn
	tls   tls.ConnectionState
	limit int
}

func (t *wsTransport) message() (*Element, error) {
	_, b, err := t.ws.Read(context.Background()) // abort ends it
	if errors.Is(err, websocket.ErrMessageTooBig) || len(b) > t.limit {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	start, ok := tok.(xml.StartElement)
	if !ok {
		return nil, &streamError{condition: "not-well-formed"}
	}
	return readElement(d, start)
}

func (t *wsTransport) open() (*Element, error) { return t.message() }

func (t *wsTransport) read() (*Element, error) {
	e, err := t.message()
	if err == nil && e.Is(nsFraming, "close") {
		return nil, io.EOF
	}
	return e, err
}

func (t *wsTransport) reply(h header) error {
	b := h.appendAttrs([]byte("<open xmlns='" + nsFraming + "' version='1.0' xml:lang='en'"))
	return t.writeRaw(append(b, "/>"...))
}

func (t *wsTransport) write(e *Element) error { return t.writeRaw(e.appendXML(nil, noParent)) }

func (t *wsTransport) writeRaw(b []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return t.ws.Write(ctx, websocket.MessageText, b)
}

func (t *wsTransport) flush() error { return nil }

func (t *wsTransport) closeStream() error {
	return t.writeRaw([]byte("<close xmlns='" + nsFraming + "'/>"))
}

func (t *wsTransport) tlsState() (tls.ConnectionState, bool) { return t.tls, true }

func (t *wsTransport) abort() { t.raw.Close() }

// admit applies the gate to a new connection.
func (s *Server) admit(raw net.Conn) bool {
	switch s.accepting.mode() {
	case Refuse:
		reset(raw)
		return false
	case Silent:
		c := newConn(s, newTCPTransport(raw, s.cfg.MaxStanza))
		if !s.register(c) {
			c.kill()
			return false
		}
		go func() {
			defer s.forget(c)
			io.Copy(io.Discard, raw) // until either side closes it
			c.kill()
		}()
		return false
	}
	return true
}
