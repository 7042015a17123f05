package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pion/stun/v4"

	"github.com/carillon-im/carillon/internal/authorities"
	"github.com/carillon-im/carillon/turn"
)

type checkCmd struct {
	secretFlags
	URL          string `arg:"" placeholder:"turn:HOST" help:"turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT][?transport=udp|tcp]. Without a transport both are tried; turns: over UDP is DTLS, which few relays have."`
	User         string `placeholder:"NAME" help:"User name."`
	PasswordFile string `placeholder:"FILE" help:"File whose first line is the password; default $CARILLON_TURN_PASSWORD."`
	CAFile       string `name:"ca-file" placeholder:"FILE" help:"PEM certificates to trust besides those of the system."`
}

// Help is what --help says besides.
func (c *checkCmd) Help() string {
	return `Plays two clients who send to each other through the relay, by every way that
there is. Without credentials it only asks who we are (STUN).

Ends with 0 when all is well, 1 when something does not work, 2 on wrong usage,
3 when the credentials are refused and 4 when nothing answers.

    carillon-turn check turn:turn.example.org --config /etc/carillon-turn/relay.toml`
}

const (
	checkTimeout = 10 * time.Second
	// soon is when a certificate should have been renewed.
	soon = 14 * 24 * time.Hour
)

// Run tries the relay by every way.
func (c *checkCmd) Run(ctx context.Context, env Env) error {
	uri, err := stun.ParseURI(c.URL)
	if err != nil || uri.Scheme != stun.SchemeTypeTURN && uri.Scheme != stun.SchemeTypeTURNS {
		return &coded{fmt.Errorf("%q is not turn:HOST or turns:HOST", c.URL), exitUsage}
	}
	user, password, err := c.credentials(env)
	if err != nil {
		return err
	}
	roots, err := c.roots()
	if err != nil {
		return err
	}
	v := visit{
		host: uri.Host, address: net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port)), user: user, password: string(password),
		tls: &tls.Config{ServerName: uri.Host, RootCAs: roots, MinVersion: tls.VersionTLS12}, say: func(format string, args ...any) { fmt.Fprintf(env.Stdout, format+"\n", args...) },
	}
	if user == "" {
		v.say("no credentials, so only STUN is tried: pass --config FILE or --secret-file FILE, or --user NAME with --password-file FILE")
	}
	worst, bad, ways := 0, 0, c.transports(uri)
	for _, w := range ways {
		v.say("%s %s", w.transport, v.address)
		err := v.try(ctx, w.transport)
		if err == nil {
			continue
		}
		if w.optional {
			v.say("  note: %v; few clients need it", err)
			continue
		}
		bad++
		v.say("  bad: %v", err)
		var h *hinted
		if errors.As(err, &h) {
			v.say("  hint: %s", h.hint)
		}
		code := exitFailed
		var coded *coded
		if errors.As(err, &coded) {
			code = coded.code
		}
		if bad == 1 || code != exitSilent {
			worst = code
		}
	}
	if bad > 0 {
		if bad < len(ways) && worst == exitSilent {
			worst = exitFailed // something answers
		}
		return &coded{fmt.Errorf("%d of %d ways to the relay do not work", bad, len(ways)), worst}
	}
	v.say("good")
	return nil
}

// A way to the relay.
type way struct {
	transport turn.Transport
	optional  bool
}

func (c *checkCmd) transports(uri *stun.URI) []way {
	named := strings.Contains(c.URL, "transport=")
	over := func(udp, tcp turn.Transport) []way {
		switch {
		case named && uri.Proto == stun.ProtoTypeUDP:
			return []way{{udp, false}}
		case named:
			return []way{{tcp, false}}
		}
		return nil
	}
	if uri.Scheme == stun.SchemeTypeTURNS {
		if w := over(turn.DTLS, turn.TLS); w != nil {
			return w
		}
		return []way{{turn.TLS, false}, {turn.DTLS, true}}
	}
	if w := over(turn.UDP, turn.TCP); w != nil {
		return w
	}
	return []way{{turn.UDP, false}, {turn.TCP, false}}
}

func (c *checkCmd) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	return authorities.Read(c.CAFile)
}

// credentials returns an empty user when there are none.
func (c *checkCmd) credentials(env Env) (string, turn.Secret, error) {
	if c.User == "" {
		secret, err := c.secret(env)
		if errors.Is(err, errNoSecret) {
			return "", "", nil
		}
		if err != nil {
			return "", "", err
		}
		user, password := turn.Credentials(secret, "check", time.Now().Add(10*time.Minute))
		return user, password, nil
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
