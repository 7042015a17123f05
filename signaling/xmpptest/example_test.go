package xmpptest_test

import (
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"log"

	"github.com/carillon-im/carillon/signaling/xmpptest"
)

// A server with two contacts, and what a client sees first when it connects.
func Example() {
	srv := xmpptest.NewServer(xmpptest.Config{
		Accounts: map[string]string{
			"alice@example.org": "secret",
			"bob@example.org":   "secret",
		},
	})
	defer srv.Close()
	srv.Befriend("alice@example.org", "bob@example.org")
	srv.SetServices(xmpptest.Service{Type: "stun", Host: "127.0.0.1", Port: 3478, Transport: "udp"})
	srv.SetMechanisms(xmpptest.ScramSHA256, xmpptest.ScramSHA1)

	conn, err := tls.Dial("tcp", srv.TLSAddr(), &tls.Config{RootCAs: srv.CertPool(), ServerName: "example.org"})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, `<stream:stream xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams" version="1.0" to="example.org">`)
	d := xml.NewDecoder(conn)
	for {
		tok, err := d.Token()
		if err != nil {
			log.Fatal(err)
		}
		if start, ok := tok.(xml.StartElement); ok && start.Name.Local == "mechanism" {
			var name string
			if err := d.DecodeElement(&name, &start); err != nil {
				log.Fatal(err)
			}
			fmt.Println(name)
		}
		if end, ok := tok.(xml.EndElement); ok && end.Name.Local == "mechanisms" {
			return
		}
	}
	// Output:
	// SCRAM-SHA-256
	// SCRAM-SHA-1
}

// An observer that loses the first message to bob.
func ExampleServer_Intercept() {
	srv := xmpptest.NewServer(xmpptest.Config{})
	defer srv.Close()
	var remove func()
	remove = srv.Intercept(func(s xmpptest.Stanza) xmpptest.Verdict {
		lose := s.Dir == xmpptest.ToClient && s.JID == "bob@example.org/phone" && s.Name.Local == "message"
		if lose {
			remove()
		}
		return xmpptest.Verdict{Drop: lose}
	})
}
