package mediatest

import (
	"testing"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"github.com/carillon-im/carillon/jingle/rtp"
)

// Dial joins two phones in a session that a initiates. It ends with the test.
func Dial(t testing.TB, a, b *Phone) {
	t.Helper()
	reg := &jingle.Registry{}
	rtp.Register(reg)
	iceudp.Register(reg)
	jingletest.Pair(t, jingletest.PairConfig{Registry: reg}, a.Call, b.Call)
}
