//go:build native && cgo

package apm

/*
#cgo pkg-config: webrtc-audio-processing
#cgo CXXFLAGS: -std=c++14 -O2
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/carillon-im/carillon/media/audio"
)

// maxDelay is the longest delay that the library takes.
const maxDelay = 500 * time.Millisecond

// milliseconds is a delay as the library takes it.
func milliseconds(d time.Duration) int {
	return int(min(max(d, 0), maxDelay) / time.Millisecond)
}

// Available reports whether New works in this build.
const Available = true

// A Processor belongs to one call. Render and Capture may be called from two
// goroutines; neither waits for the other longer than a tenth of a millisecond.
type Processor struct {
	mu      sync.Mutex // the library is not made for being closed while it works
	p       *C.carillon_apm
	render  [audio.HalfFrame]C.float
	capture [audio.HalfFrame]C.float
}

// New returns a Processor. Close it when nothing uses it any more.
func New(cfg Config) (*Processor, error) {
	on := func(off bool) C.int {
		if off {
			return 0
		}
		return 1
	}
	p := C.carillon_apm_new(audio.SampleRate, on(cfg.NoEcho), on(cfg.NoNoise), on(cfg.NoGain))
	if p == nil {
		return nil, errors.New("start sound processing: the library refused")
	}
	return &Processor{p: p}, nil
}

// Render tells what is about to be played, a multiple of audio.HalfFrame
// samples, which is not changed.
func (p *Processor) Render(pcm []int16) error {
	return p.each(pcm, &p.render, func(piece []int16) C.int {
		return C.carillon_apm_render(p.p, &p.render[0])
	}, "render")
}

// Capture cleans what was heard, a multiple of audio.HalfFrame samples, in
// place. delay is the time from Render to the speaker plus that from the
// microphone to Capture, as far as it is known; the library finds the rest.
func (p *Processor) Capture(pcm []int16, delay time.Duration) error {
	return p.each(pcm, &p.capture, func(piece []int16) C.int {
		r := C.carillon_apm_capture(p.p, &p.capture[0], C.int(milliseconds(delay)))
		if r == 0 {
			for i, v := range p.capture {
				piece[i] = int16(min(max(v*32768, -32768), 32767))
			}
		}
		return r
	}, "capture")
}

// each runs f for each 10 ms of pcm, with these in buf as numbers from -1 to 1.
func (p *Processor) each(pcm []int16, buf *[audio.HalfFrame]C.float, f func(piece []int16) C.int, what string) error {
	if len(pcm)%audio.HalfFrame != 0 {
		return fmt.Errorf("%s %d samples: %w", what, len(pcm), audio.ErrFrameSize)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; len(pcm) > 0 && p.p != nil; pcm = pcm[audio.HalfFrame:] {
		piece := pcm[:audio.HalfFrame]
		for i, v := range piece {
			buf[i] = C.float(v) / 32768
		}
		if r := f(piece); r != 0 {
			return fmt.Errorf("%s: the sound processing library says %d", what, int(r))
		}
	}
	return nil
}

// Close frees what the library holds. Afterwards sound passes unchanged. It
// may be called twice.
func (p *Processor) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.p != nil {
		C.carillon_apm_free(p.p)
		p.p = nil
	}
	return nil
}
