//go:build integration

package interop

import (
	"bytes"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// A file through Prosody, every way there is, and from each to the next when
// one does not work.
func TestIntegrationFilesThroughProsody(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // after the programs have ended
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	program := lab.CarillonPath(t)
	for _, tt := range []struct {
		name    string
		size    int
		send    []string
		receive []string
		kind    string
		relayed bool
	}{
		{"the fastest", 5 << 20, nil, nil, "tcp", false},
		{"QUIC", 5 << 20, []string{"--transport", "quic"}, nil, "quic", false},
		{"a data channel", 5 << 20, []string{"--transport", "datachannel"}, nil, "datachannel", false},
		{"as other clients do, by a data channel", 5 << 20, []string{"--plain"}, []string{"--transport", "datachannel,ibb"}, "datachannel", false},
		{"SOCKS5", 5 << 20, []string{"--transport", "s5b"}, nil, "s5b", false},
		{"in band", 200_000, []string{"--transport", "ibb"}, nil, "ibb", true},
		{"the proxy of the server, when both hide", 200_000, []string{"--relay-only"}, []string{"--relay-only"}, "s5b", true},
		{"much through the proxy", 8<<20 + 1, []string{"--relay-only"}, []string{"--relay-only"}, "s5b", true},
		{"as other clients do, through the proxy", 5 << 20, []string{"--plain", "--relay-only"}, []string{"--relay-only"}, "s5b", true},
		{"as other clients do, by SOCKS5", 5 << 20, []string{"--plain", "--transport", "s5b"}, nil, "s5b", false},
		{"as other clients do, in band", 200_000, []string{"--plain", "--transport", "ibb"}, nil, "ibb", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, data, sum := randomFile(t, tt.size)
			inbox := t.TempDir()
			bob := lab.StartCarillon(t, program, lab.CarillonConfig{Server: server, User: "bob",
				Args: append([]string{"receive", "--loopback", "--accept", "contacts", "--once", "--dir", inbox}, tt.receive...)})
			bob.Wait("online")
			alice := lab.StartCarillon(t, program, lab.CarillonConfig{Server: server, User: "alice",
				Args: append([]string{"send", path, server.JID("bob"), "--loopback"}, tt.send...)})
			if tr := fileEventOf(t, alice.Wait("transport")); tr.Kind != tt.kind || tr.Relayed != tt.relayed {
				t.Errorf("transport = %s, relayed %t, want %s, %t", tr.Kind, tr.Relayed, tt.kind, tt.relayed)
			}
			sent, got := fileEventOf(t, alice.Wait("done")), fileEventOf(t, bob.Wait("done"))
			for _, e := range []fileEvent{sent, got} {
				if e.SHA256 != sum || !e.Verified || e.Transport != tt.kind {
					t.Errorf("done = %+v, want %s, verified, by %s", e, sum, tt.kind)
				}
			}
			if len(got.Paths) != 1 {
				t.Fatalf("paths = %v", got.Paths)
			}
			if b, err := os.ReadFile(got.Paths[0]); err != nil || !bytes.Equal(b, data) {
				t.Errorf("what arrived is not what was sent: %d bytes, %v", len(b), err)
			}
			for _, c := range []*lab.Carillon{alice, bob} {
				if code := c.Exit(); code != 0 {
					t.Errorf("%s: exit code %d", c.User, code)
				}
			}
		})
	}
}
