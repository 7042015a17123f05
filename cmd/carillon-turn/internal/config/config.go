// Package config reads the file of a relay and makes a turn.Config of it.
//
// A key that the relay does not know, and a value that it cannot use, is an
// error that names the line, because a limit that silently does nothing is
// worse than none.
package config

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/carillon-im/carillon/turn"
)

// A File is what a configuration may say.
type File struct {
	Realm        string   `toml:"realm"`
	Listen       []string `toml:"listen"`    // "udp:192.0.2.1:3478", "tcp:[::]:3478", "tls::5349"; without a transport udp
	RelayIP      []string `toml:"relay-ip"`  // addresses of this machine
	PublicIP     []string `toml:"public-ip"` // what clients are told in place of the relay-ip at the same position
	MinPort      uint16   `toml:"min-port"`
	MaxPort      uint16   `toml:"max-port"`
	Loops        int      `toml:"loops"` // forwarding threads; 0: one for two cores
	Portable     bool     `toml:"portable"`
	EBPF         string   `toml:"ebpf"`          // interface where an eBPF program forwards channels; empty: none
	GatherUS     int      `toml:"gather-us"`     // microseconds that packets may wait for others under load; 0: 200; negative: none
	Admin        string   `toml:"admin"`         // HOST:PORT of status page, metrics and health; empty: none
	Metrics      string   `toml:"metrics"`       // HOST:PORT of metrics and health alone, which name nobody; empty: none
	DrainTimeout Duration `toml:"drain-timeout"` // how long calls may last after SIGTERM; 0: 1 hour
	LogLevel     string   `toml:"log-level"`
	LogJSON      bool     `toml:"log-json"`
	LogHidden    bool     `toml:"hide-addresses"`

	Secrets     []string `toml:"secrets"`      // better in files
	SecretFiles []string `toml:"secret-files"` // the first line of each
	SecretEnv   []string `toml:"secret-env"`   // names of environment variables
	Users       []User   `toml:"user"`
	UserFiles   []string `toml:"user-files"` // a line NAME:PASSWORD for each user; "#" begins a comment

	NonceSecretFile string   `toml:"nonce-secret-file"` // shared by relays whose nonces shall be good at all of them
	Discovery       string   `toml:"discovery"`         // second ADDRESS:PORT, for NAT behaviour discovery (RFC 5780)
	Software        string   `toml:"software"`          // told to clients; empty: nothing
	Alternates      []string `toml:"alternates"`        // "ADDRESS:PORT" or "ADDRESS:PORT domain" of relays for when this one is full
	Realms          []Realm  `toml:"realms"`            // further ones

	TLS    TLS    `toml:"tls"`
	ACME   ACME   `toml:"acme"`
	Redis  Redis  `toml:"redis"`
	Peers  Peers  `toml:"peers"`
	Limits Limits `toml:"limits"`

	lines lines
	own   string // path of the file, if secrets stand in it
}

// ACME obtains and renews certificates, in place of TLS.
type ACME struct {
	Names     []string `toml:"names"`     // of this relay; empty: none
	Email     string   `toml:"email"`     // told to the authority
	Directory string   `toml:"directory"` // URL; empty: Let's Encrypt
	CAFile    string   `toml:"ca-file"`   // PEM of who signs the directory's own certificate; empty: the system's
	Cache     string   `toml:"cache"`     // folder of keys and certificates; empty: $STATE_DIRECTORY/acme
	HTTP      string   `toml:"http"`      // ADDRESS:PORT that answers http-01, such as ":80"; empty: only tls-alpn-01, at a TLS listener on port 443
}

// Redis counts users together with other relays.
type Redis struct {
	URL     string `toml:"url"`      // redis://[USER:PASSWORD@]HOST:PORT/DB, rediss: for TLS, unix:///PATH; empty: none
	URLFile string `toml:"url-file"` // file whose first line is it
	Prefix  string `toml:"prefix"`   // of keys; empty: carillon-turn
}

// A User has a fixed password.
type User struct {
	Name         string `toml:"name"`
	Password     string `toml:"password"`
	PasswordFile string `toml:"password-file"`
}

// TLS names the certificate, PEM; both files are read again when they change.
type TLS struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// Peers are prefixes such as "10.1.0.0/16" or single addresses.
type Peers struct {
	Allow []string `toml:"allow"`
	Deny  []string `toml:"deny"`
	// Of TCP allocations (RFC 6062).
	NoTCP      bool   `toml:"no-tcp"`       // there are none
	MinTCPPort uint16 `toml:"min-tcp-port"` // lowest port that is connected to; 0: 1024
}

