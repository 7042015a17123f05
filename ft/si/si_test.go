package si

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/jingle/si"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var alice, bob = jid.MustParse("alice@example.org/a"), jid.MustParse("bob@example.org/b")

type handler = func(jid.JID, xml.TokenReader, func(any, error)) bool

// A post carries IQs between two sides, in order, through XML. What it refuses
// never reaches the other side.
type post struct {
	refuse func(payload string) bool

	mu       sync.Mutex
	handlers map[string][]*handler // by JID and namespace
}

func (p *post) env(local jid.JID) ft.Env {
	serve := func(ns string, h handler) func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		key, own := local.String()+" "+ns, &h
		p.handlers[key] = append(p.handlers[key], own)
		return func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			for i, h := range p.handlers[key] {
				if h == own {
					p.handlers[key] = append(p.handlers[key][:i:i], p.handlers[key][i+1:]...)
					return
				}
			}
		}
	}
	return ft.Env{
		Local: local, Loopback: true, ServeIQ: serve,
		HandleIQ: func(ns string, h func(jid.JID, xml.TokenReader) error) func() {
			return serve(ns, func(from jid.JID, r xml.TokenReader, answer func(any, error)) bool {
				err := h(from, r)
				var e stanza.Error
				if errors.As(err, &e) && e.Condition == stanza.ItemNotFound {
					return false
				}
				answer(nil, err)
				return true
			})
		},
		Ask: func(_ context.Context, to jid.JID, _ stanza.IQType, payload any) (func(context.Context) (xml.TokenReader, error), error) {
			b, err := xml.Marshal(payload)
			if err != nil {
				return nil, err
			}
			var start struct{ XMLName xml.Name }
			if err := xml.Unmarshal(b, &start); err != nil {
				return nil, err
			}
			type answer struct {
				payload []byte
				err     error
			}
			answers := make(chan answer, 1)
			var once sync.Once
			reply := func(result any, err error) {
				var b []byte
				if result != nil && err == nil {
					b, err = xml.Marshal(result)
				}
				once.Do(func() { answers <- answer{b, err} })
			}
			p.mu.Lock()
			list := append([]*handler(nil), p.handlers[to.String()+" "+start.XMLName.Space]...)
			p.mu.Unlock()
			taken := false
			if p.refuse == nil || !p.refuse(string(b)) {
				for _, h := range list {
					if taken = (*h)(local, xml.NewDecoder(bytes.NewReader(b)), reply); taken {
						break
					}
				}
			}
			if !taken {
				reply(nil, stanza.Error{Type: stanza.Cancel, Condition: stanza.ItemNotFound})
			}
			return func(ctx context.Context) (xml.TokenReader, error) {
				select {
				case a := <-answers:
					return xml.NewDecoder(bytes.NewReader(a.payload)), a.err
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}, nil
		},
	}
}

