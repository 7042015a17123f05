//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// known waits until Pidgin knows that a device takes files: it gives up at once
// when it is to send one and does not.
func known(t *testing.T, server *lab.Prosody, jid string) {
	t.Helper()
	answer := regexp.MustCompile(`out bob@\S+ <iq [^>]*` + regexp.QuoteMeta(jid) + `[^\n]*si/profile/file-transfer`)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if answer.MatchString(server.Stanzas()) {
			time.Sleep(200 * time.Millisecond) // for Pidgin to read it; it does not say when
			return
		}
	}
	t.Fatalf("Pidgin does not learn what %s can do", jid)
}

// onlineAs waits until a Carillon is online and returns its full JID.
func onlineAs(t *testing.T, c *lab.Carillon) string {
	t.Helper()
	var online struct {
		JID string `json:"jid"`
	}
	if err := json.Unmarshal([]byte(c.Wait("online").Line), &online); err != nil {
		t.Fatal(err)
	}
	return online.JID
}

// Files between Pidgin, which knows SI file transfer alone,
// and us.
func TestInteropPidginFiles(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	path := lab.CarillonPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	pidgin := lab.StartPidgin(t, server, "bob")
	for _, tt := range []struct {
		name, kind string
		relayed    bool
		size       int
		args       []string
	}{
		{"SOCKS5", "s5b", false, 3<<20 + 1, []string{"--transport", "s5b,ibb"}},
		{"the proxy of the server", "s5b", true, 3<<20 + 1, []string{"--relay-only", "--transport", "s5b"}},
		{"stanzas", "ibb", true, 150_001, []string{"--transport", "ibb"}},
	} {
		t.Run("to Pidgin by "+tt.name, func(t *testing.T) {
			file, data, sum := randomFile(t, tt.size)
			to := filepath.Join(t.TempDir(), "arrived.bin")
			alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
				Args: append([]string{"send", file, server.JID("bob"), "--loopback"}, tt.args...)})
			pidgin.AcceptFile(to)
			checkDone(t, alice, tt.kind, tt.relayed, sum)
			if code := alice.Exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				got, err := os.ReadFile(to)
				if bytes.Equal(got, data) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("what arrived is not what was sent: %d bytes, %v", len(got), err)
				}
			}
		})
		t.Run("from Pidgin by "+tt.name, func(t *testing.T) {
			file, data, sum := randomFile(t, tt.size-1)
			inbox := t.TempDir()
			alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice",
				Args: append([]string{"receive", "--accept", "contacts", "--once", "--dir", inbox, "--loopback"}, tt.args...)})
			jid := onlineAs(t, alice)
			known(t, server, jid)
			pidgin.SendFile(jid, file)
			checkDone(t, alice, tt.kind, tt.relayed, sum)
			got, err := os.ReadFile(filepath.Join(inbox, filepath.Base(file)))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("what arrived is not what was sent: %d bytes, %v", len(got), err)
			}
		})
	}
}
