package quic

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/google/go-cmp/cmp"
	"github.com/pion/turn/v5"
	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

type opened struct {
	s   ft.Stream
	err error
}

// connect negotiates and opens both sides. edit sees every element; what it
// makes nil is lost.
func connect(t testing.TB, ctx context.Context, a, b ft.Negotiation, edit func(from jingle.Role, el *Transport) *Transport) (oa, ob opened) {
	t.Helper()
	if edit == nil {
		edit = func(_ jingle.Role, el *Transport) *Transport { return el }
	}
	pass := func(from jingle.Role, el jingle.Transport, to ft.Negotiation) {
		if el := edit(from, overWire(t, el)); el != nil {
			if err := to.Remote(el); err != nil {
				t.Errorf("element of %v: %v", from, err)
			}
		}
	}
	la, err := a.Local(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pass(jingle.Initiator, la, b)
	lb, err := b.Local(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pass(jingle.Responder, lb, a)
	var opens, pumps sync.WaitGroup
	stop := make(chan struct{})
	pump := func(from jingle.Role, n, to ft.Negotiation) {
		for {
			select {
			case el := <-n.Infos():
				pass(from, el, to)
			case <-stop:
				return
			}
		}
	}
	pumps.Go(func() { pump(jingle.Initiator, a, b) })
	pumps.Go(func() { pump(jingle.Responder, b, a) })
	opens.Go(func() { oa.s, oa.err = a.Open(ctx) })
	opens.Go(func() { ob.s, ob.err = b.Open(ctx) })
	opens.Wait()
	close(stop)
	pumps.Wait()
	return oa, ob
}

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

// streams returns both ends of a stream, closed together at the end.
func streams(t testing.TB, env ft.Env, edit func(jingle.Role, *Transport) *Transport) (ft.Stream, ft.Stream) {
	t.Helper()
	a, b := pair(t, env)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	oa, ob := connect(t, ctx, a, b, edit)
	if oa.err != nil || ob.err != nil {
		t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
	}
	t.Cleanup(func() { closeBoth(oa.s, ob.s) })
	return oa.s, ob.s
}

// closeBoth closes both ends as two programs do: at once.
func closeBoth(a, b ft.Stream) {
	var wg sync.WaitGroup
	wg.Go(func() { a.Close() })
	wg.Go(func() { b.Close() })
	wg.Wait()
}

// exchange sends something both ways, to the end.
func exchange(t *testing.T, a, b ft.Stream) {
	t.Helper()
	var wg sync.WaitGroup
	for _, s := range []struct{ from, to ft.Stream }{{a, b}, {b, a}} {
		data := make([]byte, 1<<20)
		rand.NewChaCha8([32]byte{1}).Read(data)
		wg.Go(func() {
			if _, err := s.from.Write(data); err != nil {
				t.Errorf("write: %v", err)
			}
			s.from.CloseWrite()
		})
		wg.Go(func() {
			if got, err := io.ReadAll(s.to); !bytes.Equal(got, data) || err != nil {
				t.Errorf("received %d bytes of %d, %v", len(got), len(data), err)
			}
		})
	}
	wg.Wait()
}

func TestStreamOnTheSocketOfICE(t *testing.T) {
	a, b := streams(t, ft.Env{Loopback: true}, nil)
	exchange(t, a, b)
	want := ft.StreamInfo{Kind: "quic", Local: "host", Remote: "host"}
	if got := a.Info(); got != want {
		t.Errorf("info = %+v, want %+v", got, want)
	}
}

// relay starts a TURN server on loopback.
func relay(t testing.TB) ft.Service {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := turn.NewServer(turn.ServerConfig{
		Realm: "test",
		AuthHandler: func(ra *turn.RequestAttributes) (string, []byte, bool) {
			return ra.Username, turn.GenerateAuthKey(ra.Username, ra.Realm, "secret"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: c,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
				RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1",
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return ft.Service{URL: "turn:" + c.LocalAddr().String() + "?transport=udp", Username: "ab", Password: "secret"}
}

func TestRelayOnly(t *testing.T) {
	env := ft.Env{Loopback: true, RelayOnly: true, Services: []ft.Service{relay(t)}}
	a, b := streams(t, env, func(from jingle.Role, el *Transport) *Transport {
		for _, c := range el.ICE.Candidates {
			if c.Type != iceudp.Relay || c.RelAddr != "0.0.0.0" || c.RelPort != 0 {
				t.Errorf("%v tells %+v", from, c)
			}
		}
		return el
	})
	exchange(t, a, b)
	want := ft.StreamInfo{Kind: "quic", Relayed: true, Local: "relay", Remote: "relay"}
	for _, s := range []ft.Stream{a, b} {
		if got := s.Info(); got != want {
			t.Errorf("info = %+v, want %+v", got, want)
		}
	}
}

// One side hides behind a relay, the other does not.
func TestOneSideIsRelayed(t *testing.T) {
	for _, hidden := range []jingle.Role{jingle.Initiator, jingle.Responder} {
		t.Run(hidden.String(), func(t *testing.T) {
			env := ft.Env{Loopback: true}
			secret := ft.Env{Loopback: true, RelayOnly: true, Services: []ft.Service{relay(t)}}
			envs := map[jingle.Role]ft.Env{jingle.Initiator: env, jingle.Responder: env}
			envs[hidden] = secret
			a, err := Carrier{}.New(envs[jingle.Initiator], jingle.Initiator)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Carrier{}.New(envs[jingle.Responder], jingle.Responder)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			defer b.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			oa, ob := connect(t, ctx, a, b, nil)
			if oa.err != nil || ob.err != nil {
				t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
			}
			defer closeBoth(oa.s, ob.s)
			exchange(t, oa.s, ob.s)
			if !oa.s.Info().Relayed || !ob.s.Info().Relayed {
				t.Errorf("infos: %+v, %+v", oa.s.Info(), ob.s.Info())
			}
		})
	}
}

func TestRelayOnlyWithoutRelay(t *testing.T) {
	env := ft.Env{RelayOnly: true, Services: []ft.Service{{URL: "stun:192.0.2.1:3478"}, {URL: "turn:192.0.2.1:3478"}}}
	if _, err := (Carrier{}).New(env, jingle.Initiator); !errors.Is(err, ft.ErrNoPath) {
		t.Errorf("error = %v, want ErrNoPath", err)
	}
}

func TestWrongCertificateIsRefused(t *testing.T) {
	other, err := Carrier{}.New(ft.Env{}, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	wrong := other.(*negotiation).id.Fingerprint
	for _, liar := range []jingle.Role{jingle.Initiator, jingle.Responder} {
		t.Run(liar.String(), func(t *testing.T) {
			a, b := pair(t, ft.Env{Loopback: true})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			oa, ob := connect(t, ctx, a, b, func(from jingle.Role, el *Transport) *Transport {
				if from == liar && len(el.ICE.Fingerprints) > 0 {
					el.ICE.Fingerprints[0].Value = wrong.Value
				}
				return el
			})
			if !errors.Is(oa.err, ft.ErrNoPath) || !errors.Is(ob.err, ft.ErrNoPath) {
				t.Errorf("initiator: %v, responder: %v; want ErrNoPath", oa.err, ob.err)
			}
		})
	}
}

func TestElementsThatAreRefused(t *testing.T) {
	good := func() *iceudp.Transport {
		return &iceudp.Transport{Ufrag: "ufrag", Pwd: "pwd", Fingerprints: []iceudp.Fingerprint{{Hash: "sha-256", Value: strings.Repeat("AA:", 31) + "AA"}}}
	}
	for _, tt := range []struct {
		name string
		edit func(*Transport)
	}{
		{"no ICE", func(el *Transport) { el.ICE = nil }},
		{"no fingerprint", func(el *Transport) { el.ICE.Fingerprints = nil }},
		{"SHA-1", func(el *Transport) { el.ICE.Fingerprints[0].Hash = "sha-1" }},
		{"a short fingerprint", func(el *Transport) { el.ICE.Fingerprints[0].Value = "AA:BB" }},
		{"no hexadecimal", func(el *Transport) { el.ICE.Fingerprints[0].Value = strings.Repeat("ZZ:", 31) + "ZZ" }},
		{"no credentials", func(el *Transport) { el.ICE.Ufrag = "" }},
		{"no password", func(el *Transport) { el.ICE.Pwd = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, b := pair(t, ft.Env{Loopback: true})
			el := &Transport{ICE: good()}
			tt.edit(el)
			if err := b.Remote(el); err == nil {
				t.Error("it was taken")
			}
		})
	}
	_, b := pair(t, ft.Env{Loopback: true})
	if err := b.Remote(&Transport{ICE: good()}); err != nil {
		t.Fatal(err)
	}
	restart := good()
	restart.Ufrag = "other"
	if err := b.Remote(&Transport{ICE: restart}); err == nil {
		t.Error("other credentials were taken")
	}
	if err := b.Remote(&jingle.Unknown{XMLName: xml.Name{Space: "urn:example", Local: "transport"}}); err == nil {
		t.Error("another transport was taken")
	}
}

// A peer that offers addresses of ours, names and nonsense gets no packet there.
func TestHostileCandidates(t *testing.T) {
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	a, b := pair(t, ft.Env{}) // loopback is refused
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	oa, ob := connect(t, ctx, a, b, func(_ jingle.Role, el *Transport) *Transport {
		el.ICE.Candidates = nil
		for _, ip := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost", "224.0.0.1", "fe80::1", "0.0.0.0", ""} {
			for _, kind := range []iceudp.CandidateType{iceudp.Host, iceudp.SRflx, iceudp.PRflx, iceudp.Relay, "magic"} {
				el.ICE.Candidates = append(el.ICE.Candidates, iceudp.Candidate{Component: 1, Foundation: "1", IP: ip, Port: port, Priority: 1, Protocol: "udp", Type: kind})
			}
		}
		return el
	})
	if !errors.Is(oa.err, ft.ErrNoPath) || !errors.Is(ob.err, ft.ErrNoPath) {
		t.Errorf("initiator: %v, responder: %v; want ErrNoPath", oa.err, ob.err)
	}
	l.SetReadDeadline(time.Now())
	if n, from, err := l.ReadFrom(make([]byte, 1500)); err == nil {
		t.Errorf("%d bytes came from %v", n, from)
	}
}

// Strangers who find the port get nothing and hold up nobody.
func TestStrangersAtThePort(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true})
	var to *net.UDPAddr
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	oa, ob := connect(t, ctx, a, b, func(from jingle.Role, el *Transport) *Transport {
		if from == jingle.Responder && to == nil {
			c := el.ICE.Candidates[0]
			to = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.IP), c.Port))
			for _, say := range []string{"x", "GET / HTTP/1.1\r\n\r\n", "\x40\x01\x02", strings.Repeat("\xC0", 1200), "\x00\x01\x00\x00"} {
				s, err := net.DialUDP("udp", nil, to)
				if err != nil {
					t.Error(err)
					continue
				}
				io.WriteString(s, say)
				s.Close()
			}
			wg.Go(func() { // one who speaks QUIC
				dctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				stranger, err := Carrier{}.New(ft.Env{}, jingle.Initiator)
				if err != nil {
					t.Error(err)
					return
				}
				defer stranger.Close()
				tc := stranger.(*negotiation).tls()
				tc.VerifyConnection = nil
				u, err := net.ListenUDP("udp", nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer u.Close()
				tr := &quic.Transport{Conn: u}
				defer tr.Close()
				c, err := tr.Dial(dctx, to, tc, config())
				if err == nil {
					if _, err = c.AcceptStream(dctx); err == nil {
						t.Error("a stranger is answered")
					}
				}
			})
		}
		return el
	})
	if oa.err != nil || ob.err != nil {
		t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
	}
	exchange(t, oa.s, ob.s)
	closeBoth(oa.s, ob.s)
}

// What was written before Close arrives, whoever closes first.
func TestCloseDelivers(t *testing.T) {
	a, b := streams(t, ft.Env{Loopback: true}, nil)
	data := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{2}).Read(data)
	var wg sync.WaitGroup
	wg.Go(func() { a.Write(data); a.Close() })
	got, err := io.ReadAll(b)
	if !bytes.Equal(got, data) || err != nil {
		t.Errorf("received %d bytes of %d, %v", len(got), len(data), err)
	}
	b.Close()
	wg.Wait()
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
}

// A side that closes while the other writes ends the other's write.
func TestCloseEndsTheOthersWrite(t *testing.T) {
	a, b := streams(t, ft.Env{Loopback: true}, nil)
	failed := make(chan error, 1)
	go func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := a.Write(buf); err != nil {
				failed <- err
				a.Close()
				return
			}
		}
	}()
	if _, err := io.CopyN(io.Discard, b, 1<<20); err != nil {
		t.Fatal(err)
	}
	io.WriteString(b, "enough")
	b.Close()
	if err := <-failed; err == nil {
		t.Error("the write did not fail")
	}
}

