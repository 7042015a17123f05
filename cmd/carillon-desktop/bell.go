//go:build native

package main

import (
	"context"
	"log/slog"

	"github.com/carillon-im/carillon/desktop/tones"
	"github.com/carillon-im/carillon/media/device"
)

// A bell makes the sounds of a telephone. A speaker may be slow to open, so
// one goroutine does it, and only the latest wish counts.
type bell struct {
	log    *slog.Logger
	wishes chan wish
	done   chan struct{}
}

type wish struct{ kind, speaker string }

func newBell(log *slog.Logger) *bell {
	b := &bell{log: log, wishes: make(chan wish, 1), done: make(chan struct{})}
	go b.run()
	return b
}

// ring is called by one goroutine at a time.
func (b *bell) ring(kind, speaker string) {
	select {
	case <-b.wishes: // it has been overtaken
	default:
	}
	b.wishes <- wish{kind, speaker}
}

func (b *bell) run() {
	defer close(b.done)
	stop := func() {}
	for w := range b.wishes {
		stop()
		stop = func() {}
		tone, ok := map[string]func() tones.Tone{"in": tones.Ringing, "out": tones.Dialling, "waiting": tones.Waiting}[w.kind]
		if !ok {
			continue
		}
		silence, err := tones.Play(context.Background(), tone(), w.speaker, device.Options{Logger: b.log})
		if err != nil {
			b.log.Warn("cannot ring", "err", err)
			continue
		}
		stop = silence
	}
	stop()
}

func (b *bell) close() {
	close(b.wishes)
	<-b.done
}
