//go:build native && cgo

package apm_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/audio/apm"
)

// roomDelay is the time from the speaker's samples to the microphone's.
const roomDelay = 60 * time.Millisecond

// A tap is one way from the speaker to the microphone, some samples long.
type tap struct {
	after int
	gain  float64
}

// A room is what a microphone hears of a speaker: a direct path, and after it
// walls that are each a little quieter, for 60 ms.
type room struct {
	taps    []tap
	history []float64
	at      int
	noise   *rand.Rand
}

func newRoom(delay time.Duration) *room {
	start := int(delay.Seconds() * audio.SampleRate)
	tail := 60 * audio.SampleRate / 1000
	r := &room{taps: []tap{{start, 0.5}}, history: make([]float64, start+tail), noise: rand.New(rand.NewPCG(1, 2))}
	wall := rand.New(rand.NewPCG(3, 4))
	for i := 1; i < tail; i += 1 + wall.IntN(120) {
		r.taps = append(r.taps, tap{start + i, 0.25 * (wall.Float64()*2 - 1) * math.Exp(-float64(i)/float64(tail/4))})
	}
	return r
}

// hear returns what the microphone hears while far is played and near is said.
func (r *room) hear(far, near audio.Frame) audio.Frame {
	out := make(audio.Frame, len(far))
	for i := range far {
		r.history[r.at] = float64(far[i])
		v := r.noise.NormFloat64() * 3 // about -80 dBFS
		for _, tap := range r.taps {
			k := r.at - tap.after
			if k < 0 {
				k += len(r.history)
			}
			v += tap.gain * r.history[k]
		}
		if near != nil {
			v += float64(near[i])
		}
		out[i] = int16(min(max(v, -32768), 32767))
		r.at = (r.at + 1) % len(r.history)
	}
	return out
}

// A meter sums the power of what passes.
type meter struct{ sum, n float64 }

func (m *meter) add(f audio.Frame) {
	for _, v := range f {
		m.sum += float64(v) * float64(v)
	}
	m.n += float64(len(f))
}

func (m *meter) db() float64 { return 10 * math.Log10((m.sum/m.n+1)/(32768*32768)) }

