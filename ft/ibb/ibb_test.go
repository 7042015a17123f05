package ibb

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/ibb"
	"go.uber.org/goleak"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var alice, bob = jid.MustParse("alice@example.org/a"), jid.MustParse("bob@example.org/b")

// A post carries IQs between two sides, in order, through XML.
type post struct {
	mu       sync.Mutex
	handlers map[string]func(jid.JID, xml.TokenReader) error
	flying   int
	most     int
	delay    func() // before an answer
	lose     func(payload []byte) bool
}

func (p *post) env(local, peer jid.JID) ft.Env {
	return ft.Env{
		Local: local, Peer: peer,
		Ask: func(_ context.Context, to jid.JID, _ stanza.IQType, payload any) (func(context.Context) (xml.TokenReader, error), error) {
			b, err := xml.Marshal(payload)
			if err != nil {
				return nil, err
			}
			p.mu.Lock()
			h := p.handlers[to.String()]
			p.flying++
			p.most = max(p.most, p.flying)
			lost := p.lose != nil && p.lose(b)
			p.mu.Unlock()
			switch {
			case lost:
			case h == nil:
				err = stanza.Error{Condition: stanza.ServiceUnavailable}
			default:
				err = h(local, xml.NewDecoder(bytes.NewReader(b)))
			}
			return func(context.Context) (xml.TokenReader, error) {
				if p.delay != nil {
					p.delay()
				}
				p.mu.Lock()
				p.flying--
				p.mu.Unlock()
				return nil, err
			}, nil
		},
		HandleIQ: func(ns string, h func(jid.JID, xml.TokenReader) error) func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.handlers[local.String()] = h
			return func() { p.mu.Lock(); defer p.mu.Unlock(); delete(p.handlers, local.String()) }
		},
	}
}

func newPost() *post {
	return &post{handlers: make(map[string]func(jid.JID, xml.TokenReader) error)}
}

