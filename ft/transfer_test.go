package ft_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	"github.com/carillon-im/carillon/jingle/jingletest"
	js5b "github.com/carillon-im/carillon/jingle/s5b"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func registry() *jingle.Registry {
	var reg jingle.Registry
	ft.Register(&reg)
	tcp.Register(&reg)
	js5b.Register(&reg)
	filetransfer.Register(&reg)
	return &reg
}

// A case of one transfer between two sides that share nothing but the session.
type transfer struct {
	send ft.SendConfig
	take ft.ReceiveConfig
	tap  func(jingle.Role, *jingle.Jingle)

	mu     sync.Mutex
	events []string
	file   string
}

func newFile(t *testing.T, n int) *transfer {
	t.Helper()
	x := &transfer{file: filepath.Join(t.TempDir(), "f.bin")}
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(data)
	if err := os.WriteFile(x.file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	src, err := exchange.Scan(t.Context(), x.file)
	if err != nil {
		t.Fatal(err)
	}
	x.send = ft.SendConfig{Source: src, Carriers: []ft.Carrier{tcp.Carrier{}}, Env: ft.Env{Loopback: true}, OnEvent: x.event}
	x.take = ft.ReceiveConfig{Dir: t.TempDir(), Carriers: []ft.Carrier{tcp.Carrier{}, s5b.Carrier{}}, Env: ft.Env{Loopback: true}}
	return x
}

func (x *transfer) event(e ft.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch e := e.(type) {
	case ft.Accepted:
		x.events = append(x.events, "accepted")
	case ft.Carrying:
		x.events = append(x.events, "carrying "+e.Stream.Kind)
	case ft.Failing:
		x.events = append(x.events, "failing "+e.Kind)
	}
}

// run returns both transfers when they are over.
func (x *transfer) run(t *testing.T) (s, r *ft.Transfer) {
	t.Helper()
	return x.runWith(t, ft.NewSender)
}

// begin begins both, and returns them with the connections of their sessions.
func (x *transfer) begin(t *testing.T, sender func(ft.SendConfig) (*ft.Transfer, error)) (s, r *ft.Transfer, a, b *jingletest.Conn) {
	t.Helper()
	s, err := sender(x.send)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = ft.NewReceiver(x.take); err != nil {
		t.Fatal(err)
	}
	a, b = jingletest.Pair(t, jingletest.PairConfig{Registry: registry(), Tap: x.tap}, s, r)
	return s, r, a, b
}

func (x *transfer) runWith(t *testing.T, sender func(ft.SendConfig) (*ft.Transfer, error)) (s, r *ft.Transfer) {
	t.Helper()
	s, r, _, _ = x.begin(t, sender)
	for _, tr := range []*ft.Transfer{s, r} {
		select {
		case <-tr.Done():
		case <-time.After(30 * time.Second):
			t.Fatal("the transfer does not end")
		}
	}
	return s, r
}

func (x *transfer) arrived(t *testing.T, r *ft.Transfer) {
	t.Helper()
	res, err := r.Result()
	if err != nil {
		t.Fatalf("receiver: %v", err)
	}
	want, _ := os.ReadFile(x.file)
	if got, err := os.ReadFile(res.Paths[0]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived of %d, %v", len(got), len(want), err)
	}
}

func TestFileIsTransferred(t *testing.T) {
	x := newFile(t, 3<<20)
	s, r := x.run(t)
	x.arrived(t, r)
	if res, err := s.Result(); err != nil || res.Bytes != 3<<20 {
		t.Errorf("sender: %+v, %v", res, err)
	}
	if got := x.events; len(got) != 2 || got[0] != "accepted" || got[1] != "carrying tcp" {
		t.Errorf("events: %q", got)
	}
}

// A carrier that never finds a path.
type hopeless struct{ tcp.Carrier }

func (hopeless) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := tcp.Carrier{}.New(env, role)
	return hopelessNegotiation{n}, err
}

type hopelessNegotiation struct{ ft.Negotiation }

func (hopelessNegotiation) Open(context.Context) (ft.Stream, error) { return nil, ft.ErrNoPath }

