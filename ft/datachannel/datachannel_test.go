package datachannel

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/internal/icepath"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/pion/turn/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// overWire sends an element through XML, as signalling does.
func overWire(t testing.TB, jt jingle.Transport) jingle.Transport {
	t.Helper()
	b, err := xml.Marshal(jt)
	if err != nil {
		t.Fatal(err)
	}
	var out jingle.Transport = new(datachannel.Transport)
	if jt.Namespace() == iceudp.NS {
		out = new(iceudp.Transport)
	}
	if err := xml.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// iceOf returns the part of an element that is of ICE.
func iceOf(el jingle.Transport) *iceudp.Transport {
	if t, ok := el.(*datachannel.Transport); ok {
		return t.ICE
	}
	return el.(*iceudp.Transport)
}

type opened struct {
	s   ft.Stream
	err error
}

// connect negotiates and opens both sides. edit sees every element.
func connect(t testing.TB, ctx context.Context, a, b ft.Negotiation, edit func(from jingle.Role, el jingle.Transport)) (oa, ob opened) {
	t.Helper()
	pass := func(from jingle.Role, el jingle.Transport, to ft.Negotiation) {
		el = overWire(t, el)
		if edit != nil {
			edit(from, el)
		}
		if err := to.Remote(el); err != nil {
			t.Errorf("element of %v: %v", from, err)
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

func pair(t testing.TB, c ft.Carrier, env ft.Env) (a, b ft.Negotiation) {
	t.Helper()
	a, err := c.New(env, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	b, err = c.New(env, jingle.Responder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func streams(t testing.TB, c ft.Carrier, env ft.Env, edit func(jingle.Role, jingle.Transport)) (ft.Stream, ft.Stream) {
	t.Helper()
	a, b := pair(t, c, env)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	oa, ob := connect(t, ctx, a, b, edit)
	if oa.err != nil || ob.err != nil {
		t.Fatalf("initiator: %v, responder: %v", oa.err, ob.err)
	}
	t.Cleanup(func() { closeBoth(oa.s, ob.s) })
	return oa.s, ob.s
}

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
			if err := s.from.CloseWrite(); err != nil {
				t.Errorf("close write: %v", err)
			}
		})
		wg.Go(func() {
			if got, err := io.ReadAll(s.to); !bytes.Equal(got, data) || err != nil {
				t.Errorf("received %d bytes of %d, %v", len(got), len(data), err)
			}
		})
	}
	wg.Wait()
}

func TestStreams(t *testing.T) {
	for _, tt := range []struct {
		name    string
		carrier ft.Carrier
	}{{"as Conversations", Carrier{}}, {"XEP-0343", XEP0343{}}} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := streams(t, tt.carrier, ft.Env{Loopback: true}, nil)
			exchange(t, a, b)
			want := ft.StreamInfo{Kind: "datachannel", Local: "host", Remote: "host"}
			if got := a.Info(); got != want {
				t.Errorf("info = %+v, want %+v", got, want)
			}
		})
	}
}

// What is sent is what Conversations sends: candidates one by one, later, with
// the credentials and the attributes.
func TestElementsAreThoseOfConversations(t *testing.T) {
	var first [2]bool
	streams(t, Carrier{}, ft.Env{Loopback: true}, func(from jingle.Role, el jingle.Transport) {
		tr := el.(*datachannel.Transport)
		if tr.SCTPPort != 5000 || tr.MaxMessageSize != 262144 || tr.ICE.Ufrag == "" || tr.ICE.Pwd == "" {
			t.Errorf("%v: %+v", from, tr)
		}
		if !first[from] {
			first[from] = true
			want := map[jingle.Role]iceudp.Setup{jingle.Initiator: iceudp.ActPass, jingle.Responder: iceudp.Active}[from]
			if len(tr.ICE.Fingerprints) != 1 || tr.ICE.Fingerprints[0].Setup != want || tr.ICE.Trickle == nil || len(tr.ICE.Candidates) > 0 {
				t.Errorf("first of %v: %+v", from, tr.ICE)
			}
			return
		}
		if len(tr.ICE.Fingerprints) > 0 || len(tr.ICE.Candidates) != 1 {
			t.Errorf("info of %v: %+v", from, tr.ICE)
		}
	})
}

