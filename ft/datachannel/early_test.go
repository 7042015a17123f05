package datachannel_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/datachannel"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	jdc "github.com/carillon-im/carillon/jingle/datachannel"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
)

// Candidates trickle while a person decides, and are there when they have
// accepted: here they are all there is, since the answer's never arrive.
func TestCandidatesComeBeforeTheAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.bin")
	if err := os.WriteFile(file, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := exchange.Scan(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	env := ft.Env{Loopback: true}
	carriers := []ft.Carrier{datachannel.Carrier{}}
	s, err := ft.NewPlainSender(ft.SendConfig{Source: src, Carriers: carriers, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	trickled := make(chan struct{}) // closed when a candidate has come
	r, err := ft.NewReceiver(ft.ReceiveConfig{Dir: t.TempDir(), Carriers: carriers, Env: env,
		Decide: func(ctx context.Context, _ ft.Offer) error {
			select {
			case <-trickled:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	var reg jingle.Registry
	for _, register := range []func(*jingle.Registry){jdc.Register, iceudp.Register, filetransfer.Register} {
		register(&reg)
	}
	accepted := false
	jingletest.Pair(t, jingletest.PairConfig{Registry: &reg, Tap: func(from jingle.Role, j *jingle.Jingle) {
		accepted = accepted || j.Action == jingle.ActionSessionAccept
		for i := range j.Contents {
			tr, ok := j.Contents[i].Transport.(*jdc.Transport)
			if !ok || j.Action != jingle.ActionTransportInfo {
				continue
			}
			if from == jingle.Responder || accepted {
				tr.ICE.Candidates = nil
				continue
			}
			once.Do(func() { close(trickled) })
		}
	}}, s, r)
	for _, x := range []*ft.Transfer{s, r} {
		select {
		case <-x.Done():
		case <-time.After(60 * time.Second):
			t.Fatal("the transfer does not end")
		}
		if _, err := x.Result(); err != nil {
			t.Error(err)
		}
	}
}
