package audio

import "math"

// A Resampler changes the sample rate of a stream of mono samples by a
// polyphase windowed-sinc filter: flat to about 0.9 of the lower Nyquist
// frequency, images and aliases below -70 dB. It delays the sound by
// [Resampler.Delay].
type Resampler struct {
	from, to int       // reduced by their greatest common divisor
	taps     int       // per phase
	phases   int       // rows of coeff, without the last, which repeats the first one sample on
	coeff    []float32 // (phases+1) rows of taps
	buf      []float32 // taps-1 samples of history and what was not used yet
	pos      int       // index in buf of the next output's window
	frac     int       // its fraction, in 1/to
}

const (
	sincZeros  = 12  // zero crossings on each side
	sincPhases = 512 // rows kept when the ratio needs more; then interpolated
	kaiserBeta = 7.5 // about -75 dB
)

// NewResampler returns a Resampler between two positive rates.
func NewResampler(from, to int) *Resampler {
	g := gcd(from, to)
	r := &Resampler{from: from / g, to: to / g}
	r.phases = min(r.to, sincPhases)
	// When going down the filter cuts at the output's Nyquist frequency and
	// gets longer in proportion.
	cut := min(1, float64(to)/float64(from))
	half := int(math.Ceil(sincZeros / cut))
	r.taps = 2 * half
	cut *= 0.94 // half of the transition band stays below Nyquist
	r.coeff = make([]float32, (r.phases+1)*r.taps)
	norm := 1 / bessel0(kaiserBeta)
	for p := 0; p <= r.phases; p++ {
		row := r.coeff[p*r.taps : (p+1)*r.taps]
		sum := 0.0
		for i := range row {
			x := float64(i-half+1) - float64(p)/float64(r.phases)
			w := x / float64(half)
			if w < -1 || w > 1 {
				continue
			}
			v := sinc(x*cut) * bessel0(kaiserBeta*math.Sqrt(1-w*w)) * norm
			row[i] = float32(v)
			sum += v
		}
		for i := range row { // exactly 1 at 0 Hz in every phase
			row[i] = float32(float64(row[i]) / sum)
		}
	}
	r.Reset()
	return r
}

// Reset forgets the samples before.
func (r *Resampler) Reset() {
	r.buf = append(r.buf[:0], make([]float32, r.taps-1)...)
	r.pos, r.frac = 0, 0
}

// Delay is by how many output samples the sound is late.
func (r *Resampler) Delay() int { return (r.taps / 2) * r.to / r.from }

// Process appends to dst what src gives, which over time is to/from samples
// for each sample of src.
func (r *Resampler) Process(dst, src []int16) []int16 {
	for _, v := range src {
		r.buf = append(r.buf, float32(v))
	}
	exact := r.phases == r.to
	for r.pos+r.taps <= len(r.buf) {
		in := r.buf[r.pos : r.pos+r.taps]
		var v float32
		if exact {
			v = dot(in, r.coeff[r.frac*r.taps:])
		} else {
			f := float32(r.frac) * float32(r.phases) / float32(r.to)
			row := min(int(f), r.phases-1)
			f -= float32(row)
			v = dot(in, r.coeff[row*r.taps:])*(1-f) + dot(in, r.coeff[(row+1)*r.taps:])*f
		}
		dst = append(dst, clip16(v))
		r.frac += r.from
		r.pos += r.frac / r.to
		r.frac %= r.to
	}
	used := min(r.pos, len(r.buf))
	r.buf = r.buf[:copy(r.buf, r.buf[used:])]
	r.pos -= used
	return dst
}

// dot is the sum of a[i]*b[i] over a.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for len(a) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

// clip16 rounds to the nearest 16-bit sample.
func clip16(v float32) int16 {
	switch {
	case v >= math.MaxInt16:
		return math.MaxInt16
	case v <= math.MinInt16:
		return math.MinInt16
	case v >= 0:
		return int16(v + 0.5)
	}
	return int16(v - 0.5)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// bessel0 is the modified Bessel function of the first kind and order zero.
func bessel0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; k < 50 && term > sum*1e-12; k++ {
		term *= x * x / (4 * k * k)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
