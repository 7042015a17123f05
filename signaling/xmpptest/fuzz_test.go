package xmpptest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"slices"
	"testing"
	"time"
)

// What is parsed and written means the same when parsed again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`<message to="a@b"><body>x &amp; y</body></message>`,
		`<iq xmlns="jabber:client" xml:lang="en"><a xmlns="b"><c xmlns=""/>text<d xmlns="e"/></a></iq>`,
		`<x xmlns:p="q" p:attr="'&quot;&lt;"><p:y/></x>`,
		`<stream:error xmlns:stream="http://etherx.jabber.org/streams"><a xmlns="b"/></stream:error>`,
		`<presence><!-- no --></presence>`, `<a><b></a>`, "<a>\r\n\t</a>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse(s)
		if err != nil {
			return
		}
		once := e.String()
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", s, once, err)
		}
		if twice := again.String(); twice != once {
			t.Errorf("%q was written as\n%q, then\n%q", s, once, twice)
		}
	})
}

// Whatever a client sends after its login, the server goes on to serve others.
func FuzzStream(f *testing.F) {
	for _, s := range []string{
		`<presence/><presence type="unavailable"/>`,
		`<message to="bob@example.org"><body>x</body></message>`,
		`<iq type="get" id="1"><query xmlns="jabber:iq:roster"/></iq>`,
		`<iq type="set"><query xmlns="jabber:iq:roster"><item/></query></iq>`,
		`<iq type="set" to="bob@example.org/phone">text</iq><iq/>`,
		`<iq type="set" id="m"><query xmlns="urn:xmpp:mam:2"><set xmlns="http://jabber.org/protocol/rsm"><max>-1</max><before>x</before></set></query></iq>`,
		`<iq type="set"><block xmlns="urn:xmpp:blocking"><item jid="bob@example.org"/></block></iq>`,
		`<enable xmlns="urn:xmpp:sm:3" resume="1"/><r xmlns="urn:xmpp:sm:3"/><a xmlns="urn:xmpp:sm:3" h="-1"/>`,
		`<presence to="bob@example.org" type="subscribe"/><presence to="bob@example.org" type="unsubscribed"/>`,
		`<iq type="get" to="example.org"><credentials xmlns="urn:xmpp:extdisco:2"><service/></credentials></iq>`,
		`</stream:stream>`, `<message`, `<message from="bob@example.org"/>`, `<?pi?>`,
	} {
		f.Add([]byte(s))
	}
	cfg := testConfig()
	cfg.InMemory = true
	srv := NewServer(cfg)
	f.Cleanup(srv.Close)
	srv.Befriend("alice@example.org", "bob@example.org")
	f.Fuzz(func(t *testing.T, in []byte) {
		raw, err := srv.DialContext(context.Background(), "tcp", srv.TLSAddr())
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, &tls.Config{RootCAs: srv.CertPool(), ServerName: "example.org"})
		read := make(chan struct{})
		open := "<stream:stream xmlns='jabber:client' xmlns:stream='" + nsStream + "' version='1.0' to='example.org'>"
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(read)
			io.Copy(io.Discard, conn)
		}()
		conn.SetWriteDeadline(time.Now().Add(patience))
		io.WriteString(conn, open+"<auth xmlns='"+nsSASL+"' mechanism='PLAIN'>"+base64.StdEncoding.EncodeToString([]byte("\x00alice\x00secret"))+"</auth>")
		io.WriteString(conn, open+bindRequest("fuzz"))
		conn.Write(slices.Concat(in, []byte("</stream:stream>")))
		conn.CloseWrite()
		select {
		case <-read:
		case <-time.After(patience):
			t.Errorf("the stream did not end")
		}
		raw.Close()
		<-read
		srv.Forget("alice@example.org")
		if got := srv.Sessions("alice@example.org"); len(got) > 1 {
			t.Errorf("sessions = %+v, want none left but one that is ending", got)
		}
	})
}
