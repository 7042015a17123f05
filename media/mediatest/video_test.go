package mediatest_test

import (
	"context"
	"image"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/mediatest"
	"github.com/carillon-im/carillon/media/video"
)

// A spell is some time of a call, as one side saw it.
type spell struct {
	fps     float64
	bitrate float64 // of pictures, bit/s
	gap     time.Duration
	age     time.Duration // median of the pictures
	shown   time.Duration // from the first packet of a picture to showing it, at most
	delay   time.Duration // of sound, at most
	conceal float64       // share of sound
}

// watch lets time pass and tells how one side fared.
func watch(t *testing.T, p *mediatest.Phone, d time.Duration) (s spell) {
	t.Helper()
	begin := time.Now()
	before, seen := p.Stats().Video.BytesIn, len(p.Eye.All())
	rounds := int(d / time.Second)
	for range rounds {
		time.Sleep(time.Second)
		now := p.Stats()
		s.delay = max(s.delay, now.Delay+now.RTT/2)
		s.shown = max(s.shown, now.Video.Delay)
		s.conceal += now.Concealed / float64(rounds)
	}
	took := time.Since(begin).Seconds()
	s.bitrate = float64(p.Stats().Video.BytesIn-before) * 8 / took
	pictures := p.Eye.All()[seen:]
	s.fps = float64(len(pictures)) / took
	last := begin
	var ages []time.Duration
	for _, g := range pictures {
		s.gap, last = max(s.gap, g.At.Sub(last)), g.At
		ages = append(ages, g.Age())
	}
	s.gap = max(s.gap, time.Since(last))
	if len(ages) > 0 {
		s.age = median(ages)
	}
	return s
}

func median(d []time.Duration) time.Duration {
	for i := range d { // few enough
		for j := range i {
			if d[j] > d[i] {
				d[i], d[j] = d[j], d[i]
			}
		}
	}
	return d[len(d)/2]
}

// A path of 2 Mbit/s that drops to 300 kbit/s and recovers: sound stays clean
// and the picture moves.
func TestVideoFollowsThePath(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute of packets; it runs without -short")
	}
	synctest.Test(t, func(t *testing.T) {
		n := mediatest.Config{Delay: 20 * time.Millisecond, Bandwidth: 2_000_000}.New(t)
		_, bob := n.Call(t, mediatest.Video)
		watch(t, bob, 8*time.Second)
		wide := watch(t, bob, 10*time.Second)
		n.SetBandwidth(300_000)
		drop := watch(t, bob, 8*time.Second)
		narrow := watch(t, bob, 15*time.Second)
		n.SetBandwidth(2_000_000)
		watch(t, bob, 20*time.Second)
		again := watch(t, bob, 10*time.Second)
		t.Logf("2 Mbit/s:   %+v", wide)
		t.Logf("the drop:   %+v", drop)
		t.Logf("300 kbit/s: %+v", narrow)
		t.Logf("2 Mbit/s:   %+v", again)
		if wide.bitrate < 900_000 || wide.bitrate > 2_000_000 || wide.fps < 25 {
			t.Error("the wide path is not used")
		}
		if narrow.bitrate < 80_000 || narrow.bitrate > 300_000 || narrow.fps < 7 || narrow.gap > time.Second {
			t.Error("the picture does not move on the narrow path")
		}
		if narrow.delay > 350*time.Millisecond || narrow.conceal > 0.04 {
			t.Error("sound suffers on the narrow path")
		}
		if drop.gap > 1600*time.Millisecond {
			t.Error("the picture froze when the path dropped")
		}
		if again.bitrate < 600_000 || again.fps < 20 {
			t.Error("the path that is wide again is not used")
		}
	})
}

// Packets that are lost are asked for and come again.
func TestVideoSurvivesLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := mediatest.Config{Delay: 30 * time.Millisecond, Loss: 0.03, Seed: 5}.New(t)
		_, bob := n.Call(t, mediatest.Video)
		watch(t, bob, 3*time.Second)
		s := watch(t, bob, 10*time.Second)
		v := bob.Stats().Video
		t.Logf("%+v; recovered %d, key frames %d of %d", s, v.Recovered, v.KeyFramesIn, v.FramesIn)
		if s.fps < 20 || s.gap > 1500*time.Millisecond {
			t.Error("the picture does not move")
		}
		if v.Recovered == 0 || v.KeyFramesIn > v.FramesIn/20 {
			t.Error("pictures are begun anew rather than made whole")
		}
	})
}

