package audio

import (
	"math"
	"math/rand/v2"
)

// Speech is a Generator of sound that is like speech to codecs, jitter buffers
// and level meters: voiced syllables with moving pitch and formants, hissed
// consonants, short pauses between words and longer ones between sentences. It
// says nothing. The same number always gives the same sound, different numbers
// sound different and are told apart by [Compare].
type Speech struct {
	rnd     *rand.Rand
	base    float64 // pitch of the voice in Hz
	size    float64 // of the vocal tract, a factor on the formants
	left    int     // samples until the next sound
	length  int
	at      int
	kind    speechKind
	pitch   [2]float64    // at the beginning and the end of the sound
	formant [3][2]float64 // likewise
	loud    float64
	phase   float64
	filter  [3]resonator
	words   int // sounds left in the word
	phrase  int // words left in the sentence
}

type speechKind int

const (
	speechPause speechKind = iota
	speechVowel
	speechHiss
)

// vowels are formant frequencies in Hz, of a, e, i, o, u and the neutral one.
var vowels = [...][3]float64{
	{730, 1090, 2440}, {530, 1840, 2480}, {270, 2290, 3010},
	{570, 840, 2410}, {300, 870, 2240}, {500, 1500, 2500},
}

// NewSpeech returns the voice with the given number.
func NewSpeech(voice uint32) *Speech {
	rnd := rand.New(rand.NewPCG(uint64(voice), 0x43617269))
	s := &Speech{rnd: rnd, base: 95 + 130*rnd.Float64(), size: 0.9 + 0.25*rnd.Float64()}
	s.formant = [3][2]float64{{500, 500}, {1500, 1500}, {2500, 2500}}
	s.words, s.phrase = 3, 5
	s.say(speechVowel) // sound at once: callers wait for it
	return s
}

func (s *Speech) between(lo, hi float64) float64 { return lo + (hi-lo)*s.rnd.Float64() }

// say begins a new sound.
func (s *Speech) say(k speechKind) {
	s.kind = k
	seconds := 0.0
	switch k {
	case speechPause:
		seconds = s.between(0.04, 0.12)
		if s.phrase == 0 {
			seconds = s.between(0.25, 0.5)
			s.phrase = 3 + s.rnd.IntN(4)
		}
		s.words = 2 + 2*s.rnd.IntN(3)
	case speechVowel:
		seconds = s.between(0.08, 0.2)
		s.pitch = [2]float64{s.base * s.between(0.85, 1.3), s.base * s.between(0.8, 1.2)}
		to := vowels[s.rnd.IntN(len(vowels))]
		for i := range s.formant {
			s.formant[i] = [2]float64{s.formant[i][1], to[i] * s.size}
		}
		s.loud = s.between(0.5, 1)
	case speechHiss:
		seconds = s.between(0.04, 0.1)
		s.formant[0] = [2]float64{1200, s.between(1000, 1600)}
		s.formant[1] = [2]float64{2500, s.between(2000, 3200)}
		s.formant[2] = [2]float64{4500, s.between(3500, 6500)}
		s.loud = s.between(0.1, 0.3)
	}
	s.length = int(seconds * SampleRate)
	s.left, s.at = s.length, 0
}

// following chooses the next sound.
func (s *Speech) following() speechKind {
	switch {
	case s.kind == speechPause:
		if s.rnd.IntN(2) == 0 {
			return speechHiss
		}
		return speechVowel
	case s.words == 0:
		s.phrase--
		return speechPause
	case s.kind == speechHiss || s.rnd.IntN(4) == 0:
		s.words--
		return speechVowel
	}
	s.words--
	return speechHiss
}

// Fill continues the speech.
func (s *Speech) Fill(f Frame) {
	for i := range f {
		if s.left == 0 {
			s.say(s.following())
		}
		f[i] = s.sample()
		s.left--
		s.at++
	}
}

func (s *Speech) sample() int16 {
	t := float64(s.at) / float64(s.length)
	if s.at%64 == 0 {
		for i := range s.filter {
			hz := s.formant[i][0] + (s.formant[i][1]-s.formant[i][0])*min(1, 2*t)
			s.filter[i].tune(hz, 60+40*float64(i)+hz/25)
		}
	}
	excite := 0.0
	switch s.kind {
	case speechVowel:
		step := (s.pitch[0] + (s.pitch[1]-s.pitch[0])*t) / SampleRate
		if s.phase += step; s.phase >= 1 {
			s.phase--
		}
		// A glottal pulse: opens slowly, closes fast, rests.
		if p := s.phase; p < 0.4 {
			excite = 0.5 - 0.5*math.Cos(math.Pi*p/0.4)
		} else if p < 0.5 {
			excite = math.Cos(math.Pi * (p - 0.4) / 0.2)
		}
		excite += 0.01 * (s.rnd.Float64() - 0.5)
	case speechHiss:
		excite = s.rnd.Float64() - 0.5
	}
	const ramp = SampleRate / 100
	edge := min(1, float64(min(s.at, s.left))/ramp)
	excite *= edge * s.loud
	v := s.filter[0].run(excite) + 0.6*s.filter[1].run(excite) + 0.35*s.filter[2].run(excite)
	return clip16(float32(v * 9000))
}

// A resonator is a two-pole band-pass filter.
type resonator struct{ a1, a2, gain, y1, y2, x2, x1 float64 }

func (r *resonator) tune(hz, width float64) {
	radius := math.Exp(-math.Pi * width / SampleRate)
	r.a1 = 2 * radius * math.Cos(2*math.Pi*hz/SampleRate)
	r.a2 = -radius * radius
	r.gain = (1 - radius*radius) * 4
}

func (r *resonator) run(x float64) float64 {
	y := r.gain*(x-r.x2) + r.a1*r.y1 + r.a2*r.y2
	r.x2, r.x1 = r.x1, x
	r.y2, r.y1 = r.y1, y
	return y
}
