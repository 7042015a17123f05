// Package tones makes the sounds of a telephone: ringing, and what the caller
// hears meanwhile. They are computed, and of our own.
//
//	stop, err := tones.Play(ctx, tones.Ringing(), "device", device.Options{})
//	...
//	stop() // returns when it is silent
package tones

import (
	"context"
	"math"
	"math/cmplx"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/device"
)

// A Tone is a sound that repeats.
type Tone struct {
	score  []note
	every  time.Duration // the time until it begins again
	volume float64       // 0 to 1
}

// A note begins at a time and is made of partials.
type note struct {
	at       time.Duration
	lasts    time.Duration
	attack   float64 // seconds
	release  float64 // seconds
	partials []partial
}

// A partial is a sine that dies away, or does not when life is zero.
type partial struct{ hz, level, life float64 }

// bell is one bell of a carillon: its strike note is hz, and around it are the
// partials that bells are tuned to, each dying away in its own time.
func bell(at, lasts time.Duration, hz float64) note {
	n := note{at: at, lasts: lasts, attack: 0.004, release: 0.05} // the clapper is quick
	for _, p := range []partial{
		{0.5, 0.25, 1.1}, // hum
		{1, 0.30, 0.8},   // prime
		{1.2, 0.20, 0.6}, // tierce: the minor third that makes a bell
		{1.5, 0.10, 0.4}, // quint
		{2, 0.30, 0.45},  // nominal
		{2.5, 0.08, 0.25},
		{3, 0.06, 0.2},
		{4, 0.04, 0.12},
	} {
		n.partials = append(n.partials, partial{p.hz * hz, p.level, p.life})
	}
	return n
}

// pure is a sine that begins and ends softly.
func pure(at, lasts time.Duration, hz float64) note {
	return note{at: at, lasts: lasts, attack: 0.01, release: 0.01, partials: []partial{{hz: hz, level: 1}}}
}

// add adds the note to sum, and calls over with what does not fit.
func (n note) add(sum []float64, over func(at int, v float64)) {
	from, count := samplesOf(n.at), samplesOf(n.lasts)
	for _, p := range n.partials {
		// A number that turns and shrinks is much quicker than sines.
		z, step := complex(p.level, 0), cmplx.Rect(1, 2*math.Pi*p.hz/audio.SampleRate)
		if p.life > 0 {
			step *= complex(math.Exp(-1/(p.life*audio.SampleRate)), 0)
		}
		for k := range count {
			v := imag(z) * min(1, float64(k)/(n.attack*audio.SampleRate), float64(count-k)/(n.release*audio.SampleRate))
			if at := from + k; at < len(sum) {
				sum[at] += v
			} else {
				over(at, v)
			}
			z *= step
		}
	}
}

// Ringing is heard by the person who is called: five bells.
func Ringing() Tone {
	var score []note
	for i, hz := range []float64{659.26, 783.99, 880, 1174.66, 987.77} { // E5 G5 A5 D6 B5
		score = append(score, bell(time.Duration(i)*190*time.Millisecond, 2*time.Second, hz))
	}
	return Tone{score: score, every: 3200 * time.Millisecond, volume: 0.45}
}

// Dialling is heard by the caller while it rings there: 425 Hz, one second in
// five, as in most of Europe. ITU-T E.180
func Dialling() Tone {
	return Tone{score: []note{pure(0, time.Second, 425)}, every: 5 * time.Second, volume: 0.25}
}

// Waiting says during a call that another one comes in: two short beeps.
func Waiting() Tone {
	const beep = 150 * time.Millisecond
	return Tone{score: []note{pure(0, beep, 425), pure(2*beep, beep, 425)}, every: 6 * time.Second, volume: 0.15}
}

// samples computes the first turn and those that follow. Notes that last longer
// sound into the next one, whose beginning is therefore not that of the first.
func (t Tone) samples() (first, next []int16) {
	sum := make([]float64, samplesOf(t.every))
	left := make([]float64, len(sum))
	for _, n := range t.score {
		n.add(sum, func(at int, v float64) { left[at%len(left)] += v })
	}
	first, next = make([]int16, len(sum)), make([]int16, len(sum))
	for i, v := range sum {
		first[i] = int16(math.MaxInt16 * min(max(v*t.volume, -1), 1))
		next[i] = int16(math.MaxInt16 * min(max((v+left[i])*t.volume, -1), 1))
	}
	return first, next
}

func samplesOf(d time.Duration) int { return int(d * audio.SampleRate / time.Second) }

// Source returns the tone from its beginning, as a generator of sound that goes
// on for ever.
func (t Tone) Source() audio.Generator {
	p := &player{}
	p.now, p.next = t.samples()
	return p
}

type player struct {
	now, next []int16
	at        int
}

func (p *player) Fill(f audio.Frame) {
	for len(f) > 0 {
		if p.at == len(p.now) {
			p.now, p.at = p.next, 0
		}
		n := copy(f, p.now[p.at:])
		p.at += n
		f = f[n:]
	}
}

// fadeFrames is how many frames of 10 ms a tone takes to end that is stopped: at
// once, it would click.
const fadeFrames = 4

// Play plays a tone on a speaker, as device.OpenSink takes it, until ctx ends or
// stop is called, which returns when it is silent and may be called twice. The
// speaker is opened before Play returns; its error is of type *audio.OpenError.
func Play(ctx context.Context, t Tone, speaker string, o device.Options) (stop func(), err error) {
	sink, err := device.OpenSink(ctx, speaker, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		play(ctx, t, sink)
	}()
	return func() {
		cancel()
		<-done
	}, nil
}

// play writes to the sink, at its pace, and closes it.
func play(ctx context.Context, t Tone, sink audio.Sink) {
	defer sink.Close()
	source := t.Source()
	frame := make(audio.Frame, audio.HalfFrame)
	fade := 0
	for {
		source.Fill(frame)
		if ctx.Err() != nil {
			for i := range frame {
				frame[i] = int16(float64(frame[i]) * (1 - (float64(fade)+float64(i)/audio.HalfFrame)/fadeFrames))
			}
			if fade++; fade > fadeFrames {
				return
			}
		}
		if sink.Write(frame) != nil {
			return // closed: nobody hears it
		}
	}
}
