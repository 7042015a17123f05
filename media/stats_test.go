package media

import "testing"

// One report in three tells of a loss: forward error correction must not go on
// and off with them, nor stay for good.
func TestExpectedLoss(t *testing.T) {
	var p peerReport
	for i := range 30 {
		loss := 0.0
		if i%3 == 0 {
			loss = 0.04
		}
		if got := p.expect(loss); got < 3 || got > 4 {
			t.Fatalf("after %d reports %d %% are expected", i+1, got)
		}
	}
	if got := p.expect(1); got != 30 {
		t.Errorf("%d %% are expected after all was lost", got)
	}
	for range 60 {
		p.expect(0)
	}
	if got := p.expect(0); got != 0 {
		t.Errorf("%d %% are expected after a minute without loss", got)
	}
}
