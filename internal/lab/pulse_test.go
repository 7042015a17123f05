//go:build integration

package lab_test

import (
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/internal/lab"
)

func TestIntegrationPulseCarriesATone(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // runs last
	p := lab.StartPulse(t, "alice", "bob")
	mic := p.ListenMic("alice", 440, 1000)
	before := time.Now()
	stop := p.Speak("alice", 440)
	at, err := mic.FirstTone(440, before, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if at.Before(before.Add(-10 * time.Millisecond)) {
		t.Errorf("heard at %v, before it was played at %v", at, before)
	}
	// A busy machine leaves gaps now and then; what is carried is whole.
	h := mic.Tone(440, time.Second)
	for deadline := time.Now().Add(15 * time.Second); h.Share < 0.95 && time.Now().Before(deadline); {
		h = mic.Tone(440, time.Second)
	}
	if h.Share < 0.95 {
		t.Errorf("share of 440 Hz = %v, gap %v, want a second without", h.Share, h.LongestGap)
	}
	if h := mic.Tone(1000, 100*time.Millisecond); h.Share != 0 {
		t.Errorf("share of 1000 Hz = %v, want none", h.Share)
	}
	stop()
	if err := mic.WaitSilence(440, 300*time.Millisecond, 10*time.Second); err != nil {
		t.Error(err)
	}
}

func TestIntegrationPulseEarIsTheDefaultSpeaker(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	p := lab.StartPulse(t, "alice")
	ear := p.Listen("alice", 440)
	cmd := exec.Command("pacat", "--playback", "--raw", "--rate=48000", "--channels=1", "--format=s16le")
	cmd.Env = p.Env()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A square wave of 440 Hz: 109 samples a period, nearly.
	wave := make([]byte, 2*48000)
	for i := 0; i < len(wave); i += 2 {
		if i/2%109 < 54 {
			wave[i+1] = 0x20
		} else {
			wave[i+1] = 0xe0
		}
	}
	in.Write(wave)
	in.Close()
	if _, err := ear.FirstTone(440, time.Time{}, 10*time.Second); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
