package media

import (
	"math"
	"time"
)

// How pictures follow the path.
const (
	// bitsPerPixel is what a pixel needs to look well, of VP8 in a call.
	bitsPerPixel = 0.04
	// fpsLeast is what is given up in motion before pictures get smaller.
	fpsLeast = 15
	// fpsDrawn is that of screens, on which most stands still and is read.
	fpsDrawn = 3
	// fpsWorst is what is given up when they cannot get smaller.
	fpsWorst = 8
	// growAfter and growMargin keep pictures from changing their size to and fro.
	growAfter  = 4 * time.Second
	growMargin = 1.4
)

// scales are the sizes that pictures are made, as parts of the source's.
var scales = [...]struct{ num, den int }{{1, 1}, {3, 4}, {1, 2}, {3, 8}, {1, 4}, {1, 8}}

// A ladder chooses size and number of pictures for a bit rate.
type ladder struct {
	step    int
	changed time.Time
	begun   bool
}

// A shape is what pictures look like.
type shape struct {
	width, height int
	fps           float64
}

func (s shape) pixels() float64 { return float64(s.width * s.height) }

// choose says how pictures of the given size are to be sent; drawn ones are of a
// screen.
func (l *ladder) choose(w, h int, bps int, drawn bool, cfg Video, now time.Time) shape {
	least := float64(fpsLeast)
	if drawn {
		least = fpsDrawn
	}
	w, h = limit(w, h, cfg)
	at := func(step int) shape {
		k := scales[step]
		// Even, so that chroma samples lie where they should.
		return shape{width: max(w*k.num/k.den&^1, min(w, 16)), height: max(h*k.num/k.den&^1, min(h, 16))}
	}
	need := func(step int) float64 { return at(step).pixels() * least * bitsPerPixel }
	want := 0
	for want < len(scales)-1 && need(want) > float64(bps) {
		want++
	}
	switch {
	case !l.begun || want > l.step:
		l.step, l.changed, l.begun = want, now, true
	case want < l.step && now.Sub(l.changed) > growAfter:
		for l.step > want && need(l.step-1)*growMargin > float64(bps) {
			want++
			if want >= l.step {
				break
			}
		}
		if want < l.step {
			l.step, l.changed = want, now
		}
	}
	s := at(l.step)
	if l.step == 0 {
		s.width, s.height = w, h
	}
	s.fps = math.Round(min(max(float64(bps)/(s.pixels()*bitsPerPixel), fpsWorst), cfg.MaxFPS))
	s.fps = min(s.fps, cfg.MaxFPS)
	return s
}

// limit makes a size fit, with its proportions.
func limit(w, h int, cfg Video) (int, int) {
	long, short := max(cfg.MaxWidth, cfg.MaxHeight), min(cfg.MaxWidth, cfg.MaxHeight)
	mostW, mostH := long, short
	if h > w {
		mostW, mostH = short, long
	}
	if w <= mostW && h <= mostH {
		return w, h
	}
	f := min(float64(mostW)/float64(w), float64(mostH)/float64(h))
	even := func(n int) int { return max(int(float64(n)*f+0.5)&^1, 2) }
	return even(w), even(h)
}

// A lossControl follows the peer's reports about loss where there are none
// about the path: Dino's. RFC 3550 §6.4, and Google's congestion control
// without its delay part.
type lossControl struct {
	bps float64
	at  time.Time
}

func (l *lossControl) report(loss float64, now time.Time, most int) {
	if l.bps == 0 {
		l.bps = startBitrate
	}
	if now.Sub(l.at) < 200*time.Millisecond {
		return
	}
	l.at = now
	switch {
	case loss > 0.10:
		l.bps *= 1 - loss/2
	case loss < 0.02:
		l.bps = l.bps*1.05 + 1000
	}
	l.bps = min(max(l.bps, leastBitrate), float64(most))
}

// A remb is our estimate of what the peer may send, for peers that number no
// packets: draft-alvestrand-rmcat-remb.
type remb struct {
	bps float64
	at  time.Time
}

// rembEvery is how often the peer is told.
const rembEvery = time.Second

// measure follows the loss and the rate of what came since the last call.
func (r *remb) measure(loss, received float64, most int, now time.Time) float64 {
	if r.bps == 0 {
		r.bps = startBitrate
	}
	switch {
	case loss > 0.10:
		r.bps = min(r.bps, max(received, leastBitrate)) * (1 - loss/2)
	case loss < 0.02 && received > r.bps/2:
		r.bps *= 1.08
	}
	r.bps = min(max(r.bps, leastBitrate), float64(most))
	r.at = now
	return r.bps
}
