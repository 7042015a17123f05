//go:build bench

package bench

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/carillon-im/carillon/internal/lab"
)

const (
	setups  = 10               // calls whose setup is measured
	beeps   = 20               // per mouth to ear measurement
	cpuTime = 10 * time.Second // over which processor time is measured

	aliceTone, bobTone = 440, 1000 // Hz
	beepTone           = 700

	ringTime = 500 * time.Millisecond // a person needs longer
	beepTime = 200 * time.Millisecond
	timeout  = 10 * time.Second
)

// A call is two of us talking through Prosody, over virtual devices.
type call struct {
	alice, bob *lab.Carillon
	sound      *lab.Pulse
	accepted   time.Time // when bob pressed the key
}

func start(t *testing.T) *call {
	t.Helper()
	path := lab.CarillonPath(t)
	server := lab.StartProsody(t, lab.ProsodyConfig{})
	c := &call{sound: lab.StartPulse(t, "alice", "bob")}
	devices := func(who string, args ...string) []string {
		return append(args, "--mic", "device:"+lab.Mic(who), "--speaker", "device:"+lab.Ear(who))
	}
	c.bob = lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "bob", Pulse: c.sound, Args: devices("bob", "answer", "--once")})
	c.bob.Wait("online")
	c.alice = lab.StartCarillon(t, path, lab.CarillonConfig{Server: server, User: "alice", Pulse: c.sound, Args: devices("alice", "call", server.JID("bob"))})
	c.bob.Wait("incoming")
	c.alice.Wait("ringing")
	time.Sleep(ringTime)
	return c
}

func (c *call) accept() {
	c.accepted = time.Now()
	c.bob.Key("a")
}

func (c *call) end() {
	c.alice.Key("q")
	c.alice.Exit()
	c.bob.Exit()
}

// From the accepting to the first sound, as the program says it, and as an ear
// at the virtual speaker hears it. The first is what other clients report; the
// second has the sound system in it.
func TestBenchSetup(t *testing.T) {
	var caller, callee, callerEar, calleeEar Figures
	for range setups {
		t.Run("call", func(t *testing.T) {
			c := start(t)
			c.sound.Speak("alice", aliceTone)
			c.sound.Speak("bob", bobTone)
			aliceEar, bobEar := c.sound.Listen("alice", bobTone), c.sound.Listen("bob", aliceTone)
			c.accept()
			for who, f := range map[*lab.Carillon]*Figures{c.alice: &caller, c.bob: &callee} {
				e := who.Wait("first-audio")
				*f = append(*f, time.Duration(e.MSSinceAccept*float64(time.Millisecond)))
			}
			atAlice, err1 := aliceEar.FirstTone(bobTone, c.accepted, timeout)
			atBob, err2 := bobEar.FirstTone(aliceTone, c.accepted, timeout)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			callerEar = append(callerEar, atAlice.Sub(c.accepted))
			calleeEar = append(calleeEar, atBob.Sub(c.accepted))
			c.end()
		})
	}
	t.Logf("accept to first audio, as reported:         caller %v, callee %v", caller, callee)
	t.Logf("accept to first audio, at the ear's device: caller %v, callee %v", callerEar, calleeEar)
}

// What a call costs, and how long sound travels.
func TestBenchCall(t *testing.T) {
	c := start(t)
	stop := c.sound.Speak("alice", aliceTone)
	stopBob := c.sound.Speak("bob", bobTone)
	c.accept()
	c.alice.Wait("first-audio")
	c.bob.Wait("first-audio")
	a, b := cpu(c.alice, c.bob)
	t.Logf("processor time of a call, of one core: caller %.1f %%, callee %.1f %%", a, b)
	stop()
	stopBob()

	f := mouthToEar(t, c.sound, "alice", c.sound, "bob")
	t.Logf("mouth to ear through virtual devices: %v", f)
	c.end()
}

// The same of two Dinos, for comparison.
func TestBenchDinoCall(t *testing.T) {
	plugin := lab.BuildDinoPlugin(t)
	for n := range 6 {
		done := false
		t.Run(fmt.Sprint(n+1), func(t *testing.T) { done = dinoCall(t, plugin) })
		if done || t.Failed() {
			return
		}
	}
	t.Error("Dino ran into its own bugs every time")
}

func dinoCall(t *testing.T, plugin string) bool {
	server := lab.DinoServer(t, lab.ProsodyConfig{})
	alice := lab.StartDino(t, lab.DinoConfig{Server: server, User: "alice", Plugin: plugin})
	bob := lab.StartDino(t, lab.DinoConfig{Server: server, User: "bob", Plugin: plugin})
	stopAlice, stopBob := alice.Pulse.Speak("dino", aliceTone), bob.Pulse.Speak("dino", bobTone)
	aliceEar, bobEar := alice.Pulse.Listen("dino", bobTone), bob.Pulse.Listen("dino", aliceTone)
	alice.Call(bob.JID)
	bob.Wait("call-incoming", nil)
	bob.Accept()
	accepted := bob.Wait("pressed-accept-call", nil).At
	atAlice, err1 := aliceEar.FirstTone(bobTone, accepted, timeout)
	atBob, err2 := bobEar.FirstTone(aliceTone, accepted, timeout)
	for _, d := range []*lab.Dino{alice, bob} {
		if void := d.Void(); void != "" {
			t.Logf("void: %s", void)
			return false
		}
	}
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	t.Logf("Dino: accept to first audio, at the ear's device: caller %v, callee %v", Figures{atAlice.Sub(accepted)}, Figures{atBob.Sub(accepted)})
	a, b := cpu(alice, bob)
	t.Logf("Dino: processor time of a call, of one core: caller %.1f %%, callee %.1f %%", a, b)
	stopAlice()
	stopBob()
	t.Logf("Dino: mouth to ear through virtual devices: %v", mouthToEar(t, alice.Pulse, "dino", bob.Pulse, "dino"))
	alice.Hangup()
	alice.Wait("call-terminated", nil)
	return true
}

// cpu measures the processor time of two programs over cpuTime, in percent of
// one core.
func cpu(a, b interface{ CPU() time.Duration }) (float64, float64) {
	began, a0, b0 := time.Now(), a.CPU(), b.CPU()
	time.Sleep(cpuTime)
	d := time.Since(began)
	return 100 * float64(a.CPU()-a0) / float64(d), 100 * float64(b.CPU()-b0) / float64(d)
}

// mouthToEar lets somebody beep and measures when the beep is captured by the
// one's microphone and when it is played at the other's speaker. Both are heard
// in the same way, so what the measuring adds falls out.
func mouthToEar(t *testing.T, from *lab.Pulse, speaker string, to *lab.Pulse, listener string) Figures {
	t.Helper()
	mic, ear := from.ListenMic(speaker, beepTone), to.Listen(listener, beepTone)
	var f Figures
	lost := 0
	for range beeps {
		began := time.Now()
		stop := from.Speak(speaker, beepTone)
		said, err := mic.FirstTone(beepTone, began, timeout)
		if err != nil {
			t.Fatal(err)
		}
		heard, err := ear.FirstTone(beepTone, began, time.Second)
		if err == nil {
			f = append(f, heard.Sub(said))
		} else {
			lost++
		}
		time.Sleep(beepTime)
		stop()
		if err := ear.WaitSilence(beepTone, 2*beepTime, timeout); err != nil {
			t.Fatal(err)
		}
	}
	if lost > 0 {
		t.Logf("%d of %d beeps were not heard within a second", lost, beeps)
	}
	return f
}
