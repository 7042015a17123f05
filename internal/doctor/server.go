package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/signaling"
)

// A target is a place where the server may listen.
type target struct {
	host   string
	port   uint16
	direct bool // TLS from the first byte, XEP-0368
}

func (t target) addr() string { return net.JoinHostPort(t.host, strconv.Itoa(int(t.port))) }

func (t target) how() string {
	if t.direct {
		return "TLS"
	}
	return "STARTTLS"
}

// maxTargets bounds how many places are tried.
const maxTargets = 8

// server checks DNS and each place it names.
func (e *examination) server(ctx context.Context) {
	targets := e.find(ctx)
	good := 0
	for _, t := range targets[:min(len(targets), maxTargets)] {
		if e.connect(ctx, t) {
			good++
		}
	}
	if len(targets) > 0 && good == 0 {
		e.add("server", Fail, "check the network; a firewall may block the ports, or the server is down", "none of %d places could be used", len(targets))
	}
}

// find asks DNS where the server is, or takes what the user said.
func (e *examination) find(ctx context.Context) []target {
	domain := e.Account.Domainpart()
	if s := e.Signaling.Server; s != "" {
		return e.given(s)
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	resolver := e.Signaling.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	var out []target
	var seen []string
	for _, service := range []struct {
		name   string
		direct bool
	}{{"xmpps-client", true}, {"xmpp-client", false}} {
		_, records, err := resolver.LookupSRV(ctx, service.name, "tcp", domain)
		var dns *net.DNSError
		if err != nil && !(errors.As(err, &dns) && dns.IsNotFound) {
			e.add("dns", Warn, "without these records the usual ports of the domain itself are tried", "SRV records of _%s._tcp.%s: %v", service.name, domain, err)
			continue
		}
		for _, r := range records {
			host := strings.TrimSuffix(r.Target, ".")
			if host == "" {
				e.add("dns", Fail, "the domain says it has no XMPP; check the address", "%s offers no XMPP service (_%s._tcp is \".\")", domain, service.name)
				return nil
			}
			t := target{host, r.Port, service.direct}
			out = append(out, t)
			seen = append(seen, fmt.Sprintf("%s (%s)", t.addr(), t.how()))
		}
	}
	if len(out) > 0 {
		e.add("dns", OK, "", "%s", strings.Join(seen, ", "))
		return out
	}
	ips, err := resolver.LookupNetIP(ctx, "ip", domain)
	if err != nil || len(ips) == 0 {
		e.add("dns", Fail, "check the part of the address after the @, and the network", "%s has neither SRV records nor an address", domain)
		return nil
	}
	e.add("dns", OK, "", "no SRV records; %s itself is at %s", domain, joinIPs(ips))
	return []target{{domain, 5222, false}, {domain, 5223, true}}
}

func joinIPs(ips []netip.Addr) string {
	var s []string
	for _, ip := range ips {
		s = append(s, ip.String())
	}
	return strings.Join(s, ", ")
}

// given reads what the user wrote after --server.
func (e *examination) given(server string) []target {
	both := true
	direct := false
	if scheme, rest, ok := strings.Cut(server, "://"); ok {
		if scheme == "wss" {
			u, err := url.Parse(server)
			if err == nil {
				e.add("dns", Skip, "", "a WebSocket at %s was named; login will show whether it works", u.Host)
			}
			return nil
		}
		both, direct, server = false, scheme == "tls", rest
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host = server
		if direct {
			port = "5223"
		} else {
			port = "5222"
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		e.add("dns", Fail, "write it like xmpp.example.org:5222", "server %q has no port that is a number", server)
		return nil
	}
	e.add("dns", Skip, "", "not asked, because the server was named: %s", server)
	t := target{host, uint16(n), direct}
	if both {
		t.direct = e.speaksTLS(t)
	}
	return []target{t}
}

// speaksTLS finds out whether a port wants TLS from the first byte: a server
// of STARTTLS waits for a stream, one of TLS answers a handshake.
func (e *examination) speaksTLS(t target) bool {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout/2)
	defer cancel()
	conn, err := e.dial(ctx, t.addr())
	if err != nil {
		return false
	}
	defer conn.Close()
	// Only the kind of the port is asked for; connect checks the certificate.
	probe := tls.Client(conn, &tls.Config{ServerName: e.Account.Domainpart(), InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}})
	return probe.HandshakeContext(ctx) == nil
}