// Pictures are seen when their sound is heard.
func TestPicturesWaitForTheirSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := mediatest.Config{Delay: 30 * time.Millisecond}.New(t)
		late := func(cfg *media.Config) { cfg.MinDelay, cfg.MaxDelay = 200*time.Millisecond, 400*time.Millisecond }
		_, bob := n.Call(t, mediatest.Video, late)
		watch(t, bob, 10*time.Second)
		s := watch(t, bob, 5*time.Second)
		// Sound is 30 ms on its way and 200 ms or so in the buffer.
		want := bob.Stats().Delay + 30*time.Millisecond
		t.Logf("%+v, sound %v", s, want)
		if d := s.age - want; d < -80*time.Millisecond || d > 80*time.Millisecond {
			t.Errorf("pictures are %v old when they are seen, sound %v", s.age, want)
		}
	})
}

// A slide is what a shared screen shows: pictures that come all the time and are
// the same until it is turned.
type slide struct {
	video.Source
	moves atomic.Bool
	shown *image.YCbCr
}

func (s *slide) Drawn() bool { return true }

func (s *slide) Read(ctx context.Context) (video.Frame, error) {
	f, err := s.Source.Read(ctx)
	if err != nil {
		return f, err
	}
	if s.moves.Load() || s.shown == nil {
		s.shown = video.NewImage(f.Image.Rect.Dx(), f.Image.Rect.Dy())
		copy(s.shown.Y, f.Image.Y)
		copy(s.shown.Cb, f.Image.Cb)
		copy(s.shown.Cr, f.Image.Cr)
	}
	f.Image = s.shown
	return f, nil
}

// A shared screen that stood still moves as before at once when it moves again,
// and sound does not suffer by it.
func TestSharedScreenMovesAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute of packets; it runs without -short")
	}
	synctest.Test(t, func(t *testing.T) {
		var screens []*slide // Alice's and Bob's
		move := func(moves bool) {
			for _, s := range screens {
				s.moves.Store(moves)
			}
		}
		n := mediatest.Config{Delay: 20 * time.Millisecond, Bandwidth: 2_000_000}.New(t)
		_, bob := n.Call(t, mediatest.Video, func(cfg *media.Config) {
			s := &slide{Source: video.NewPatternSource(640, 360, 30)}
			cfg.Video.Source, screens = s, append(screens, s)
		})
		move(true)
		watch(t, bob, 15*time.Second)
		before := watch(t, bob, 5*time.Second)
		move(false)
		still := watch(t, bob, 30*time.Second)
		move(true)
		again := watch(t, bob, 3*time.Second)
		t.Logf("moving:  %+v", before)
		t.Logf("still:   %+v", still)
		t.Logf("again:   %+v", again)
		if before.fps < 25 || still.bitrate > before.bitrate/10 {
			t.Fatal("the screen was not shared as it was meant to")
		}
		if again.fps < 25 || again.bitrate < before.bitrate*2/5 {
			t.Error("a screen that moves again is slow")
		}
		if again.delay > 150*time.Millisecond || again.conceal > 0.02 {
			t.Error("sound suffers when it moves again")
		}
	})
}

// On a path that is narrow and loses packets too, pictures go on: what is lost is
// sent again, and what is too much of that makes no key frame after the other.
func TestVideoOnANarrowPathThatLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := mediatest.Config{Delay: 20 * time.Millisecond, Bandwidth: 150_000, Loss: 0.05, Seed: 1}.New(t)
		alice, bob := n.Call(t, mediatest.Video)
		watch(t, bob, 10*time.Second) // to find out that it is narrow
		for range 3 {
			before, from := bob.Stats().Video, alice.Stats().Video
			s := watch(t, bob, 10*time.Second)
			now, to := bob.Stats().Video, alice.Stats().Video
			keys, again := to.KeyFramesOut-from.KeyFramesOut, now.Recovered-before.Recovered
			t.Logf("%+v; recovered %d, %d key frames", s, again, keys)
			if s.fps < 15 || s.gap > 1500*time.Millisecond {
				t.Error("the picture does not move")
			}
			if again == 0 {
				t.Error("nothing is sent again")
			}
			if keys > 8 { // there could be 25
				t.Errorf("%d key frames in ten seconds", keys)
			}
		}
	})
}
