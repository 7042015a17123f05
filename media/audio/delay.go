package audio

import (
	"math"
	"slices"
)

const (
	delayKept   = 256             // packets, 5 s of them
	delayRecent = 32              // packets that make the base
	delayMaxAge = 15 * SampleRate // what is older does not count
	delayMargin = SampleRate / 200
	delayOf     = 33              // one packet in so many may come too late
	delayFirst  = SampleRate / 50 // the least to aim at while little is known
	delayEvery  = 8               // packets between two looks at all of them
)

// A delayHistory knows how late the packets of the last seconds were and from
// that the delay to aim at.
type delayHistory struct {
	min, max int64
	base     int64 // the least transit of the recent packets
	target   int64

	ring    [delayKept]struct{ at, transit int64 }
	n, i    int
	pending int
	sorted  []int64
}

func (d *delayHistory) init(least, most int64) {
	d.min, d.max = least, most
	d.target = d.least()
	d.sorted = make([]int64, 0, delayKept)
}

func (d *delayHistory) reset() {
	d.n, d.i, d.pending = 0, 0, 0
	d.target = d.least()
}

// least is the least delay to aim at. A path must have shown itself to be
// steady before little is risked on it.
func (d *delayHistory) least() int64 {
	if d.n < delayRecent {
		return min(max(d.min, delayFirst), d.max)
	}
	return d.min
}

// add notes a packet that arrived at the given time.
func (d *delayHistory) add(at, transit int64) {
	d.ring[d.i].at, d.ring[d.i].transit = at, transit
	d.i = (d.i + 1) % delayKept
	d.n = min(d.n+1, delayKept)
	d.pending++
	if d.n < delayEvery || d.pending >= delayEvery || transit < d.base || transit-d.base+delayMargin > d.target {
		d.look(at)
	}
}

// look computes base and target.
func (d *delayHistory) look(now int64) {
	d.pending = 0
	d.sorted = d.sorted[:0]
	for _, r := range d.ring[:d.n] {
		if now-r.at < delayMaxAge {
			d.sorted = append(d.sorted, r.transit)
		}
	}
	if len(d.sorted) == 0 {
		return
	}
	slices.Sort(d.sorted)
	d.base = math.MaxInt64
	for k := range min(d.n, delayRecent) {
		d.base = min(d.base, d.ring[(d.i-1-k+delayKept)%delayKept].transit)
	}
	late := d.sorted[len(d.sorted)-1-len(d.sorted)/delayOf] - d.base
	d.target = min(max(late+delayMargin, d.least()), d.max)
}

// meterSpan is how long each half of a delayMeter is.
const meterSpan = SampleRate / 10

// A delayMeter finds the least of a value over the last 100 to 200 ms. Devices
// take several frames at once, and the last of these is what can come too late.
type delayMeter struct {
	last     int64
	now, old int64
	count    int // samples in the present half
	full     bool
}

func (m *delayMeter) reset() { *m = delayMeter{now: math.MaxInt64, old: math.MaxInt64} }

func (m *delayMeter) add(v int64, samples int) {
	m.last = v
	m.now = min(m.now, v)
	if m.count += samples; m.count >= meterSpan {
		m.old, m.now, m.count, m.full = m.now, math.MaxInt64, 0, true
	}
}

// ready says whether there are values of 100 ms.
func (m *delayMeter) ready() bool { return m.full }

func (m *delayMeter) least() int64 { return min(m.now, m.old) }

// shift adds v to all that was measured.
func (m *delayMeter) shift(v int64) {
	m.last += v
	if m.now != math.MaxInt64 {
		m.now += v
	}
	if m.old != math.MaxInt64 {
		m.old += v
	}
}