// Whoever the peer wants to begin the handshake does.
func TestSetup(t *testing.T) {
	for _, setup := range []iceudp.Setup{iceudp.ActPass, iceudp.Active, iceudp.Passive, ""} {
		t.Run(string(setup), func(t *testing.T) {
			_, b := pair(t, Carrier{}, ft.Env{Loopback: true})
			el := good()
			el.ICE.Fingerprints[0].Setup = setup
			if err := b.Remote(el); err != nil {
				t.Fatal(err)
			}
			l, err := b.Local(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := iceudp.Active
			if setup == iceudp.Active {
				want = iceudp.Passive
			}
			if got := iceOf(l).Fingerprints[0].Setup; got != want {
				t.Errorf("setup = %q, want %q", got, want)
			}
		})
	}
}

func good() *datachannel.Transport {
	return &datachannel.Transport{SCTPPort: 5000, MaxMessageSize: 262144, ICE: &iceudp.Transport{
		Ufrag: "ufrag", Pwd: "pwd",
		Fingerprints: []iceudp.Fingerprint{{Hash: "sha-256", Value: strings.Repeat("AA:", 31) + "AA"}},
	}}
}

func TestElementsThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*datachannel.Transport)
	}{
		{"no ICE", func(el *datachannel.Transport) { el.ICE = nil }},
		{"no fingerprint", func(el *datachannel.Transport) { el.ICE.Fingerprints = nil }},
		{"SHA-1", func(el *datachannel.Transport) { el.ICE.Fingerprints[0].Hash = "sha-1" }},
		{"no credentials", func(el *datachannel.Transport) { el.ICE.Ufrag = "" }},
		{"another port", func(el *datachannel.Transport) { el.SCTPPort = 1 }},
		{"tiny messages", func(el *datachannel.Transport) { el.MaxMessageSize = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, b := pair(t, Carrier{}, ft.Env{Loopback: true})
			el := good()
			tt.edit(el)
			if err := b.Remote(el); err == nil {
				t.Error("it was taken")
			}
		})
	}
	_, b := pair(t, XEP0343{}, ft.Env{Loopback: true})
	if err := b.Remote(good().ICE); !errors.Is(err, datachannel.ErrNoMap) {
		t.Errorf("a call's transport: %v, want ErrNoMap", err)
	}
	if err := b.Remote(good()); err == nil {
		t.Error("the other dialect was taken")
	}
}

func TestWrongCertificateIsRefused(t *testing.T) {
	wrong, err := icepath.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, liar := range []jingle.Role{jingle.Initiator, jingle.Responder} {
		t.Run(liar.String(), func(t *testing.T) {
			a, b := pair(t, Carrier{}, ft.Env{Loopback: true})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			oa, ob := connect(t, ctx, a, b, func(from jingle.Role, el jingle.Transport) {
				if f := iceOf(el).Fingerprints; from == liar && len(f) > 0 {
					f[0].Value = wrong.Fingerprint.Value
				}
			})
			if !errors.Is(oa.err, ft.ErrNoPath) || !errors.Is(ob.err, ft.ErrNoPath) {
				t.Errorf("initiator: %v, responder: %v; want ErrNoPath", oa.err, ob.err)
			}
		})
	}
}

