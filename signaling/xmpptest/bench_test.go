package xmpptest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"testing"
)

// BenchmarkIQRoundTrip sends IQs from one client through the server to another
// and the answers back, over TLS on the loopback interface, one after the other
// and with 64 on the way at once.
func BenchmarkIQRoundTrip(b *testing.B) {
	for _, window := range []int{1, 64} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			srv := newTestServer(b)
			ask := plainStream(b, srv, "alice", "phone")
			answer := plainStream(b, srv, "bob", "phone")
			done := make(chan error, 1)
			go func() {
				for range b.N {
					e, err := nextElement(answer.d)
					if err == nil {
						_, err = fmt.Fprintf(answer.conn, `<iq type="result" id="%s" to="%s"/>`, e.Get("id"), e.Get("from"))
					}
					if err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			b.ReportAllocs()
			b.ResetTimer()
			sent := 0
			for received := range b.N {
				for ; sent < b.N && sent < received+window; sent++ {
					if _, err := io.WriteString(ask.conn, `<iq type="get" id="1" to="bob@example.org/phone"><ping xmlns="urn:xmpp:ping"/></iq>`); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := nextElement(ask.d); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "IQ/s")
		})
	}
}

// BenchmarkLogin is TLS, SASL PLAIN and binding.
func BenchmarkLogin(b *testing.B) {
	srv := newTestServer(b)
	for b.Loop() {
		plainStream(b, srv, "alice", "phone").conn.Close()
	}
}

type stream struct {
	conn *tls.Conn
	d    *xml.Decoder
}

// plainStream logs in with as little work of the client as possible.
func plainStream(b *testing.B, srv *Server, user, resource string) stream {
	b.Helper()
	raw, err := srv.DialContext(context.Background(), "tcp", srv.TLSAddr())
	if err != nil {
		b.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: srv.CertPool(), ServerName: "example.org"})
	b.Cleanup(func() { conn.Close() })
	s := stream{conn: conn}
	for _, step := range []string{
		"<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>" + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00secret")) + "</auth>",
		bindRequest(resource),
	} {
		s.d = xml.NewDecoder(conn)
		io.WriteString(conn, "<stream:stream xmlns='jabber:client' xmlns:stream='"+nsStream+"' version='1.0' to='example.org'>"+step)
		for range 2 { // the header
			if _, err := s.d.Token(); err != nil {
				b.Fatal(err)
			}
		}
		for range 2 { // features and the answer
			if _, err := nextElement(s.d); err != nil {
				b.Fatal(err)
			}
		}
	}
	return s
}
