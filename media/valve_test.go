package media

import (
	"math"
	"sync"
	"testing"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/media/audio"
)

// steepest is the largest step between two samples.
func steepest(pcm []int16) int {
	most := 0
	for i := 1; i < len(pcm); i++ {
		most = max(most, int(math.Abs(float64(pcm[i])-float64(pcm[i-1]))))
	}
	return most
}

func TestValveDoesNotClick(t *testing.T) {
	var v valve
	g := &audio.Tone{Hz: 440}
	var heard []int16
	for i, open := range []bool{true, false, false, true, true, false, true} {
		f := make(audio.Frame, audio.FrameSize)
		g.Fill(f)
		silent := v.pass(f, open)
		if want := i == 2; silent != want {
			t.Errorf("frame %d: silent %t", i, silent)
		}
		if silent != (steepest(f) == 0) {
			t.Errorf("frame %d has sound", i)
		}
		heard = append(heard, f...)
	}
	f := make(audio.Frame, audio.FrameSize)
	(&audio.Tone{Hz: 440}).Fill(f)
	// The steepest of the tone itself, and the fade.
	if got, limit := steepest(heard), steepest(f)+math.MaxInt16/2/valveTime+1; got > limit {
		t.Errorf("steps of %d, more than %d", got, limit)
	}
}

// Whoever switches last, and however many do, what the peer was told and what
// it hears is what Muted says.
func TestSwitchedByMany(t *testing.T) {
	ctx := testContext(t)
	a, b := talk(t, ctx, nil)
	for range 200 {
		var wg sync.WaitGroup
		wg.Go(func() { a.Mute(true) })
		wg.Go(func() { a.Mute(false) })
		a.box.post(func() { a.remoteHold(true); a.remoteHold(false) })
		wg.Wait()
		checked := make(chan struct{})
		a.box.post(func() {
			if got, want := a.sender.silent(), a.Muted(); got != want {
				t.Errorf("silent is %t, muted %t", got, want)
			}
			close(checked)
		})
		waitFor(t, ctx, "the call", checked)
	}
	if err := a.Hold(true); err != nil {
		t.Fatal(err)
	}
	told, held := false, false
	for !held || told != a.Muted() {
		select {
		case e := <-b.events:
			switch e := e.(type) {
			case RemoteMuted:
				told = e.Muted
			case RemoteHeld:
				held = e.Held
			case Ended:
				t.Fatal(e.Err)
			}
		case <-ctx.Done():
			t.Fatalf("b was told that a is held: %t, muted: %t; that is %t", held, told, a.Muted())
		}
	}
}

// A stuckConn is a session that does nothing, as when the stream is down.
type stuckConn struct{ jingle.Conn }

func (stuckConn) Role() jingle.Role                                      { return jingle.Responder }
func (stuckConn) DoLater(func(*jingle.Session) ([]jingle.Effect, error)) {}

func TestNobodyIsHeardAfterHangUp(t *testing.T) {
	ctx := testContext(t)
	p := newPhone(t, "p", 440, nil)
	p.Attach(stuckConn{})
	p.HangUp(jingle.Reason{})
	checked := make(chan struct{})
	p.box.post(func() {
		if !p.silent() || !p.deaf() {
			t.Error("the microphone or the speaker is on while the session ends")
		}
		close(checked)
	})
	waitFor(t, ctx, "the call", checked)
	waitFor(t, ctx, "the end", p.Done())
}
