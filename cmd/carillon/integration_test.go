//go:build integration

package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/carillon-im/carillon/internal/doctor"
	"github.com/carillon-im/carillon/internal/lab"
)

// The doctor sees, of a real server with a real relay, that all is well.
func TestIntegrationDoctorFindsTheRelay(t *testing.T) {
	relay := lab.StartCoturn(t, "")
	server := lab.StartProsody(t, lab.ProsodyConfig{Relay: relay})
	path := lab.CarillonPath(t)
	bob := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "bob",
		Args: []string{"answer", "--auto", "--once", "--mic", "tone:1000", "--speaker", "null"}})
	bob.Wait("online")

	cmd := exec.Command(path, "doctor", server.JID("bob"), "--json", "--account", server.JID("alice"),
		"--server", server.Addr, "--ca-file", server.CAFile)
	cmd.Env = append(cmd.Environ(), "CARILLON_PASSWORD="+lab.Password("alice"), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("doctor: %v\n%s", err, out)
	}
	found := make(map[string]doctor.Check)
	for line := range strings.Lines(string(out)) {
		var c doctor.Check
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kind, _, _ := strings.Cut(c.Name, " 127.0.0.1:")
		found[kind] = c
	}
	for name, detail := range map[string]string{
		"login": "as " + server.JID("alice"), "stream management": "sessions can be resumed",
		"carbons": "offered", "archive": "offered", "external services": "offered",
		"contact": "see each other online", "contact's devices": "can be called now",
		"stun": "sees us as 127.0.0.1:", "turn udp": "an echo came back",
	} {
		if c := found[name]; c.Status != doctor.OK || !strings.Contains(c.Detail, detail) {
			t.Errorf("%s: %+v, want ok and %q", name, c, detail)
		}
	}

	// The certificates of the lab live for a day.
	if c := found["server"]; c.Status != doctor.Warn || !strings.Contains(c.Detail, "the certificate expires in ") {
		t.Errorf("server: %+v, want a warning about the certificate", c)
	}

	// What it promises is true: a call through nothing but the relay.
	alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
		Args: []string{"call", server.JID("bob"), "--relay-only", "--mic", "tone:440", "--speaker", "null", "--duration", "1s"}})
	if e := alice.Wait("connected"); e.Local != "relay" {
		t.Errorf("local candidate = %q, want relay: %s", e.Local, e.Line)
	}
	alice.Wait("first-audio")
	if code := alice.Exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
