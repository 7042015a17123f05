//go:build native && cgo

package apm_test

import (
	"testing"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/audio/apm"
)

// BenchmarkProcessor takes as long as what is done with 20 ms of sound both
// ways; 200 µs is 1 % of a core.
func BenchmarkProcessor(b *testing.B) {
	for name, cfg := range map[string]apm.Config{
		"all": {}, "echo": {NoNoise: true, NoGain: true}, "noise": {NoEcho: true, NoGain: true}, "gain": {NoEcho: true, NoNoise: true},
		"none": {NoEcho: true, NoNoise: true, NoGain: true},
	} {
		b.Run(name, func(b *testing.B) {
			p, err := apm.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			far, near := audio.NewSpeech(1), audio.NewSpeech(2)
			f, n := make(audio.Frame, audio.FrameSize), make(audio.Frame, audio.FrameSize)
			for b.Loop() {
				far.Fill(f)
				near.Fill(n)
				if err := p.Render(f); err != nil {
					b.Fatal(err)
				}
				if err := p.Capture(n, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
