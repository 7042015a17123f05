//go:build integration

package stream

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// A prosody is the real server, started for one test in a directory of its own.
type prosody struct {
	starttls, direct, websocket string
	roots                       *x509.CertPool
	cmd                         *exec.Cmd
	dir                         string
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func startProsody(t *testing.T, extra string) *prosody {
	for _, bin := range []string{"prosody", "prosodyctl"} {
		if _, err := exec.LookPath(bin); err != nil {
			t.Skip("prosody is not installed")
		}
	}
	p := &prosody{dir: t.TempDir()}
	p.certificate(t)
	c2s, direct, https := freePort(t), freePort(t), freePort(t)
	p.starttls, p.direct = "127.0.0.1:"+c2s, "127.0.0.1:"+direct
	p.websocket = "wss://127.0.0.1:" + https + "/xmpp-websocket"
	cfg := fmt.Sprintf(`
run_as_root = true
pidfile = "%[1]s/prosody.pid"
data_path = "%[1]s"
plugin_paths = {}
interfaces = { "127.0.0.1" }
c2s_ports = { %[2]s }
c2s_direct_tls_ports = { %[3]s }
http_ports = {}
https_ports = { %[4]s }
http_default_host = "example.org"
log = { { levels = { min = "debug" }, to = "file", filename = "%[1]s/prosody.log" } }
modules_enabled = { "saslauth"; "tls"; "roster"; "disco"; "ping"; "smacks"; "websocket" }
modules_disabled = { "s2s" }
c2s_require_encryption = true
c2s_direct_tls_ssl = { key = "%[1]s/key.pem", certificate = "%[1]s/cert.pem" }
https_ssl = { key = "%[1]s/key.pem", certificate = "%[1]s/cert.pem" }
ssl = { key = "%[1]s/key.pem", certificate = "%[1]s/cert.pem" }
authentication = "internal_hashed"
limits = {}
%[5]s
VirtualHost "example.org"
`, p.dir, c2s, direct, https, extra)
	file := filepath.Join(p.dir, "prosody.cfg.lua")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--config", file}
	if os.Getuid() == 0 {
		args = append([]string{"--root"}, args...)
	}
	for _, user := range []string{"alice", "bob"} {
		if out, err := exec.Command("prosodyctl", append(args, "register", user, "example.org", "secret")...).CombinedOutput(); err != nil {
			t.Fatalf("prosodyctl register: %v\n%s", err, out)
		}
	}
	p.cmd = exec.Command("prosody", append(args, "-F")...)
	var out bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = &out, &out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(p.dir, "prosody.log"))
			t.Logf("prosody: %s\n%s", out.Bytes(), log[max(0, len(log)-4000):])
		}
	})
	for _, addr := range []string{p.starttls, p.direct, "127.0.0.1:" + https} {
		for deadline := time.Now().Add(20 * time.Second); ; {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("prosody does not listen on %s", addr)
			}
			time.Sleep(50 * time.Millisecond) // another process: nothing to wait on
		}
	}
	return p
}

func (p *prosody) certificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.roots = x509.NewCertPool()
	p.roots.AddCert(cert)
}

func (p *prosody) config() Config {
	return Config{JID: jid.MustParse("alice@example.org/desk"), Password: "secret", Server: "starttls://" + p.starttls, RootCAs: p.roots}
}

