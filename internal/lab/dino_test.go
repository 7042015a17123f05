//go:build interop

package lab_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

// maxVoid is how many calls may be lost to Dino's own bugs.
const maxVoid = 5

// The laboratory itself is right when two Dinos hear each other in it.
func TestInteropTwoDinosHearEachOther(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	plugin := lab.BuildDinoPlugin(t)
	for n := range maxVoid {
		var err error
		var void string
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if void, err = dinosCall(t, plugin); err != nil && void == "" {
				t.Error(err)
			}
		})
		if void == "" {
			return
		}
		t.Logf("void: %s", void)
	}
	t.Errorf("%d calls in a row are void", maxVoid)
}

// A window is taken for frozen when it is, and only then.
func TestInteropFrozenDino(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	server := lab.DinoServer(t, lab.ProsodyConfig{})
	d := lab.StartDino(t, lab.DinoConfig{Server: server, User: "alice", Plugin: lab.BuildDinoPlugin(t)})
	if d.Frozen() {
		t.Error("a Dino that lives is taken for frozen")
	}
	d.Stop()
	if !d.Frozen() {
		t.Error("a Dino that is stopped is not taken for frozen")
	}
	d.Continue()
}

func dinosCall(t *testing.T, plugin string) (void string, err error) {
	server := lab.DinoServer(t, lab.ProsodyConfig{})
	alice := lab.StartDino(t, lab.DinoConfig{Server: server, User: "alice", Plugin: plugin})
	bob := lab.StartDino(t, lab.DinoConfig{Server: server, User: "bob", Plugin: plugin})
	alice.Pulse.Speak("dino", 440)
	bob.Pulse.Speak("dino", 1000)
	aliceEar := alice.Pulse.Listen("dino", 1000)
	bobEar := bob.Pulse.Listen("dino", 440)

	alice.Call(bob.JID)
	bob.Wait("call-incoming", nil)
	bob.Accept()
	accepted := bob.Wait("pressed-accept-call", nil).At
	alice.Wait("call-state", map[string]string{"state": "IN_PROGRESS"})
	bob.Wait("call-state", map[string]string{"state": "IN_PROGRESS"})
	atBob, err1 := bobEar.FirstTone(440, accepted, 20*time.Second)
	atAlice, err2 := aliceEar.FirstTone(1000, accepted, 20*time.Second)
	for _, d := range []*lab.Dino{alice, bob} {
		if void := d.Void(); void != "" {
			return void, nil
		}
	}
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	t.Logf("accept to first audio: callee %v, caller %v", atBob.Sub(accepted), atAlice.Sub(accepted))
	alice.Mute(true)
	if err := bobEar.WaitSilence(440, time.Second, 10*time.Second); err != nil {
		return "", err
	}
	alice.Mute(false)
	if _, err := bobEar.FirstTone(440, time.Now(), 10*time.Second); err != nil {
		return "", err
	}
	bob.Hangup()
	bob.Wait("call-terminated", nil)
	alice.Wait("call-terminated", nil)
	return "", nil
}
