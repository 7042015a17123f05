package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/cmd/carillon/internal/trouble"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/authorities"
	"github.com/carillon-im/carillon/internal/history"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// parseJID reads an address the user wrote.
func parseJID(s string) (jid.JID, error) {
	j, err := jid.Parse(s)
	if err != nil || j.Localpart() == "" {
		return jid.JID{}, trouble.Usagef("an address looks like alice@example.org", "%q is not the address of a person", s)
	}
	return j, nil
}

// identity is an account and what is needed to log in to it.
type identity struct {
	jid      jid.JID // as named by the user, perhaps with a resource
	account  accounts.Account
	password signaling.Secret
}

// identity finds the account to use and its password.
func (a *app) identity() (identity, error) {
	named := or(a.flags.Account, a.config.Account)
	var id identity
	if named != "" {
		var err error
		if id.jid, err = parseJID(named); err != nil {
			return id, err
		}
		named = id.jid.Bare().String()
	}
	var known bool
	var err error
	if id.account, known, err = a.store.Find(named); err != nil {
		return id, err
	}
	if named == "" {
		if id.jid, err = jid.Parse(id.account.JID); err != nil {
			return id, fmt.Errorf("account %q: %w", id.account.JID, err)
		}
	}
	switch id.password, err = a.givenPassword(); {
	case err != nil || id.password != "":
		return id, err
	case !known:
		return id, fmt.Errorf("%w for %s", accounts.ErrNoPassword, named)
	}
	id.password, err = a.store.Password(id.account)
	return id, err
}

// givenPassword returns the password of the file or the environment, or "".
func (a *app) givenPassword() (signaling.Secret, error) {
	if a.flags.PasswordFile != "" {
		return accounts.ReadPasswordFile(a.flags.PasswordFile)
	}
	return signaling.Secret(a.env.Getenv("CARILLON_PASSWORD")), nil
}

// clientConfig is how we log in, before what a command needs.
func (a *app) clientConfig(id identity) (signaling.Config, error) {
	cfg := signaling.Config{
		JID: id.jid, Password: id.password,
		Server:     or(a.flags.Server, id.account.Server, a.config.Server),
		AllowPlain: id.account.AllowPlain || a.config.AllowPlain,
		Pins:       a.store.Pins(false),
		Version:    version(),
		Log:        a.log,
	}
	if err := checkServer(cfg.Server); err != nil {
		return cfg, err
	}
	if ca := or(a.flags.CAFile, id.account.CAFile, a.config.CAFile); ca != "" {
		var err error
		cfg.RootCAs, err = authorities.Read(ca)
		switch {
		case errors.Is(err, authorities.ErrNone):
			return cfg, trouble.Usagef("--ca-file wants certificates in PEM, beginning with -----BEGIN CERTIFICATE-----", "%s contains no certificate", ca)
		case err != nil:
			return cfg, err
		}
	}
	if a.flags.LogStanzas || a.log.Enabled(context.Background(), screen.LevelTrace) {
		w := a.screen.Log()
		cfg.LogStanza = func(dir signaling.StanzaDirection, xml []byte) {
			fmt.Fprintf(w, "carillon: %s: %s", dir, screen.Escape(string(xml)))
		}
	}
	return cfg, nil
}

// checkServer finds what is wrong in the address of a server.
func checkServer(server string) error {
	if strings.HasPrefix(server, "wss:") || server == "" {
		return nil
	}
	_, address, ok := strings.Cut(server, "://")
	if !ok {
		address = server
	}
	const hint = "--server wants HOST or HOST:PORT, with a port from 1 to 65535"
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		if strings.Count(address, ":") == 1 || strings.HasPrefix(address, "[") && !strings.HasSuffix(address, "]") {
			return trouble.Usagef(hint, "%q is not the address of a server", server)
		}
		return nil // without a port
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return trouble.Usagef(hint, "%q is not a port", port)
	}
	return nil
}

// dial logs in. adjust may be nil.
func (a *app) dial(ctx context.Context, adjust func(*signaling.Config)) (*signaling.Client, error) {
	id, err := a.identity()
	if err != nil {
		return nil, err
	}
	cfg, err := a.clientConfig(id)
	if err != nil {
		return nil, err
	}
	cfg.History = history.Open(a.historyDir(), id.jid.Bare().String())
	if adjust != nil {
		adjust(&cfg)
	}
	return signaling.Dial(ctx, cfg)
}

// quietly makes a login that nobody notices, for commands that only ask.
func quietly(cfg *signaling.Config) {
	cfg.NoCalls, cfg.CatchUp = true, -1
	cfg.Invisible = true
}

// closing closes c and adds what goes wrong to err.
func closing(c io.Closer, err *error) { *err = errors.Join(*err, c.Close()) }
