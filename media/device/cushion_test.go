package device

import (
	"testing"
	"time"
)

// A cushion grows while the speaker runs dry, shrinks when the machine is calm,
// and learns how small is too small.
func TestCushion(t *testing.T) {
	start := time.Now()
	c := newCushion(start)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	want := func(when string, pieces uint32) {
		t.Helper()
		if c.size != pieces*pieceBytes {
			t.Errorf("%s: %d pieces, want %d", when, c.size/pieceBytes, pieces)
		}
	}
	c.ranDry(at(1))
	want("dry once", 2)
	c.ranDry(at(15))
	want("dry again much later", 2)
	if !c.ranDry(at(16)) {
		t.Error("growing is not reported")
	}
	want("dry twice", 3)
	for i := range 20 {
		c.ranDry(at(17 + float64(i)/10))
	}
	want("dry all the time", 6)
	for s := 19.0; s < 38; s++ {
		c.calm(at(s))
	}
	want("calm for less than 20 s", 6)
	for s := 38.0; s < 58; s++ {
		c.calm(at(s))
	}
	want("calm", 5)
	for s := 58.0; s < 200; s++ {
		c.calm(at(s))
	}
	want("calm for long", 2)
	c.pause(at(200))

	// 20 ms turn out to be too few: the next attempt comes later and later.
	now := 200.0
	for i, wait := range []float64{40, 80, 160, 300, 300} {
		c.shrunk = at(now)
		c.ranDry(at(now + 1))
		c.ranDry(at(now + 2))
		want("too small", 3)
		calm := now + 2
		for c.size > 2*pieceBytes {
			if now++; now > calm+1000 {
				t.Fatal("it never shrinks again")
			}
			c.calm(at(now))
		}
		if now-calm < wait || now-calm > wait+1 {
			t.Errorf("attempt %d after %.0f s, want %.0f", i, now-calm, wait)
		}
	}
}