// streams opens a bytestream from alice to bob, with bob's block size.
func streams(t *testing.T, p *post, size uint16) (a, b *stream) {
	t.Helper()
	na, err := Carrier{}.New(p.env(alice, bob), jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	nb, err := Carrier{}.New(p.env(bob, alice), jingle.Responder)
	if err != nil {
		t.Fatal(err)
	}
	defer na.Close()
	defer nb.Close()
	offer, _ := na.Local(t.Context())
	if err := nb.Remote(offer); err != nil {
		t.Fatal(err)
	}
	answer, _ := nb.Local(t.Context())
	ta := *answer.(*ibb.Transport)
	if size > 0 {
		ta.BlockSize = size
	}
	if err := na.Remote(&ta); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var ea, eb error
	go func() {
		defer close(done)
		var s ft.Stream
		if s, ea = na.Open(t.Context()); ea == nil {
			a = s.(*stream)
		}
	}()
	s, eb := nb.Open(t.Context())
	<-done
	if ea != nil || eb != nil {
		t.Fatal(ea, eb)
	}
	b = s.(*stream)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestBytesArrive(t *testing.T) {
	for _, size := range []uint16{0, 4096, 100} {
		p := newPost()
		a, b := streams(t, p, size)
		data := make([]byte, 300_000)
		rand.NewChaCha8([32]byte{1}).Read(data)
		done := make(chan error, 1)
		go func() {
			_, err := a.Write(data)
			done <- errors.Join(err, a.CloseWrite())
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("block size %d: %d bytes, %v", size, len(got), err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if a.Info().Kind != "ibb" || !a.Info().Relayed {
			t.Errorf("info = %+v", a.Info())
		}
	}
}

// Both close at once: the one whose close comes second hears of no such stream.
func TestClosesCross(t *testing.T) {
	p := newPost()
	a, _ := streams(t, p, 1000)
	if _, err := a.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.handlers[bob.String()] = func(jid.JID, xml.TokenReader) error { return stanzaError(stanza.ItemNotFound) }
	p.mu.Unlock()
	if err := a.CloseWrite(); err != nil {
		t.Errorf("close: %v; every block was acknowledged", err)
	}
}

func TestSequenceWraps(t *testing.T) {
	p := newPost()
	a, b := streams(t, p, 64)
	n := 64 * (1<<16 + 10)
	go func() { a.Write(make([]byte, n)); a.CloseWrite() }()
	if got, err := io.Copy(io.Discard, b); got != int64(n) || err != nil {
		t.Errorf("%d of %d bytes, %v", got, n, err)
	}
}

func TestWindowIsBounded(t *testing.T) {
	p := newPost()
	hold := make(chan struct{})
	a, b := streams(t, p, 1000)
	p.delay = func() { <-hold }
	done := make(chan struct{})
	go func() { defer close(done); a.Write(make([]byte, 100_000)); a.CloseWrite() }()
	go io.Copy(io.Discard, b)
	close(hold)
	<-done
	if p.most > maxWindow+1 {
		t.Errorf("%d blocks under way at once", p.most)
	}
}

func TestLostBlockEndsTheStream(t *testing.T) {
	p := newPost()
	a, b := streams(t, p, 1000)
	n := 0
	p.lose = func(b []byte) bool {
		if bytes.HasPrefix(b, []byte("<data")) {
			n++
		}
		return n == 5
	}
	go func() { a.Write(make([]byte, 10_000)); a.CloseWrite() }()
	got, err := io.Copy(io.Discard, b)
	if !errors.Is(err, io.ErrUnexpectedEOF) || got != 4000 {
		t.Errorf("read %d bytes, %v; want the four before and an error", got, err)
	}
}

func TestHostilePeer(t *testing.T) {
	p := newPost()
	_, b := streams(t, p, 100)
	say := func(from jid.JID, s string) error { return b.handle(from, xml.NewDecoder(bytes.NewReader([]byte(s)))) }
	const ns = `xmlns='http://jabber.org/protocol/ibb'`
	data := func(seq, sid, text string) string {
		return `<data ` + ns + ` seq='` + seq + `' sid='` + sid + `'>` + text + `</data>`
	}
	for _, tt := range []struct {
		name string
		from jid.JID
		say  string
		want stanza.Condition
	}{
		{"somebody else", jid.MustParse("mallory@example.org/m"), data("0", b.sid, "AAAA"), stanza.ItemNotFound},
		{"another device", jid.MustParse("alice@example.org/other"), data("0", b.sid, "AAAA"), stanza.ItemNotFound},
		{"another stream", alice, data("0", "x", "AAAA"), stanza.ItemNotFound},
		{"number that is none", alice, data("-1", b.sid, "AAAA"), stanza.BadRequest},
		{"number out of range", alice, data("65536", b.sid, "AAAA"), stanza.BadRequest},
		{"close of another stream", alice, `<close ` + ns + ` sid='x'/>`, stanza.ItemNotFound},
		{"open with tiny blocks", alice, `<open ` + ns + ` sid='x' block-size='1'/>`, stanza.BadRequest},
		{"unknown element", alice, `<steal ` + ns + `/>`, stanza.FeatureNotImplemented},
		{"text", alice, `hello`, stanza.BadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var se stanza.Error
			if err := say(tt.from, tt.say); !errors.As(err, &se) || se.Condition != tt.want {
				t.Errorf("answer = %v, want %s", err, tt.want)
			}
		})
	}
	if err := say(alice, data("0", b.sid, "AAAA")); err != nil {
		t.Errorf("after all that a good block gets %v", err)
	}
	if err := say(alice, data("2", b.sid, "AAAA")); err == nil {
		t.Error("a block out of order was taken")
	}
}

func TestPeerThatIsNotReadStopsAtTheLimit(t *testing.T) {
	p := newPost()
	_, b := streams(t, p, 60000)
	block := make([]byte, b.size)
	var err error
	for seq := uint16(0); err == nil && seq < 1000; seq++ {
		err = b.receive(ibb.NewData(b.sid, seq, block))
	}
	if len(b.in) > maxBuffered || err == nil {
		t.Errorf("%d bytes are held, %v", len(b.in), err)
	}
}

func TestDeadlines(t *testing.T) {
	p := newPost()
	a, b := streams(t, p, 100)
	b.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	hold := make(chan struct{})
	p.delay = func() { <-hold }
	a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := a.Write(make([]byte, 10_000)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	close(hold)
}

// A block of the responder may be there before the initiator has heard that
// its stream is open.
func TestFirstBlockRightBehindTheAnswer(t *testing.T) {
	p := newPost()
	ours, said := p.env(alice, bob), make(chan struct{})
	ask := ours.Ask
	ours.Ask = func(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (func(context.Context) (xml.TokenReader, error), error) {
		wait, err := ask(ctx, to, typ, payload)
		return func(ctx context.Context) (xml.TokenReader, error) { <-said; return wait(ctx) }, err
	}
	na, err := Carrier{}.New(ours, jingle.Initiator)
	if err != nil {
		t.Fatal(err)
	}
	nb, err := Carrier{}.New(p.env(bob, alice), jingle.Responder)
	if err != nil {
		t.Fatal(err)
	}
	defer na.Close()
	defer nb.Close()
	offer, _ := na.Local(t.Context())
	if err := nb.Remote(offer); err != nil {
		t.Fatal(err)
	}
	answer, _ := nb.Local(t.Context())
	if err := na.Remote(answer); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		defer close(said)
		b, err := nb.Open(t.Context())
		if err != nil {
			sent <- err
			return
		}
		t.Cleanup(func() { b.Close() })
		_, err = io.WriteString(b, "hello")
		sent <- err
	}()
	a, err := na.Open(t.Context())
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.SetReadDeadline(time.Now().Add(5 * time.Second))
	got := make([]byte, 5)
	if _, err := io.ReadFull(a, got); err != nil || string(got) != "hello" {
		t.Errorf("received %q, %v", got, err)
	}
}