// A Realm is a further set of people, with credentials of its own.
type Realm struct {
	Name        string   `toml:"name"`
	ServerNames []string `toml:"server-names"` // that TLS clients ask for
	Secrets     []string `toml:"secrets"`
	SecretFiles []string `toml:"secret-files"`
	SecretEnv   []string `toml:"secret-env"`
	Users       []User   `toml:"user"`
}

// Limits are those of turn.Limits; zero is the default, negative is none.
type Limits struct {
	Total         Quota `toml:"total"`
	PerUser       Quota `toml:"per-user"`
	PerAddress    Quota `toml:"per-address"`
	PerAllocation Quota `toml:"per-allocation"`

	Connections            int `toml:"connections"`
	ConnectionsPerAddress  int `toml:"connections-per-address"`
	Handshakes             int `toml:"handshakes"`
	UnauthenticatedReplies int `toml:"unauthenticated-replies"`
	FailedLogins           int `toml:"failed-logins"`
}

// A Quota is a turn.Quota.
type Quota struct {
	Allocations int   `toml:"allocations"`
	Permissions int   `toml:"permissions"`
	Channels    int   `toml:"channels"`
	BitrateUp   int   `toml:"bitrate-up"`
	BitrateDown int   `toml:"bitrate-down"`
	BytesPerDay int64 `toml:"bytes-per-day"`
}

func (l Limits) turn() turn.Limits {
	return turn.Limits{
		Total: turn.Quota(l.Total), PerUser: turn.Quota(l.PerUser), PerAddress: turn.Quota(l.PerAddress), PerAllocation: turn.Quota(l.PerAllocation),
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress, Handshakes: l.Handshakes,
		UnauthenticatedReplies: l.UnauthenticatedReplies, FailedLogins: l.FailedLogins,
	}
}

const maxFile = 1 << 20

// defaultGather costs many calls at once a fraction of what a network adds to
// them, and a few calls nothing.
const defaultGather = 200 * time.Microsecond

// Load reads the file at path.
func Load(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, fmt.Errorf("read config: %w", err)
	}
	if info.Size() > maxFile {
		return File{}, fmt.Errorf("%s: %d bytes is too large for a config file", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read config: %w", err)
	}
	f, err := Parse(path, text)
	if err != nil {
		return File{}, err
	}
	if f.hasSecrets() {
		f.own = path
	}
	// Names of files are relative to where they are written down.
	dir := filepath.Dir(path)
	fix := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	fix(&f.TLS.Cert)
	fix(&f.TLS.Key)
	fix(&f.NonceSecretFile)
	credentials := func(files []string, users []User) {
		for i := range files {
			fix(&files[i])
		}
		for i := range users {
			fix(&users[i].PasswordFile)
		}
	}
	credentials(f.SecretFiles, f.Users)
	for i := range f.UserFiles {
		fix(&f.UserFiles[i])
	}
	fix(&f.ACME.CAFile)
	fix(&f.ACME.Cache)
	fix(&f.Redis.URLFile)
	for _, r := range f.Realms {
		credentials(r.SecretFiles, r.Users)
	}
	return f, nil
}

// Parse reads text; name is used in errors.
func Parse(name string, text []byte) (File, error) {
	var f File
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&f)
	var strict *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		line, _ := strict.Errors[0].Position()
		return File{}, fmt.Errorf("%s:%d: unknown key %q", name, line, strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &syntax):
		line, _ := syntax.Position()
		return File{}, fmt.Errorf("%s:%d: %s", name, line, strings.TrimPrefix(syntax.Error(), "toml: "))
	case err != nil:
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	f.lines = linesOf(name, text)
	return f, nil
}

// An Outside is what a configuration takes from where the program runs.
type Outside struct {
	Getenv func(string) string
	// Sockets are what systemd has handed over, for the listener "systemd".
	Sockets []*os.File
	// ACME makes the TLS configuration of certificates that f.ACME asks for.
	ACME func(ACME) (*tls.Config, error)
	// Uncertified is told when the files of [tls] cannot be read any more; may
	// be nil.
	Uncertified func(error)
	// Only checking: sockets and certificates that ACME would bring are
	// taken to be there.
	Check bool
}

// Turn makes the configuration of a relay of f, reading the files it names. An
// error names the line of the file that it comes from.
func (f File) Turn(out Outside) (turn.Config, error) {
	c, err := f.turn(out)
	return c, f.lines.locate(err)
}