func TestDeadlines(t *testing.T) {
	a, _ := streams(t, ft.Env{Loopback: true}, nil)
	var timeout net.Error
	a.SetReadDeadline(time.Unix(1, 0))
	if _, err := a.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("read: %v, want a timeout", err)
	}
	a.SetWriteDeadline(time.Unix(1, 0))
	if _, err := a.Write(make([]byte, 64<<20)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("write: %v, want a timeout", err)
	}
}

// Ending in the middle leaves nothing behind; TestMain looks.
func TestGivenUp(t *testing.T) {
	a, b := pair(t, ft.Env{Loopback: true, Services: []ft.Service{{URL: "stun:192.0.2.1:3478"}, relay(t)}})
	if _, err := a.Local(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Open(ctx); !errors.Is(err, ft.ErrNoPath) || !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	b.Close()
	if _, err := b.Local(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestTransportElement(t *testing.T) {
	el := &Transport{ICE: &iceudp.Transport{
		Ufrag: "8hhy", Pwd: "asd88fgpdd777uzjYhagZg", Trickle: new(iceudp.Option),
		Fingerprints: []iceudp.Fingerprint{{Hash: "sha-256", Value: "AB:CD"}},
		Candidates:   []iceudp.Candidate{{Component: 1, Foundation: "1", ID: "x", IP: "192.0.2.3", Port: 8998, Priority: 2130706431, Protocol: "udp", Type: iceudp.Host}},
	}}
	got := overWire(t, el)
	if diff := cmp.Diff(el.ICE, got.ICE); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var reg jingle.Registry
	Register(&reg)
	if !slices.Contains([]string{reg.Transports[NS]().Namespace()}, NS) {
		t.Error("not registered")
	}
}

func FuzzTransport(f *testing.F) {
	f.Add([]byte(`<transport xmlns="https://carillon.im/protocol/jingle/quic/0"><transport xmlns="urn:xmpp:jingle:transports:ice-udp:1" ufrag="a" pwd="b"><fingerprint xmlns="urn:xmpp:jingle:apps:dtls:0" hash="sha-256">AA</fingerprint><candidate component="1" foundation="1" ip="192.0.2.1" port="5" priority="1" protocol="udp" type="host"/></transport></transport>`))
	f.Add([]byte(`<transport xmlns="https://carillon.im/protocol/jingle/quic/0"/>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var tr, again Transport
		if xml.Unmarshal(in, &tr) != nil {
			return
		}
		out, err := xml.Marshal(&tr)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		if err := xml.Unmarshal(out, &again); err != nil || !cmp.Equal(tr.ICE, again.ICE) {
			t.Errorf("%s: %v", out, err)
		}
		n, err := Carrier{}.New(ft.Env{}, jingle.Responder)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		n.Remote(&tr)
	})
}

// A peer that is let in and does not keep to the format breaks the stream, and
// nothing more.
func TestHostileBlocks(t *testing.T) {
	block := func(number uint64, size uint32, body string) []byte {
		b := binary.BigEndian.AppendUint64(nil, number)
		return append(binary.BigEndian.AppendUint32(b, size), body...)
	}
	for _, tt := range []struct {
		name string
		say  [lanes][]byte
		want string // before the error
	}{
		{"a block too long", [lanes][]byte{block(0, blockMax+1, "x")}, ""},
		{"a block of 4 GB", [lanes][]byte{block(0, 1<<32-1, "x")}, ""},
		{"a block twice", [lanes][]byte{block(1, 1, "b"), block(1, 1, "b")}, ""},
		{"a block that was read", [lanes][]byte{append(block(0, 1, "a"), block(0, 1, "a")...)}, "a"},
		{"half a header", [lanes][]byte{{0, 0, 0}}, ""},
		{"half a block", [lanes][]byte{block(0, 5, "abc")}, ""},
		{"no end", [lanes][]byte{block(0, 1, "a")}, "a"},
		{"a hole", [lanes][]byte{block(0, 1, "a"), block(2, 0, "")}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := streams(t, ft.Env{Loopback: true}, nil)
			for i, say := range tt.say {
				str := a.(*stream).lanes[i].str
				if _, err := str.Write(say); err != nil {
					t.Fatal(err)
				}
				str.Close()
			}
			b.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			got, err := io.ReadAll(b)
			if err == nil || !strings.HasPrefix(tt.want, string(got)) {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
}

// Blocks in any order, and as many as want to wait, come out in order.
func TestBlocksAreOrdered(t *testing.T) {
	a, b := streams(t, ft.Env{Loopback: true}, nil)
	const n = 10 * waitMax
	var wg sync.WaitGroup
	for i, l := range a.(*stream).lanes {
		wg.Go(func() {
			for number := lanes - 1 - i; number < n; number += lanes {
				h := binary.BigEndian.AppendUint64(nil, uint64(number))
				if _, err := l.str.Write(append(binary.BigEndian.AppendUint32(h, 1), byte(number))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(b, got); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for i, x := range got {
		if x != byte(i) {
			t.Fatalf("byte %d is of block %d", i, x)
		}
	}
}
