package media

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/carillon-im/carillon/jingle"
)

// A brake is a slog.Handler that holds up what logs a message.
type brake struct {
	slog.Handler
	text    string
	release chan struct{}
}

func (b *brake) Enabled(context.Context, slog.Level) bool { return true }
func (b *brake) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *brake) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if strings.Contains(a.Value.String(), b.text) {
			<-b.release
		}
		return true
	})
	return nil
}

// A call may end when the peer's first packet came and pion, which is slow here,
// has not begun to take streams. Closing it then locks pion up.
func TestHangUpBeforeTheFirstStream(t *testing.T) {
	leaks(t)
	ctx := testContext(t)
	slow := &brake{slog.DiscardHandler, "peer connection state changed: connected", make(chan struct{})}
	a, b := newPhone(t, "a", 440, func(c *Config) { c.Logger = slog.New(slow) }), newPhone(t, "b", 880, nil)
	dial(t, a, b)
	next[Connected](t, ctx, a)
	next[Connected](t, ctx, b)
	for b.sender.count.Load() < 5 {
		next[Stats](t, ctx, b)
	}
	a.HangUp(jingle.Reason{})
	next[Ended](t, ctx, a)
	time.AfterFunc(200*time.Millisecond, func() { close(slow.release) })
	waitFor(t, ctx, "the end", a.Done())
}
