package talk

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
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
	Log            *slog.Logger
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
	if len(video.Codecs()) == 0 {
		return v, &video.OpenError{Spec: "video", Err: video.ErrNoCodec, Hint: "leave --video out for a call with sound alone"}
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

// Check opens and closes both, as Sound.Check.
func (s Sight) Check(ctx context.Context) error {
	v, err := s.Open(ctx, 1, true)
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
