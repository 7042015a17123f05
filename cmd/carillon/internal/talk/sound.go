package talk

import (
	"context"
	"log/slog"

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

// Open opens both.
func (s Sound) Open(ctx context.Context) (*device.Sound, error) {
	return device.Open(ctx, device.Config{
		Microphone: s.Mic, Speaker: s.Speaker, NoProcessing: s.NoProcessing,
		Options: device.Options{Logger: s.Log, OnEvent: s.event},
	})
}

// Check opens and closes both, so that what is wrong is known before anything
// else happens.
func (s Sound) Check(ctx context.Context) error {
	d, err := s.Open(ctx)
	if err != nil {
		return err
	}
	return d.Close()
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
