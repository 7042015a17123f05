package doctor

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// names is a resolver of a few names.
type names struct {
	srv map[string][]*net.SRV
	ip  map[string][]netip.Addr
}

func (n names) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	if r := n.srv[service+"."+name]; r != nil {
		return "", r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if r := n.ip[host]; r != nil {
		return r, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// checks runs f and returns what it reported.
func checks(cfg Config, f func(*examination)) (got []Check) {
	cfg.Account = jid.MustParse("alice@example.org")
	e := &examination{Config: cfg, sm: new(smWatch), report: func(c Check) { got = append(got, c) }}
	f(e)
	return got
}

func TestFindAsksDNS(t *testing.T) {
	for _, tt := range []struct {
		name    string
		dns     names
		targets string
		status  Status
		detail  string
	}{
		{"both records", names{srv: map[string][]*net.SRV{
			"xmpps-client.example.org": {{Target: "x.example.org.", Port: 443}},
			"xmpp-client.example.org":  {{Target: "x.example.org.", Port: 5222}},
		}}, "x.example.org:443 TLS, x.example.org:5222 STARTTLS", OK, "x.example.org:443 (TLS), x.example.org:5222 (STARTTLS)"},
		{"no records, an address", names{ip: map[string][]netip.Addr{"example.org": {netip.MustParseAddr("192.0.2.1")}}},
			"example.org:5222 STARTTLS, example.org:5223 TLS", OK, "no SRV records; example.org itself is at 192.0.2.1"},
		{"nothing", names{}, "", Fail, "example.org has neither SRV records nor an address"},
		{"no XMPP", names{srv: map[string][]*net.SRV{"xmpp-client.example.org": {{Target: ".", Port: 0}}}},
			"", Fail, `example.org offers no XMPP service (_xmpp-client._tcp is ".")`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var targets []string
			got := checks(Config{Signaling: signaling.Config{Resolver: tt.dns}}, func(e *examination) {
				for _, x := range e.find(t.Context()) {
					targets = append(targets, x.addr()+" "+x.how())
				}
			})
			if s := strings.Join(targets, ", "); s != tt.targets {
				t.Errorf("targets = %q, want %q", s, tt.targets)
			}
			if len(got) != 1 || got[0].Status != tt.status || got[0].Detail != tt.detail {
				t.Errorf("checks = %+v, want %s %q", got, tt.status, tt.detail)
			}
		})
	}
}

func TestConnect(t *testing.T) {
	good := xmpptest.Run(t, xmpptest.Config{CertLifetime: 90 * 24 * time.Hour})
	expiring := xmpptest.Run(t, xmpptest.Config{CertLifetime: time.Hour})
	other := xmpptest.Run(t, xmpptest.Config{CertNames: []string{"example.net"}})
	for _, tt := range []struct {
		name   string
		server string
		roots  *x509.CertPool
		status Status
		detail string
	}{
		{"STARTTLS", good.Addr(), good.CertPool(), OK, "STARTTLS, TLS 1.3"},
		{"direct TLS", good.TLSAddr(), good.CertPool(), OK, "TLS, TLS 1.3"},
		{"unknown authority", good.Addr(), x509.NewCertPool(), Warn, "certificate signed by unknown authority"},
		{"a certificate for another name", other.TLSAddr(), other.CertPool(), Warn, "example.net"},
		{"an expiring certificate", expiring.Addr(), expiring.CertPool(), Warn, "the certificate expires in 0 hours"},
		{"nobody there", "127.0.0.1:1", nil, Warn, "no connection: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := checks(Config{Signaling: signaling.Config{Server: tt.server, RootCAs: tt.roots}}, func(e *examination) { e.server(t.Context()) })
			var c Check
			for _, x := range got {
				if x.Name == "server "+tt.server {
					c = x
				}
			}
			if c.Status != tt.status || !strings.Contains(c.Detail, tt.detail) {
				t.Errorf("checks = %+v, want %s %q", got, tt.status, tt.detail)
			}
		})
	}
}

// A server that takes connections and says nothing is not called one without
// encryption.
func TestConnectToAServerThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the system takes connections that nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, direct := range []bool{false, true} {
		got := checks(Config{}, func(e *examination) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			e.connect(ctx, target{"127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port), direct})
		})
		if len(got) != 1 || got[0].Status != Warn || got[0].Detail != "connected, but nothing is answered" {
			t.Errorf("direct %v: checks = %+v", direct, got)
		}
	}
}

func TestStartTLSReadsNothingOfWhatFollows(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		for _, answer := range []string{
			"<?xml version='1.0'?><stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
			"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>TLS",
		} {
			if _, err := server.Read(make([]byte, 1000)); err != nil {
				return
			}
			server.Write([]byte(answer))
		}
	}()
	if err := startTLS(client, "example.org"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	n, err := client.Read(buf)
	if err != nil || string(buf[:n]) != "TLS" {
		t.Errorf("what follows = %q, %v, want TLS", buf[:n], err)
	}
}

func TestStartTLSNotOffered(t *testing.T) {
	for name, answer := range map[string]string{
		"no such feature":    "<stream:stream><stream:features><mechanisms/></stream:features>",
		"an endless header":  strings.Repeat("x", maxHello+1),
		"a stream that ends": "<stream:stream></stream:stream>",
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				server.Read(make([]byte, 1000))
				server.Write([]byte(answer))
			}()
			if err := startTLS(client, "example.org"); err == nil {
				t.Error("it was offered")
			}
			client.Close()
			server.Close()
			<-done
		})
	}
}
