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
	c, err := f.Turn(func(name string) string { return map[string]string{"SECRET": "from the environment"}[name] })
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
	if _, err := f.Turn(func(string) string { return "" }); err == nil {
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
		if _, err := g.Turn(func(string) string { return "x" }); err == nil || !strings.Contains(err.Error(), want) {
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
			c.SecretFiles, c.TLS, c.Users = nil, TLS{}, nil
			_, _ = c.Turn(func(string) string { return "" })
		}
	})
}