func (e *examination) dial(ctx context.Context, addr string) (net.Conn, error) {
	if e.Signaling.Dial != nil {
		return e.Signaling.Dial(ctx, "tcp", addr)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
}

// connect checks that a place can be reached and proves who it is.
func (e *examination) connect(ctx context.Context, t target) bool {
	add := func(s Status, means, format string, args ...any) {
		e.addOne("server", t.addr(), s, text(means), format, args...)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	began := time.Now()
	conn, err := e.dial(ctx, t.addr())
	if err != nil {
		add(Warn, "this way to the server is closed; a firewall may block the port", "no connection: %v", err)
		return false
	}
	defer conn.Close()
	reached := time.Since(began)
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	silent := func(err error) bool {
		var n net.Error
		if !errors.As(err, &n) || !n.Timeout() {
			return false
		}
		add(Warn, "the server is too busy, or it is another program", "connected, but nothing is answered")
		return true
	}
	if !t.direct {
		if err := startTLS(conn, e.Account.Domainpart()); err != nil {
			if silent(err) {
				return false
			}
			add(Warn, "without encryption we do not log in", "STARTTLS: %v", err)
			return false
		}
	}
	c := tls.Client(conn, &tls.Config{ServerName: e.Account.Domainpart(), RootCAs: e.roots(), NextProtos: []string{"xmpp-client"}, MinVersion: tls.VersionTLS12})
	if err := c.HandshakeContext(ctx); err != nil {
		if silent(err) {
			return false
		}
		add(Warn, "if the server has a private certificate authority, name it with --ca-file", "%s: %v", t.how(), err)
		return false
	}
	state := c.ConnectionState()
	how, version, took := t.how(), tls.VersionName(state.Version), reached.Milliseconds()
	left := time.Until(state.PeerCertificates[0].NotAfter)
	if left < 7*24*time.Hour {
		add(Warn, "login will fail then; tell the operator", "%s, %s, reached in %d ms; the certificate expires in %d hours", how, version, took, int(left.Hours()))
		return true
	}
	add(OK, "", "%s, %s, reached in %d ms", how, version, took)
	return true
}

// maxHello bounds what a server says before TLS.
const maxHello = 16 << 10

// startTLS asks for TLS on a new stream. RFC 6120 §5.4
func startTLS(conn net.Conn, domain string) error {
	var to bytes.Buffer
	if err := xml.EscapeText(&to, []byte(domain)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(conn, "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", &to)
	if err != nil {
		return err
	}
	features, err := readUntil(conn, "</stream:features>", "</features>", "</stream:stream>")
	if err != nil {
		return err
	}
	if !bytes.Contains(features, []byte("<starttls")) {
		return errors.New("not offered")
	}
	if _, err := io.WriteString(conn, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"); err != nil {
		return err
	}
	answer, err := readUntil(conn, "/>", "</proceed>", "</stream:stream>")
	if err == nil && !bytes.Contains(answer, []byte("<proceed")) {
		err = errors.New("refused")
	}
	return err
}

// readUntil reads up to one of the given ends: a byte at a time, so that
// nothing of the TLS that follows is taken away.
func readUntil(r io.Reader, ends ...string) (seen []byte, err error) {
	var b [1]byte
	for len(seen) < maxHello {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return seen, err
		}
		seen = append(seen, b[0])
		for _, end := range ends {
			if bytes.HasSuffix(seen, []byte(end)) {
				return seen, nil
			}
		}
	}
	return seen, errors.New("server talks too much before TLS")
}

// smWatch sees in the stream whether stream management was switched on.
type smWatch struct{ enabled, resumable atomic.Bool }

func (w *smWatch) see(dir signaling.StanzaDirection, text []byte) {
	if dir != signaling.Received || !bytes.HasPrefix(text, []byte("<enabled")) {
		return
	}
	w.enabled.Store(true)
	if bytes.Contains(text, []byte("resume=")) {
		w.resumable.Store(true)
	}
}

// login logs in, or says why not.
func (e *examination) login(ctx context.Context) *signaling.Client {
	cfg := e.Signaling
	logged := cfg.LogStanza
	cfg.LogStanza = func(dir signaling.StanzaDirection, text []byte) {
		e.sm.see(dir, text)
		if logged != nil {
			logged(dir, text)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	began := time.Now()
	client, err := signaling.Dial(ctx, cfg)
	if err != nil {
		e.trouble("login", Fail, err)
		return nil
	}
	e.add("login", OK, "", "as %s in %d ms", client.JID(), time.Since(began).Milliseconds())
	return client
}
