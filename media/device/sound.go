package device

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/audio/apm"
)

// A Config says what Open opens. The zero Config is the default microphone and
// speaker.
type Config struct {
	// Microphone and Speaker are as OpenSource and OpenSink take them. Empty
	// means "device".
	Microphone, Speaker string
	// NoProcessing leaves the sound of the microphone as it is. Otherwise echo,
	// noise and level are seen to where the microphone is a device and this
	// build can, see [Sound.Processing].
	NoProcessing bool
	Options
}

// A Sound is the microphone and the speaker of one call. Both can be changed
// while they are in use, by any goroutine.
//
//	s, err := device.Open(ctx, device.Config{})
//	call, err := media.NewCall(media.Config{Audio: media.Audio{Source: s.Source(), Sink: s.Sink()}})
//	...
//	err = s.SetMicrophone(ctx, "device:headset")
//
// It ends when both Source and Sink are closed, which a media.Call does, or by
// Close.
type Sound struct {
	opts    Options
	source  slot[audio.Source]
	sink    slot[audio.Sink]
	cleaner *cleaner // nil when it cannot be had
}

// Open opens the microphone and the speaker of a call. The context is for the
// opening only. Errors are of type *audio.OpenError, unless the library for
// processing refuses.
func Open(ctx context.Context, cfg Config) (*Sound, error) {
	s := &Sound{opts: cfg.Options}
	if on := cfg.OnEvent; on != nil {
		var one sync.Mutex // two devices have two goroutines
		s.opts.OnEvent = func(e Event) {
			one.Lock()
			defer one.Unlock()
			on(e)
		}
	}
	p, err := apm.New(apm.Config{})
	switch {
	case err == nil:
		s.cleaner = &cleaner{p: p}
		s.cleaner.on.Store(!cfg.NoProcessing)
	case !errors.Is(err, apm.ErrUnsupported):
		return nil, err
	}
	// The speaker first: when both are one Bluetooth headset, the microphone
	// changes its profile.
	s.sink.done, s.source.done = s.release, s.release
	if err := s.SetSpeaker(ctx, cfg.Speaker); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.SetMicrophone(ctx, cfg.Microphone); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// release frees the cleaner when neither end is left.
func (s *Sound) release() {
	if s.cleaner != nil && s.cleaner.ends.Add(1) == 2 {
		s.cleaner.p.Close()
	}
}

// Source is what the microphone hears, whichever it is. A file that ended stays
// ended for a media.Call, which then sends silence.
func (s *Sound) Source() audio.Source { return soundSource{s} }

// Sink is the speaker, whichever it is.
func (s *Sound) Sink() audio.Sink { return soundSink{s} }

// SetMicrophone opens what spec says, as OpenSource does, and then goes on with
// it. On an error what was in use stays.
func (s *Sound) SetMicrophone(ctx context.Context, spec string) error {
	return s.source.set(spec, func(spec string) (audio.Source, error) {
		return openSource(ctx, spec, s.opts, s.cleaner)
	})
}

// SetSpeaker opens what spec says, as OpenSink does, and then goes on with it.
// On an error what was in use stays.
func (s *Sound) SetSpeaker(ctx context.Context, spec string) error {
	return s.sink.set(spec, func(spec string) (audio.Sink, error) {
		return openSink(ctx, spec, s.opts, s.cleaner)
	})
}

// Microphone and Speaker are what was asked for last.
func (s *Sound) Microphone() string { return s.source.asked() }

// Speaker is what was asked for last.
func (s *Sound) Speaker() string { return s.sink.asked() }

// Recording is the file that keeps what is heard, "" when the speaker is none
// or nothing was heard.
func (s *Sound) Recording() string {
	s.sink.mu.Lock()
	now := s.sink.now
	s.sink.mu.Unlock()
	if f, ok := now.(*audio.FileSink); ok {
		return f.Path()
	}
	return ""
}

// SetProcessing switches echo cancelling, noise and level control of
// microphones on or off. It returns apm.ErrUnsupported when this build has none.
func (s *Sound) SetProcessing(on bool) error {
	if s.cleaner == nil {
		if on {
			return apm.ErrUnsupported
		}
		return nil
	}
	s.cleaner.on.Store(on)
	return nil
}

// Processing reports whether the sound of microphones is processed.
func (s *Sound) Processing() bool { return s.cleaner != nil && s.cleaner.on.Load() }

// Close ends both ends. It may be called twice.
func (s *Sound) Close() error { return errors.Join(s.sink.close(), s.source.close()) }

// A processor is an *apm.Processor.
type processor interface {
	Render([]int16) error
	Capture([]int16, time.Duration) error
	Close() error
}

// A cleaner stands between the speaker and the microphone of a call, and knows
// what the one plays when the other hears it.
type cleaner struct {
	p        processor
	on       atomic.Bool
	ends     atomic.Int32 // of the two, how many are closed
	playback atomic.Int64 // nanoseconds from render to the speaker
}

// render is told what is handed to the speaker, also while switched off, so
// that the echo is known when it is switched on.
func (c *cleaner) render(pcm []int16, late time.Duration) {
	c.playback.Store(int64(late))
	_ = c.p.Render(pcm) // of the right size, and otherwise there is nobody to tell
}

// capture cleans what the microphone heard so long ago.
func (c *cleaner) capture(pcm []int16, late time.Duration) {
	if c.on.Load() {
		_ = c.p.Capture(pcm, late+time.Duration(c.playback.Load()))
	}
}

// A slot holds a source or a sink that may be exchanged.
type slot[T io.Closer] struct {
	done func() // called once, when it is closed

	change sync.Mutex // held while a new one is opened

	mu     sync.Mutex // guards what follows
	now    T
	filled bool
	spec   string
	turn   int // of now
	closed bool
}

// set opens what spec says, puts it in place, and closes what was there.
func (s *slot[T]) set(spec string, open func(string) (T, error)) error {
	if spec == "" {
		spec = "device"
	}
	s.change.Lock()
	defer s.change.Unlock()
	next, err := open(spec)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.Join(net.ErrClosed, next.Close())
	}
	old, had := s.now, s.filled
	s.now, s.filled, s.spec = next, true, spec
	s.turn++
	s.mu.Unlock()
	if had {
		return old.Close()
	}
	return nil
}

func (s *slot[T]) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec
}

// use calls f with what is there, again when that was closed because another
// took its place.
func (s *slot[T]) use(f func(T) error) error {
	for {
		s.mu.Lock()
		now, turn, closed := s.now, s.turn, s.closed
		s.mu.Unlock()
		if closed {
			return net.ErrClosed
		}
		err := f(now)
		if !errors.Is(err, net.ErrClosed) {
			return err
		}
		s.mu.Lock()
		same := s.turn == turn
		s.mu.Unlock()
		if same {
			return err
		}
	}
}

func (s *slot[T]) close() error {
	s.mu.Lock()
	first, filled, now := !s.closed, s.filled, s.now
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	var err error
	if filled {
		err = now.Close()
	}
	s.done()
	return err
}

type soundSource struct{ s *Sound }

func (e soundSource) Read(ctx context.Context) (f audio.Frame, err error) {
	err = e.s.source.use(func(s audio.Source) (err error) {
		f, err = s.Read(ctx)
		return err
	})
	return f, err
}

func (e soundSource) Close() error { return e.s.source.close() }

type soundSink struct{ s *Sound }

func (e soundSink) Write(f audio.Frame) error {
	return e.s.sink.use(func(s audio.Sink) error { return s.Write(f) })
}

func (e soundSink) Close() error { return e.s.sink.close() }
