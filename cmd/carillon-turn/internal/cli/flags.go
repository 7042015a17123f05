package cli

import (
	"errors"
	"strings"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
)

// configFlags say what a configuration file says; flags win.
type configFlags struct {
	Config     string   `short:"c" placeholder:"FILE" help:"Configuration, TOML."`
	Listen     []string `short:"l" sep:"none" placeholder:"[TRANSPORT:]ADDRESS:PORT" help:"Where clients are served; transports are udp, tcp, tls and dtls. May be repeated. \"systemd\" stands for the sockets of a socket unit."`
	RelayIP    []string `name:"relay-ip" sep:"none" placeholder:"ADDRESS" help:"Address of this machine that allocations are given."`
	PublicIP   []string `name:"public-ip" sep:"none" placeholder:"ADDRESS" help:"What clients are told in its place, behind a 1:1 NAT."`
	Realm      string   `placeholder:"DOMAIN" help:"Realm of the credentials."`
	User       []string `sep:"none" placeholder:"NAME:PASSWORD" help:"A person with a fixed password; other users of this machine can see it. Also $CARILLON_TURN_USER."`
	UserFile   []string `sep:"none" placeholder:"FILE" help:"File with a line NAME:PASSWORD for each person."`
	Secret     []string `sep:"none" placeholder:"SECRET" help:"Shared with the XMPP server; other users of this machine can see it. Also $CARILLON_TURN_SECRET."`
	SecretFile []string `sep:"none" placeholder:"FILE" help:"File whose first line is that secret."`
	AllowPeer  []string `sep:"none" placeholder:"PREFIX" help:"Peers that may be reached although they are refused by default."`
	DenyPeer   []string `sep:"none" placeholder:"PREFIX" help:"Peers that may never be reached."`
	NoTCP      bool     `name:"no-tcp-peers" help:"No TCP allocations (RFC 6062): peers are reached over UDP alone."`
	MinTCPPort uint16   `name:"min-tcp-port" placeholder:"PORT" help:"Lowest port of a peer that TCP allocations connect to; default 1024."`
	Cert       string   `placeholder:"FILE" help:"Certificate for TLS, PEM."`
	Key        string   `placeholder:"FILE" help:"Its key."`
	NonceFile  string   `name:"nonce-secret-file" placeholder:"FILE" help:"File with a secret that relays share, so that nonces are good at all of them."`
	Discovery  string   `placeholder:"ADDRESS:PORT" help:"Second address and port, for NAT behaviour discovery (RFC 5780)."`
	Alternate  []string `sep:"none" placeholder:"ADDRESS:PORT" help:"Another relay, where clients are sent when this one is full or draining."`
	MinPort    uint16   `help:"First port of allocations."`
	MaxPort    uint16   `help:"Last port of allocations."`
	Loops      int      `help:"Forwarding threads; default one for two cores."`
	Gather     int      `name:"gather-us" placeholder:"MICROSECONDS" help:"How long packets may wait for others under load, to save processor time; default 200, negative for none."`
	EBPF       string   `name:"ebpf" placeholder:"INTERFACE" help:"Forward channels of IPv4 by an eBPF program at this interface; needs the capabilities BPF and NET_ADMIN."`
	Portable   bool     `help:"Forward without the fast path."`
	Admin      string   `placeholder:"HOST:PORT" help:"Serve status page, metrics and health here."`
	Metrics    string   `placeholder:"HOST:PORT" help:"Serve metrics and health here, which name nobody."`
	LogLevel   string   `placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogJSON    bool     `name:"log-json" help:"One JSON object a line."`
	Hide       bool     `name:"hide-addresses" help:"Keep addresses of clients and peers out of log and status."`
}

// file is the configuration of the file, flags and environment together.
func (f configFlags) file(env Env) (config.File, error) {
	var c config.File
	if f.Config != "" {
		var err error
		if c, err = config.Load(f.Config); err != nil {
			return c, err
		}
	}
	for _, o := range []struct {
		key   string
		to    *string
		value string
	}{
		{"realm", &c.Realm, f.Realm}, {"tls.cert", &c.TLS.Cert, f.Cert}, {"tls.key", &c.TLS.Key, f.Key},
		{"admin", &c.Admin, f.Admin}, {"metrics", &c.Metrics, f.Metrics}, {"log-level", &c.LogLevel, f.LogLevel},
		{"nonce-secret-file", &c.NonceSecretFile, f.NonceFile}, {"discovery", &c.Discovery, f.Discovery},
	} {
		if o.value != "" {
			*o.to = o.value
			c.Override(o.key)
		}
	}
	for _, o := range []struct {
		key   string
		to    *[]string
		value []string
	}{
		{"listen", &c.Listen, f.Listen}, {"relay-ip", &c.RelayIP, f.RelayIP}, {"public-ip", &c.PublicIP, f.PublicIP},
		{"secrets", &c.Secrets, f.Secret}, {"secret-files", &c.SecretFiles, f.SecretFile}, {"user-files", &c.UserFiles, f.UserFile},
		{"alternates", &c.Alternates, f.Alternate},
	} {
		if len(o.value) > 0 {
			*o.to = o.value
			c.Override(o.key)
		}
	}
	c.Peers.Allow = append(c.Peers.Allow, f.AllowPeer...)
	c.Peers.Deny = append(c.Peers.Deny, f.DenyPeer...)
	c.Peers.NoTCP = c.Peers.NoTCP || f.NoTCP
	if f.MinTCPPort != 0 {
		c.Peers.MinTCPPort = f.MinTCPPort
	}
	users := f.User
	if user := env.Getenv("CARILLON_TURN_USER"); user != "" {
		users = append(users, user)
	}
	for _, u := range users {
		name, password, ok := strings.Cut(u, ":")
		if !ok {
			return c, errors.New("--user and $CARILLON_TURN_USER want NAME:PASSWORD")
		}
		c.Users = append(c.Users, config.User{Name: name, Password: password})
	}
	if s := env.Getenv("CARILLON_TURN_SECRET"); s != "" {
		c.Secrets = append(c.Secrets, s)
	}
	if f.MinPort != 0 {
		c.MinPort = f.MinPort
	}
	if f.MaxPort != 0 {
		c.MaxPort = f.MaxPort
	}
	if f.Loops != 0 {
		c.Loops = f.Loops
	}
	if f.Gather != 0 {
		c.GatherUS = f.Gather
	}
	if f.EBPF != "" {
		c.EBPF = f.EBPF
	}
	c.Portable = c.Portable || f.Portable
	c.LogJSON = c.LogJSON || f.LogJSON
	c.LogHidden = c.LogHidden || f.Hide
	return c, nil
}

// exposed names the flags with secrets, which "ps" shows to everybody.
func (f configFlags) exposed() (flags []string) {
	if len(f.User) > 0 {
		flags = append(flags, "--user")
	}
	if len(f.Secret) > 0 {
		flags = append(flags, "--secret")
	}
	return flags
}
