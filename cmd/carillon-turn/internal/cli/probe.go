package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"

	"github.com/carillon-im/carillon/turn"
)

// A probe is one client of the relay.
type probe struct {
	client *pion.Client
	conn   net.PacketConn
	relay  net.PacketConn
	peer   *x509.Certificate // of the relay; nil without TLS
}

func (p *probe) close() {
	if p.relay != nil {
		p.relay.Close()
	}
	if p.client != nil {
		p.client.Close()
	}
	if p.conn != nil {
		p.conn.Close()
	}
}

// connect gets as far as where STUN can be spoken.
func (p *probe) connect(ctx context.Context, transport turn.Transport, address string, conf *tls.Config) error {
	switch transport {
	case turn.UDP:
		_, network, err := resolve(address)
		if err != nil {
			return err
		}
		p.conn, err = net.ListenPacket(network, ":0")
		return err
	case turn.DTLS:
		server, network, err := resolve(address)
		if err != nil {
			return err
		}
		c, err := dtls.DialWithOptions(network, server, dtls.WithServerName(conf.ServerName), dtls.WithRootCAs(conf.RootCAs))
		if err != nil {
			return err
		}
		if err := c.HandshakeContext(ctx); err != nil {
			return errors.Join(err, c.Close())
		}
		if state, ok := c.ConnectionState(); ok && len(state.PeerCertificates) > 0 {
			p.peer, _ = x509.ParseCertificate(state.PeerCertificates[0]) // it was verified
		}
		p.conn = pion.NewSTUNConn(c)
		return nil
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if transport == turn.TLS {
		t := tls.Client(c, conf)
		if err := t.HandshakeContext(ctx); err != nil {
			return errors.Join(err, c.Close())
		}
		p.peer = t.ConnectionState().PeerCertificates[0]
		c = t
	}
	p.conn = pion.NewSTUNConn(c)
	return nil
}

// resolve returns an address and the network of its family: the allocation will
// be of the family by which the relay is reached.
func resolve(address string) (server *net.UDPAddr, network string, err error) {
	if server, err = net.ResolveUDPAddr("udp", address); err != nil {
		return nil, "", err
	}
	if server.IP.To4() != nil {
		return server, "udp4", nil
	}
	return server, "udp6", nil
}

func (v *visit) dial(ctx context.Context, transport turn.Transport) (*probe, error) {
	p := &probe{}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := p.connect(ctx, transport, v.address, v.tls); err != nil {
		return nil, unreachable(transport, err)
	}
	var err error
	p.client, err = pion.NewClient(&pion.ClientConfig{
		STUNServerAddr: v.address, TURNServerAddr: v.address, Conn: p.conn, Username: v.user, Password: v.password,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: discard{}, DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err == nil {
		err = p.client.Listen()
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("connect: %w", err)
	}
	return p, nil
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// unreachable says in plain words why there is no connection.
func unreachable(transport turn.Transport, err error) error {
	var name *net.DNSError
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	silent := func(what, hint string) error {
		return &hinted{&coded{fmt.Errorf("%s: %w", what, err), exitSilent}, hint}
	}
	switch {
	case errors.As(err, &name):
		return silent("the name is not found", "is there an A or AAAA record for it?")
	case errors.As(err, &unknown):
		return &hinted{fmt.Errorf("nobody trusts its certificate: %w", err), "clients will not either; for a private authority pass --ca-file"}
	case errors.As(err, &wrongName):
		return &hinted{fmt.Errorf("its certificate is for somebody else: %w", err), "the name in turns: has to stand in the certificate"}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &hinted{fmt.Errorf("its certificate has expired: %w", err), "[acme] in the configuration of carillon-turn renews by itself"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return silent("nothing listens there", "is the relay running, and does it listen on "+string(transport)+"?")
	case errors.Is(err, context.DeadlineExceeded):
		return silent("no answer", "is "+string(transport)+" to this port open in the firewall?")
	}
	return silent("no connection", "is the relay running, and its port open in the firewall?")
}

// errorCode is what the relay answered, 0 for something else.
func errorCode(err error) stun.ErrorCode {
	var t *stun.TurnError
	if errors.As(err, &t) {
		return t.ErrorCodeAttr.Code
	}
	return 0
}

// refusedAllocation says in plain words why there is no allocation.
func refusedAllocation(err error) error {
	text := fmt.Errorf("it answers, but gives no allocation: %w", err)
	switch errorCode(err) {
	case stun.CodeUnauthorized:
		return &hinted{&coded{text, exitRefused}, "the secret or password is not the relay's, or the clocks differ"}
	case stun.CodeAllocQuotaReached:
		return &hinted{text, "this user has as many allocations as limits allow"}
	case stun.CodeInsufficientCapacity:
		return &hinted{text, "the relay is full, or has no address of this family"}
	case stun.CodeTryAlternate:
		return &hinted{text, "the relay is full or draining and sends its clients elsewhere"}
	}
	return text
}

// expiring is a finding about a certificate, empty when it is good.
func expiring(c *x509.Certificate, now time.Time) string {
	if c == nil {
		return ""
	}
	if left := c.NotAfter.Sub(now); left < soon {
		return fmt.Sprintf("the certificate expires in %v", left.Round(time.Hour))
	}
	return ""
}
