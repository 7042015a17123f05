package audio

import (
	"context"
	"math"
	"net"
	"sync"
)

// A Generator makes sound without end or pace: Fill overwrites every sample.
type Generator interface {
	Fill(Frame)
}

// NewSource returns a Source that gives what g makes in real time.
func NewSource(g Generator) Source {
	return &pacedSource{pace: newPacer(), fill: func(f Frame) error { g.Fill(f); return nil }}
}

// pacedSource is a Source on top of something that is always ready.
type pacedSource struct {
	pace  *pacer
	frame [FrameSize]int16

	mu    sync.Mutex // held while fill runs, so that close does not interrupt it
	fill  func(Frame) error
	close func() error // may be nil
}

func (s *pacedSource) Read(ctx context.Context) (Frame, error) {
	if err := s.pace.Wait(ctx, s.pace.next(FrameDuration)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pace.Stopped() {
		return nil, net.ErrClosed
	}
	if err := s.fill(s.frame[:]); err != nil {
		return nil, err
	}
	return s.frame[:], nil
}

func (s *pacedSource) Close() error {
	if !s.pace.Stop() || s.close == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}

// Silence is a Generator of zeros.
type Silence struct{}

// Fill sets f to zero.
func (Silence) Fill(f Frame) { clear(f) }

// A Tone is a Generator of a sine.
type Tone struct {
	Hz    float64
	Level float64 // amplitude, full scale is 1; zero means 0.5
	phase float64
}

// Fill continues the sine.
func (t *Tone) Fill(f Frame) {
	amp := t.Level
	if amp == 0 {
		amp = 0.5
	}
	step := 2 * math.Pi * t.Hz / SampleRate
	for i := range f {
		f[i] = clip16(float32(amp * math.MaxInt16 * math.Sin(t.phase)))
		if t.phase += step; t.phase > 2*math.Pi {
			t.phase -= 2 * math.Pi
		}
	}
}
