package tcp

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns both sides of a negotiation, and closes them at the end.
func pair(t testing.TB, env ft.Env) (a, b ft.Negotiation) {
	t.Helper()
	a, err := Carrier{}.New(env, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	b, err = Carrier{}.New(env, jingle.Responder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// overWire sends an element through XML, as signalling does.
func overWire(t testing.TB, jt jingle.Transport) *Transport {
	t.Helper()
	b, err := xml.Marshal(jt)
	if err != nil {
		t.Fatal(err)
	}
	var out Transport
	if err := xml.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// offers exchanges the elements, after edit had a look at them.
func offers(t testing.TB, a, b ft.Negotiation, edit func(fromA, fromB *Transport)) {
	t.Helper()
	la, err := a.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lb, err := b.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ta, tb := overWire(t, la), overWire(t, lb)
	if edit != nil {
		edit(ta, tb)
	}
	if err := b.Remote(ta); err != nil {
		t.Fatal(err)
	}
	if err := a.Remote(tb); err != nil {
		t.Fatal(err)
	}
}

type opened struct {
	s   ft.Stream
	err error
}

func open(ctx context.Context, a, b ft.Negotiation) (oa, ob opened) {
	done := make(chan struct{})
	go func() { defer close(done); oa.s, oa.err = a.Open(ctx) }()
	ob.s, ob.err = b.Open(ctx)
	<-done
	return oa, ob
}

func TestOneReachableSideIsEnough(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(a, b *Transport)
	}{
		{"both can be reached", nil},
		{"only the initiator", func(a, b *Transport) { b.Candidates = nil }},
		{"only the responder", func(a, b *Transport) { a.Candidates = nil }},
		{"among addresses that are not", func(a, b *Transport) {
			a.Candidates = nil
			b.Candidates = append([]Candidate{{IP: "example.org", Port: 1}, {IP: "fe80::1", Port: 1}, {IP: "127.0.0.1", Port: 1}, {IP: "224.0.0.1", Port: 9}}, b.Candidates...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t, ft.Env{Loopback: true})
			offers(t, a, b, tt.edit)
			oa, ob := open(t.Context(), a, b)
			if oa.err != nil || ob.err != nil {
				t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
			}
			defer oa.s.Close()
			defer ob.s.Close()
			if info := oa.s.Info(); info.Kind != "tcp" || info.Relayed {
				t.Errorf("info = %+v", info)
			}
			for _, s := range []struct{ from, to ft.Stream }{{oa.s, ob.s}, {ob.s, oa.s}} {
				go func() { io.WriteString(s.from, "ding dong"); s.from.CloseWrite() }()
				if got, err := io.ReadAll(s.to); string(got) != "ding dong" || err != nil {
					t.Errorf("received %q, %v", got, err)
				}
			}
		})
	}
}

func TestWrongCertificateIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(a, b *Transport)
	}{
		{"of the initiator", func(a, b *Transport) { a.Fingerprint.Value = b.Fingerprint.Value }},
		{"of the responder", func(a, b *Transport) { b.Fingerprint.Value = a.Fingerprint.Value }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t, ft.Env{Loopback: true})
			offers(t, a, b, tt.edit)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			oa, ob := open(ctx, a, b)
			if !errors.Is(oa.err, ft.ErrNoPath) || !errors.Is(ob.err, ft.ErrNoPath) {
				t.Errorf("initiator: %v, responder: %v; want ErrNoPath", oa.err, ob.err)
			}
		})
	}
}

func TestFingerprintIsRequired(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true})
	l, err := a.Local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{"", "sha-1", "sha-256"} {
		bad := *l.(*Transport)
		bad.Fingerprint.Hash, bad.Fingerprint.Value = hash, "AA:BB"
		if err := b.Remote(&bad); err == nil {
			t.Errorf("fingerprint %+v was taken", bad.Fingerprint)
		}
	}
}

func TestRelayOnlyShowsNoAddress(t *testing.T) {
	if _, err := (Carrier{}).New(ft.Env{RelayOnly: true}, jingle.Initiator); !errors.Is(err, ft.ErrNoPath) {
		t.Errorf("error = %v, want ErrNoPath", err)
	}
}

// Strangers who find the port get nothing and hold up nobody.
func TestStrangersAtThePort(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true})
	var port uint16
	offers(t, a, b, func(ta, tb *Transport) { port = tb.Candidates[0].Port; ta.Candidates = nil })
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	for _, say := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, say)
	}
	oa, ob := open(t.Context(), a, b)
	if oa.err != nil || ob.err != nil {
		t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
	}
	oa.s.Close()
	ob.s.Close()
	if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}); err == nil {
		c.Close()
		t.Error("the port still answers after the session has its connection")
	}
}

func FuzzTransport(f *testing.F) {
	f.Add([]byte(`<transport xmlns="https://carillon.im/protocol/jingle/tcp/0"><fingerprint xmlns="urn:xmpp:jingle:apps:dtls:0" hash="sha-256">AA</fingerprint><candidate ip="192.0.2.1" port="5"/></transport>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var tr, again Transport
		if xml.Unmarshal(in, &tr) != nil {
			return
		}
		out, err := xml.Marshal(&tr)
		if err != nil {
			return
		}
		if err := xml.Unmarshal(out, &again); err != nil || len(again.Candidates) != len(tr.Candidates) {
			t.Errorf("%s: %v", out, err)
		}
	})
}
