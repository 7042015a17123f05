// Package relaydial reaches TURN servers over TCP and TLS for pion, whose own TLS
// trusts the authorities of the system alone.
package relaydial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/pion/stun/v4"
)

// timeout bounds reaching a relay.
const timeout = 10 * time.Second

// A Dialer implements proxy.Dialer of golang.org/x/net. pion tells it host and
// port, not whether it wants TLS.
type Dialer struct {
	ctx   context.Context
	tls   map[string]bool // host:port of servers over TLS
	roots *x509.CertPool
}

// New returns a dialer for relays with these URLs (RFC 7065) that trusts roots.
// It dials until ctx ends.
func New(ctx context.Context, urls []string, roots *x509.CertPool) *Dialer {
	d := &Dialer{ctx: ctx, tls: map[string]bool{}, roots: roots}
	for _, s := range urls {
		if u, err := stun.ParseURI(s); err == nil && u.Scheme == stun.SchemeTypeTURNS && u.Proto == stun.ProtoTypeTCP {
			d.tls[net.JoinHostPort(u.Host, strconv.Itoa(u.Port))] = true
		}
	}
	return d
}

// Dial connects to a relay, by TLS when its URL says so.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("reach relay: %w", err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("reach relay: %w", err)
	}
	if !d.tls[net.JoinHostPort(host, port)] {
		return conn, nil
	}
	secure := tls.Client(conn, &tls.Config{ServerName: host, RootCAs: d.roots, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("reach relay %s over TLS: %w", address, err)
	}
	return secure, nil
}