func newProcessor(t *testing.T, cfg apm.Config) *apm.Processor {
	p, err := apm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// talk lets 12 s of far speech be played in a room, and near say what it does
// from the given time on, and measures what was heard and what came out since.
func talk(t *testing.T, p *apm.Processor, from time.Duration, near audio.Generator) (heard, said, out meter) {
	t.Helper()
	far := audio.NewSpeech(1)
	r := newRoom(roomDelay)
	var spent time.Duration
	const pieces = 1200
	for i := range pieces {
		f := make(audio.Frame, audio.HalfFrame)
		far.Fill(f)
		var n audio.Frame
		now := time.Duration(i) * 10 * time.Millisecond
		if near != nil && now >= from {
			n = make(audio.Frame, audio.HalfFrame)
			near.Fill(n)
		}
		if err := p.Render(f); err != nil {
			t.Fatal(err)
		}
		mic := r.hear(f, n)
		before := append(audio.Frame(nil), mic...)
		start := time.Now()
		if err := p.Capture(mic, roomDelay); err != nil {
			t.Fatal(err)
		}
		spent += time.Since(start)
		if now >= from {
			heard.add(before)
			out.add(mic)
			if n != nil {
				said.add(n)
			}
		}
	}
	t.Logf("%v for each 10 ms; heard %.1f dBFS, came out %.1f dBFS", (spent / pieces).Round(time.Microsecond), heard.db(), out.db())
	return heard, said, out
}

// ERLE is the echo return loss enhancement, by how much less of the speaker is
// left than the microphone heard. ITU-T G.168
func TestEchoIsCancelled(t *testing.T) {
	heard, _, out := talk(t, newProcessor(t, apm.Config{}), 4*time.Second, nil)
	erle := heard.db() - out.db()
	t.Logf("ERLE = %.1f dB", erle)
	if erle < 20 {
		t.Errorf("ERLE = %.1f dB, want at least 20", erle)
	}
	// The room has an echo to cancel, and without cancelling it stays: the
	// test above can fail.
	heard, _, out = talk(t, newProcessor(t, apm.Config{NoEcho: true, NoNoise: true, NoGain: true}), 4*time.Second, nil)
	if left := heard.db() - out.db(); left > 3 || heard.db() < -40 {
		t.Errorf("without cancelling the echo of %.1f dBFS is %.1f dB less", heard.db(), left)
	}
}

// When both speak, the near end must come through.
func TestDoubleTalkKeepsTheNearEnd(t *testing.T) {
	// A tone is easily told from the far end's speech.
	const hz = 1370.0
	p := newProcessor(t, apm.Config{NoNoise: true, NoGain: true}) // noise suppression takes a tone for noise
	far, near := audio.NewSpeech(1), &audio.Tone{Hz: hz, Level: 0.1}
	r := newRoom(roomDelay)
	var kept, said []float64
	for i := range 1200 {
		f, n := make(audio.Frame, audio.HalfFrame), make(audio.Frame, audio.HalfFrame)
		far.Fill(f)
		if i%100 >= 50 && i >= 400 { // half a second in each
			near.Fill(n)
		}
		if err := p.Render(f); err != nil {
			t.Fatal(err)
		}
		mic := r.hear(f, n)
		if err := p.Capture(mic, roomDelay); err != nil {
			t.Fatal(err)
		}
		if i%100 >= 55 && i >= 400 {
			kept = append(kept, math.Pow(10, audio.ToneLevel(mic, hz)/10))
			said = append(said, math.Pow(10, audio.ToneLevel(n, hz)/10))
		}
	}
	mean := func(v []float64) (sum float64) {
		for _, x := range v {
			sum += x
		}
		return 10 * math.Log10(sum/float64(len(v)))
	}
	t.Logf("the near end's tone: said %.1f dBFS, came out %.1f dBFS", mean(said), mean(kept))
	if lost := mean(said) - mean(kept); lost > 6 {
		t.Errorf("the near end lost %.1f dB while both spoke, want at most 6", lost)
	}
	// And as speech, with everything on.
	_, saidSpeech, out := talk(t, newProcessor(t, apm.Config{}), 6*time.Second, audio.NewSpeech(7))
	if lost := saidSpeech.db() - out.db(); lost > 6 {
		t.Errorf("the near end's speech lost %.1f dB while both spoke, want at most 6", lost)
	}
}

// A quiet voice gets louder, noise gets less.
func TestGainAndNoise(t *testing.T) {
	p, q := newProcessor(t, apm.Config{}), newProcessor(t, apm.Config{NoGain: true})
	voice, noise := audio.NewSpeech(3), rand.New(rand.NewPCG(5, 6))
	var quiet, louder, hiss, less meter
	for i := range 1600 {
		f := make(audio.Frame, audio.HalfFrame)
		if i < 800 {
			voice.Fill(f)
			for k := range f {
				f[k] /= 16
			}
		} else {
			for k := range f {
				f[k] = int16(noise.NormFloat64() * 100)
			}
		}
		before := append(audio.Frame(nil), f...)
		use := p
		if i >= 800 {
			use = q
		}
		if err := use.Capture(f, 0); err != nil {
			t.Fatal(err)
		}
		switch {
		case i >= 600 && i < 800:
			quiet.add(before)
			louder.add(f)
		case i >= 1200:
			hiss.add(before)
			less.add(f)
		}
	}
	t.Logf("voice %.1f -> %.1f dBFS, noise %.1f -> %.1f dBFS", quiet.db(), louder.db(), hiss.db(), less.db())
	if gain := louder.db() - quiet.db(); gain < 3 {
		t.Errorf("a quiet voice was raised by %.1f dB, want at least 3", gain)
	}
	if taken := hiss.db() - less.db(); taken < 3 {
		t.Errorf("noise was lowered by %.1f dB, want at least 3", taken)
	}
}

func TestFrameSizeAndClose(t *testing.T) {
	p := newProcessor(t, apm.Config{})
	if err := p.Capture(make([]int16, 100), 0); !errors.Is(err, audio.ErrFrameSize) {
		t.Errorf("capture of 100 samples = %v, want %v", err, audio.ErrFrameSize)
	}
	if err := p.Capture(make([]int16, audio.FrameSize), time.Hour); err != nil {
		t.Errorf("capture with a long delay: %v", err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	f := []int16{0: 7, audio.HalfFrame - 1: 0}
	if err := errors.Join(p.Render(f), p.Capture(f, 0)); err != nil || f[0] != 7 {
		t.Errorf("after Close: %v, first sample %d", err, f[0])
	}
}
