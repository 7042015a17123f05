//go:build integration

package lab_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// features opens a stream on conn and returns what the server offers.
func features(t *testing.T, conn net.Conn, domain string) string {
	t.Helper()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "<stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", domain)
	var b strings.Builder
	for r := bufio.NewReader(conn); !strings.HasSuffix(b.String(), "</stream:features>"); {
		c, err := r.ReadByte()
		if err != nil {
			t.Fatalf("read features after %q: %v", b.String(), err)
		}
		b.WriteByte(c)
	}
	return b.String()
}

func TestIntegrationProsodyListensOnEveryTransport(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	p := lab.StartProsody(t, lab.ProsodyConfig{})
	trust := &tls.Config{RootCAs: p.CAs, ServerName: p.Domain}

	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := features(t, conn, p.Domain); !strings.Contains(got, "starttls") {
		t.Errorf("features = %s, want starttls", got)
	}

	direct, err := tls.Dial("tcp", p.DirectTLS, trust)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	if got := features(t, direct, p.Domain); !strings.Contains(got, "SCRAM-SHA-256") {
		t.Errorf("features = %s, want SCRAM-SHA-256", got)
	}

	client := http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https" + strings.TrimPrefix(p.WebSocket, "wss"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(body), "Prosody WebSocket endpoint") {
		t.Errorf("GET %s = %s %s, want the WebSocket endpoint", p.WebSocket, resp.Status, body)
	}
}

func TestIntegrationTwoServersSideBySide(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	one := lab.StartProsody(t, lab.ProsodyConfig{})
	two := lab.StartProsody(t, lab.ProsodyConfig{Domain: "two.test", Users: []string{"carol"}})
	if one.Addr == two.Addr {
		t.Fatalf("both listen at %s", one.Addr)
	}
}

func TestIntegrationStoppedProsodyStartsAgain(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	p := lab.StartProsody(t, lab.ProsodyConfig{})
	p.Stop()
	if conn, err := net.Dial("tcp", p.Addr); err == nil {
		conn.Close()
		t.Fatalf("something still listens at %s", p.Addr)
	}
	p.Start()
}

func TestIntegrationCoturnStarts(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	lab.StartCoturn(t, "")
}
