package media

import (
	"math"
	"slices"
	"sync"
	"time"
)

// How long and on what evidence a path is taken for what it was.
const (
	// memoryWindow is the time over which is measured what is sent and what
	// arrives. It is that of pion.
	memoryWindow = 500 * time.Millisecond
	// memoryOnce is the most between reports that were sent as one.
	memoryOnce = 5 * time.Millisecond
	// memoryIdle is the part of the estimate below which too little is sent to
	// learn anything of the path.
	memoryIdle = 0.5
	// memoryFor is how long such a path is taken for what it was. After that it
	// is what a new one is taken for.
	memoryFor = time.Minute
	// memoryLoss is the share of packets that shows a full path, if that many
	// were sent.
	memoryLoss    = 0.10
	memoryPackets = 20
	// memoryHigh is how many reports in a row of a queue show one.
	memoryHigh = 5
	// memoryPasses is the part of what is sent that comes through a path that is
	// not full, if two reports tell of a queue.
	memoryPasses = 0.6
	// memoryLess is the part that is sent of what came through a full path. GCC
	// (draft-ietf-rmcat-gcc-02 §5.5) calls it beta.
	memoryLess = 0.85
	// memoryMore is how many times what came through a path is taken for possible,
	// and memoryGrowth by how much that grows in a second; there, too.
	memoryMore   = 1.5
	memoryGrowth = 1.08
)

// A pathMemory keeps what the path was found to take while there is little to
// send. The estimator of pion takes what was received for what is possible once
// packets come unevenly, as those of a shared screen do on which nothing moves,
// and grows by 8 % a second from there: some 20 s in which a screen that moves
// again is blurred. Here only what tells of a full path lowers what is held, as
// RFC 7661 has it for TCP, and only what came through raises it.
type pathMemory struct {
	mu      sync.Mutex    // guards what follows
	held    float64       // bit/s
	sending int           // bits sent since the last report
	theirs  int           // the last estimate of pion
	at      time.Time     // of that
	every   time.Duration // between the last two
	used    time.Time     // when as much was sent that it told something
	idled   time.Time     // when it did not
	reports []pathReport
}

// A pathReport is what the peer says of packets that were sent.
type pathReport struct {
	at            time.Time
	from          time.Time // since when it tells
	packets, lost int
	received      int // bits
	sent          int // bits that left since the report before
}

// maxPathReports bounds those of a window. A peer sends ten or twenty a second.
const maxPathReports = 200

// sent takes what leaves, in bits.
func (m *pathMemory) sent(bits int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sending += bits
}

// reported takes a report, what pion makes of it, the share of the path that the
// guard allows and how many reports of a queue there were in a row.
func (m *pathMemory) reported(r pathReport, theirs int, share float64, high int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.sent, m.sending = m.sending, 0
	since := time.Duration(0)
	if !m.at.IsZero() {
		since = r.at.Sub(m.at)
	}
	// One that comes late for once tells of no more time than usual.
	r.from = r.at.Add(-min(since, 2*m.every))
	if since > memoryOnce {
		m.every = since
	}
	m.reports = append(m.reports, r)
	old := len(m.reports) - maxPathReports
	for i := range m.reports {
		if r.at.Sub(m.reports[i].at) >= memoryWindow {
			old = max(old, i+1)
		}
	}
	m.reports = slices.Delete(m.reports, 0, max(old, 0))
	var sum pathReport
	for _, k := range m.reports {
		sum.packets, sum.lost = sum.packets+k.packets, sum.lost+k.lost
		sum.sent, sum.received = sum.sent+k.sent, sum.received+k.received
	}
	// Reports that are rare tell of more than the window.
	span := max(r.at.Sub(m.reports[0].from), memoryWindow)
	sent, received := float64(sum.sent)/span.Seconds(), float64(sum.received)/span.Seconds()
	idle := share == 1 && sent < memoryIdle*m.held-soundShare
	if !idle || m.used.IsZero() {
		m.used = r.at
	}
	if idle {
		m.idled = r.at
	}
	fell := theirs < m.theirs
	passed := min(since, time.Second).Seconds()
	m.theirs, m.at = theirs, r.at
	full := high >= memoryHigh ||
		sum.packets >= memoryPackets && float64(sum.lost) > memoryLoss*float64(sum.packets)
	switch most := float64(theirs); {
	case high > 1 && received < memoryPasses*sent: // sooner than pion sees it
		m.held = min(m.held, max(memoryLess*received, leastBitrate))
	case full:
		m.held = min(m.held, max(most, memoryLess*received))
	case most > m.held:
		if (!idle || m.held < startBitrate) && high == 0 { // else nothing is known of it
			m.held = max(m.held, min(most, memoryMore*received, m.held*math.Pow(memoryGrowth, passed)))
		}
	case fell && r.at.Sub(m.idled) > memoryWindow: // half of a window says nothing
		m.held = max(most, min(m.held, memoryLess*received))
	case r.at.Sub(m.used) > memoryFor:
		m.held = max(most, min(m.held, startBitrate))
	}
}

// estimate is what the path takes, in bit/s.
func (m *pathMemory) estimate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}
