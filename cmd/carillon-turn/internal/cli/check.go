package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"

	"github.com/carillon-im/carillon/turn"
)

type checkCmd struct {
	URL          string `arg:"" placeholder:"turn:HOST" help:"turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]. Without a transport, UDP and TCP are tried."`
	User         string `placeholder:"NAME" help:"User name."`
	PasswordFile string `placeholder:"FILE" help:"File whose first line is the password; default $CARILLON_TURN_PASSWORD."`
	Secret       string `placeholder:"SECRET" help:"Make credentials of this shared secret; other users of this machine can see it."`
	SecretFile   string `placeholder:"FILE" help:"Make credentials of the shared secret in this file."`
	CAFile       string `name:"ca-file" placeholder:"FILE" help:"PEM certificates to trust besides those of the system."`
}

const checkTimeout = 10 * time.Second

// Run tries the relay as two clients who send to each other through it.
func (c *checkCmd) Run(ctx context.Context, env Env) error {
	uri, err := stun.ParseURI(c.URL)
	if err != nil || uri.Scheme != stun.SchemeTypeTURN && uri.Scheme != stun.SchemeTypeTURNS {
		return fmt.Errorf("%q is not turn:HOST or turns:HOST", c.URL)
	}
	user, password, err := c.credentials(env)
	if err != nil {
		return err
	}
	conf := &tls.Config{ServerName: uri.Host, MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
		if conf.RootCAs, err = x509.SystemCertPool(); err != nil {
			conf.RootCAs = x509.NewCertPool()
		}
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read certificates: none in %s", c.CAFile)
		}
	}
	transports := []string{"udp", "tcp"}
	switch {
	case uri.Scheme == stun.SchemeTypeTURNS:
		transports = []string{"tls"}
	case strings.Contains(c.URL, "transport="):
		transports = []string{uri.Proto.String()}
	}
	bad := 0
	for _, t := range transports {
		address := net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port))
		finding, err := try(ctx, t, address, user, string(password), conf)
		if err != nil {
			bad++
			fmt.Fprintf(env.Stdout, "%s %s: not good: %v\n", t, address, err)
			continue
		}
		fmt.Fprintf(env.Stdout, "%s %s: good: %s\n", t, address, finding)
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d ways to the relay do not work", bad, len(transports))
	}
	return nil
}

func (c *checkCmd) credentials(env Env) (string, turn.Secret, error) {
	if c.Secret != "" || c.SecretFile != "" {
		secret, err := secretOf(env, c.Secret, c.SecretFile)
		if err != nil {
			return "", "", err
		}
		user, password := turn.Credentials(secret, "check", time.Now().Add(10*time.Minute))
		return user, password, nil
	}
	if c.User == "" {
		return "", "", &hinted{errors.New("no credentials"), "pass --user NAME with --password-file FILE, or --secret-file FILE"}
	}
	if c.PasswordFile != "" {
		password, err := turn.SecretFile(c.PasswordFile)
		return c.User, password, err
	}
	if p := env.Getenv("CARILLON_TURN_PASSWORD"); p != "" {
		return c.User, turn.Secret(p), nil
	}
	return "", "", &hinted{errors.New("no password"), "pass --password-file FILE or set CARILLON_TURN_PASSWORD"}
}

// A probe is one client of the relay.
type probe struct {
	client *pion.Client
	conn   net.PacketConn
	relay  net.PacketConn
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

func dial(ctx context.Context, transport, address, user, password string, conf *tls.Config) (*probe, error) {
	p := &probe{}
	var err error
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	switch transport {
	case "udp":
		// An allocation of the family by which the relay is reached.
		var server *net.UDPAddr
		if server, err = net.ResolveUDPAddr("udp", address); err == nil {
			network := "udp6"
			if server.IP.To4() != nil {
				network = "udp4"
			}
			p.conn, err = net.ListenPacket(network, ":0")
		}
	default:
		var d net.Dialer
		var conn net.Conn
		if conn, err = d.DialContext(ctx, "tcp", address); err == nil && transport == "tls" {
			t := tls.Client(conn, conf)
			if err = t.HandshakeContext(ctx); err != nil {
				conn.Close()
			}
			conn = t
		}
		if err == nil {
			p.conn = pion.NewSTUNConn(conn)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	p.client, err = pion.NewClient(&pion.ClientConfig{
		STUNServerAddr: address, TURNServerAddr: address, Conn: p.conn, Username: user, Password: password,
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

func try(ctx context.Context, transport, address, user, password string, conf *tls.Config) (string, error) {
	var probes [2]*probe
	var seen net.Addr
	for i := range probes {
		p, err := dial(ctx, transport, address, user, password, conf)
		if err != nil {
			return "", err
		}
		defer p.close()
		probes[i] = p
		if seen, err = p.client.SendBindingRequest(); err != nil {
			return "", fmt.Errorf("no answer to STUN: %w", err)
		}
		if p.relay, err = p.client.Allocate(); err != nil {
			return "", fmt.Errorf("it answers, but gives no allocation: %w", err)
		}
	}
	a, b := probes[0], probes[1]
	for _, pair := range [][2]*probe{{a, b}, {b, a}} {
		if err := pair[0].client.CreatePermission(pair[1].relay.LocalAddr()); err != nil {
			return "", fmt.Errorf("two people who both use it cannot talk, it refuses its own address %v: %w", pair[1].relay.LocalAddr(), err)
		}
	}
	want := []byte(rand.Text())
	got := make([]byte, 1500)
	start := time.Now()
	for range 5 { // UDP loses packets
		if _, err := a.relay.WriteTo(want, b.relay.LocalAddr()); err != nil {
			return "", fmt.Errorf("send: %w", err)
		}
		if err := b.relay.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return "", fmt.Errorf("receive: %w", err)
		}
		if n, _, err := b.relay.ReadFrom(got); err == nil && bytes.Equal(got[:n], want) {
			return fmt.Sprintf("you are %v, relayed at %v, a packet takes %v through both", seen, a.relay.LocalAddr(), time.Since(start).Round(10*time.Microsecond)), nil
		}
	}
	return "", fmt.Errorf("allocations are made at %v, but nothing arrives there: is its range of UDP ports open in the firewall, and is public-ip right?", a.relay.LocalAddr())
}