func source(t *testing.T, size int) (*exchange.Source, []byte) {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	path := filepath.Join(t.TempDir(), "f.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := exchange.Scan(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return src, data
}

func wait(t *testing.T, x *Transfer) (*exchange.Result, error) {
	t.Helper()
	select {
	case <-x.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the transfer does not end")
	}
	return x.Result()
}

func TestFileIsTransferred(t *testing.T) {
	both := []ft.Carrier{s5b.Carrier{}, ibb.Carrier{}}
	for _, tt := range []struct {
		name       string
		size       int
		send, take []ft.Carrier
		refuse     func(string) bool
		want       string
	}{
		{"SOCKS5", 1 << 20, both, both, nil, "s5b"},
		{"in band", 100_000, both, both[1:], nil, "ibb"},
		{"nothing at all", 0, both, both, nil, "s5b"},
		{"in band where SOCKS5 fails", 100_000, both, both, func(iq string) bool { return strings.Contains(iq, "streamhost ") }, "ibb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &post{refuse: tt.refuse, handlers: make(map[string][]*handler)}
			src, data := source(t, tt.size)
			dir := t.TempDir()
			taken := make(chan *Transfer, 1)
			remove := Listen(p.env(bob), func(in *Incoming) {
				if in.Offer.Names[0] != "f.bin" || in.Offer.Size != int64(tt.size) {
					t.Errorf("offer = %+v", in.Offer)
				}
				x, err := in.Receive(ft.ReceiveConfig{Dir: dir, Carriers: tt.take, Env: p.env(bob)})
				if err != nil {
					t.Errorf("receive: %v", err)
				}
				taken <- x
			})
			defer remove()
			env := p.env(alice)
			env.Peer, env.SID = bob, "s1"
			var kind string
			x, err := Send(ft.SendConfig{Source: src, Carriers: tt.send, Env: env, OnEvent: func(e ft.Event) {
				if c, ok := e.(ft.Carrying); ok {
					kind = c.Stream.Kind
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if res, err := wait(t, x); err != nil || res.Bytes != int64(tt.size) {
				t.Errorf("sender: %+v, %v", res, err)
			}
			res, err := wait(t, <-taken)
			if err != nil {
				t.Fatalf("receiver: %v", err)
			}
			if got, err := os.ReadFile(res.Paths[0]); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes arrived of %d, %v", len(got), len(data), err)
			}
			if kind != tt.want {
				t.Errorf("carried by %q, want %q", kind, tt.want)
			}
		})
	}
}

func TestDeclined(t *testing.T) {
	p := &post{handlers: make(map[string][]*handler)}
	src, _ := source(t, 10)
	dir := t.TempDir()
	remove := Listen(p.env(bob), func(in *Incoming) {
		in.Receive(ft.ReceiveConfig{Dir: dir, Carriers: []ft.Carrier{ibb.Carrier{}}, Env: p.env(bob),
			Decide: func(context.Context, ft.Offer) error { return errors.New("no") }})
	})
	defer remove()
	env := p.env(alice)
	env.Peer, env.SID = bob, "s1"
	x, err := Send(ft.SendConfig{Source: src, Carriers: []ft.Carrier{ibb.Carrier{}}, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wait(t, x); !errors.Is(err, ft.ErrDeclined) {
		t.Errorf("sender: %v, want ErrDeclined", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		t.Errorf("the folder has %v, %v", list, err)
	}
}

// Whatever an offer says, the receiver answers it once and leaves nothing
// behind.
func TestOffersThatMakeNoSense(t *testing.T) {
	size, negative := int64(5), int64(-1)
	for name, offer := range map[string]*si.SI{
		"another profile": {ID: "a", Profile: "urn:example:other", File: &si.File{Name: "x", Size: &size}},
		"no file":         {ID: "a", Profile: si.NSFile},
		"no size":         si.NewOffer("a", "", si.File{Name: "x"}, "http://jabber.org/protocol/ibb"),
		"negative size":   si.NewOffer("a", "", si.File{Name: "x", Size: &negative}, "http://jabber.org/protocol/ibb"),
		"no stream id":    si.NewOffer("", "", si.File{Name: "x", Size: &size}, "http://jabber.org/protocol/ibb"),
		"no method":       si.NewOffer("a", "", si.File{Name: "x", Size: &size}),
		"unknown method":  si.NewOffer("a", "", si.File{Name: "x", Size: &size}, "jabber:iq:oob"),
	} {
		t.Run(name, func(t *testing.T) {
			p := &post{handlers: make(map[string][]*handler)}
			dir := t.TempDir()
			remove := Listen(p.env(bob), func(in *Incoming) {
				if _, err := in.Receive(ft.ReceiveConfig{Dir: dir, Carriers: []ft.Carrier{ibb.Carrier{}}, Env: p.env(bob)}); err == nil {
					t.Error("the offer is taken")
				}
			})
			defer remove()
			_, err := p.env(alice).IQ(t.Context(), bob, stanza.SetIQ, offer)
			var e stanza.Error
			if !errors.As(err, &e) || e.Condition != stanza.BadRequest {
				t.Errorf("answer = %v, want bad-request", err)
			}
			if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
				t.Errorf("the folder has %v, %v", list, err)
			}
		})
	}
}

// A sender that stops in the middle leaves no file that looks whole.
func TestSenderStops(t *testing.T) {
	p := &post{handlers: make(map[string][]*handler)}
	src, _ := source(t, 1<<20)
	dir := t.TempDir()
	taken := make(chan *Transfer, 1)
	remove := Listen(p.env(bob), func(in *Incoming) {
		x, _ := in.Receive(ft.ReceiveConfig{Dir: dir, Carriers: []ft.Carrier{s5b.Carrier{}}, Env: p.env(bob)})
		taken <- x
	})
	defer remove()
	env := p.env(alice)
	env.Peer, env.SID = bob, "s1"
	began := make(chan struct{}, 1)
	x, err := Send(ft.SendConfig{Source: src, Carriers: []ft.Carrier{s5b.Carrier{}}, Env: env, Limit: 200 << 10, OnEvent: func(e ft.Event) {
		if _, ok := e.(ft.Carrying); ok {
			began <- struct{}{}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	<-began
	x.Cancel()
	if _, err := wait(t, x); !errors.Is(err, exchange.ErrCancelled) {
		t.Errorf("sender: %v, want ErrCancelled", err)
	}
	if _, err := wait(t, <-taken); err == nil {
		t.Error("the receiver thinks it is done")
	}
	if _, err := os.Stat(filepath.Join(dir, "f.bin")); err == nil {
		t.Error("a file that is not whole has its name")
	}
}

// A receiver that closes the stream does not want the file any more. One that is
// not there afterwards is another matter: its program ended.
func TestReceiverStops(t *testing.T) {
	s5b, ibb := ft.Carrier(s5b.Carrier{}), ft.Carrier(ibb.Carrier{})
	for _, tt := range []struct {
		name  string
		c     ft.Carrier
		there bool
	}{{"SOCKS5", s5b, true}, {"in band", ibb, true}, {"SOCKS5, and is gone", s5b, false}, {"in band, and is gone", ibb, false}} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.c
			p := &post{handlers: make(map[string][]*handler)}
			if tt.there {
				defer p.env(bob).ServeIQ("http://jabber.org/protocol/disco#info", func(_ jid.JID, _ xml.TokenReader, answer func(any, error)) bool {
					answer(nil, nil)
					return true
				})()
			}
			src, _ := source(t, 1<<20)
			taken := make(chan *Transfer, 1)
			remove := Listen(p.env(bob), func(in *Incoming) {
				x, _ := in.Receive(ft.ReceiveConfig{Dir: t.TempDir(), Carriers: []ft.Carrier{c}, Env: p.env(bob)})
				taken <- x
			})
			defer remove()
			env := p.env(alice)
			env.Peer, env.SID = bob, "s1"
			began := make(chan struct{}, 1)
			x, err := Send(ft.SendConfig{Source: src, Carriers: []ft.Carrier{c}, Env: env, Limit: 200 << 10, OnEvent: func(e ft.Event) {
				if _, ok := e.(ft.Carrying); ok {
					began <- struct{}{}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			<-began
			(<-taken).Cancel()
			if _, err := wait(t, x); err == nil || errors.Is(err, exchange.ErrCancelled) != tt.there {
				t.Errorf("sender: %v, want ErrCancelled %v", err, tt.there)
			}
		})
	}
}

// A tcp is a stream over TCP, of which hook is called after its end was sent.
type tcp struct {
	*net.TCPConn
	hook func()
}

func (tcp) Info() ft.StreamInfo { return ft.StreamInfo{Kind: "s5b"} }

func (s tcp) CloseWrite() error {
	defer s.hook()
	return s.TCPConn.CloseWrite()
}

// A receiver that closes with bytes unread does not have the file, though all of
// it was written.
func TestReceiverClosesUnread(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		name                 string
		early, unread, wrong bool
	}{
		{"before our end", true, true, true}, {"after our end", false, true, true}, {"having read all", false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			theirs, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			if _, err := ours.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			read := 1000
			if tt.unread {
				read = 1
			}
			if _, err := io.ReadFull(theirs, make([]byte, read)); err != nil {
				t.Fatal(err)
			}
			s := tcp{ours.(*net.TCPConn), func() { theirs.Close() }}
			if tt.early {
				theirs.Close()
			}
			x := &Transfer{ctx: t.Context()}
			if err := x.awaitClose(s); closed(err) != tt.wrong || (err != nil) != tt.wrong {
				t.Errorf("got %v; want an error of a closed stream: %v", err, tt.wrong)
			}
		})
	}
}
