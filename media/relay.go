package media

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

// relayDialTimeout bounds reaching a relay over TCP or TLS.
const relayDialTimeout = 10 * time.Second

// A relayDialer reaches TURN servers over TCP and TLS for pion, whose own TLS
// trusts the system alone. pion says host and port, not whether it wants TLS.
type relayDialer struct {
	tls   map[string]bool // host:port of servers over TLS
	roots *x509.CertPool
}

func newRelayDialer(servers []ICEServer, roots *x509.CertPool) *relayDialer {
	d := &relayDialer{tls: map[string]bool{}, roots: roots}
	for _, s := range servers {
		if u, err := stun.ParseURI(s.URL); err == nil && u.Scheme == stun.SchemeTypeTURNS && u.Proto == stun.ProtoTypeTCP {
			d.tls[net.JoinHostPort(u.Host, strconv.Itoa(u.Port))] = true
		}
	}
	return d
}

// Dial implements proxy.Dialer of golang.org/x/net.
func (d *relayDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), relayDialTimeout)
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