func TestIntegrationProsodyLogins(t *testing.T) {
	p := startProsody(t, "")
	for _, tt := range []struct {
		name, server, mechanism string
		tls                     *tls.Config
	}{
		{"STARTTLS", "starttls://" + p.starttls, "SCRAM-SHA-1", nil},
		{"STARTTLS with TLS 1.2", "starttls://" + p.starttls, "SCRAM-SHA-1-PLUS", &tls.Config{MaxVersion: tls.VersionTLS12}},
		{"direct TLS", "tls://" + p.direct, "SCRAM-SHA-1", nil},
		{"direct TLS with TLS 1.2", "tls://" + p.direct, "SCRAM-SHA-1-PLUS", &tls.Config{MaxVersion: tls.VersionTLS12}},
		{"WebSocket", p.websocket, "SCRAM-SHA-1", nil},
		{"guessing STARTTLS", p.starttls, "SCRAM-SHA-1", nil},
		{"guessing direct TLS", p.direct, "SCRAM-SHA-1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := p.config()
			cfg.Server, cfg.TLS = tt.server, tt.tls
			pins := &memoryPins{}
			cfg.Pins = pins
			start := time.Now()
			s, _ := dialTest(t, cfg)
			t.Logf("logged in within %v", time.Since(start).Round(100*time.Microsecond))
			if got := s.JID().String(); got != "alice@example.org/desk" {
				t.Errorf("JID = %s", got)
			}
			pin, _ := pins.Load("alice@example.org")
			if pin != tt.mechanism && pin != strings.Replace(tt.mechanism, "SHA-1", "SHA-256", 1) {
				t.Errorf("logged in by %s, want %s or its SHA-256 sister", pin, tt.mechanism)
			}
			t.Log("mechanism", pin)
			if err := ping(t.Context(), s); err != nil {
				t.Errorf("ping: %v", err)
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Errorf("Flush: %v", err)
			}
			start = time.Now()
			s.Close()
			if took := time.Since(start); took > time.Second {
				t.Errorf("Close took %v", took)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		cfg := p.config()
		cfg.Password = "guess"
		_, err := Dial(t.Context(), cfg, Handler{})
		var auth *AuthError
		if !errors.As(err, &auth) || !auth.WrongPassword() {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		for _, server := range []string{p.starttls, "tls://" + p.direct, p.websocket} {
			cfg := p.config()
			cfg.Server, cfg.RootCAs = server, x509.NewCertPool()
			_, err := Dial(t.Context(), cfg, Handler{})
			var cert *CertificateError
			if !errors.As(err, &cert) {
				t.Errorf("%s: %v", server, err)
			}
		}
	})
	t.Run("other domain", func(t *testing.T) {
		cfg := p.config()
		cfg.JID = jid.MustParse("alice@example.net")
		_, err := Dial(t.Context(), cfg, Handler{})
		var se *StreamError
		if !errors.As(err, &se) || se.Condition != "host-unknown" {
			t.Errorf("err = %v", err)
		}
	})
}

// A cutter remembers the connection, to cut it.
type cutter struct{ last net.Conn }

func (c *cutter) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	c.last = conn
	return conn, err
}

func TestIntegrationProsodyResume(t *testing.T) {
	p := startProsody(t, "")
	for _, server := range []string{"starttls://" + p.starttls, p.websocket} {
		t.Run(server[:3], func(t *testing.T) {
			var cut cutter
			cfg := p.config()
			cfg.Server, cfg.Dial = server, cut.Dial
			s, r := dialTest(t, cfg)
			bobCfg := p.config()
			bobCfg.JID = jid.MustParse("bob@example.org/desk")
			bob, fromAlice := dialTest(t, bobCfg)
			const n = 200
			for i := range n {
				if err := s.Send(t.Context(), fmt.Appendf(nil, `<message to='%s' id='m%d'><body>%d</body></message>`, bob.JID(), i, i)); err != nil {
					t.Fatal(err)
				}
				if i%80 == 40 {
					cut.last.Close()
					within(t, "Offline", r.offline)
					if !within(t, "Online", r.online) {
						t.Error("not resumed")
					}
				}
			}
			for i := range n {
				if id := within(t, "message", fromAlice.stanzas).ID(); id != fmt.Sprint("m", i) {
					t.Fatalf("message %d is %s", i, id)
				}
			}
			if st := s.Stats(); st.Resumed != 2 || st.Connections != 3 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// A contact's odd requests, as the real server relays them.
func TestIntegrationProsodyRelaysOddRequests(t *testing.T) {
	p := startProsody(t, "")
	s, r := dialTest(t, p.config())
	bobCfg := p.config()
	bobCfg.JID = jid.MustParse("bob@example.org/desk")
	bob, answers := dialTest(t, bobCfg)
	for i, in := range []string{
		`<iq type='get' id='%d' to='%s'>text</iq>`,
		`<iq type='result' id='%d' to='%s'>text<a xmlns='a'/></iq>`,
		`<iq type='set' id='%d' to='%s'><a xmlns='a'/><b xmlns='b'/></iq>`,
	} {
		if err := bob.Send(t.Context(), fmt.Appendf(nil, in, i, s.JID())); err != nil {
			t.Fatal(err)
		}
	}
	if err := bob.Send(t.Context(), fmt.Appendf(nil, `<message to='%s' id='after'/>`, s.JID())); err != nil {
		t.Fatal(err)
	}
	if id := within(t, "message", r.stanzas).ID(); id != "after" {
		t.Errorf("got %s", id)
	}
	if len(r.offline)+len(answers.offline) > 0 {
		t.Error("a stream was lost")
	}
}

func TestIntegrationProsodySpeed(t *testing.T) {
	p := startProsody(t, "")
	s, _ := dialTest(t, p.config())
	const n = 3000
	start := time.Now()
	for range n {
		if _, err := s.IQ(t.Context(), s.Domain(), stanza.GetIQ, []byte(`<ping xmlns='urn:xmpp:ping'/>`)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%.0f pings a second, one after the other", n/time.Since(start).Seconds())
}
