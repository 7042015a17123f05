package media

import "github.com/carillon-im/carillon/media/audio"

// valveTime is how long it takes to open or close a valve: soft enough that no
// click is heard, and too short for a word.
const valveTime = audio.SampleRate / 200

// A valve lets sound pass or not. The zero valve is open.
type valve struct{ closed bool }

// pass silences a frame unless open, fading where that changed. It reports
// whether nothing of the frame is left.
func (v *valve) pass(f audio.Frame, open bool) (silent bool) {
	was := v.closed
	v.closed = !open
	n := min(valveTime, len(f))
	switch {
	case was && !open:
		clear(f)
		return true
	case was:
		for i := range n {
			f[i] = int16(int(f[i]) * i / n)
		}
	case !open:
		for i := range n {
			f[i] = int16(int(f[i]) * (n - i) / n)
		}
		clear(f[n:])
	}
	return false
}
