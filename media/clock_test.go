package media

import (
	"log/slog"
	"testing"
	"time"
	"unsafe"
)

// setBack is t as it is told when the clock of the machine was set back by d
// before. The monotonic clock goes on.
func setBack(tb testing.TB, t time.Time, d time.Duration) time.Time {
	tb.Helper()
	set := t
	// The layout of time.Time: seconds stand above the nanoseconds of its first
	// word. The tests below would mean nothing without it.
	(*struct{ wall uint64 })(unsafe.Pointer(&set)).wall -= uint64(d/time.Second) << 30
	if set.Sub(t) != 0 || set.Round(0).Sub(t.Round(0)) != -d {
		tb.Fatalf("a clock could not be set back: %v, was %v", set, t)
	}
	return set
}

// Pictures that are held back a moment leave when that is over, whatever is done
// to the clock meanwhile.
func TestHoldWithAnotherClock(t *testing.T) {
	s := newVideoSender(Video{}, slog.New(slog.DiscardHandler))
	s.flowing.Store(true)
	now := time.Now()
	s.hold(now.Add(widgetTime))
	for _, back := range []time.Duration{0, time.Hour, -time.Hour} {
		if s.flows(setBack(t, now.Add(widgetTime-1), back)) {
			t.Errorf("set back by %v: a picture leaves too early", back)
		}
		if !s.flows(setBack(t, now.Add(widgetTime), back)) {
			t.Errorf("set back by %v: no picture leaves", back)
		}
	}
}

// A peer that reports is known to report, whatever is done to the clock.
func TestReportsWithAnotherClock(t *testing.T) {
	var f flow
	now := time.Now()
	if _, known := f.estimate(now); known {
		t.Error("a path is known before the first report")
	}
	f.takeReport(reportOf(1, true), now)
	for _, back := range []time.Duration{0, time.Hour, -time.Hour} {
		if _, known := f.estimate(setBack(t, now.Add(reportFresh-1), back)); !known {
			t.Errorf("set back by %v: the report is forgotten", back)
		}
		if _, known := f.estimate(setBack(t, now.Add(reportFresh), back)); known {
			t.Errorf("set back by %v: an old report counts", back)
		}
	}
}
