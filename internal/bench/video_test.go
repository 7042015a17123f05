//go:build bench

package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/mediatest"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/media/video/videotest"
)

const (
	videoWarm = 3 * time.Second // until the size has settled
	videoTime = 10 * time.Second
)

// A call with pictures both ways, on loopback, both ends in this process: what
// one side costs, how many pictures arrive, how old they are when they are
// shown, and how long the first takes. Nothing is drawn.
func TestBenchVideo(t *testing.T) {
	for _, codec := range video.Codecs() {
		for _, size := range []struct{ w, h int }{{640, 480}, {1280, 720}} {
			t.Run(fmt.Sprintf("%s %dx%d@30", codec.Name, size.w, size.h), func(t *testing.T) {
				phone := func(hz float64) *mediatest.Phone {
					return mediatest.NewPhone(t, hz, func(cfg *media.Config) {
						cfg.Audio.Source = audio.NewSource(audio.NewSpeech(1))
						cfg.Video = media.Video{
							Source: video.NewPatternSource(size.w, size.h, 30), Sink: videotest.NewEye(), Codecs: []video.Codec{codec},
						}
					})
				}
				a, b := phone(440), phone(880)
				mediatest.Dial(t, a, b)
				first := mediatest.Wait[media.FirstFrame](t, a).SinceAccept
				firstB := mediatest.Wait[media.FirstFrame](t, b).SinceAccept
				time.Sleep(videoWarm)
				seen, before, begin := len(a.Eye.All()), processTime(t), time.Now()
				time.Sleep(videoTime)
				took := time.Since(begin).Seconds()
				cpu := (processTime(t) - before).Seconds() / took / 2
				var ages Figures
				full := 0
				pictures := a.Eye.All()[seen:]
				for _, g := range pictures {
					if g.Coded {
						ages = append(ages, g.Age())
					}
					if g.Width == size.w {
						full++
					}
				}
				s := a.Stats().Video
				t.Logf("processor time of a side, pattern, coding, decoding and sound: %.1f %% of a core", 100*cpu)
				t.Logf("pictures shown: %.1f a second, %d of %d in full size; %d freezes; %.0f kbit/s", float64(len(pictures))/took, full, len(pictures), s.Freezes, s.BitrateIn/1000)
				t.Logf("glass to glass: %s", ages)
				t.Logf("accept to first picture: %v and %v", first.Round(time.Millisecond), firstB.Round(time.Millisecond))
			})
		}
	}
}