func (f File) turn(out Outside) (turn.Config, error) {
	getenv := out.Getenv
	c := turn.Config{
		Realm: f.Realm, MinPort: f.MinPort, MaxPort: f.MaxPort, Loops: f.Loops, Portable: f.Portable, EBPF: f.EBPF, Gather: time.Duration(f.GatherUS) * time.Microsecond,
		NoTCP: f.Peers.NoTCP, MinTCPPort: f.Peers.MinTCPPort, HideAddresses: f.LogHidden, Limits: f.Limits.turn(), Software: f.Software,
	}
	if f.GatherUS == 0 {
		c.Gather = defaultGather
	}
	c.Gather = max(0, c.Gather)
	var err error
	if c.Listeners, err = f.listeners(out); err != nil {
		return c, wrong("listen", err)
	}
	if len(f.PublicIP) > 0 && len(f.PublicIP) != len(f.RelayIP) {
		return c, wrong("public-ip", fmt.Errorf("%d public-ip for %d relay-ip", len(f.PublicIP), len(f.RelayIP)))
	}
	for i, r := range f.RelayIP {
		relay := turn.Relay{}
		var err error
		if relay.Address, err = netip.ParseAddr(r); err != nil {
			return c, wrong("relay-ip", err)
		}
		if len(f.PublicIP) > 0 {
			if relay.Public, err = netip.ParseAddr(f.PublicIP[i]); err != nil {
				return c, wrong("public-ip", err)
			}
		}
		c.Relays = append(c.Relays, relay)
	}
	if c.Users, c.Secrets, err = credentials("", f.Users, f.Secrets, f.SecretFiles, f.SecretEnv, getenv); err != nil {
		return c, err
	}
	for _, path := range f.UserFiles {
		if err := userFile(path, c.Users); err != nil {
			return c, wrong("user-files", err)
		}
	}
	for i, r := range f.Realms {
		realm := turn.Realm{Name: r.Name, ServerNames: r.ServerNames}
		if realm.Users, realm.Secrets, err = credentials(fmt.Sprintf("realms[%d].", i), r.Users, r.Secrets, r.SecretFiles, r.SecretEnv, getenv); err != nil {
			return c, err
		}
		c.Realms = append(c.Realms, realm)
	}
	if f.NonceSecretFile != "" {
		if c.NonceSecret, err = turn.SecretFile(f.NonceSecretFile); err != nil {
			return c, wrong("nonce-secret-file", err)
		}
	}
	if f.Discovery != "" {
		if c.Discovery, err = netip.ParseAddrPort(f.Discovery); err != nil {
			return c, wrong("discovery", err)
		}
	}
	for _, text := range f.Alternates {
		address, domain, _ := strings.Cut(text, " ")
		a := turn.Alternate{Domain: domain}
		if a.Address, err = netip.ParseAddrPort(address); err != nil {
			return c, wrong("alternates", err)
		}
		c.Alternates = append(c.Alternates, a)
	}
	if c.AllowPeers, err = prefixes(f.Peers.Allow); err != nil {
		return c, wrong("peers.allow", err)
	}
	if c.DenyPeers, err = prefixes(f.Peers.Deny); err != nil {
		return c, wrong("peers.deny", err)
	}
	return c, c.Validate()
}

// credentials reads those of a realm, whose keys begin with prefix.
func credentials(prefix string, users []User, secrets, files, env []string, getenv func(string) string) (map[string]turn.Secret, []turn.Secret, error) {
	passwords := map[string]turn.Secret{}
	for i, u := range users {
		password := turn.Secret(u.Password)
		if u.PasswordFile != "" {
			var err error
			if password, err = turn.SecretFile(u.PasswordFile); err != nil {
				return nil, nil, wrong(fmt.Sprintf("%suser[%d].password-file", prefix, i), err)
			}
		}
		passwords[u.Name] = password
	}
	var out []turn.Secret
	for _, s := range secrets {
		out = append(out, turn.Secret(s))
	}
	for _, path := range files {
		s, err := turn.SecretFile(path)
		if err != nil {
			return nil, nil, wrong(prefix+"secret-files", err)
		}
		out = append(out, s)
	}
	for _, name := range env {
		s := getenv(name)
		if s == "" {
			return nil, nil, wrong(prefix+"secret-env", fmt.Errorf("%s is not set", name))
		}
		out = append(out, turn.Secret(s))
	}
	return passwords, out, nil
}

func prefixes(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(t)
		if err != nil {
			return nil, err
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
