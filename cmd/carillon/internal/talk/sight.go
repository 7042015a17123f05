package talk

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/video"
)

// NoCamera is how the user writes that nothing is to be shown.
const NoCamera = "none"

// Sight says what is shown and where what is seen goes, as the user wrote it:
// "camera", "screen", "pattern", "file:clip.y4m", "window", "null". The zero Sight is a
// call without pictures.
type Sight struct {
	Camera, Screen string
	// Codec is the one that is asked for before all others, "" for none.
	Codec string
	Log   *slog.Logger
}

func (s Sight) on() bool    { return s.Screen != "" }
func (s Sight) shows() bool { return s.on() && s.Camera != NoCamera }

// Open opens both, the camera only when something is to be shown from the
// beginning. nth counts the calls of one program from 1: the second and later
// calls get a file of their own, "seen-2.ivf" after "seen.ivf".
func (s Sight) Open(ctx context.Context, nth int, shown bool) (v media.Video, err error) {
	if !s.on() {
		return v, nil
	}
	all := video.Codecs()
	if len(all) == 0 {
		return v, &video.OpenError{Spec: "video", Err: video.ErrNoCodec, Hint: "leave --video out for a call with sound alone"}
	}
	if s.Codec != "" {
		first, ok := video.FindCodec(all, s.Codec)
		if !ok {
			return v, &video.OpenError{Spec: s.Codec, Err: video.ErrNoCodec, Hint: "leave --video-codec out"}
		}
		others := slices.DeleteFunc(all, func(c video.Codec) bool { return c.Name == first.Name })
		v.Codecs = append([]video.Codec{first}, others...)
		for i := range v.Codecs { // whatever the other side likes better
			v.Codecs[i].Follows = false
		}
	}
	if shown && s.shows() {
		if v.Source, err = s.camera(ctx); err != nil {
			return media.Video{}, err
		}
	}
	if v.Sink, err = capture.OpenSink(numbered(s.Screen, nth), s.Log); err != nil && v.Source != nil {
		v.Source.Close()
	}
	if err != nil {
		return media.Video{}, err
	}
	return v, nil
}

func (s Sight) camera(ctx context.Context) (video.Source, error) {
	return capture.OpenSource(ctx, s.Camera, capture.Options{Logger: s.Log})
}

func numbered(spec string, nth int) string {
	path, isFile := strings.CutPrefix(spec, "file:")
	if !isFile || nth < 2 {
		return spec
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("file:%s-%d%s", strings.TrimSuffix(path, ext), nth, ext)
}

// asks reports whether opening the camera asks the person, as a screen on
// Wayland does.
func (s Sight) asks(ctx context.Context) bool {
	if kind, _, _ := strings.Cut(s.Camera, ":"); kind != "screen" {
		return false
	}
	list, err := capture.Screens(ctx)
	return err == nil && len(list) > 0 && list[0].Dialog
}

// Check opens and closes both, as Sound.Check; but nobody is asked in vain.
func (s Sight) Check(ctx context.Context) error {
	v, err := s.Open(ctx, 1, !s.asks(ctx))
	if err != nil {
		return err
	}
	if v.Source != nil {
		v.Source.Close()
	}
	if v.Sink != nil {
		if err := v.Sink.Close(); err != nil {
			return fmt.Errorf("close %s: %w", s.Screen, err)
		}
	}
	return nil
}

// switchVideo shows something, or stops.
func (t *talk) switchVideo(ctx context.Context) error {
	if !t.phone.Sight.shows() {
		return fmt.Errorf("there is nothing to show: --video or --camera was not given")
	}
	on := !t.shows
	var source video.Source
	if on {
		var err error
		if source, err = t.phone.Sight.camera(ctx); err != nil {
			return err
		}
	}
	if err := t.media.SetVideo(source); err != nil {
		return err
	}
	t.shown(on)
	return nil
}
