package audio

const (
	// alike is the correlation from which on a pitch period can be left out or
	// repeated without being heard; alikeEnough when there is hurry.
	alike       = 0.85
	alikeEnough = 0.4
	// quiet is the RMS amplitude under which anything can be done: -56 dBFS.
	quiet = 50
)

// shorten leaves out a pitch period at the beginning of pcm, at most about as
// many samples as wanted, and returns how many; they are missing at the end.
// It returns 0 if the sound does not allow it.
func shorten(pcm Frame, want int, hurry bool) int {
	longest := min(maxPitch, len(pcm)/2)
	if longest < minPitch {
		return 0
	}
	n := longest
	if !isQuiet(pcm[:2*longest]) {
		var like float32
		n, like = bestPeriod(pcm[:2*longest], 0, longest, 1)
		if need := float32(alike); n == 0 || like < need && !(hurry && like > alikeEnough) {
			return 0
		}
	}
	if n > want+slackBelow {
		return 0 // it would be too much
	}
	for i := range n {
		w := float32(i+1) / float32(n+1)
		pcm[i] = clip16(float32(pcm[i])*(1-w) + float32(pcm[n+i])*w)
	}
	copy(pcm[n:], pcm[2*n:])
	return n
}

// lengthen puts into out what pcm is with a pitch period more at its beginning,
// after history, and returns how many samples that are, 0 if the sound does not
// allow it.
func lengthen(out *Frame, history, pcm Frame) int {
	longest := min(maxPitch, len(history), len(pcm))
	if longest < minPitch {
		return 0
	}
	h := len(history)
	all := append((*out)[:0], history...)
	all = append(all, pcm[:longest]...)
	*out = all
	n := longest
	if !isQuiet(all) {
		var like float32
		if n, like = bestPeriod(all, h, longest, -1); n == 0 || like < alike {
			return 0
		}
	}
	// The period begins like what follows the history and ends like its end.
	for i := range n {
		w := float32(i+1) / float32(n+1)
		all[i] = clip16(float32(pcm[i])*(1-w) + float32(history[h-n+i])*w)
	}
	*out = append(all[:n], pcm...)
	return n
}

// bestPeriod finds the shift at which x, from at on, is most like x further on
// (direction 1) or before (-1), and how much: 1 is the same. It is 0 if nothing
// is like it.
func bestPeriod(x Frame, at, longest, direction int) (shift int, like float32) {
	window := min(longest, HalfFrame)
	score := func(k, step int) float32 {
		a, b := x[at:at+window], x[at+direction*k:]
		b = b[:window]
		var ab, aa, bb float32
		for i := 0; i < window; i += step {
			u, v := float32(a[i]), float32(b[i])
			ab += u * v
			aa += u * u
			bb += v * v
		}
		if ab <= 0 {
			return 0
		}
		return ab * ab / (aa * bb) // the square of the correlation
	}
	const coarse = 4
	for k := minPitch; k <= longest; k += coarse {
		if v := score(k, coarse); v > like {
			shift, like = k, v
		}
	}
	if shift == 0 {
		return 0, 0
	}
	like = 0
	for k, end := max(minPitch, shift-coarse+1), min(longest, shift+coarse-1); k <= end; k++ {
		if v := score(k, 1); v > like {
			shift, like = k, v
		}
	}
	return shift, like
}

func isQuiet(f Frame) bool {
	var sum float32
	for _, v := range f {
		sum += float32(v) * float32(v)
	}
	return sum < quiet*quiet*float32(len(f))
}
