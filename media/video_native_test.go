//go:build native && cgo

package media

import (
	"slices"
	"testing"
	"time"

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
