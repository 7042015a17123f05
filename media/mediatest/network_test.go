package mediatest_test

import (
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/mediatest"
)

func TestCallThroughNATs(t *testing.T) {
	for _, tt := range []struct {
		alice, bob mediatest.NAT
		relayed    bool
	}{
		{mediatest.NoNAT, mediatest.NoNAT, false},
		{mediatest.NoNAT, mediatest.SymmetricNAT, false},
		{mediatest.FullConeNAT, mediatest.FullConeNAT, false},
		{mediatest.RestrictedNAT, mediatest.PortRestrictedNAT, false},
		{mediatest.PortRestrictedNAT, mediatest.PortRestrictedNAT, false},
		{mediatest.SymmetricNAT, mediatest.FullConeNAT, false},
		{mediatest.RestrictedNAT, mediatest.SymmetricNAT, false},
		{mediatest.PortRestrictedNAT, mediatest.SymmetricNAT, true},
		{mediatest.SymmetricNAT, mediatest.SymmetricNAT, true},
	} {
		t.Run(tt.alice.String()+" to "+tt.bob.String(), func(t *testing.T) {
			t.Parallel()
			n := mediatest.NewNetwork(t, tt.alice, tt.bob)
			alice, bob := n.Call(t, mediatest.Audio, func(cfg *media.Config) {
				if !tt.relayed {
					cfg.ICEServers = cfg.ICEServers[:1] // STUN must do
				}
			})
			mediatest.WaitTone(t, bob, mediatest.AliceTone)
			mediatest.WaitTone(t, alice, mediatest.BobTone)
			for _, p := range []*mediatest.Phone{alice, bob} {
				if pair := p.Stats().Pair; pair.Relayed() != tt.relayed {
					t.Errorf("path %s to %s, want relayed = %v", pair.Local.Type, pair.Remote.Type, tt.relayed)
				}
			}
		})
	}
}

func TestRelayOnlyTellsNoOtherAddress(t *testing.T) {
	n := mediatest.NewNetwork(t, mediatest.NoNAT, mediatest.NoNAT)
	alice, bob := n.Call(t, mediatest.Audio, func(cfg *media.Config) { cfg.RelayOnly = true })
	mediatest.WaitTone(t, bob, mediatest.AliceTone)
	mediatest.WaitTone(t, alice, mediatest.BobTone)
	for _, p := range []*mediatest.Phone{alice, bob} {
		if got := p.Stats().Pair.Local.Type; got != iceudp.Relay {
			t.Errorf("local candidate = %v, want relay", got)
		}
	}
	if n.Allocations() != 2 {
		t.Errorf("%d relay addresses in use, want 2", n.Allocations())
	}
}

func TestToneSurvivesLossAndDelay(t *testing.T) {
	n := mediatest.Config{
		Alice: mediatest.FullConeNAT, Bob: mediatest.RestrictedNAT,
		Delay: 40 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.10, Seed: 7,
	}.New(t)
	alice, bob := n.Call(t, mediatest.Audio)
	mediatest.WaitTone(t, bob, mediatest.AliceTone)
	mediatest.WaitTone(t, alice, mediatest.BobTone)
}

func TestCallComesBackAfterAnOutage(t *testing.T) {
	n := mediatest.NewNetwork(t, mediatest.RestrictedNAT, mediatest.FullConeNAT)
	alice, bob := n.Call(t, mediatest.Audio)
	mediatest.WaitTone(t, bob, mediatest.AliceTone)
	n.Cut()
	mediatest.Wait[media.Reconnecting](t, alice)
	mediatest.WaitSilence(t, bob)
	n.Mend()
	mediatest.Wait[media.Connected](t, alice)
	mediatest.WaitTone(t, bob, mediatest.AliceTone)
	mediatest.WaitTone(t, alice, mediatest.BobTone)
}
