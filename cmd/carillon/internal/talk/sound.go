package talk

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/device"
)

// Sound says what is said and where what is heard goes, as the user wrote it:
// "device", "tone:440", "file:greeting.wav", "null".
type Sound struct {
	Mic, Speaker string
	// NoProcessing leaves what a microphone hears as it is, echo included.
	NoProcessing bool
	Log          *slog.Logger
	// Warn is told when a device stops working or works again. Nil ignores.
	Warn func(format string, args ...any)
}

// Open opens both. nth counts the calls of one program from 1: the second and
// later calls get a file of their own, "heard-2.wav" after "heard.wav", so
// that nothing recorded is lost.
func (s Sound) Open(ctx context.Context, nth int) (media.Audio, error) {
	d, err := device.Open(ctx, device.Config{
		Microphone: s.Mic, Speaker: numbered(s.Speaker, nth), NoProcessing: s.NoProcessing,
		Options: device.Options{Logger: s.Log, OnEvent: s.event},
	})
	if err != nil {
		return media.Audio{}, err
	}
	return media.Audio{Source: d.Source(), Sink: d.Sink()}, nil
}

// Check opens and closes both, so that what is wrong is known before the first
// call comes.
func (s Sound) Check(ctx context.Context) error {
	a, err := s.Open(ctx, 1)
	if err != nil {
		return err
	}
	a.Source.Close()
	if err := a.Sink.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.Speaker, err)
	}
	return nil
}

func numbered(spec string, nth int) string {
	path, isFile := strings.CutPrefix(spec, "file:")
	if !isFile || nth < 2 {
		return spec
	}
	ext := filepath.Ext(path)
	return fmt.Sprintf("file:%s-%d%s", strings.TrimSuffix(path, ext), nth, ext)
}

func (s Sound) event(e device.Event) {
	if s.Warn == nil {
		return
	}
	what := map[device.Kind]string{device.Capture: "microphone", device.Playback: "speaker"}[e.For]
	switch e.Kind {
	case device.Lost:
		s.Warn("the %s stopped working (%v); trying to open it again", what, e.Err)
	case device.Restored:
		s.Warn("the %s works again", what)
	case device.FellBack:
		s.Warn("the %s is gone; %s takes its place", what, or(e.To, "the default one"))
	case device.Moved:
		s.Warn("the %s is now %s", what, or(e.To, "the default one"))
	}
}

func or(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}
