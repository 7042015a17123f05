//go:build integration

package operators

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
)

// A yard is a relay over UDP, TCP and TLS that was made by "carillon-turn
// init", and what init says to paste into the XMPP server.
type yard struct {
	relay    *lab.Relay
	config   string
	lines    string // for the XMPP server
	udp, tls int    // ports
	caFile   string
}

// newYard runs init for a server as its manual says, and then the relay.
func newYard(t *testing.T, program, server string) *yard {
	t.Helper()
	dir := t.TempDir()
	y := &yard{config: filepath.Join(dir, "relay.toml"), caFile: filepath.Join(dir, "ca.pem")}
	out, err := exec.Command(program, "init", "--realm", "lab.test", "--host", "127.0.0.1", "--acme", "--for", server, "-o", y.config).Output()
	if err != nil {
		t.Fatalf("init: %v", err)
	}
	y.lines = string(out)
	text, err := os.ReadFile(y.config)
	if err != nil {
		t.Fatal(err)
	}
	// The certificate comes from files here.
	text, _, _ = bytes.Cut(text, []byte("[acme]"))
	if err := os.WriteFile(y.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cert := lab.NewCertificate(t, "localhost")
	for name, text := range map[string]string{"ca.pem": cert.CA, "cert.pem": cert.Cert, "key.pem": cert.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Where the test differs from an operator: loopback, and ports of its own.
	args := []string{"--config", y.config, "--relay-ip", "127.0.0.1", "--allow-peer", "127.0.0.0/8", "--admin", "127.0.0.1:0", "--drain-timeout", "30s",
		"--cert", filepath.Join(dir, "cert.pem"), "--key", filepath.Join(dir, "key.pem")}
	y.udp, y.tls = lab.FreePort(t, "127.0.0.1"), lab.FreePort(t, "127.0.0.1")
	for transport, port := range map[string]int{"udp": y.udp, "tcp": y.udp, "tls": y.tls} {
		args = append(args, "--listen", fmt.Sprintf("%s:127.0.0.1:%d", transport, port))
	}
	y.relay = lab.StartRelay(t, program, args...)
	return y
}

// prosody pastes the lines of init into a server, ports besides.
func (y *yard) prosody(t *testing.T) *lab.Prosody {
	lines := strings.Replace(y.lines, "port = 443", fmt.Sprintf("port = %d", y.tls), 1)
	return lab.StartProsody(t, lab.ProsodyConfig{HostConfig: fmt.Sprintf("%s    turn_external_port = %d\n", lines, y.udp)})
}

// ejabberd does the same.
func (y *yard) ejabberd(t *testing.T) *lab.Prosody {
	_, modules, ok := strings.Cut(y.lines, "modules:\n")
	if !ok {
		t.Fatalf("init says\n%s", y.lines)
	}
	modules = strings.NewReplacer("port: 3478", fmt.Sprintf("port: %d", y.udp), "port: 443", fmt.Sprintf("port: %d", y.tls)).Replace(modules)
	return lab.StartEjabberd(t, lab.EjabberdConfig{Modules: modules})
}

// A call and a file pass through our relay with credentials that each XMPP
// server issued by XEP-0215, from the very lines that init prints.
func TestIntegrationCallsAndFilesThroughTheRelay(t *testing.T) {
	program, carillon := lab.RelayPath(t), lab.CarillonPath(t)
	for name, serve := range map[string]func(*yard, *testing.T) *lab.Prosody{"prosody": (*yard).prosody, "ejabberd": (*yard).ejabberd} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, program, name)
			server := serve(y, t)
			if name == "prosody" {
				// What Prosody's own check thinks of it.
				if out, err := server.Control("check", "turn"); err != nil || !strings.Contains(out, "Success!") {
					t.Errorf("prosodyctl check turn: %v\n%s", err, out)
				}
			}
			t.Run("call", func(t *testing.T) {
				bob := lab.StartCarillon(t, carillon, lab.CarillonConfig{Server: server, User: "bob",
					Args: []string{"answer", "--auto", "--once", "--relay-only", "--mic", "tone:1000", "--speaker", "null"}})
				bob.Wait("online")
				alice := lab.StartCarillon(t, carillon, lab.CarillonConfig{Server: server, User: "alice",
					Args: []string{"call", server.JID("bob"), "--relay-only", "--mic", "tone:440", "--speaker", "null", "--duration", "1s"}})
				if e := alice.Wait("connected"); e.Local != "relay" || e.Remote != "relay" {
					t.Errorf("the path is from %v to %v: %s", e.Local, e.Remote, e.Line)
				}
				alice.Wait("first-audio")
				bob.Wait("first-audio")
				if code := alice.Exit(); code != 0 {
					t.Errorf("exit code %d, want 0", code)
				}
				y.relay.Wait(`msg="allocation ended" .*up-packets=([1-9]\d+)`)
			})
			t.Run("file", func(t *testing.T) {
				data := make([]byte, 300_000)
				rand.Read(data)
				path, inbox := filepath.Join(t.TempDir(), "a.bin"), t.TempDir()
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				bob := lab.StartCarillon(t, carillon, lab.CarillonConfig{Server: server, User: "bob",
					Args: []string{"receive", "--accept", "contacts", "--once", "--dir", inbox, "--loopback", "--relay-only", "--transport", "datachannel"}})
				bob.Wait("online")
				alice := lab.StartCarillon(t, carillon, lab.CarillonConfig{Server: server, User: "alice",
					Args: []string{"send", path, server.JID("bob"), "--loopback", "--relay-only", "--transport", "datachannel"}})
				e := alice.Wait("transport")
				var tr struct {
					Kind    string
					Relayed bool
				}
				if err := json.Unmarshal([]byte(e.Line), &tr); err != nil || tr.Kind != "datachannel" || !tr.Relayed {
					t.Errorf("transport %s", e.Line)
				}
				alice.Wait("done")
				bob.Wait("done")
				got, err := os.ReadFile(filepath.Join(inbox, "a.bin"))
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes arrived of %d, %v", len(got), len(data), err)
				}
			})
		})
	}
}

