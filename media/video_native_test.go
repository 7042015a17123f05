//go:build native && cgo

package media

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
	jrtp "github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media/video"
)

// With the codecs of this build, and how long a picture is on its way.
func TestVideoCodecsInCalls(t *testing.T) {
	for _, codec := range video.Codecs() {
		t.Run(codec.Name, func(t *testing.T) {
			leaks(t)
			ctx := testContext(t)
			source := func() video.Source { return video.NewPatternSource(640, 480, 30) }
			use := func(cfg *Config) { cfg.Video.Codecs = []video.Codec{codec} }
			a, b := newViewer(t, "a", 440, source(), use), newViewer(t, "b", 880, source(), use)
			connect(t, ctx, a, b)
			t.Logf("first picture after %v and %v", next[FirstFrame](t, ctx, a.phone).SinceAccept, next[FirstFrame](t, ctx, b.phone).SinceAccept)
			for _, v := range []*viewer{a, b} {
				v.eye.Forget()
				var ages []time.Duration
				for len(ages) < 30 {
					g := v.saw(t, ctx, "a picture", coded)
					ages = append(ages, g.Age())
				}
				slices.Sort(ages)
				t.Logf("glass to glass: median %v, worst %v", ages[len(ages)/2], ages[len(ages)-1])
				if s := v.Stats().Video; s.CodecIn != codec.Name {
					t.Errorf("codec %q", s.CodecIn)
				}
			}
		})
	}
}

// offers leaves of a phone's offer of a picture what keep says.
func offers(p *phone, keep func(*jrtp.PayloadType) bool) {
	p.tap = func(j *jingle.Jingle) {
		for _, c := range j.Contents {
			if d, ok := c.Description.(*jrtp.Description); ok && d != nil && d.Media == jrtp.Video {
				d.PayloadTypes = slices.DeleteFunc(d.PayloadTypes, func(p jrtp.PayloadType) bool { return !keep(&p) })
			}
		}
	}
}

// fmtp reads one parameter.
func fmtp(p jrtp.PayloadType, name string) string {
	for _, q := range p.Parameters {
		if q.Name == name {
			return q.Value
		}
	}
	return ""
}

// H.264 is what is used when nothing else is in common, and VP8 before it.
func TestH264WhenNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		keep       func(*jrtp.PayloadType) bool
	}{
		{"H264 alone", "H264", func(p *jrtp.PayloadType) bool { return p.Name == "H264" }},
		{"H264 with what comes again", "H264", func(p *jrtp.PayloadType) bool {
			return p.Name == "H264" || p.Name == "rtx" && fmtp(*p, "apt") == "102"
		}},
		{"H264 of another level", "H264", func(p *jrtp.PayloadType) bool {
			for i := range p.Parameters {
				if p.Parameters[i].Name == "profile-level-id" {
					p.Parameters[i].Value = "42e034"
				}
			}
			return p.Name == "H264"
		}},
		{"VP8 too", "VP8", func(p *jrtp.PayloadType) bool { return p.Name == "H264" || p.Name == "VP8" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaks(t)
			ctx := testContext(t)
			source := func() video.Source { return video.NewPatternSource(320, 240, 15) }
			all := func(cfg *Config) { cfg.Video.Codecs = video.Codecs() }
			a, b := newViewer(t, "a", 440, source(), all), newViewer(t, "b", 880, source(), all)
			var wrote []string
			offers(a.phone, func(p *jrtp.PayloadType) bool {
				if p.Name == "H264" {
					wrote = append(wrote, fmtp(*p, "profile-level-id")+" "+fmtp(*p, "packetization-mode"))
				}
				return tt.keep(p)
			})
			connect(t, ctx, a, b)
			for _, v := range []*viewer{a, b} {
				v.sees(t, ctx)
				s := next[Stats](t, ctx, v.phone).Video
				for s.CodecIn == "" || s.CodecOut == "" {
					s = next[Stats](t, ctx, v.phone).Video
				}
				if s.CodecIn != tt.want || s.CodecOut != tt.want {
					t.Errorf("%s out, %s in, want %s", s.CodecOut, s.CodecIn, tt.want)
				}
			}
			if len(wrote) == 0 || wrote[0] != "42e01f 1" {
				t.Errorf("offered H264 as %q", wrote)
			}
		})
	}
}

// A profile that we do not decode is no codec in common, and the call goes on
// with sound.
func TestH264OfAnotherProfileIsDeclined(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	all := func(cfg *Config) { cfg.Video.Codecs = video.Codecs() }
	a, b := newViewer(t, "a", 440, pattern(), all), newViewer(t, "b", 880, nil, all)
	offers(a.phone, func(p *jrtp.PayloadType) bool {
		for i := range p.Parameters {
			if p.Parameters[i].Name == "profile-level-id" {
				p.Parameters[i].Value = strings.Replace(p.Parameters[i].Value, "42e0", "640c", 1)
			}
		}
		return p.Name == "H264"
	})
	connect(t, ctx, a, b)
	b.ear.waitTone(t, ctx, 440)
	links := make(chan bool, 1)
	b.box.post(func() { links <- b.video.agreed })
	if <-links {
		t.Error("a picture was agreed on")
	}
	a.HangUp(jingle.Reason{})
	next[Ended](t, ctx, b.phone)
}
