package media

import (
	"testing"
	"time"
)

// A path is reported on ten times a second, or as often as is said.
type memoryPath struct {
	pathMemory
	now   time.Time
	every time.Duration // between reports
}

func newMemoryPath(held float64) *memoryPath {
	return &memoryPath{pathMemory: pathMemory{held: held}, now: time.Unix(1000, 0), every: 100 * time.Millisecond}
}

// pass lets d pass with so much sent and received, in bit/s, and a share of
// packets lost. Pion's estimate is theirs.
func (m *memoryPath) pass(d time.Duration, sent, received int, loss float64, theirs, high int) {
	for range d / m.every {
		m.now = m.now.Add(m.every)
		part := func(rate int) int { return int(time.Duration(rate) * m.every / time.Second) }
		m.sent(part(sent))
		share := 1.0
		if high > 0 {
			share = 0.9
		}
		m.reported(pathReport{at: m.now, packets: 10, lost: int(10 * loss), received: part(received)}, theirs, share, high)
	}
}

func TestPathMemory(t *testing.T) {
	const wide, little = 1_500_000, 20_000
	near := func(t *testing.T, what string, got, want float64) {
		t.Helper()
		if got < want*0.9 || got > want*1.1 {
			t.Errorf("%s: %.0f bit/s, want %.0f or so", what, got, want)
		}
	}
	t.Run("it keeps what it was while little is sent", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(5*time.Second, wide, wide, 0, wide, 0)
		m.pass(300*time.Millisecond, little, little, 0, wide, 0)
		m.pass(30*time.Second, little, little, 0, little, 0)
		near(t, "after half a minute", m.estimate(), wide)
		m.pass(time.Minute, little, little, 0, little, 0)
		near(t, "after long", m.estimate(), startBitrate)
	})
	t.Run("it keeps what it was when much is sent again", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(5*time.Second, little, little, 0, little, 0)
		for theirs := 100_000; theirs < wide; theirs += 100_000 {
			m.pass(time.Second, wide, wide, 0, theirs, 0)
		}
		near(t, "then", m.estimate(), wide)
	})
	t.Run("the first packets of a burst tell nothing", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(5*time.Second, wide, wide, 0, wide, 0)
		m.pass(5*time.Second, little, little, 0, wide, 0)
		m.pass(300*time.Millisecond, wide, wide, 0, wide, 0)
		m.pass(100*time.Millisecond, wide, wide, 0, 600_000, 0) // pion has seen half of it
		near(t, "then", m.estimate(), wide)
		m.pass(time.Second, wide, wide, 0, 600_000, 0)
		m.pass(100*time.Millisecond, wide, wide, 0, 500_000, 0)
		near(t, "when it is the path", m.estimate(), wide*memoryLess)
	})
	t.Run("nothing sent raises nothing", func(t *testing.T) {
		m := newMemoryPath(startBitrate)
		m.pass(20*time.Second, little, little, 0, 5*startBitrate, 0)
		near(t, "while idle", m.estimate(), startBitrate)
		m.pass(3*time.Second, startBitrate, startBitrate, 0, 5*startBitrate, 0)
		near(t, "while used", m.estimate(), startBitrate*memoryGrowth*memoryGrowth*memoryGrowth)
		m.pass(30*time.Second, startBitrate, startBitrate, 0, 5*startBitrate, 0)
		near(t, "at most", m.estimate(), startBitrate*memoryMore)
	})
	t.Run("pion sees that the path is full", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(2*time.Second, wide, wide, 0, wide, 0)
		m.pass(time.Second, wide, wide, 0, 1_000_000, 0)
		near(t, "then", m.estimate(), wide*memoryLess)
	})
	t.Run("little comes through and packets wait", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(2*time.Second, wide, wide, 0, wide, 0)
		m.pass(600*time.Millisecond, wide, 300_000, 0, wide, 2)
		near(t, "then", m.estimate(), 300_000*memoryLess)
	})
	t.Run("packets wait for long, and few were sent", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(time.Second, 100_000, 100_000, 0, 90_000, 0)
		m.pass(time.Second, 100_000, 100_000, 0, 90_000, memoryHigh)
		near(t, "then", m.estimate(), 90_000)
	})
	t.Run("packets are lost, and few were sent", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(3*time.Second, 100_000, 70_000, 0.3, 90_000, 0)
		near(t, "then", m.estimate(), 90_000)
	})
	for _, every := range []time.Duration{20 * time.Millisecond, time.Second, 3 * time.Second} {
		t.Run("it is as much with a report every "+every.String(), func(t *testing.T) {
			m := newMemoryPath(wide)
			m.every = every
			m.pass(12*time.Second, wide, wide, 0, wide, 0)
			near(t, "while it is wide", m.estimate(), wide)
			for theirs := 1_000_000; theirs > 250_000; theirs -= 200_000 {
				m.pass(3*time.Second, wide, 300_000, 0, theirs, 0)
			}
			near(t, "when it is narrow", m.estimate(), 400_000)
			m.pass(12*time.Second, 300_000, 300_000, 0, 250_000, 0)
			near(t, "then", m.estimate(), 250_000)
		})
	}
	t.Run("one report is late", func(t *testing.T) {
		m := newMemoryPath(wide)
		m.pass(3*time.Second, wide, wide, 0, wide, 0)
		m.now = m.now.Add(3 * time.Second) // nothing came through
		m.sent(3 * wide)
		m.pass(100*time.Millisecond, wide, wide, 0, wide, 2)
		m.pass(600*time.Millisecond, wide, wide, 0, wide, 2)
		if got := m.estimate(); got < wide/8 {
			t.Errorf("%.0f bit/s of %d after three seconds without any", got, wide)
		}
	})
	t.Run("it comes back from the least", func(t *testing.T) {
		m := newMemoryPath(leastBitrate)
		m.pass(40*time.Second, leastBitrate/3, leastBitrate, 0, wide, 0)
		if got := m.estimate(); got < leastBitrate*memoryMore*0.9 {
			t.Errorf("%.0f bit/s", got)
		}
	})
}
