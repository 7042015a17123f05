package media

import (
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
)

func TestREMBFollowsWhatArrives(t *testing.T) {
	var r remb
	now := time.Unix(1000, 0)
	step := func(loss, received float64) float64 {
		now = now.Add(rembEvery)
		return r.measure(loss, received, 2_000_000, now)
	}
	first := step(0, startBitrate)
	if first <= startBitrate {
		t.Errorf("%.0f while nothing is lost, want more than %d", first, startBitrate)
	}
	for range 60 {
		step(0, r.bps)
	}
	if r.bps != 2_000_000 {
		t.Errorf("%.0f after a minute, want the most", r.bps)
	}
	if got := step(0.3, 500_000); got > 450_000 {
		t.Errorf("%.0f when a third of 500 kbit/s is lost", got)
	}
	if got := step(0, 1000); got != r.bps || got > 450_000 {
		t.Errorf("%.0f when next to nothing comes", got)
	}
	for range 100 {
		step(1, 0)
	}
	if r.bps != leastBitrate {
		t.Errorf("%.0f when all is lost, want %d", r.bps, leastBitrate)
	}
}

func TestWhoNeedsREMB(t *testing.T) {
	content := func(feedback ...string) []jingle.Content {
		p := jrtp.PayloadType{ID: 98, Name: "VP8", ClockRate: 90000}
		for _, f := range feedback {
			p.Feedback = append(p.Feedback, jrtp.Feedback{Type: f})
		}
		return []jingle.Content{{Name: "video", Description: &jrtp.Description{Media: jrtp.Video, PayloadTypes: []jrtp.PayloadType{p}}}}
	}
	if !needsREMB(content("goog-remb", "nack"), "video") { // Dino
		t.Error("Dino is told nothing")
	}
	if needsREMB(content("goog-remb", "transport-cc"), "video") || needsREMB(content("nack"), "video") || needsREMB(content("goog-remb"), "other") {
		t.Error("somebody is told who did not ask")
	}
}

func TestLossControl(t *testing.T) {
	var l lossControl
	now := time.Unix(1000, 0)
	for range 40 {
		now = now.Add(time.Second)
		l.report(0, now, 1_500_000)
	}
	if l.bps != 1_500_000 {
		t.Errorf("%.0f bit/s without loss, want the most", l.bps)
	}
	for range 10 {
		now = now.Add(time.Second)
		l.report(0.3, now, 1_500_000)
	}
	if l.bps > 400_000 {
		t.Errorf("%.0f bit/s after ten seconds with 30 %% loss", l.bps)
	}
	before := l.bps
	now = now.Add(time.Second)
	l.report(0.05, now, 1_500_000)
	if l.bps != before {
		t.Error("a little loss changes it")
	}
}

func TestQueueGuard(t *testing.T) {
	var g queueGuard
	now := time.Unix(1000, 0)
	trip := func(n int, rtt time.Duration) {
		for range n {
			now = now.Add(100 * time.Millisecond)
			g.measured(rtt, now)
		}
	}
	trip(10, 40*time.Millisecond)
	if s, _ := g.share(); s != 1 {
		t.Errorf("share %v of a free path", s)
	}
	trip(1, 300*time.Millisecond)
	if s, _ := g.share(); s != 1 {
		t.Errorf("share %v after one late report", s)
	}
	trip(20, 200*time.Millisecond)
	if s, _ := g.share(); s > 0.5 || s < guardLeast {
		t.Errorf("share %v of a full path", s)
	}
	trip(60, 45*time.Millisecond)
	if s, _ := g.share(); s != 1 {
		t.Errorf("share %v when the path is free again", s)
	}
	// A way that is longer for good is no queue.
	trip(600, 200*time.Millisecond)
	trip(60, 200*time.Millisecond)
	if s, _ := g.share(); s != 1 {
		t.Errorf("share %v of a path that got longer", s)
	}
	// One that is known to be another is no queue either, from the first report on.
	g.moved()
	for range 20 {
		trip(1, 400*time.Millisecond)
		if s, high := g.share(); s != 1 || high != 0 {
			t.Fatalf("share %v of another path, %d reports of a queue", s, high)
		}
	}
}
