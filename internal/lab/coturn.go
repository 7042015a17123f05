package lab

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// A Coturn is a running TURN and STUN server over UDP and TCP.
type Coturn struct {
	Host   string
	Port   int
	Secret string // of time-limited credentials, as XEP-0215 servers hand them out
	*process
}

// StartCoturn starts a relay at host, which must be an address of this machine;
// empty means 127.0.0.1. Dino asks no relay on loopback.
func StartCoturn(t testing.TB, host string) *Coturn {
	t.Helper()
	Need(t, "turnserver")
	if host == "" {
		host = "127.0.0.1"
	}
	dir := tempDir(t)
	c := &Coturn{Host: host, Port: FreePort(t, host), Secret: "lab-secret"}
	write(t, filepath.Join(dir, "turn.conf"), fmt.Sprintf(`
listening-ip=%[1]s
listening-port=%[2]d
relay-ip=%[1]s
min-port=49152
max-port=65535
allow-loopback-peers
use-auth-secret
static-auth-secret=%[3]s
realm=lab
no-tls
no-dtls
no-cli
fingerprint
simple-log
log-file=stdout
pidfile=%[4]s/turn.pid
userdb=%[4]s/turn.db
`, host, c.Port, c.Secret, dir))
	path, err := find("turnserver")
	if err != nil {
		t.Fatal(err)
	}
	c.process = start(t, "coturn", filepath.Join(dir, "log"), exec.Command(path, "-c", filepath.Join(dir, "turn.conf")))
	c.waitFor("start", func() error { return listening(net.JoinHostPort(host, strconv.Itoa(c.Port))) })
	return c
}