func TestNextCarrierIsTried(t *testing.T) {
	x := newFile(t, 3<<20)
	x.send.Carriers = []ft.Carrier{hopeless{}, s5b.Carrier{}}
	_, r := x.run(t)
	x.arrived(t, r)
	if got := x.events; len(got) != 3 || got[1] != "failing "+tcp.NS || got[2] != "carrying s5b" {
		t.Errorf("events: %q", got)
	}
}

// A silent carrier knows after a moment whether it finds a path, and does not.
type silent struct{ tcp.Carrier }

func (silent) Patience() time.Duration { return 20 * time.Millisecond }

func (s silent) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := s.Carrier.New(env, role)
	return silentNegotiation{n}, err
}

type silentNegotiation struct{ ft.Negotiation }

func (silentNegotiation) Open(ctx context.Context) (ft.Stream, error) {
	<-ctx.Done()
	return nil, errors.Join(ft.ErrNoPath, context.Cause(ctx))
}

// Nobody waits for all of the time that a carrier has when another one follows.
func TestNextCarrierIsTriedSoon(t *testing.T) {
	x := newFile(t, 1000)
	x.send.Carriers = []ft.Carrier{silent{}, s5b.Carrier{}}
	began := time.Now()
	_, r := x.run(t)
	x.arrived(t, r)
	if took := time.Since(began); took > 8*time.Second { // alone it would have 10 s
		t.Errorf("the next carrier was tried after %v", took)
	}
	if got := x.events; len(got) != 3 || got[2] != "carrying s5b" {
		t.Errorf("events: %q", got)
	}
}

func TestNoCarrierWorks(t *testing.T) {
	x := newFile(t, 1000)
	x.send.Carriers = []ft.Carrier{hopeless{}}
	s, r := x.run(t)
	if _, err := s.Result(); !errors.Is(err, ft.ErrNoPath) {
		t.Errorf("sender: %v, want ErrNoPath", err)
	}
	if _, err := r.Result(); err == nil {
		t.Error("the receiver thinks it is done")
	}
}

// A frail carrier breaks its first streams after some bytes.
type frail struct {
	tcp.Carrier
	left *int
}

func (f frail) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := tcp.Carrier{}.New(env, role)
	return frailNegotiation{n, f.left}, err
}

type frailNegotiation struct {
	ft.Negotiation
	left *int
}

func (f frailNegotiation) Open(ctx context.Context) (ft.Stream, error) {
	s, err := f.Negotiation.Open(ctx)
	if err == nil && *f.left > 0 {
		*f.left--
		s = &frailStream{s, 5 << 20}
	}
	return s, err
}

type frailStream struct {
	ft.Stream
	left int
}

func (f *frailStream) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		f.Stream.Close()
		return 0, io.ErrClosedPipe
	}
	return f.Stream.Write(p)
}

func TestBrokenStreamIsReplacedAndResumed(t *testing.T) {
	x := newFile(t, 20<<20)
	breaks := 2
	x.send.Carriers = []ft.Carrier{frail{left: &breaks}}
	s, r := x.run(t)
	x.arrived(t, r)
	res, err := s.Result()
	if err != nil || res.Wire > 20<<20+10<<20 {
		t.Errorf("sender: %d bytes crossed, %v", res.Wire, err)
	}
	if res, _ := r.Result(); res.Kept < 1<<20 {
		t.Errorf("the last stream kept %d bytes", res.Kept)
	}
}

func TestReceiverDecides(t *testing.T) {
	x := newFile(t, 1000)
	var asked ft.Offer
	x.take.Decide = func(_ context.Context, o ft.Offer) error { asked = o; return errors.New("no") }
	revealed := false
	x.tap = func(from jingle.Role, j *jingle.Jingle) {
		if from == jingle.Responder && len(j.Contents) > 0 {
			revealed = true
		}
	}
	s, r := x.run(t)
	if _, err := s.Result(); !errors.Is(err, ft.ErrDeclined) {
		t.Errorf("sender: %v, want ErrDeclined", err)
	}
	if _, err := r.Result(); !errors.Is(err, ft.ErrDeclined) {
		t.Errorf("receiver: %v, want ErrDeclined", err)
	}
	if asked.Size != 1000 || asked.Files != 1 || len(asked.Names) != 1 || asked.Names[0] != "f.bin" || !asked.Resumable {
		t.Errorf("asked about %+v", asked)
	}
	if revealed {
		t.Error("the receiver revealed a transport before it decided")
	}
}

