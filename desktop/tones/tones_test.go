package tones

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/device"
)

func fill(t Tone, d time.Duration) audio.Frame {
	f := make(audio.Frame, samplesOf(d))
	t.Source().Fill(f)
	return f
}

// part is some of a sound.
func part(f audio.Frame, from, to time.Duration) audio.Frame { return f[samplesOf(from):samplesOf(to)] }

func TestTones(t *testing.T) {
	for name, tone := range map[string]Tone{"ringing": Ringing(), "dialling": Dialling(), "waiting": Waiting()} {
		f := fill(tone, 2*tone.every)
		first, second := f[:len(f)/2], f[len(f)/2:]
		l := audio.Measure(first)
		if l.RMS < -40 || l.Peak > -1 {
			t.Errorf("%s: level %+v", name, l)
		}
		if audio.Measure(second).RMS <= audio.MinLevel {
			t.Errorf("%s: it sounds once", name)
		}
		// No click: between two samples it never jumps by more than a sine of
		// 8 kHz would.
		for i := 1; i < len(f); i++ {
			if jump := math.Abs(float64(f[i]) - float64(f[i-1])); jump > 12000 {
				t.Errorf("%s: a click of %.0f at %v", name, jump, time.Duration(i)*time.Second/audio.SampleRate)
				break
			}
		}
	}
}

// 425 Hz, 1 s of 5.
func TestDialling(t *testing.T) {
	f := fill(Dialling(), 6*time.Second)
	for _, x := range []struct {
		from, to time.Duration
		on       bool
	}{{50 * time.Millisecond, 950 * time.Millisecond, true}, {1010 * time.Millisecond, 4990 * time.Millisecond, false}, {5050 * time.Millisecond, 5900 * time.Millisecond, true}} {
		p := part(f, x.from, x.to)
		if audio.HasTone(p, 425) != x.on || !x.on && audio.Measure(p).Peak > audio.MinLevel {
			t.Errorf("from %v to %v: a tone %v, want %v", x.from, x.to, !x.on, x.on)
		}
	}
}

// The last bells of a turn sound on when the next one begins.
func TestRingingGoesOn(t *testing.T) {
	r := Ringing()
	r.every = 900 * time.Millisecond
	f := fill(r, 2700*time.Millisecond)
	turn := samplesOf(r.every)
	if slices.Equal(f[:turn], f[turn:2*turn]) || !slices.Equal(f[turn:2*turn], f[2*turn:3*turn]) {
		t.Error("the second turn is not the first one with what was left over")
	}
}

func TestPlay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heard.wav")
	stop, err := Play(t.Context(), Dialling(), "file:"+path, device.Options{})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond) // it keeps real time
	stop()
	stop()
	src, err := audio.OpenSource("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.Read(t.Context()); err != nil { // the beginning is soft
		t.Fatal(err)
	}
	frame, err := src.Read(t.Context())
	if err != nil || !audio.HasTone(frame, 425) {
		t.Errorf("no tone was heard: %v", err)
	}
	var oe *audio.OpenError
	if _, err := Play(t.Context(), Waiting(), "nonsense", device.Options{}); !errors.As(err, &oe) {
		t.Errorf("an unknown speaker: %v", err)
	}
}

// It rings as soon as it shall.
func BenchmarkRinging(b *testing.B) {
	for b.Loop() {
		Ringing().Source()
	}
}
