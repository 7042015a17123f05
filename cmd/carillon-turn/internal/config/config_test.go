package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/turn"
)

func TestWrongKeysNameTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"realm = \"r\"\nlisten = []\nallocation = 5\n": `relay.toml:3: unknown key "allocation"`,
		"[limits]\nallocatoins = 5\n":                  `relay.toml:2: unknown key "limits.allocatoins"`,
		"realm = \"r\"\nlisten = 5\n":                  `relay.toml:2: `,
		"realm = \"r\nx":                               `relay.toml:1: `,
	} {
		if _, err := Parse("relay.toml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Parse(%q) says %v, want %q", text, err, want)
		}
	}
}

func TestWrongValuesNameTheirLine(t *testing.T) {
	const base = "realm = \"r\"\nsecrets = [\"s\"]\n"
	for text, want := range map[string]string{
		"listen = [\"127.0.0.1:1\", \"x:1\"]\n":                                  `relay.toml:3: listen: "x:1": want`,
		"listen = [\"tls::5349\"]\n":                                             `relay.toml:3: listen: "tls::5349": a certificate`,
		"listen = [\"systemd\"]\n":                                               `relay.toml:3: listen: systemd has handed over no socket`,
		"listen = [\"127.0.0.1:1\"]\n\nrelay-ip = [\"x\"]\n":                     `relay.toml:5: relay-ip: `,
		"drain-timeout = \"soon\"\n":                                             `relay.toml:3: `,
		"[peers]\ndeny = [\n \"10.0.0.0/33\"]\n":                                 `relay.toml:4: peers.deny: `,
		"secret-env = [\"NO_SUCH\"]\n":                                           `relay.toml:3: secret-env: NO_SUCH is not set`,
		"[[user]]\nname = \"a\"\n[[user]]\npassword-file = \"/none\"\n":          `relay.toml:6: user[1].password-file: `,
		"[[realms]]\nname = \"a\"\n[[realms.user]]\npassword-file = \"/none\"\n": `relay.toml:6: realms[0].user[0].password-file: `,
		"": `relay.toml: no listener`,
	} {
		f, err := Parse("relay.toml", []byte(base+text))
		if err == nil {
			_, err = f.Turn(Outside{Getenv: func(string) string { return "" }})
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q says %v, want %q", text, err, want)
		}
	}
	// What a flag says is not in the file.
	f, err := Parse("relay.toml", []byte(base+"relay-ip = [\"127.0.0.1\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	f.RelayIP = []string{"x"}
	f.Override("relay-ip")
	if _, err := f.Turn(Outside{}); err == nil || !strings.HasPrefix(err.Error(), "relay-ip: ") {
		t.Errorf("a wrong flag says %v", err)
	}
}

func TestUserFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("# people\nalice:a:b\n\nbob:c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := File{Realm: "r", Listen: []string{"127.0.0.1:0"}, UserFiles: []string{path}}
	c, err := f.Turn(Outside{})
	if err != nil || string(c.Users["alice"]) != "a:b" || string(c.Users["bob"]) != "c" {
		t.Errorf("%d users, %v", len(c.Users), err)
	}
	if err := os.WriteFile(path, []byte("alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Turn(Outside{}); err == nil || !strings.Contains(err.Error(), path+":1: want NAME:PASSWORD") {
		t.Errorf("a line without password says %v", err)
	}
}

func TestTurn(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", "from a file\n")
	write("bob", "hunter2\n")
	write("relay.toml", `
realm = "example.org"
listen = ["127.0.0.1:3478", "tcp:[::1]:3478"]
relay-ip = ["127.0.0.1"]
public-ip = ["192.0.2.1"]
secrets = ["inline"]
secret-files = ["secret"]
secret-env = ["SECRET"]
hide-addresses = true
[[user]]
name = "bob"
password-file = "bob"
[peers]
allow = ["10.1.0.0/16", "10.2.0.1"]
[limits]
total.allocations = 7
`)
	f, err := Load(filepath.Join(dir, "relay.toml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Turn(Outside{Getenv: func(name string) string { return map[string]string{"SECRET": "from the environment"}[name] }})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Secrets) != 3 || string(c.Secrets[1]) != "from a file" || string(c.Secrets[2]) != "from the environment" || string(c.Users["bob"]) != "hunter2" {
		t.Errorf("%d secrets, %d users", len(c.Secrets), len(c.Users))
	}
	if len(c.Listeners) != 2 || c.Listeners[1].Transport != turn.TCP || c.Listeners[1].Address.String() != "[::1]:3478" {
		t.Errorf("listeners %+v", c.Listeners)
	}
	if c.AllowPeers[1] != netip.MustParsePrefix("10.2.0.1/32") || c.Limits.Total.Allocations != 7 || !c.HideAddresses || c.Relays[0].Public.String() != "192.0.2.1" {
		t.Errorf("config %+v", c)
	}
	if _, err := f.Turn(Outside{Getenv: func(string) string { return "" }}); err == nil {
		t.Error("a secret that is not set is no error")
	}
	for want, break_ := range map[string]func(*File){
		"listen":     func(f *File) { f.Listen = []string{"localhost"} },
		"are needed": func(f *File) { f.Listen = []string{"tls::5349"} },
		"relay-ip":   func(f *File) { f.RelayIP = []string{"x"} },
		"peers":      func(f *File) { f.Peers.Deny = []string{"10.0.0.0/33"} },
	} {
		g := f
		break_(&g)
		if _, err := g.Turn(Outside{Getenv: func(string) string { return "x" }}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Turn says %v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("realm = \"r\"\n[limits]\ntotal.allocations = -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("x", []byte(text))
		if err == nil {
			// Whatever it says, it is a configuration or an error.
			c.SecretFiles, c.UserFiles, c.NonceSecretFile, c.TLS, c.Users, c.Realms = nil, nil, "", TLS{}, nil, nil
			_, _ = c.Turn(Outside{Getenv: func(string) string { return "" }, Check: true})
		}
	})
}
