package media

import (
	"context"
	"errors"
	"image"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/media/video/videotest"
)

// A viewer is a phone with a picture.
type viewer struct {
	*phone
	eye *videotest.Eye
}

func pattern() video.Source { return video.NewPatternSource(320, 240, 15) }

// newViewer makes a phone that shows source and sees.
func newViewer(t testing.TB, name string, hz float64, source video.Source, change func(*Config)) *viewer {
	t.Helper()
	v := &viewer{eye: videotest.NewEye()}
	v.phone = newPhone(t, name, hz, func(cfg *Config) {
		cfg.Video = Video{Source: source, Sink: v.eye, Codecs: []video.Codec{videotest.Codec()}}
		if change != nil {
			change(cfg)
		}
	})
	return v
}

// unbundled makes a phone speak like Dino: no group, and no source.
func unbundled(p *phone) {
	p.tap = func(j *jingle.Jingle) {
		j.Groups = nil
		for _, c := range j.Contents {
			if d, ok := c.Description.(*jrtp.Description); ok && d != nil {
				d.Sources, d.SSRCGroups = nil, nil
			}
		}
	}
}

func connect(t testing.TB, ctx context.Context, a, b *viewer) {
	t.Helper()
	dial(t, a.phone, b.phone)
	next[Connected](t, ctx, a.phone)
	next[Connected](t, ctx, b.phone)
}

func coded(g videotest.Glimpse) bool { return g.Coded }

// saw returns the first picture not looked at yet that fits.
func (v *viewer) saw(t testing.TB, ctx context.Context, what string, fits func(videotest.Glimpse) bool) videotest.Glimpse {
	t.Helper()
	g, err := v.eye.Wait(ctx, fits)
	if err != nil {
		t.Fatalf("%s was not seen; %d pictures were", what, len(v.eye.All()))
	}
	return g
}

func (v *viewer) sees(t testing.TB, ctx context.Context) {
	t.Helper()
	v.eye.Forget()
	v.saw(t, ctx, "a picture", coded)
}

func TestVideoCall(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(a, b *viewer)
		links  int
	}{
		{"bundled", func(_, _ *viewer) {}, 1},
		{"not bundled", func(a, b *viewer) { unbundled(a.phone); unbundled(b.phone) }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaks(t)
			ctx := testContext(t)
			a, b := newViewer(t, "a", 440, pattern(), nil), newViewer(t, "b", 880, pattern(), nil)
			tt.change(a, b)
			connect(t, ctx, a, b)
			for _, v := range []*viewer{a, b} {
				f := next[FirstFrame](t, ctx, v.phone)
				t.Logf("first picture after %v", f.SinceAccept)
				if f.Width != 320 || f.Height != 240 || f.SinceAccept <= 0 {
					t.Errorf("%+v", f)
				}
				// Dino's window must be there first.
				if tt.links > 1 && f.SinceAccept < widgetTime {
					t.Errorf("the first picture came after %v", f.SinceAccept)
				}
				v.sees(t, ctx)
			}
			a.ear.waitTone(t, ctx, 880)
			b.ear.waitTone(t, ctx, 440)
			links := make(chan int, 1)
			a.box.post(func() { links <- len(a.links) })
			if n := <-links; n != tt.links {
				t.Errorf("%d links, want %d", n, tt.links)
			}
			for {
				s := next[Stats](t, ctx, a.phone).Video
				if s.FPSIn > 5 && s.FPSOut > 5 {
					if !s.In || !s.Out || s.CodecIn != "VP8" || s.CodecOut != "VP8" || s.WidthIn != 320 || s.HeightOut != 240 || s.FramesIn == 0 || s.KeyFramesOut == 0 {
						t.Errorf("%+v", s)
					}
					break
				}
			}
			a.HangUp(jingle.Reason{})
			next[Ended](t, ctx, b.phone)
		})
	}
}