func TestRelayOnly(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := turn.NewServer(turn.ServerConfig{
		Realm: "test",
		AuthHandler: func(ra *turn.RequestAttributes) (string, []byte, bool) {
			return ra.Username, turn.GenerateAuthKey(ra.Username, ra.Realm, "secret"), true
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: c, RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{
			RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1",
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	env := ft.Env{Loopback: true, RelayOnly: true, Services: []ft.Service{{URL: "turn:" + c.LocalAddr().String(), Username: "ab", Password: "secret"}}}
	a, b := streams(t, Carrier{}, env, func(from jingle.Role, el jingle.Transport) {
		for _, c := range iceOf(el).Candidates {
			if c.Type != iceudp.Relay || c.RelAddr != "0.0.0.0" || c.RelPort != 0 {
				t.Errorf("%v tells %+v", from, c)
			}
		}
	})
	exchange(t, a, b)
	if got := a.Info(); !got.Relayed || got.Local != "relay" || got.Remote != "relay" {
		t.Errorf("info = %+v", got)
	}
}

// What was written before Close arrives, whoever closes first.
func TestCloseDelivers(t *testing.T) {
	a, b := streams(t, Carrier{}, ft.Env{Loopback: true}, nil)
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
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}

// A side that closes while the other writes ends the other's write.
func TestCloseEndsTheOthersWrite(t *testing.T) {
	a, b := streams(t, Carrier{}, ft.Env{Loopback: true}, nil)
	failed := make(chan error, 1)
	go func() {
		buf := make([]byte, 1<<20)
		for {
			if _, err := a.Write(buf); err != nil {
				failed <- err
				return
			}
		}
	}()
	if _, err := io.CopyN(io.Discard, b, 1<<20); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := <-failed; err == nil {
		t.Error("the write did not fail")
	}
}

func TestDeadlines(t *testing.T) {
	a, b := streams(t, Carrier{}, ft.Env{Loopback: true}, nil)
	// Before there is a channel of the peer, as after it.
	for _, c := range []ft.Stream{a, b} {
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v, want a timeout", err)
		}
	}
	a.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	n, err := a.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v, want a timeout", err)
	}
	if n > 2*high+2*window {
		t.Errorf("%d bytes were taken with nobody to read them", n)
	}
	a.SetWriteDeadline(time.Time{})
	b.SetReadDeadline(time.Time{})
	go a.Write(make([]byte, 10))
	if _, err := io.CopyN(io.Discard, b, int64(n)+10); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A read that begins before the peer has a channel ends with the deadline.
func TestReadBeforeThePeersChannel(t *testing.T) {
	a, _ := streams(t, XEP0343{}, ft.Env{Loopback: true}, nil) // the responder makes none
	got := make(chan error, 1)
	go func() { _, err := a.Read(make([]byte, 1)); got <- err }()
	a.SetReadDeadline(time.Unix(1, 0))
	if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v, want a timeout", err)
	}
}

func TestGivenUp(t *testing.T) {
	a, b := pair(t, Carrier{}, ft.Env{Loopback: true, Services: []ft.Service{{URL: "stun:192.0.2.1:3478"}}})
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

func FuzzRemote(f *testing.F) {
	b, err := xml.Marshal(good())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, false)
	f.Add(bytes.ReplaceAll(b, []byte("5000"), []byte("x")), false)
	m := good().ICE
	datachannel.WithMap(m, datachannel.SCTPMap{Number: 5000, Protocol: datachannel.Protocol})
	if b, err = xml.Marshal(m); err != nil {
		f.Fatal(err)
	}
	f.Add(b, true)
	id, err := icepath.NewIdentity()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte, xep bool) {
		var (
			el jingle.Transport = new(datachannel.Transport)
			d  dialect          = deployed{}
		)
		if xep {
			el, d = new(iceudp.Transport), mapped{}
		}
		if xml.Unmarshal(in, el) != nil {
			return
		}
		path, err := icepath.New(icepath.Config{Role: jingle.Responder, Element: d.info})
		if err != nil {
			t.Fatal(err)
		}
		n := &negotiation{role: jingle.Responder, dialect: d, id: id, log: ft.Env{}.Log(), path: path, pinned: make(chan struct{})}
		defer n.Close()
		first := n.Remote(el)
		if again := n.Remote(el); first == nil && again != nil {
			t.Errorf("the same again: %v", again)
		}
		if first == nil && n.pin.Check([][]byte{in}) == nil {
			t.Error("no certificate is taken")
		}
	})
}
