package lab

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// A Pebble is a running certificate authority that speaks ACME (RFC 8555) and
// finds every name on this machine.
type Pebble struct {
	Directory string // URL
	CAFile    string // PEM of who signed the certificate of the directory
	*process
}

// StartPebble starts an authority that looks for tls-alpn-01 and http-01 at
// these ports of 127.0.0.1.
func StartPebble(t testing.TB, tlsPort, httpPort int) *Pebble {
	t.Helper()
	Need(t, "pebble", "pebble-challtestsrv")
	dir := tempDir(t)
	at := func() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t, "127.0.0.1"))) }
	dns, manage, listen := at(), at(), at()
	names := start(t, "pebble-challtestsrv", filepath.Join(dir, "dns.log"), exec.Command("pebble-challtestsrv",
		"-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", dns, "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", manage))
	names.waitFor("start", func() error { return listening(dns) })

	cert := NewCertificate(t, "localhost")
	for name, text := range map[string]string{"ca.pem": cert.CA, "cert.pem": cert.Cert, "key.pem": cert.Key} {
		write(t, filepath.Join(dir, name), text)
	}
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": "127.0.0.1:" + strconv.Itoa(FreePort(t, "127.0.0.1")),
		"certificate": filepath.Join(dir, "cert.pem"), "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": httpPort, "tlsPort": tlsPort,
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "pebble.json"), string(conf))
	cmd := exec.Command("pebble", "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", dns)
	cmd.Env = append(cmd.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	p := &Pebble{Directory: fmt.Sprintf("https://%s/dir", listen), CAFile: filepath.Join(dir, "ca.pem"), process: start(t, "pebble", filepath.Join(dir, "log"), cmd)}
	p.waitFor("start", func() error { return listening(listen) })
	return p
}
