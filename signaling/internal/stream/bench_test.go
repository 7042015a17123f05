package stream

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// An echoServer is as little of a server as possible, so that what is measured
// is us: it answers every IQ, and every request for an acknowledgement.
func echoServer(conn net.Conn) {
	defer conn.Close()
	header := `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`
	buf := make([]byte, 64<<10)
	for _, s := range []string{
		header + `<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>`,
		`<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>`,
		header + `<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>`,
	} {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		io.WriteString(conn, s)
	}
	sp := newSplitter(conn, 1<<20, true)
	handled := 0
	for {
		p, err := sp.next()
		if err != nil {
			return
		}
		d := xml.NewDecoder(bytes.NewReader(p.data))
		tok, _ := d.RawToken()
		start := tok.(xml.StartElement)
		switch start.Name.Local {
		case "iq":
			if bytes.Contains(p.data, []byte("xmpp-bind")) {
				fmt.Fprintf(conn, `<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@example.org/desk</jid></bind></iq>`, attr(start, "id"))
				continue
			}
			handled++
			fmt.Fprintf(conn, `<iq type='result' id='%s' from='%s'/>`, attr(start, "id"), attr(start, "to"))
		case "message":
			handled++
		case "enable":
			io.WriteString(conn, `<enabled xmlns='urn:xmpp:sm:3' id='1' resume='true'/>`)
		case "r":
			fmt.Fprintf(conn, `<a xmlns='urn:xmpp:sm:3' h='%d'/>`, handled)
		}
	}
}

func echoConfig() Config {
	return Config{
		JID: jid.MustParse("alice@example.org/desk"), Password: "secret", AllowPlain: true, Server: "starttls://192.0.2.1:5222", InsecureLoopback: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go echoServer(theirs)
			return ours, nil
		},
	}
}

func BenchmarkIQ(b *testing.B) {
	pingPayload := []byte(`<ping xmlns='urn:xmpp:ping'/>`)
	run := func(b *testing.B, cfg Config) {
		s, err := Dial(b.Context(), cfg, Handler{})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		b.Run("sequential", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.IQ(b.Context(), s.Domain(), stanza.GetIQ, pingPayload); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "IQ/s")
		})
		b.Run("parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.IQ(b.Context(), s.Domain(), stanza.GetIQ, pingPayload); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "IQ/s")
		})
	}
	b.Run("pipe", func(b *testing.B) { run(b, echoConfig()) })
	b.Run("TLS", func(b *testing.B) {
		run(b, testConfig(testServer(b, xmpptest.Config{})))
	})
}

func BenchmarkLogin(b *testing.B) {
	srv := testServer(b, xmpptest.Config{})
	for name, server := range map[string]string{
		"STARTTLS": "starttls://" + srv.Addr(), "direct TLS": "tls://" + srv.TLSAddr(), "WebSocket": srv.WebSocketURL(),
	} {
		b.Run(name, func(b *testing.B) {
			cfg := testConfig(srv)
			cfg.Server = server
			for b.Loop() {
				s, err := Dial(b.Context(), cfg, Handler{})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	s, err := Dial(b.Context(), echoConfig(), Handler{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	msg := stanza.Message{To: jid.MustParse("bob@example.org/desk"), Type: stanza.ChatMessage}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Send(b.Context(), msg); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "stanzas/s")
}

// What a stream costs to read: cutting alone, and with parsing.
func BenchmarkRead(b *testing.B) {
	one := `<message from='bob@example.org/desk' to='alice@example.org/desk' type='chat' id='abc'><body>` + strings.Repeat("hello ", 20) +
		`</body><request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='abc'/></message>`
	for _, parse := range []bool{false, true} {
		b.Run(map[bool]string{false: "split", true: "parse"}[parse], func(b *testing.B) {
			sp := newSplitter(io.MultiReader(strings.NewReader(testHeader), repeatWhole(one)), 1<<20, false)
			var p parser
			piece, err := sp.next()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.open(piece.data); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(one)))
			b.ReportAllocs()
			for b.Loop() {
				piece, err := sp.next()
				if err != nil {
					b.Fatal(err)
				}
				if !parse {
					continue
				}
				e, err := p.element(piece.data)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := newStanza(e, p.jid); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// repeatWhole reads s again and again.
func repeatWhole(s string) io.Reader { return &repeater{s: s} }

type repeater struct {
	s  string
	at int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.s[r.at:])
	r.at = (r.at + n) % len(r.s)
	return n, nil
}
