package bridge

import (
	"testing"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/media"
)

func TestPath(t *testing.T) {
	for _, tt := range []struct {
		local, remote iceudp.CandidateType
		want          state.Path
	}{
		{"", "", ""},
		{iceudp.Host, iceudp.Host, state.PathDirect},
		{iceudp.Host, iceudp.PRflx, state.PathDirect}, // its address was not told yet
		{iceudp.SRflx, iceudp.Host, state.PathNAT},
		{iceudp.Host, iceudp.SRflx, state.PathNAT},
		{iceudp.SRflx, iceudp.Relay, state.PathRelay},
	} {
		pair := media.Pair{Local: iceudp.Candidate{Type: tt.local}, Remote: iceudp.Candidate{Type: tt.remote}}
		if got := stats(media.Stats{Pair: pair}).Path; got != tt.want {
			t.Errorf("%q to %q: %q, want %q", tt.local, tt.remote, got, tt.want)
		}
	}
}