func TestVideoAddedAndTurnedOff(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(a, b *viewer)
	}{
		{"bundled", func(_, _ *viewer) {}},
		{"not bundled", func(a, b *viewer) { unbundled(a.phone); unbundled(b.phone) }},
	} {
		for _, adder := range []string{"caller", "callee"} {
			t.Run(tt.name+", by the "+adder, func(t *testing.T) {
				leaks(t)
				ctx := testContext(t)
				a, b := newViewer(t, "a", 440, nil, nil), newViewer(t, "b", 880, nil, nil)
				tt.change(a, b)
				connect(t, ctx, a, b)
				shows, sees := a, b
				if adder == "callee" {
					shows, sees = b, a
				}
				set := func(v *viewer, s video.Source) {
					t.Helper()
					if err := v.SetVideo(s); err != nil {
						t.Fatal(err)
					}
				}
				set(shows, pattern())
				if !next[RemoteVideo](t, ctx, sees.phone).On {
					t.Fatal("the picture is off before it was on")
				}
				sees.sees(t, ctx)
				set(sees, pattern()) // the other one follows
				if !next[RemoteVideo](t, ctx, shows.phone).On {
					t.Fatal("the picture is off before it was on")
				}
				shows.sees(t, ctx)
				set(shows, video.NewPatternSource(160, 120, 15)) // a screen instead of a camera
				sees.saw(t, ctx, "the other source", func(g videotest.Glimpse) bool { return g.Width == 160 && g.Coded })
				set(shows, nil)
				if next[RemoteVideo](t, ctx, sees.phone).On {
					t.Fatal("the picture is still on")
				}
				shows.sees(t, ctx)
				set(shows, pattern())
				if !next[RemoteVideo](t, ctx, sees.phone).On {
					t.Fatal("the picture is not on again")
				}
				next[FirstFrame](t, ctx, sees.phone)
				sees.sees(t, ctx)
				a.ear.waitTone(t, ctx, 880)
				b.ear.waitTone(t, ctx, 440)
			})
		}
	}
}

func TestVideoIsAnsweredWithSoundOnly(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a := newViewer(t, "a", 440, pattern(), nil)
	b := &viewer{phone: newPhone(t, "b", 880, func(cfg *Config) { cfg.Video.Codecs = []video.Codec{} })}
	dial(t, a.phone, b.phone)
	e := next[VideoSourceEnded](t, ctx, a.phone)
	if !errors.Is(e.Err, ErrNoVideo) {
		t.Errorf("%v, want ErrNoVideo", e.Err)
	}
	a.ear.waitTone(t, ctx, 880)
	b.ear.waitTone(t, ctx, 440)
	if err := b.SetVideo(pattern()); !errors.Is(err, ErrNoVideo) {
		t.Errorf("SetVideo without a codec: %v", err)
	}
}

func TestVideoIsSeenAndNotShown(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newViewer(t, "a", 440, pattern(), nil), newViewer(t, "b", 880, nil, nil)
	connect(t, ctx, a, b)
	b.sees(t, ctx)
	if s := b.Stats().Video; s.Out {
		t.Error("something is shown")
	}
	if err := b.SetVideo(pattern()); err != nil {
		t.Fatal(err)
	}
	a.sees(t, ctx)
}

func TestHoldHidesThePicture(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newViewer(t, "a", 440, pattern(), nil), newViewer(t, "b", 880, pattern(), nil)
	connect(t, ctx, a, b)
	a.sees(t, ctx)
	b.sees(t, ctx)
	if err := a.Hold(true); err != nil {
		t.Fatal(err)
	}
	for next[RemoteVideo](t, ctx, b.phone).On {
	}
	sent := a.shower.frames.Load()
	for range 2 {
		next[Stats](t, ctx, a.phone)
	}
	if now := a.shower.frames.Load(); now > sent+1 {
		t.Errorf("%d pictures were sent on hold", now-sent)
	}
	if err := a.Hold(false); err != nil {
		t.Fatal(err)
	}
	if !next[RemoteVideo](t, ctx, b.phone).On {
		t.Error("the picture is off")
	}
	b.sees(t, ctx)
	a.sees(t, ctx)
}

// turned is a source that is held sideways.
type turned struct{ video.Source }

func (s turned) Read(ctx context.Context) (video.Frame, error) {
	f, err := s.Source.Read(ctx)
	f.Rotation = 270
	return f, err
}