func TestOfferTakenBackWhileAPersonThinks(t *testing.T) {
	x := newFile(t, 1000)
	var s *ft.Transfer
	thinking := make(chan struct{})
	x.take.Decide = func(ctx context.Context, _ ft.Offer) error {
		close(thinking)
		<-ctx.Done()
		return nil
	}
	var err error
	if s, err = ft.NewSender(x.send); err != nil {
		t.Fatal(err)
	}
	r, err := ft.NewReceiver(x.take)
	if err != nil {
		t.Fatal(err)
	}
	jingletest.Pair(t, jingletest.PairConfig{Registry: registry()}, s, r)
	<-thinking
	s.Cancel()
	<-r.Done()
	<-s.Done()
	if _, err := r.Result(); !errors.Is(err, exchange.ErrCancelled) {
		t.Errorf("receiver: %v, want ErrCancelled", err)
	}
}

func TestWrongOffersAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*jingle.Jingle)
	}{
		{"negative size", func(j *jingle.Jingle) { j.Contents[0].Description.(*ft.Description).Size = -1 }},
		{"no roots", func(j *jingle.Jingle) { j.Contents[0].Description.(*ft.Description).Roots = nil }},
		{"unknown transport", func(j *jingle.Jingle) {
			j.Contents[0].Transport = &jingle.Unknown{XMLName: xmlName("urn:example:carrier-pigeon", "transport")}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newFile(t, 10)
			x.tap = func(from jingle.Role, j *jingle.Jingle) {
				if j.Action == jingle.ActionSessionInitiate {
					tt.edit(j)
				}
			}
			// An offer that the engine refuses never reaches the receiver.
			s, _, _, _ := x.begin(t, ft.NewSender)
			<-s.Done()
			if _, err := s.Result(); !errors.Is(err, ft.ErrUnsupported) {
				t.Errorf("sender: %v, want ErrUnsupported", err)
			}
		})
	}
}

