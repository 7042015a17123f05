package audio

// A concealer invents sound for codecs that have no concealment of their own,
// by repeating the last pitch period and fading out, in the spirit of ITU-T
// G.711 Appendix I.
type concealer struct {
	hist   []int16 // the last concealHistory samples
	period int     // of what is being repeated; 0 while packets come
	phase  int     // in the period
	gone   int     // samples concealed in a row
	cycle  []int16 // the period that is repeated
}

const (
	concealHistory = 2 * maxPitch
	minPitch       = SampleRate / 400 // 2.5 ms
	maxPitch       = SampleRate / 66  // 15 ms
	concealHold    = SampleRate / 100 // 10 ms at full volume
	concealFade    = SampleRate / 20  // then down to nothing in 50 ms
	concealJoin    = SampleRate / 200 // cross-fade back to real sound, 5 ms
)

// good notes decoded samples, and smooths the way from what was invented.
func (c *concealer) good(f Frame) {
	if c.gone > 0 {
		n := min(concealJoin, len(f))
		for i := range n {
			w := float32(i) / float32(n)
			f[i] = clip16(float32(f[i])*w + float32(c.next())*(1-w))
		}
		c.gone, c.period = 0, 0
	}
	if len(f) >= concealHistory {
		c.hist = append(c.hist[:0], f[len(f)-concealHistory:]...)
		return
	}
	if over := len(c.hist) + len(f) - concealHistory; over > 0 {
		c.hist = c.hist[:copy(c.hist, c.hist[over:])]
	}
	c.hist = append(c.hist, f...)
}

// conceal appends n invented samples.
func (c *concealer) conceal(dst Frame, n int) Frame {
	if len(c.hist) < concealHistory {
		return append(dst, make(Frame, n)...)
	}
	if c.period == 0 {
		c.prepare()
	}
	for range n {
		dst = append(dst, c.next())
	}
	return dst
}

// prepare finds the pitch and makes one period whose end fits its beginning.
func (c *concealer) prepare() {
	h := c.hist
	c.period = pitch(h)
	last := h[len(h)-c.period:]
	before := h[len(h)-2*c.period : len(h)-c.period]
	c.cycle = append(c.cycle[:0], last...)
	// The last quarter turns into what came before the period's beginning.
	q := c.period / 4
	for i := range q {
		k := c.period - q + i
		w := float32(i+1) / float32(q+1)
		c.cycle[k] = clip16(float32(last[k])*(1-w) + float32(before[k])*w)
	}
	c.phase = 0
}

// next is the next invented sample.
func (c *concealer) next() int16 {
	if c.period == 0 {
		return 0
	}
	v := float32(c.cycle[c.phase])
	if c.phase++; c.phase == c.period {
		c.phase = 0
	}
	if over := c.gone - concealHold; over > 0 {
		v *= max(0, 1-float32(over)/concealFade)
	}
	c.gone++
	return clip16(v)
}

// pitch is the shift, minPitch to maxPitch, at which the end of h is most like
// what came before. h has at least concealHistory samples.
func pitch(h []int16) int {
	const step = 4 // a coarse search first, in every fourth sample
	best := bestShift(h, minPitch, maxPitch, step, step)
	return bestShift(h, max(minPitch, best-step), min(maxPitch, best+step), 1, 2)
}

func bestShift(h []int16, lo, hi, shiftStep, sampleStep int) int {
	best, bestScore := lo, float32(-1)
	tail := h[len(h)-maxPitch:]
	for shift := lo; shift <= hi; shift += shiftStep {
		other := h[len(h)-maxPitch-shift:]
		var xy, yy float32
		for i := 0; i < len(tail); i += sampleStep {
			x, y := float32(tail[i]), float32(other[i])
			xy += x * y
			yy += y * y
		}
		if xy <= 0 || yy == 0 {
			continue
		}
		if score := xy * xy / yy; score > bestScore {
			best, bestScore = shift, score
		}
	}
	return best
}
