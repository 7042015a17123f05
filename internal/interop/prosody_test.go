//go:build integration

package interop

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// ends are two of us who are online.
type ends struct {
	alice, bob           *lab.Carillon
	aliceHeard, bobHeard string
}

// pair starts bob, who answers, and then alice, who calls him and hangs up after d.
func pair(t *testing.T, server *lab.Prosody, via string, d time.Duration) ends {
	t.Helper()
	dir, path := t.TempDir(), lab.CarillonPath(t)
	e := ends{aliceHeard: filepath.Join(dir, "alice.wav"), bobHeard: filepath.Join(dir, "bob.wav")}
	e.bob = lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "bob", Via: via,
		Args: []string{"answer", "--auto", "--once", "--mic", "tone:1000", "--speaker", "file:" + e.bobHeard}})
	e.bob.Wait("online")
	e.alice = lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice", Via: via,
		Args: []string{"call", server.JID("bob"), "--mic", "tone:440", "--speaker", "file:" + e.aliceHeard, "--duration", d.String()}})
	return e
}

// What is heard must be the tone for this share of the time, without a longer
// gap. A machine that runs other tests beside these drops some sound; what a
// quiet one does is measured by "make bench".
const (
	goodShare  = 0.8
	longestGap = 500 * time.Millisecond
)

// ended checks how both say that the call ended, and that they heard each other
// for at least d without a gap longer than gap.
func (e ends) ended(t *testing.T, d, gap time.Duration) {
	t.Helper()
	for _, c := range []*lab.Carillon{e.alice, e.bob} {
		if got := c.Wait("ended"); got.Reason != "success" {
			t.Errorf("%s: ended with %q, want success", c.User, got.Reason)
		}
		if code := c.Exit(); code != 0 {
			t.Errorf("%s: exit code %d, want 0", c.User, code)
		}
	}
	for _, w := range []struct {
		path string
		hz   float64
	}{{e.aliceHeard, 1000}, {e.bobHeard, 440}} {
		h, err := lab.ToneInWAV(w.path, w.hz)
		if err != nil {
			t.Error(err)
		} else if h.For < d || h.Share < goodShare || h.LongestGap > gap {
			t.Errorf("%s: %v Hz for %v, %.0f %% of the time, longest gap %v; want at least %v", filepath.Base(w.path), w.hz, h.For, 100*h.Share, h.LongestGap, d)
		}
	}
}

func TestIntegrationCallThroughProsody(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	for name, via := range map[string]string{
		"STARTTLS":   "starttls://" + server.Addr,
		"direct TLS": "tls://" + server.DirectTLS,
		"WebSocket":  server.WebSocket,
	} {
		t.Run(name, func(t *testing.T) {
			e := pair(t, server, via, 2*time.Second)
			for _, event := range []string{"online", "ringing", "accepted", "connected", "first-audio"} {
				e.alice.Wait(event)
			}
			for _, event := range []string{"incoming", "accepted", "connected", "first-audio"} {
				if got := e.bob.Wait(event); got.Peer == "" || got.SID == "" {
					t.Errorf("%s lacks peer or sid: %s", event, got.Line)
				}
			}
			e.ended(t, time.Second, longestGap)
		})
	}
}

func TestIntegrationCallSurvivesACutStream(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	network := lab.StartProxy(t, server.Addr)
	e := pair(t, server, "starttls://"+network.Addr, 5*time.Second)
	e.alice.Wait("first-audio")
	e.bob.Wait("first-audio")
	before := network.Connections()
	network.Cut()
	for _, c := range []*lab.Carillon{e.alice, e.bob} {
		if got := c.Wait("online"); !got.Resumed {
			t.Errorf("%s logged in anew instead of resuming: %s", c.User, got.Line)
		}
	}
	if got := network.Connections(); got != before+2 {
		t.Errorf("%d connections after the cut, want 2", got-before)
	}
	// The call ends by a stanza over the new connections.
	e.ended(t, 4*time.Second, longestGap)
}

func TestIntegrationDeclineThroughProsody(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	path := lab.CarillonPath(t)
	bob := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "bob", Args: []string{"answer", "--once", "--mic", "silence", "--speaker", "null"}})
	bob.Wait("online")
	alice := lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice", Args: []string{"call", server.JID("bob"), "--mic", "silence", "--speaker", "null"}})
	alice.Wait("ringing")
	bob.Wait("incoming")
	bob.Key("d")
	if code := alice.Exit(); code != 3 {
		t.Errorf("alice: exit code %d, want 3", code)
	}
	if code := bob.Exit(); code != 0 {
		t.Errorf("bob: exit code %d, want 0", code)
	}
}
