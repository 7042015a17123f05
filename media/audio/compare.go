package audio

import (
	"math"
	"math/cmplx"
	"time"
)

// A Likeness says how much what was heard is what was said.
type Likeness struct {
	// Score is 1 for the same sound and about 0 for unrelated ones. Above
	// SameSound it is the same, through any codec in this package.
	Score float64
	// Delay is how much later in the second recording the sound is. It is
	// exact to 10 ms.
	Delay time.Duration
}

// SameSound is the Score above which two recordings have the same sound in
// them. Unrelated voices of Speech stay below 0.6.
const SameSound = 0.7

const (
	compareRate  = 8000
	compareHop   = compareRate / 100
	compareFFT   = 512
	compareLow   = 200.0  // Hz; the band of a telephone, so that every codec
	compareHigh  = 3400.0 // can be compared
	compareBands = 14
	compareFloor = 50 // dB below the loudest band; quieter is silence
	maxCompare   = 60 * time.Second
	minOverlap   = 500 * time.Millisecond
)

// Compare looks for what was said in what was heard, up to maxLag earlier or
// later. It compares the shape of the spectrum over time, not waveforms, so
// codecs, small gaps and loudness hardly matter. At least half a second, and
// half of the shorter recording, has to overlap; at most the first minute of
// each is looked at.
func Compare(said, heard []int16, maxLag time.Duration) Likeness {
	a, b := spectrogram(said), spectrogram(heard)
	lags := int(maxLag / (10 * time.Millisecond))
	need := max(int(minOverlap/(10*time.Millisecond)), min(len(a), len(b))/2)
	best := Likeness{}
	for lag := -lags; lag <= lags; lag++ {
		from, to := max(0, -lag), min(len(a), len(b)-lag)
		if to-from < need {
			continue
		}
		if s := correlate(a[from:to], b[from+lag:to+lag]); s > best.Score {
			best = Likeness{s, time.Duration(lag) * 10 * time.Millisecond}
		}
	}
	return best
}

type bands [compareBands]float64

// spectrogram is the energy in dB of each band, every 10 ms.
func spectrogram(pcm []int16) []bands {
	pcm = pcm[:min(len(pcm), int(maxCompare.Seconds()*SampleRate))]
	pcm = NewResampler(SampleRate, compareRate).Process(nil, pcm)
	var out []bands
	var edge [compareBands + 1]int
	for i := range edge {
		hz := compareLow * math.Pow(compareHigh/compareLow, float64(i)/compareBands)
		edge[i] = int(math.Round(hz * compareFFT / compareRate))
		if i > 0 {
			edge[i] = max(edge[i], edge[i-1]+1)
		}
	}
	x := make([]complex128, compareFFT)
	var hann [compareFFT]float64
	for i := range hann {
		hann[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/compareFFT)
	}
	loudest := math.Inf(-1)
	for at := 0; at+compareFFT <= len(pcm); at += compareHop {
		for i := range x {
			x[i] = complex(float64(pcm[at+i])*hann[i], 0)
		}
		fft(x)
		var row bands
		for i := range row {
			sum := 1.0
			for k := edge[i]; k < edge[i+1]; k++ {
				sum += real(x[k])*real(x[k]) + imag(x[k])*imag(x[k])
			}
			row[i] = 10 * math.Log10(sum/float64(edge[i+1]-edge[i]))
			loudest = max(loudest, row[i])
		}
		out = append(out, row)
	}
	for i := range out {
		for k, v := range out[i] {
			out[i][k] = max(v, loudest-compareFloor)
		}
	}
	return out
}

// correlate is the correlation of a and b, of the same length. Each band is
// taken around its own mean, so that a filter between them does not matter.
func correlate(a, b []bands) float64 {
	var ma, mb bands
	for i := range a {
		for k := range ma {
			ma[k] += a[i][k]
			mb[k] += b[i][k]
		}
	}
	n := float64(len(a))
	var xy, xx, yy float64
	for i := range a {
		for k := range ma {
			x, y := a[i][k]-ma[k]/n, b[i][k]-mb[k]/n
			xy += x * y
			xx += x * x
			yy += y * y
		}
	}
	if xx < 1 || yy < 1 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

// fft transforms x, whose length is a power of two, in place.
func fft(x []complex128) {
	n := len(x)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= n; size <<= 1 {
		step := cmplx.Rect(1, -2*math.Pi/float64(size))
		for at := 0; at < n; at += size {
			w := complex(1, 0)
			for k := at; k < at+size/2; k++ {
				u, v := x[k], x[k+size/2]*w
				x[k], x[k+size/2] = u+v, u-v
				w *= step
			}
		}
	}
}