// A call over TURN and TLS trusts the authority of --ca-file, lives on through
// a reload with another secret, and holds up a draining relay until it ends.
func TestIntegrationReloadAndDrainWithACall(t *testing.T) {
	program, carillon := lab.RelayPath(t), lab.CarillonPath(t)
	y := newYard(t, program, "prosody")
	// Prosody tells of TLS alone.
	i := strings.Index(y.lines, "    external_services = ")
	if i < 0 {
		t.Fatalf("init says\n%s", y.lines)
	}
	y.lines = "    modules_enabled = { \"external_services\" }\n" + y.lines[i:]
	server := y.prosody(t)
	both := filepath.Join(t.TempDir(), "authorities.pem")
	var authorities []byte
	for _, path := range []string{server.CAFile, y.caFile} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		authorities = append(authorities, b...)
	}
	if err := os.WriteFile(both, authorities, 0o600); err != nil {
		t.Fatal(err)
	}
	server.CAFile = both

	call := func(duration string) (alice, bob *lab.Carillon) {
		bob = lab.StartCarillon(t, carillon, lab.CarillonConfig{Server: server, User: "bob",
			Args: []string{"answer", "--auto", "--once", "--stats", "--relay-only", "--mic", "tone:1000", "--speaker", "null"}})
		bob.Wait("online")
		alice = lab.StartCarillon(t, carillon, lab.CarillonConfig{Server: server, User: "alice",
			Args: []string{"call", server.JID("bob"), "--stats", "--relay-only", "--mic", "tone:440", "--speaker", "null", "--duration", duration}})
		return alice, bob
	}
	alice, bob := call("1m")
	alice.Wait("first-audio")
	bob.Wait("first-audio")
	y.relay.Wait(`msg="allocation made" .*transport=(tls)`)

	// Another secret: those who hold the old one's credentials are not thrown out.
	text, err := os.ReadFile(y.config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "secrets = [\"")
	old, _, _ := strings.Cut(rest, "\"")
	if err := os.WriteFile(y.config, bytes.ReplaceAll(text, []byte(old), []byte("another-secret-of-the-operator")), 0o600); err != nil {
		t.Fatal(err)
	}
	y.relay.Reload()
	y.relay.Wait(`msg=(reloaded)`)
	y.relay.Drain()
	y.relay.Wait(`msg=(draining) allocations=[1-9]`)
	heard := func(c *lab.Carillon) {
		t.Helper()
		var before uint64
		for range 3 { // packets still arrive
			e := c.Wait("stats")
			if e.PacketsIn <= before {
				t.Errorf("%s: %d packets after %d: %s", c.User, e.PacketsIn, before, e.Line)
			}
			before = e.PacketsIn
		}
	}
	heard(alice)
	heard(bob)
	select {
	case <-y.relay.Ended():
		t.Fatal("the relay has ended with a call in it")
	default:
	}
	alice.Key("q")
	if code := alice.Exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	select {
	case <-y.relay.Ended():
	case <-time.After(20 * time.Second):
		t.Errorf("the relay has not ended after its last call:\n%s", y.relay.Log())
	}
}
