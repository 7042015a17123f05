package bridge

import (
	"context"
	"time"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/device"
)

const (
	checkTime = 30 * time.Second // a sound check ends by itself
	levelStep = 5                // frames of 20 ms between levels that are shown
)

// checkSound plays a tone and shows how loud the microphone is. Owner only.
func (b *Bridge) checkSound(on bool) {
	if b.checking != nil {
		b.checking()
		b.checking = nil
	}
	if !on {
		b.apply(state.SoundChecked{MicLevel: audio.MinLevel, SpeakerLevel: audio.MinLevel})
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, checkTime)
	b.checking = cancel
	mic, speaker := b.mic(), b.speaker()
	b.apply(state.SoundChecked{On: true, MicLevel: audio.MinLevel, SpeakerLevel: audio.MinLevel})
	b.wg.Go(func() {
		defer cancel()
		err := b.soundCheck(ctx, mic, speaker)
		if ctx.Err() == nil {
			b.wrong(err, "")
		}
		b.await(func() {
			if ctx.Err() != context.Canceled || err != nil {
				b.apply(state.SoundChecked{MicLevel: audio.MinLevel, SpeakerLevel: audio.MinLevel})
			}
		})
	})
}

func (b *Bridge) soundCheck(ctx context.Context, mic, speaker string) error {
	s, err := device.Open(ctx, device.Config{Microphone: mic, Speaker: speaker, NoProcessing: true, Options: device.Options{Logger: b.log}})
	if err != nil {
		return err
	}
	defer s.Close()
	// A bell now and then, so that silence of the speaker is noticed too.
	b.wg.Go(func() {
		tone := &audio.Tone{Hz: 660}
		silence := audio.Silence{}
		f := make(audio.Frame, audio.FrameSize)
		for i := 0; ctx.Err() == nil; i++ {
			if i%75 < 15 {
				tone.Fill(f)
			} else {
				silence.Fill(f)
			}
			if s.Sink().Write(f) != nil {
				return
			}
		}
	})
	loud := audio.MinLevel
	for i := 1; ; i++ {
		f, err := s.Source().Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		loud = max(loud, audio.Measure(f).RMS)
		if i%levelStep == 0 {
			level, ear := loud, audio.MinLevel
			if (i/levelStep)%15 < 3 {
				ear = -9
			}
			b.await(func() {
				if ctx.Err() == nil {
					b.apply(state.SoundChecked{On: true, MicLevel: level, SpeakerLevel: ear})
				}
			})
			loud = audio.MinLevel
		}
	}
}
