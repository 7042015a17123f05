package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type initCmd struct {
	Realm    string `required:"" placeholder:"DOMAIN" help:"Domain of the XMPP server."`
	Host     string `placeholder:"HOST" help:"Name or address of the relay, as clients find it; default turn.DOMAIN."`
	Out      string `short:"o" placeholder:"FILE" help:"Write the configuration here, readable by its owner alone; default standard output."`
	PublicIP string `name:"public-ip" placeholder:"ADDRESS" help:"Public address of a relay behind a 1:1 NAT, as in most clouds; needs --relay-ip."`
	RelayIP  string `name:"relay-ip" placeholder:"ADDRESS" help:"Address of this machine that the public one stands for."`
	ACME     bool   `name:"acme" help:"TLS on port 443, with a certificate that is obtained for HOST."`
	For      string `enum:"both,prosody,ejabberd" default:"both" help:"Print the lines for prosody or ejabberd alone, on standard output; needs --out."`
}

// Run makes a configuration, and prints what the XMPP server needs.
func (i *initCmd) Run(env Env) error {
	host := i.Host
	if host == "" {
		host = "turn." + i.Realm
	}
	for _, s := range []string{i.Realm, host} {
		if strings.ContainsAny(s, " \t\r\n\"\\") {
			return fmt.Errorf("%q is no name of a machine", s)
		}
	}
	if i.For != "both" && i.Out == "" {
		return errors.New("--for prints on standard output, so --out has to say where the configuration goes")
	}
	if (i.PublicIP == "") != (i.RelayIP == "") {
		return errors.New("--public-ip and --relay-ip belong together")
	}
	for _, a := range []string{i.PublicIP, i.RelayIP} {
		if _, err := netip.ParseAddr(a); a != "" && err != nil {
			return err
		}
	}
	secret := rand.Text() + rand.Text()
	text := i.config(host, secret, hasIPv6())
	if i.Out == "" {
		fmt.Fprint(env.Stdout, text)
	} else if err := writeSecret(i.Out, text); err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	switch i.For {
	case "prosody":
		fmt.Fprint(env.Stdout, prosody(host, secret, i.ACME))
	case "ejabberd":
		fmt.Fprint(env.Stdout, ejabberd(host, secret, i.ACME))
	default:
		fmt.Fprintf(env.Stderr, "For Prosody, below its VirtualHost line:\n\n%s\nFor ejabberd, in ejabberd.yml:\n\n%s", prosody(host, secret, i.ACME), ejabberd(host, secret, i.ACME))
	}
	return nil
}

// config is the text of the configuration. With six there is IPv6 besides, but
// not behind a 1:1 NAT, where relay addresses are named one by one.
func (i *initCmd) config(host, secret string, six bool) string {
	var b strings.Builder
	on := []string{"0.0.0.0"}
	if six && i.RelayIP == "" {
		on = append(on, "[::]")
	}
	var all []string
	for _, a := range on {
		all = append(all, fmt.Sprintf(`"udp:%[1]s:3478", "tcp:%[1]s:3478"`, a))
		if i.ACME {
			all = append(all, fmt.Sprintf(`"tls:%[1]s:443", "dtls:%[1]s:443"`, a))
		}
	}
	listen := strings.Join(all, ", ")
	fmt.Fprintf(&b, "realm = %q\nlisten = [%s]\n", i.Realm, listen)
	if !i.ACME {
		fmt.Fprintf(&b, `# For networks that let nothing but TLS through, add "tls:0.0.0.0:443" and
# "dtls:0.0.0.0:443" to listen, and either files of a certificate:
# [tls]
# cert = "/etc/letsencrypt/live/%[1]s/fullchain.pem"
# key = "/etc/letsencrypt/live/%[1]s/privkey.pem"
# or let the relay obtain one:
# [acme]
# names = [%[1]q]
`, host)
	}
	fmt.Fprintf(&b, "\n# Shared with the XMPP server, which makes credentials of it. To change it, put\n# the new one in front, reload, change it there, and drop the old one a day later.\nsecrets = [%q]\n", secret)
	if i.PublicIP != "" {
		fmt.Fprintf(&b, "\n# Behind a 1:1 NAT.\nrelay-ip = [%q]\npublic-ip = [%q]\n", i.RelayIP, i.PublicIP)
	} else {
		b.WriteString("\n# Behind a 1:1 NAT, as in most clouds:\n# relay-ip = [\"10.0.0.5\"]   # of this machine\n# public-ip = [\"192.0.2.5\"] # what clients are told\n")
	}
	b.WriteString("\n# Status page, metrics and health, for this machine alone.\nadmin = \"127.0.0.1:9641\"\n")
	if i.ACME {
		fmt.Fprintf(&b, "\n[acme]\nnames = [%q]\n", host)
	}
	return b.String()
}

// hasIPv6 says whether this machine has an address of IPv6 that others reach it by.
func hasIPv6() bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, globalIPv6)
}

// globalIPv6 says whether a is such an address of an interface.
func globalIPv6(a net.Addr) bool {
	n, ok := a.(*net.IPNet)
	return ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast() && !n.IP.IsPrivate()
}

func prosody(host, secret string, tls bool) string {
	s := fmt.Sprintf(`    modules_enabled = { "turn_external" }
    turn_external_host = %q
    turn_external_secret = %q
    turn_external_tcp = true
`, host, secret)
	if tls {
		// interop Prosody 0.12.3: what turn_external_tls_port makes has no
		// credentials, so the service is written out.
		s += fmt.Sprintf("    external_services = { { type = \"turns\", transport = \"tcp\", host = %q, port = 443, secret = %q, algorithm = \"turn\", ttl = 86400 } }\n", host, secret)
	}
	return s
}

func ejabberd(host, secret string, tls bool) string {
	s := fmt.Sprintf(`modules:
  mod_stun_disco:
    secret: %[2]q
    services:
      - {host: %[1]q, port: 3478, type: stun, transport: udp}
      - {host: %[1]q, port: 3478, type: turn, transport: udp, restricted: true}
      - {host: %[1]q, port: 3478, type: turn, transport: tcp, restricted: true}
`, host, secret)
	if tls {
		s += fmt.Sprintf("      - {host: %q, port: 443, type: turns, transport: tcp, restricted: true}\n", host)
	}
	return s
}

// writeSecret makes a file that its owner alone can read, and gives it to the
// owner of its folder: when root writes into the folder of the relay, the relay
// shall be able to read it. It never writes over another.
func writeSecret(path, text string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := giveTo(f, filepath.Dir(path)); err != nil {
		return err
	}
	if _, err = f.WriteString(text); err != nil {
		return err
	}
	return f.Sync()
}
