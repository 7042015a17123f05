package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// An EjabberdConfig describes a server for lab.test with alice and bob, who
// have each other on their rosters.
type EjabberdConfig struct {
	// Modules is YAML below "modules:", such as
	// "  mod_stun_disco:\n    secret: s\n".
	Modules string
}

// StartEjabberd starts a server and waits until it listens. What it returns is
// what clients need to know of a server; it cannot be stopped and started.
func StartEjabberd(t testing.TB, cfg EjabberdConfig) *Prosody {
	t.Helper()
	Need(t, "ejabberdctl", "erl")
	all, err := filepath.Glob("/usr/lib/*/ejabberd-*/ebin")
	if err != nil || len(all) == 0 {
		t.Fatalf("ejabberd is installed, and its code is nowhere: %v", err)
	}
	dir := tempDir(t)
	cert := newCertificate(t, []string{"lab.test", "localhost"}, net.IPv4(127, 0, 0, 1))
	port := FreePort(t, "127.0.0.1")
	p := &Prosody{Domain: "lab.test", Users: []string{"alice", "bob"}, Host: "127.0.0.1", Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		CAFile: filepath.Join(dir, "ca.pem"), t: t, dir: dir}
	write(t, p.CAFile, cert.ca)
	write(t, filepath.Join(dir, "cert.pem"), cert.cert+cert.key)
	write(t, filepath.Join(dir, "ejabberd.yml"), fmt.Sprintf(`
hosts: [lab.test]
loglevel: info
certfiles: [%q]
listen:
  - {port: %d, ip: "127.0.0.1", module: ejabberd_c2s, starttls_required: true, access: c2s, max_stanza_size: 262144}
acl: {local: {user_regexp: ""}}
access_rules: {local: {allow: local}, c2s: {allow: all}}
modules:
  mod_admin_extra: {}
  mod_roster: {}
  mod_disco: {}
  mod_caps: {}
  mod_carboncopy: {}
  mod_ping: {}
  mod_stream_mgmt: {}
%s`, filepath.Join(dir, "cert.pem"), port, cfg.Modules))
	// The script ejabberdctl would have it run as another user, and start a
	// daemon that stays.
	var accounts strings.Builder
	for _, u := range p.Users {
		fmt.Fprintf(&accounts, "ok = ejabberd_auth:try_register(<<%q>>, <<\"lab.test\">>, <<%q>>), ", u, Password(u))
	}
	for _, u := range p.Users {
		for _, v := range p.Users {
			if u != v {
				fmt.Fprintf(&accounts, "ok = mod_admin_extra:add_rosteritem(<<%[1]q>>, <<\"lab.test\">>, <<%[2]q>>, <<\"lab.test\">>, <<%[2]q>>, <<>>, <<\"both\">>), ", u, v)
			}
		}
	}
	cmd := exec.Command("erl", "-noinput", "-boot", "start_sasl", "-pa", all[len(all)-1], "-mnesia", "dir", strconv.Quote(filepath.Join(dir, "spool")),
		"-s", "ejabberd", "-eval", accounts.String()+`file:write_file("`+filepath.Join(dir, "ready")+`", <<>>)`)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "EJABBERD_CONFIG_PATH="+filepath.Join(dir, "ejabberd.yml"),
		"EJABBERD_LOG_PATH="+filepath.Join(dir, "ejabberd.log"), "SPOOL_DIR="+filepath.Join(dir, "spool"), "ERL_CRASH_DUMP_BYTES=0")
	p.process = start(t, "ejabberd", filepath.Join(dir, "log"), cmd)
	p.waitFor("start", func() error {
		if _, err := os.Stat(filepath.Join(dir, "ready")); err != nil {
			return err
		}
		return listening(p.Addr)
	})
	return p
}
