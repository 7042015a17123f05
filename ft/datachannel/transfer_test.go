package datachannel_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/datachannel"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/quic"
	"github.com/carillon-im/carillon/ft/s5b"
	"github.com/carillon-im/carillon/jingle"
	jdc "github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
	js5b "github.com/carillon-im/carillon/jingle/s5b"
)

// A deaf carrier negotiates, and never finds a path.
type deaf struct{ ft.Carrier }

func (d deaf) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := d.Carrier.New(env, role)
	return deafNegotiation{n}, err
}

type deafNegotiation struct{ ft.Negotiation }

func (deafNegotiation) Open(context.Context) (ft.Stream, error) { return nil, ft.ErrNoPath }

// A frail carrier breaks its first streams after some bytes.
type frail struct {
	ft.Carrier
	left *int
}

func (f frail) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	n, err := f.Carrier.New(env, role)
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
		s = &frailStream{s, 3 << 20}
	}
	return s, err
}

type frailStream struct {
	ft.Stream
	left int
}

func (f *frailStream) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		f.Close()
	}
	return f.Stream.Write(p)
}

func TestTransfers(t *testing.T) {
	carriers := []ft.Carrier{quic.Carrier{}, datachannel.Carrier{}, datachannel.XEP0343{}, s5b.Carrier{}}
	for _, tt := range []struct {
		name   string
		plain  bool
		try    []ft.Carrier
		breaks int
		want   string
	}{
		{name: "QUIC", try: carriers, want: "accepted, quic"},
		{name: "a data channel", try: carriers[1:], want: "accepted, datachannel"},
		{name: "a data channel of XEP-0343", try: carriers[2:], want: "accepted, datachannel"},
		{name: "from QUIC to a data channel", try: []ft.Carrier{deaf{quic.Carrier{}}, carriers[1]}, want: "accepted, failing, datachannel"},
		{name: "from a data channel to SOCKS5", try: []ft.Carrier{deaf{carriers[1]}, carriers[3]}, want: "accepted, failing, s5b"},
		{name: "QUIC that breaks", try: carriers, breaks: 2, want: "accepted, quic, failing, quic, failing, quic"},
		{name: "a data channel that breaks", try: carriers[1:], breaks: 1, want: "accepted, datachannel, failing, datachannel"},
		{name: "a data channel to another client", plain: true, try: carriers[1:], want: "accepted, datachannel"},
		{name: "a data channel of XEP-0343 to another client", plain: true, try: carriers[2:], want: "accepted, datachannel"},
		{name: "from a data channel to SOCKS5 to another client", plain: true, try: []ft.Carrier{deaf{carriers[1]}, carriers[3]}, want: "accepted, failing, s5b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := make([]byte, 9<<20)
			rand.NewChaCha8([32]byte{4}).Read(data)
			file := filepath.Join(t.TempDir(), "f.bin")
			if err := os.WriteFile(file, data, 0o666); err != nil {
				t.Fatal(err)
			}
			src, err := exchange.Scan(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			try := slices.Clone(tt.try)
			if tt.breaks > 0 {
				try[0] = frail{try[0], &tt.breaks}
			}
			var (
				mu     sync.Mutex
				events []string
			)
			env := ft.Env{Loopback: true}
			sender := ft.NewSender
			if tt.plain {
				sender = ft.NewPlainSender
			}
			s, err := sender(ft.SendConfig{Source: src, Carriers: try, Env: env, OnEvent: func(e ft.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch e := e.(type) {
				case ft.Accepted:
					events = append(events, "accepted")
				case ft.Carrying:
					events = append(events, e.Stream.Kind)
				case ft.Failing:
					events = append(events, "failing")
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			r, err := ft.NewReceiver(ft.ReceiveConfig{Dir: t.TempDir(), Carriers: carriers, Env: env})
			if err != nil {
				t.Fatal(err)
			}
			var reg jingle.Registry
			for _, register := range []func(*jingle.Registry){ft.Register, quic.Register, jdc.Register, iceudp.Register, js5b.Register, filetransfer.Register} {
				register(&reg)
			}
			jingletest.Pair(t, jingletest.PairConfig{Registry: &reg}, s, r)
			for _, x := range []*ft.Transfer{s, r} {
				select {
				case <-x.Done():
				case <-time.After(60 * time.Second):
					t.Fatal("the transfer does not end")
				}
			}
			if _, err := s.Result(); err != nil {
				t.Errorf("sender: %v", err)
			}
			res, err := r.Result()
			if err != nil {
				t.Fatalf("receiver: %v", err)
			}
			if got, err := os.ReadFile(res.Paths[0]); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes arrived of %d, %v", len(got), len(data), err)
			}
			if !r.Verified() {
				t.Error("not verified")
			}
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(events, ", "); got != tt.want {
				t.Errorf("events: %s; want %s", got, tt.want)
			}
		})
	}
}
