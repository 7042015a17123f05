//go:build integration

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/turn"
)

// Two relays with one Redis share a user's quota. While Redis is away they go on
// without it, and say so.
func TestIntegrationQuotaAcrossRelays(t *testing.T) {
	server := lab.StartRedis(t)
	path := filepath.Join(t.TempDir(), "relay.toml")
	if err := os.WriteFile(path, fmt.Appendf(nil, `realm = "r"
listen = ["127.0.0.1:0"]
secrets = ["s"]
[redis]
url = %q
[limits]
per-user.allocations = 1
`, server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := startRelay(t, "--config", path), startRelay(t, "--config", path)
	atA, atB := a.wait(`transport=udp address=(\S+)`), b.wait(`transport=udp address=(\S+)`)
	user, password := turn.Credentials("s", "alice", time.Now().Add(time.Hour))
	first := holdAllocation(t, atA, user, string(password))
	defer first.Close()
	if h, err := allocate(t, atB, user, string(password)); err == nil || !strings.Contains(err.Error(), "486") {
		t.Errorf("a second allocation at another relay: %v, want 486", err)
		if err == nil {
			h.Close()
		}
	}
	b.wait(`allocation refused.*reason="(.*all relays.*)"`)
	other, password2 := turn.Credentials("s", "bob", time.Now().Add(time.Hour))
	holdAllocation(t, atB, other, string(password2)).Close()

	server.Stop()
	holdAllocation(t, atB, user, string(password)).Close()
	b.wait(`level=WARN msg="(ask the ledger for an allocation; granted without it)`)
}
