package audio

import "math"

// MinLevel is the level of silence, in dBFS.
const MinLevel = -96.0

// A Level is how loud a piece of sound is, in dBFS: 0 is full scale, MinLevel
// the least. A full-scale sine has an RMS of -3.
type Level struct {
	RMS, Peak float64
}

// Measure returns the level of f.
func Measure(f Frame) Level {
	var sum float64
	peak := 0
	for _, v := range f {
		sum += float64(v) * float64(v)
		if a := int(v); a > peak {
			peak = a
		} else if -a > peak {
			peak = -a
		}
	}
	if len(f) == 0 {
		return Level{MinLevel, MinLevel}
	}
	return Level{RMS: dbfs(math.Sqrt(sum / float64(len(f)))), Peak: dbfs(float64(peak))}
}

func dbfs(amplitude float64) float64 {
	if amplitude <= 0 {
		return MinLevel
	}
	return max(MinLevel, 20*math.Log10(amplitude/32768))
}

// decibels is the factor for a gain.
func decibels(db float64) float32 { return float32(math.Pow(10, db/20)) }

// ToneLevel returns the level in dBFS of the sine of the given frequency in f,
// by the algorithm of Goertzel. A tone that fills f has its own RMS level; what
// is 2/T away (T the duration of f) or further counts little.
func ToneLevel(f Frame, hz float64) float64 {
	if len(f) == 0 {
		return MinLevel
	}
	w := 2 * math.Pi * hz / SampleRate
	coeff := 2 * math.Cos(w)
	var s1, s2, gain float64
	for i, v := range f {
		hann := 0.5 - 0.5*math.Cos(2*math.Pi*(float64(i)+0.5)/float64(len(f)))
		gain += hann
		s1, s2 = float64(v)*hann+coeff*s1-s2, s1
	}
	power := s1*s1 + s2*s2 - coeff*s1*s2
	amplitude := 2 * math.Sqrt(max(power, 0)) / gain
	return dbfs(amplitude / math.Sqrt2)
}

// HasTone reports whether most of the sound in f is a sine of the given
// frequency, louder than -40 dBFS.
func HasTone(f Frame, hz float64) bool {
	tone := ToneLevel(f, hz)
	return tone > -40 && tone > Measure(f).RMS-3
}
