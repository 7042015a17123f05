package s5b

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/s5b"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var alice, bob = jid.MustParse("alice@example.org/a"), jid.MustParse("bob@example.org/b")

type side struct {
	ft.Negotiation
	t *s5b.Transport
}

// negotiate exchanges the candidates after edit had a look at them, carries
// the transport-infos, and opens both sides.
func negotiate(t *testing.T, limit time.Duration, edit func(a, b *s5b.Transport)) (sa, sb ft.Stream, ea, eb error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	mk := func(local, peer jid.JID, role jingle.Role) *side {
		n, err := Carrier{}.New(ft.Env{Local: local, Peer: peer, Loopback: true}, role)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return &side{Negotiation: n}
	}
	a, b := mk(alice, bob, jingle.Initiator), mk(bob, alice, jingle.Responder)
	local := func(s *side) {
		l, err := s.Local(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.t = l.(*s5b.Transport)
	}
	local(a)
	ta := *a.t
	if err := b.Remote(&ta); err != nil {
		t.Fatal(err)
	}
	local(b)
	tb := *b.t
	if edit != nil {
		edit(&ta, &tb)
	}
	if err := a.Remote(&tb); err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct{ from, to *side }{{a, b}, {b, a}} {
		go func() {
			for {
				select {
				case info := <-s.from.Infos():
					s.to.Remote(info)
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { defer close(done); sa, ea = a.Open(ctx) }()
	sb, eb = b.Open(ctx)
	<-done
	return sa, sb, ea, eb
}

func TestOneReachableSideIsEnough(t *testing.T) {
	dead := s5b.Candidate{CID: "x", Host: "127.0.0.1", Port: 9, Priority: 9_000_000, Type: s5b.Direct}
	for _, tt := range []struct {
		name string
		edit func(a, b *s5b.Transport)
	}{
		{"both, with equal priorities", nil},
		{"the responder's has the higher priority", func(a, b *s5b.Transport) { b.Candidates[0].Priority += 10 }},
		{"only the initiator", func(a, b *s5b.Transport) { b.Candidates = nil }},
		{"only the responder", func(a, b *s5b.Transport) { a.Candidates = nil }},
		{"behind candidates that do not answer", func(a, b *s5b.Transport) {
			a.Candidates = nil
			b.Candidates = append([]s5b.Candidate{dead, {CID: "y", Host: "example.org", Priority: 8_999_999}}, b.Candidates...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sa, sb, ea, eb := negotiate(t, 5*time.Second, tt.edit)
			if ea != nil || eb != nil {
				t.Fatalf("initiator: %v, responder: %v", ea, eb)
			}
			defer sa.Close()
			defer sb.Close()
			if i := sa.Info(); i.Kind != "s5b" || i.Relayed {
				t.Errorf("info = %+v", i)
			}
			for _, s := range []struct{ from, to ft.Stream }{{sa, sb}, {sb, sa}} {
				go func() { io.WriteString(s.from, "ding dong"); s.from.CloseWrite() }()
				if got, err := io.ReadAll(s.to); string(got) != "ding dong" || err != nil {
					t.Errorf("received %q, %v", got, err)
				}
			}
		})
	}
}

// A peer that connects to several hosts of an offer at once keeps one of them,
// as Psi 1.5 does: not always the first that came, and it may have begun to send.
func TestPeerKeepsOneOfSeveralConnections(t *testing.T) {
	for _, tt := range []struct {
		name string
		kept int
		says string
	}{
		{"the first", 0, ""}, {"one in between", 1, ""}, {"the last", 2, ""}, {"and sends", 1, "hello"},
		{"none: the file is empty", -1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var conns []net.Conn
			env := ft.Env{Local: alice, Peer: bob, Loopback: true}
			env.Ask = func(_ context.Context, _ jid.JID, _ stanza.IQType, payload any) (func(context.Context) (xml.TokenReader, error), error) {
				q, ok := payload.(*s5b.Query)
				if !ok || len(q.Hosts) == 0 {
					return nil, errors.New("no proxy is there")
				}
				for range 3 {
					h := q.Hosts[0]
					c, err := (&negotiation{env: env}).connect(t.Context(), s5b.Candidate{Host: h.Host, Port: h.Port}, s5b.DstAddr(q.SID, alice, bob))
					if err != nil {
						return nil, err
					}
					conns = append(conns, c)
				}
				if tt.says != "" {
					io.WriteString(conns[tt.kept], tt.says)
				}
				answer, err := xml.Marshal(&s5b.Query{SID: q.SID, Used: &s5b.StreamUsed{JID: q.Hosts[0].JID}})
				go func() { // after its answer, which is the worst that may be
					for i, c := range conns {
						if i != tt.kept {
							c.Close()
						}
					}
				}()
				return func(context.Context) (xml.TokenReader, error) { return xml.NewDecoder(bytes.NewReader(answer)), nil }, err
			}
			s, err := Carrier{}.DialStream(t.Context(), env, "sid")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if tt.kept < 0 {
				if got, err := io.ReadAll(s); len(got) > 0 || err != nil {
					t.Errorf("received %q, %v; want the end", got, err)
				}
				return
			}
			kept := conns[tt.kept]
			defer kept.Close()
			if got, want := s.(interface{ RemoteAddr() net.Addr }).RemoteAddr().String(), kept.LocalAddr().String(); got != want {
				t.Fatalf("the connection from %s is used, want the one from %s", got, want)
			}
			io.WriteString(kept, " there")
			kept.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(s); string(got) != tt.says+" there" || err != nil {
				t.Errorf("received %q, %v; want %q", got, err, tt.says+" there")
			}
		})
	}
}

func TestNoPathIsSaidAtOnce(t *testing.T) {
	begin := time.Now()
	_, _, ea, eb := negotiate(t, 20*time.Second, func(a, b *s5b.Transport) { a.Candidates, b.Candidates = nil, nil })
	if !errors.Is(ea, ft.ErrNoPath) || !errors.Is(eb, ft.ErrNoPath) {
		t.Errorf("initiator: %v, responder: %v; want ErrNoPath", ea, eb)
	}
	if d := time.Since(begin); d > connectTimeout {
		t.Errorf("it took %v", d)
	}
}

// halves is a connection that reads from a script and notes what is written.
type halves struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (h *halves) Read(p []byte) (int, error)  { return h.in.Read(p) }
func (h *halves) Write(p []byte) (int, error) { return h.out.Write(p) }

func TestServe(t *testing.T) {
	dst := strings.Repeat("ab", 20)
	good := "\x05\x02\x01\x00" + "\x05\x01\x00\x03\x28" + dst + "\x00\x00"
	for _, tt := range []struct {
		name, in string
		ok       bool
	}{
		{"a client", good, true},
		{"stream of somebody else", strings.Replace(good, "ab", "cd", 1), false},
		{"SOCKS4", "\x04\x01\x00\x50", false},
		{"only with a password", "\x05\x01\x02", false},
		{"BIND", strings.Replace(good, "\x05\x01\x00\x03", "\x05\x02\x00\x03", 1), false},
		{"an address", "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", false},
		{"short name", "\x05\x01\x00\x05\x01\x00\x03\x05hello\x00\x50", false},
		{"cut", good[:20], false},
		{"HTTP", "GET / HTTP/1.1\r\n", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &halves{in: strings.NewReader(tt.in)}
			got, err := serve(h, func(d string) bool { return d == dst })
			if (err == nil) != tt.ok || tt.ok && got != dst {
				t.Errorf("serve = %q, %v", got, err)
			}
			if want := "\x05\x00" + "\x05\x00\x00\x03\x28" + dst + "\x00\x00"; tt.ok && h.out.String() != want {
				t.Errorf("answered %q, want %q", h.out.String(), want)
			}
		})
	}
}

func TestRequest(t *testing.T) {
	dst := strings.Repeat("ab", 20)
	for _, tt := range []struct {
		name, in string
		ok       bool
	}{
		{"name", "\x05\x00\x05\x00\x00\x03\x28" + dst + "\x00\x00", true},
		{"IPv4 address", "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x13\x88", true},
		{"IPv6 address", "\x05\x00\x05\x00\x00\x04" + strings.Repeat("\x00", 18), true},
		{"refused", "\x05\x00\x05\x02\x00\x03\x00\x00\x00", false},
		{"wants a password", "\x05\xff", false},
		{"another version", "\x04\x5a", false},
		{"address of no type", "\x05\x00\x05\x00\x00\x09", false},
		{"cut", "\x05\x00\x05\x00", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := request(&halves{in: strings.NewReader(tt.in)}, dst); (err == nil) != tt.ok {
				t.Errorf("request = %v", err)
			}
		})
	}
}

func FuzzSOCKS(f *testing.F) {
	dst := strings.Repeat("ab", 20)
	f.Add("\x05\x01\x00\x05\x01\x00\x03\x28" + dst + "\x00\x00")
	f.Add("\x05\x00\x05\x00\x00\x03\x28" + dst + "\x00\x00")
	f.Fuzz(func(t *testing.T, in string) {
		if got, err := serve(&halves{in: strings.NewReader(in)}, func(d string) bool { return d == dst }); err == nil && got != dst {
			t.Errorf("served %q", got)
		}
		request(&halves{in: strings.NewReader(in)}, dst)
	})
}
