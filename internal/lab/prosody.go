package lab

import (
	"context"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

//go:embed modules/mod_lab_tap.lua
var tapModule string

// A ProsodyConfig describes a server. The zero value is a server for lab.test
// with alice and bob, who have each other on their rosters.
type ProsodyConfig struct {
	// Domain is what the server serves. Empty means lab.test.
	Domain string
	// Users may log in; their passwords are their names. Nil means alice and bob.
	Users []string
	// Strangers leaves the rosters empty. Otherwise everybody has everybody.
	Strangers bool
	// Host is the address to listen at. Empty means 127.0.0.1.
	Host string
	// Port takes STARTTLS connections. Zero means a free one.
	Port int
	// NoProxy leaves out the SOCKS5 proxy (XEP-0065).
	NoProxy bool
	// Relay is advertised to clients (XEP-0215). Nil advertises nothing.
	Relay *Coturn
	// Mechanisms restricts SASL to these; nil offers what Prosody knows.
	Mechanisms []string
	// Register lets anybody create accounts (XEP-0077).
	Register bool
	// Config is Lua that goes to the end of the global section, such as
	// limits = { c2s = { rate = "3kb/s" } }.
	Config string
	// HostConfig is Lua that goes below the VirtualHost line.
	HostConfig string
}

// A Prosody is a running server.
type Prosody struct {
	Domain    string
	Users     []string
	Host      string
	Addr      string         // host:port for STARTTLS
	DirectTLS string         // host:port for TLS from the first byte
	WebSocket string         // wss: URL
	Proxy65   string         // host:port of the SOCKS5 proxy
	CAFile    string         // PEM of the CA that signed the server's certificate
	CAs       *x509.CertPool // the same

	t   testing.TB
	dir string
	*process
}

// Password returns a user's password.
func Password(user string) string { return user }

// StartProsody starts a server and waits until it listens.
func StartProsody(t testing.TB, cfg ProsodyConfig) *Prosody {
	t.Helper()
	Need(t, "prosody")
	if cfg.Domain == "" {
		cfg.Domain = "lab.test"
	}
	if cfg.Users == nil {
		cfg.Users = []string{"alice", "bob"}
	}
	if cfg.Host == "" {
		cfg.Host = "127.0.0.1"
	}
	dir := tempDir(t)
	cert := newCertificate(t, []string{cfg.Domain, "proxy." + cfg.Domain, "conference." + cfg.Domain, "localhost"}, net.ParseIP(cfg.Host))
	port := func() int { return FreePort(t, cfg.Host) }
	if cfg.Port == 0 {
		cfg.Port = port()
	}
	direct, https, proxy := port(), port(), port()
	at := func(port int) string { return net.JoinHostPort(cfg.Host, strconv.Itoa(port)) }
	p := &Prosody{
		Domain: cfg.Domain, Users: cfg.Users, Host: cfg.Host,
		Addr: at(cfg.Port), DirectTLS: at(direct), Proxy65: at(proxy),
		WebSocket: "wss://" + at(https) + "/xmpp-websocket",
		CAFile:    filepath.Join(dir, "ca.pem"), CAs: x509.NewCertPool(),
		t: t, dir: dir,
	}
	p.CAs.AppendCertsFromPEM([]byte(cert.ca))

	write(t, p.CAFile, cert.ca)
	write(t, filepath.Join(dir, "cert.pem"), cert.cert)
	write(t, filepath.Join(dir, "key.pem"), cert.key)
	write(t, filepath.Join(dir, "modules/mod_lab_tap.lua"), tapModule)
	p.writeAccounts(cfg)
	write(t, filepath.Join(dir, "prosody.cfg.lua"), p.config(cfg, direct, https, proxy))
	p.Start()
	return p
}

// Start starts the server again after Stop.
func (p *Prosody) Start() {
	p.t.Helper()
	cmd := exec.Command("prosody", "--config", filepath.Join(p.dir, "prosody.cfg.lua"), "-F")
	if os.Getuid() == 0 {
		cmd.Args = append(cmd.Args, "--root")
	}
	p.process = start(p.t, "prosody", filepath.Join(p.dir, "prosody.log"), cmd)
	p.waitFor("start", func() error {
		return errors.Join(listening(p.Addr), listening(p.DirectTLS), listening(strings.TrimSuffix(strings.TrimPrefix(p.WebSocket, "wss://"), "/xmpp-websocket")))
	})
}

// Control runs prosodyctl on the server's configuration.
func (p *Prosody) Control(args ...string) (string, error) {
	args = append([]string{"--config", filepath.Join(p.dir, "prosody.cfg.lua")}, args...)
	if os.Getuid() == 0 {
		args = append([]string{"--root"}, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "prosodyctl", args...).CombinedOutput()
	return string(out), err
}

// Stop stops the server; its clients lose their connections.
func (p *Prosody) Stop() { p.stop() }

// JID returns the bare JID of a user.
func (p *Prosody) JID(user string) string { return user + "@" + p.Domain }

// Stanzas returns what clients and the server sent each other, a stanza a line.
func (p *Prosody) Stanzas() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "stanzas.log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	return string(b)
}

// writeAccounts writes users and rosters as Prosody's internal storage has them.
func (p *Prosody) writeAccounts(cfg ProsodyConfig) {
	data := filepath.Join(p.dir, "data", encodePath(cfg.Domain))
	for _, u := range cfg.Users {
		write(p.t, filepath.Join(data, "accounts", encodePath(u)+".dat"), fmt.Sprintf("return { password = %q };\n", Password(u)))
		var b strings.Builder
		b.WriteString("return {\n[false] = { version = 1 };\n")
		for _, v := range cfg.Users {
			if v != u && !cfg.Strangers {
				fmt.Fprintf(&b, "[%q] = { subscription = \"both\"; groups = {}; name = %q };\n", v+"@"+cfg.Domain, v)
			}
		}
		b.WriteString("};\n")
		write(p.t, filepath.Join(data, "roster", encodePath(u)+".dat"), b.String())
	}
}

// encodePath is how Prosody names files: all but letters, digits and "_" in hex.
func encodePath(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

func (p *Prosody) config(cfg ProsodyConfig, direct, https, proxy int) string {
	modules := []string{"roster", "saslauth", "tls", "disco", "carbons", "pep", "ping", "smacks", "mam", "blocklist",
		"vcard_legacy", "vcard4", "time", "version", "csi_simple", "websocket", "lab_tap"}
	relay := ""
	if cfg.Relay != nil {
		modules = append(modules, "turn_external")
		relay = fmt.Sprintf("turn_external_host = %q\nturn_external_port = %d\nturn_external_secret = %q\n", cfg.Relay.Host, cfg.Relay.Port, cfg.Relay.Secret)
	}
	if cfg.Register {
		modules = append(modules, "register_ibr")
		cfg.Config += "\nallow_registration = true\n"
	}
	if cfg.Mechanisms != nil {
		var off []string
		for _, m := range []string{"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER", "EXTERNAL"} {
			if !slices.Contains(cfg.Mechanisms, m) {
				off = append(off, m)
			}
		}
		relay += "disable_sasl_mechanisms = " + luaList(off) + "\n"
	}
	proxy65 := fmt.Sprintf("Component %q \"proxy65\"\n\tproxy65_address = %q\n", "proxy."+cfg.Domain, cfg.Host)
	if cfg.NoProxy {
		proxy65 = ""
	}
	tls := fmt.Sprintf("{ key = %q; certificate = %q }", filepath.Join(p.dir, "key.pem"), filepath.Join(p.dir, "cert.pem"))
	_, c2s, _ := net.SplitHostPort(p.Addr)
	return fmt.Sprintf(`
run_as_root = true
pidfile = %[1]q
data_path = %[2]q
certificates = "."
plugin_paths = { %[3]q }
lab_tap_file = %[4]q
log = { info = "*console" }

interfaces = { %[5]q }
c2s_ports = { %[6]s }
c2s_direct_tls_ports = { %[7]d }
http_ports = {}
https_interfaces = { %[5]q }
https_ports = { %[8]d }
proxy65_ports = { %[9]d }
http_default_host = %[10]q
c2s_direct_tls_ssl = %[11]s
https_ssl = %[11]s
ssl = %[11]s

modules_enabled = %[12]s
modules_disabled = { "s2s"; "s2s_auth_certs" }
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = true
allow_registration = false
archive_expires_after = "1d"
smacks_hibernation_time = 30
limits = {}
%[13]s%[14]s

VirtualHost %[10]q
%[17]s
Component "conference.%[15]s" "muc"
%[16]s`,
		filepath.Join(p.dir, "prosody.pid"), filepath.Join(p.dir, "data"), filepath.Join(p.dir, "modules"), filepath.Join(p.dir, "stanzas.log"),
		cfg.Host, c2s, direct, https, proxy, cfg.Domain, tls, luaList(modules), relay, cfg.Config, cfg.Domain, proxy65, cfg.HostConfig)
}

func luaList(ss []string) string {
	var b strings.Builder
	for _, s := range ss {
		fmt.Fprintf(&b, "%q; ", s)
	}
	return "{ " + b.String() + "}"
}

// PID returns the process id of the server.
func (p *Prosody) PID() int { return p.cmd.Process.Pid }
