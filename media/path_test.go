package media

import (
	"fmt"
	"testing"

	"github.com/carillon-im/carillon/jingle/iceudp"
)

// A check may be here before the candidate that it comes from; then the path is
// direct all the same.
func TestKindOfACandidateWhoseCheckCameFirst(t *testing.T) {
	l := &peerLink{}
	seen := func(ip string, port uint16) iceudp.CandidateType {
		return l.kind(iceudp.Candidate{IP: ip, Port: port, Type: iceudp.PRflx})
	}
	if k := seen("192.0.2.1", 5000); k != iceudp.PRflx {
		t.Errorf("of nobody: %s", k)
	}
	l.tell(iceudp.Candidate{IP: "192.0.2.1", Port: 5000, Type: iceudp.Host})
	l.tell(iceudp.Candidate{IP: "2001:db8:0:0::1", Port: 5000, Type: iceudp.SRflx})
	l.tell(iceudp.Candidate{IP: "one.local", Port: 5000, Type: iceudp.Host})
	for _, tt := range []struct {
		ip   string
		port uint16
		want iceudp.CandidateType
	}{
		{"192.0.2.1", 5000, iceudp.Host}, {"192.0.2.1", 5001, iceudp.PRflx}, {"2001:db8::1", 5000, iceudp.SRflx}, {"one.local", 5000, iceudp.PRflx},
	} {
		if k := seen(tt.ip, tt.port); k != tt.want {
			t.Errorf("%s port %d is %s, want %s", tt.ip, tt.port, k, tt.want)
		}
	}
	if k := l.kind(iceudp.Candidate{IP: "192.0.2.1", Port: 5000, Type: iceudp.Relay}); k != iceudp.Relay {
		t.Errorf("a relay becomes %s", k)
	}
	for i := range 10 * maxTold {
		l.tell(iceudp.Candidate{IP: fmt.Sprintf("198.51.%d.%d", i/256, i%256), Port: 1, Type: iceudp.Host})
	}
	if len(l.told) > maxTold {
		t.Errorf("%d candidates are remembered", len(l.told))
	}
}
