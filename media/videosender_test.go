package media

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/carillon-im/carillon/media/video"
)

// over is a source that has no more to show.
type over struct{}

func (over) Read(context.Context) (video.Frame, error) { return video.Frame{}, io.EOF }
func (over) Close() error                              { return nil }

// That a source ends which another has taken the place of is not told as the end
// of that one: somebody would take their screen not to be shared.
func TestWhoseEndIsTold(t *testing.T) {
	s := newVideoSender(Video{}, slog.New(slog.DiscardHandler))
	s.flowing.Store(true)
	told := 0
	s.ended = func(error) { told++ }
	s.swap(over{})
	source, number, _ := s.current(t.Context())
	next := &turned{}
	s.swap(next)
	s.show(t.Context(), source, number) // it had read the end by then
	if told != 0 || !s.has() {
		t.Error("the end of the old one was told")
	}
	s.swap(over{})
	source, number, read := s.current(t.Context())
	s.show(read, source, number)
	if told != 1 || s.has() {
		t.Errorf("its own end was told %d times", told)
	}
}
