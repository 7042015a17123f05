//go:build integration

package xmpptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// python returns Debian's interpreter, which has Debian's packages.
func python(t *testing.T) string {
	const name = "/usr/bin/python3"
	if out, err := exec.Command(name, "-c", "import slixmpp").CombinedOutput(); err != nil {
		t.Skipf("slixmpp is missing (Debian package python3-slixmpp): %v %s", err, out)
	}
	return name
}

// A client that has nothing in common with this project logs in, sees its
// roster, talks, loses its connection and resumes.
func TestIntegrationSlixmpp(t *testing.T) {
	interpreter := python(t)
	for _, test := range []struct {
		way        way
		maxTLS     uint16
		mechanisms []string
	}{
		{starttls, tls.VersionTLS12, []string{ScramSHA256Plus}}, // it knows no binding but tls-unique
		{starttls, 0, []string{ScramSHA256}},
		{directTLS, tls.VersionTLS12, []string{ScramSHA1Plus}},
		{directTLS, 0, []string{ScramSHA1, Plain}},
	} {
		t.Run(string(test.way)+" "+test.mechanisms[0], func(t *testing.T) {
			cfg := testConfig()
			cfg.MaxTLS, cfg.Mechanisms = test.maxTLS, test.mechanisms
			srv := Run(t, cfg)
			srv.Befriend("alice@example.org", "bob@example.org")
			bob := plainOnline(t, srv, "bob@example.org/phone")
			lines := slixmpp(t, interpreter, srv, test.way, "secret")
			bob.wantText("hello from slixmpp")
			bob.message("alice@example.org", "hello slixmpp")
			lines.want(
				"bound alice@example.org/slix",
				"contact bob@example.org both",
				"carbons True",
				"message bob@example.org/phone hello slixmpp",
			)

			srv.Freeze("alice@example.org")
			bob.message("alice@example.org/slix", "while away")
			bob.rest()
			srv.Cut("alice@example.org")
			lines.want("resumed sent 6 handled 6", "message bob@example.org/phone while away")
			bob.message("alice@example.org/slix", "bye")
			lines.want("message bob@example.org/phone bye")
			bob.want("the end of its presence", isPresence("alice@example.org/slix", "unavailable"))
		})
	}
}

func TestIntegrationSlixmppWrongPassword(t *testing.T) {
	interpreter := python(t)
	srv := newTestServer(t)
	srv.SetMechanisms(ScramSHA256)
	slixmpp(t, interpreter, srv, starttls, "wrong").want("refused not-authorized")
}

// plainOnline needs no particular mechanism: it adds PLAIN for its own login.
func plainOnline(t *testing.T, srv *Server, account string) *client {
	t.Helper()
	offered := srv.offered()
	srv.SetMechanisms(Plain)
	c := rawClient(t, srv, account)
	srv.SetMechanisms(offered...)
	c.present()
	return c
}

// output is what the client prints.
type output struct {
	t     *testing.T
	lines chan string
}

func slixmpp(t *testing.T, interpreter string, srv *Server, w way, password string) *output {
	t.Helper()
	address := map[way]string{starttls: srv.Addr(), directTLS: srv.TLSAddr()}[w]
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	mode := map[way]string{starttls: "starttls", directTLS: "tls"}[w]
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, interpreter, "testdata/client.py", "alice@example.org/slix", password, host, port, mode, srv.CAFile(t))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	r, w2 := io.Pipe()
	cmd.Stdout = w2
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &output{t: t, lines: make(chan string, 100)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(o.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			o.lines <- s.Text()
		}
	}()
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		err := cmd.Wait()
		w2.CloseWithError(err)
		if err != nil && ctx.Err() == nil {
			t.Errorf("slixmpp: %v\n%s", err, &complaints)
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			cancel()
		}
		<-waited
		<-read
		cancel()
	})
	return o
}

// want waits for lines in any order.
func (o *output) want(lines ...string) {
	o.t.Helper()
	missing := make(map[string]bool)
	for _, l := range lines {
		missing[l] = true
	}
	var got []string
	timeout := time.NewTimer(3 * patience)
	defer timeout.Stop()
	for len(missing) > 0 {
		select {
		case l, ok := <-o.lines:
			if !ok {
				o.t.Fatalf("slixmpp ended; printed\n%s\nwant %v", strings.Join(got, "\n"), missing)
			}
			delete(missing, l)
			got = append(got, l)
		case <-timeout.C:
			o.t.Fatalf("slixmpp printed\n%s\nwant %v", strings.Join(got, "\n"), missing)
		}
	}
}