// What comes must be what a person was shown.
func TestLiesAboutWhatComes(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*ft.Description)
	}{
		{"smaller", func(d *ft.Description) { d.Size = 9 }},
		{"fewer files", func(d *ft.Description) { d.Files = 0 }},
		{"another name", func(d *ft.Description) { d.Roots[0].Name = "holiday.jpg" }},
		{"more names", func(d *ft.Description) { d.Roots = append(d.Roots, ft.Root{Name: "holiday.jpg"}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newFile(t, 10)
			x.tap = func(from jingle.Role, j *jingle.Jingle) {
				if j.Action == jingle.ActionSessionInitiate {
					tt.edit(j.Contents[0].Description.(*ft.Description))
				}
			}
			_, r := x.run(t)
			if _, err := r.Result(); !errors.Is(err, exchange.ErrManifest) {
				t.Errorf("receiver: %v, want ErrManifest", err)
			}
			if left, err := os.ReadDir(x.take.Dir); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

func xmlName(space, local string) xml.Name { return xml.Name{Space: space, Local: local} }

func TestPlainTransfer(t *testing.T) {
	for _, tt := range []struct {
		name     string
		tap      func(jingle.Role, *jingle.Jingle)
		verified bool
		err      error
	}{
		{name: "with a checksum afterwards", verified: true},
		{name: "without a hash", tap: func(_ jingle.Role, j *jingle.Jingle) {
			for _, c := range j.Contents {
				if d, ok := c.Description.(*filetransfer.Description); ok {
					d.File.HashUsed = nil
				}
			}
			if j.Action == jingle.ActionSessionInfo {
				j.Payloads = []jingle.Payload{filetransfer.NewReceived("other")}
			}
		}},
		{name: "with a wrong checksum", err: exchange.ErrCorrupt, tap: func(_ jingle.Role, j *jingle.Jingle) {
			for _, p := range j.Payloads {
				if i := p.(*filetransfer.Info); i.File != nil {
					i.File.Hashes[0].Value = make([]byte, 32)
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newFile(t, 3<<20)
			x.tap = tt.tap
			s, r := x.runWith(t, ft.NewPlainSender)
			res, err := r.Result()
			if !errors.Is(err, tt.err) || r.Verified() != tt.verified {
				t.Fatalf("receiver: %+v, verified %v, %v", res, r.Verified(), err)
			}
			if tt.err != nil {
				return
			}
			x.arrived(t, r)
			if _, err := s.Result(); err != nil {
				t.Errorf("sender: %v", err)
			}
		})
	}
}

func TestPlainTransferFallsBack(t *testing.T) {
	x := newFile(t, 100_000)
	x.send.Carriers = []ft.Carrier{hopeless{}, s5b.Carrier{}}
	_, r := x.runWith(t, ft.NewPlainSender)
	x.arrived(t, r)
}

// The side that fails says why itself; that the other then ends the session
// explains nothing.
// The stream of a sender that cancels ends before its session does, as with
// Gajim 1.7.3 in band: that it cancelled is known all the same.
func TestPlainSenderCancelsOnTheStreamFirst(t *testing.T) {
	x := newFile(t, 10<<20)
	x.send.Carriers, x.send.Limit = []ft.Carrier{s5b.Carrier{}}, 1<<20
	carrying := make(chan struct{}, 1)
	x.take.OnEvent = func(e ft.Event) {
		if _, ok := e.(ft.Carrying); ok {
			carrying <- struct{}{}
		}
	}
	s, err := ft.NewPlainSender(x.send)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ft.NewReceiver(x.take)
	if err != nil {
		t.Fatal(err)
	}
	jingletest.Pair(t, jingletest.PairConfig{Registry: registry(), Delay: 100 * time.Millisecond}, s, r)
	<-carrying
	s.Cancel()
	<-r.Done()
	if _, err := r.Result(); !errors.Is(err, exchange.ErrCancelled) {
		t.Errorf("receiver: %v, want ErrCancelled", err)
	}
}

func TestReceiverThatFailsSaysWhy(t *testing.T) {
	x := newFile(t, 5<<20)
	x.take.Accept = func(exchange.Manifest) error { return exchange.ErrDiskFull }
	s, r := x.run(t)
	if _, err := r.Result(); !errors.Is(err, exchange.ErrDiskFull) {
		t.Errorf("receiver: %v, want %v", err, exchange.ErrDiskFull)
	}
	var said *exchange.PeerError
	if _, err := s.Result(); !errors.As(err, &said) {
		t.Errorf("sender: %v, want what the receiver said", err)
	}
}

// watched is direct TCP that tells how many bytes were written.
type watched struct {
	tcp.Carrier
	wrote func(total int)
}

func (w *watched) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := w.Carrier.New(env, role)
	return watchedNegotiation{n, w}, err
}

type watchedNegotiation struct {
	ft.Negotiation
	w *watched
}

func (n watchedNegotiation) Open(ctx context.Context) (ft.Stream, error) {
	s, err := n.Negotiation.Open(ctx)
	return &watchedStream{s, n.w, 0}, err
}

type watchedStream struct {
	ft.Stream
	w     *watched
	total int
}

func (s *watchedStream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	s.total += n
	s.w.wrote(s.total)
	return n, err
}

// A sender with a limit is nearly always in the middle of a block.
func TestPauseInTheMiddleOfABlock(t *testing.T) {
	x := newFile(t, 5<<20)
	x.send.Limit = 1 << 30
	var s *ft.Transfer
	x.send.Carriers = []ft.Carrier{&watched{wrote: func(total int) {
		if total > 3<<19 {
			s.Pause()
		}
	}}}
	_, r := x.runWith(t, func(cfg ft.SendConfig) (_ *ft.Transfer, err error) {
		s, err = ft.NewSender(cfg)
		return s, err
	})
	if _, err := r.Result(); !errors.Is(err, exchange.ErrPaused) {
		t.Errorf("receiver: %v, want %v", err, exchange.ErrPaused)
	}
}