func TestRotationArrives(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a, b := newViewer(t, "a", 440, turned{pattern()}, nil), newViewer(t, "b", 880, nil, nil)
	connect(t, ctx, a, b)
	b.saw(t, ctx, "a picture held sideways", func(g videotest.Glimpse) bool { return g.Coded && g.Rotation == 270 })
	if f := next[FirstFrame](t, ctx, b.phone); f.Width != 240 || f.Height != 320 {
		t.Errorf("%+v, want it upright", f)
	}
}

func TestLadder(t *testing.T) {
	cfg := Video{MaxWidth: 1280, MaxHeight: 720, MaxFPS: 30}
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		w, h, bps int
		want      image.Point
		fps       [2]float64
	}{
		{1280, 720, 2_500_000, image.Pt(1280, 720), [2]float64{30, 30}},
		{1920, 1080, 2_500_000, image.Pt(1280, 720), [2]float64{30, 30}},
		{1080, 1920, 2_500_000, image.Pt(720, 1280), [2]float64{30, 30}},
		{640, 480, 250_000, image.Pt(640, 480), [2]float64{15, 25}},
		{1280, 720, 250_000, image.Pt(640, 360), [2]float64{15, 30}},
		{1280, 720, 60_000, image.Pt(320, 180), [2]float64{15, 30}},
		{321, 241, 2_000_000, image.Pt(321, 241), [2]float64{30, 30}},
	} {
		var l ladder
		s := l.choose(tt.w, tt.h, tt.bps, false, cfg, now)
		if s.width != tt.want.X || s.height != tt.want.Y || s.fps < tt.fps[0] || s.fps > tt.fps[1] {
			t.Errorf("%dx%d at %d bit/s: %+v, want %v with %v", tt.w, tt.h, tt.bps, s, tt.want, tt.fps)
		}
	}
	// A screen is to be read: it moves less before it gets small.
	for _, tt := range []struct{ bps, width int }{{400_000, 1280}, {115_000, 1280}, {92_000, 960}, {50_000, 640}} {
		var l ladder
		if s := l.choose(1280, 720, tt.bps, true, cfg, now); s.width != tt.width {
			t.Errorf("a screen at %d bit/s: %+v, want a width of %d", tt.bps, s, tt.width)
		}
	}
	// Down at once, up when it lasts.
	var l ladder
	l.choose(1280, 720, 2_000_000, false, cfg, now)
	if s := l.choose(1280, 720, 200_000, false, cfg, now.Add(time.Millisecond)); s.width != 640 {
		t.Errorf("not smaller at once: %+v", s)
	}
	if s := l.choose(1280, 720, 2_000_000, false, cfg, now.Add(time.Second)); s.width != 640 {
		t.Errorf("larger after a second: %+v", s)
	}
	if s := l.choose(1280, 720, 2_000_000, false, cfg, now.Add(time.Minute)); s.width != 1280 {
		t.Errorf("not larger after a minute: %+v", s)
	}
}

// closable is a window that the person closes.
type closable struct {
	*videotest.Eye
	closed atomic.Bool
}

func (c *closable) Write(f video.Frame) error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	return c.Eye.Write(f)
}

// Who closes the window goes on talking, and asks for no key frames that nobody
// sees.
func TestVideoSinkThatEnds(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	a := newViewer(t, "a", 440, pattern(), nil)
	window := &closable{Eye: videotest.NewEye()}
	b := newViewer(t, "b", 880, nil, func(cfg *Config) { cfg.Video.Sink = window })
	b.eye = window.Eye
	connect(t, ctx, a, b)
	b.sees(t, ctx)
	window.closed.Store(true)
	s := next[Stats](t, ctx, a.phone).Video
	for until := s.FramesOut + 45; s.FramesOut < until; { // more than are held for a decoder
		s = next[Stats](t, ctx, a.phone).Video
	}
	if s.KeyFramesOut > 2 {
		t.Errorf("%d key frames of %d", s.KeyFramesOut, s.FramesOut)
	}
	b.ear.waitTone(t, ctx, 440)
	a.HangUp(jingle.Reason{})
	next[Ended](t, ctx, b.phone)
}
