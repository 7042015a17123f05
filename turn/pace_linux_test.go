package turn

import (
	"testing"
	"time"
)

// Packets wait for others only while others come.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		name          string
		gather, apart time.Duration
		waits         bool
	}{
		{"many calls", 200 * time.Microsecond, 50 * time.Microsecond, true},
		{"frames of video", 200 * time.Microsecond, 800 * time.Microsecond, false},
		{"too few to share a wake-up", 200 * time.Microsecond, 150 * time.Microsecond, false},
		{"gathers nothing", 0, time.Microsecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pace{gather: c.gather}
			now := time.Now()
			if p.rest(now) > 0 {
				t.Fatal("the first packet waits")
			}
			p.round(now, 1)
			for i := range 20 {
				rest := max(0, p.rest(now))
				if waits := rest > 0; i > 1 && waits != c.waits {
					t.Fatalf("packet %d waits: %v", i, waits)
				}
				read := 1
				if rest > 0 {
					read = int(rest / c.apart)
				}
				now = now.Add(max(rest, c.apart))
				p.round(now, read)
			}
			// After a silence, however dense it was, one alone ends the waiting.
			now = now.Add(time.Second)
			if p.rest(now) > 0 {
				t.Fatal("a packet after a silence waits")
			}
			p.round(now, 1)
			now = now.Add(time.Second)
			p.round(now, 1)
			if p.rest(now) > 0 {
				t.Fatal("waits after a packet that came alone")
			}
		})
	}
}
