package talk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/media"
)

// maxDigits bounds the keys typed and not yet sent.
const maxDigits = 64

// happened shows an event of the media.
func (t *talk) happened(e media.Event) {
	show, id := t.phone.Show, t.id()
	switch e := e.(type) {
	case media.Connected:
		show(events.Connected{
			Call: id, Local: string(e.Pair.Local.Type), Remote: string(e.Pair.Remote.Type),
			MSSinceAccept: e.SinceAccept.Milliseconds(), Verification: e.Verification,
		})
	case media.FirstAudio:
		show(events.FirstAudio{Call: id, MSSinceAccept: e.SinceAccept.Milliseconds()})
	case media.FirstFrame:
		show(events.FirstFrame{Call: id, MSSinceAccept: e.SinceAccept.Milliseconds(), Width: e.Width, Height: e.Height})
	case media.RemoteVideo:
		show(events.Shown{Call: id, On: e.On, Remote: true})
	case media.VideoSourceEnded:
		t.shown(false)
		switch {
		case errors.Is(e.Err, media.ErrNoVideo):
			t.phone.warn("the other side takes no video; the call goes on with sound")
		case e.Err != nil:
			t.phone.warn("nothing more is shown: %v", e.Err)
		}
	case media.Reconnecting:
		show(events.Reconnecting{Call: id, Cause: e.Cause})
	case media.Stats:
		if e.Connected > 0 {
			show(stats(id, e))
			if v := e.Video; v.FramesIn+v.FramesOut > 0 {
				show(picture(id, v))
			}
		}
	case media.RemoteMuted:
		show(events.Muted{Call: id, On: e.Muted, Remote: true})
	case media.RemoteHeld:
		show(events.Held{Call: id, On: e.Held, Remote: true})
	case media.Digit:
		show(events.Digit{Call: id, Key: e.Key})
	case media.SourceEnded:
		if e.Err != nil {
			t.phone.warn("nothing more is sent: %v", e.Err)
		}
	case media.SinkEnded:
		t.broken = fmt.Errorf("nothing more of what they say is heard or kept: %w", e.Err)
		if t.phone.Failed != nil {
			t.phone.Failed(id, t.broken)
		}
	case media.Ended:
		t.over = e
	}
}

func stats(id events.Call, s media.Stats) events.Stats {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return events.Stats{
		Call: id, Seconds: s.Connected.Round(time.Millisecond).Seconds(), Codec: s.Codec,
		Local: string(s.Pair.Local.Type), Remote: string(s.Pair.Remote.Type),
		RTTms: ms(s.RTT), JitterMS: ms(s.Jitter), DelayMS: ms(s.Delay),
		LossIn: s.LossIn, LossOut: s.LossOut, Concealed: s.Concealed,
		BitrateIn: int64(s.BitrateIn), BitrateOut: int64(s.BitrateOut),
		LevelIn: s.LevelIn, LevelOut: s.LevelOut,
		PacketsIn: s.PacketsIn, PacketsOut: s.PacketsOut, Lost: s.PacketsLost,
	}
}

func picture(id events.Call, v media.VideoStats) events.Video {
	return events.Video{
		Call: id, CodecIn: v.CodecIn, CodecOut: v.CodecOut,
		Width: v.WidthIn, Height: v.HeightIn, FPS: math.Round(v.FPSIn*10) / 10,
		WidthOut: v.WidthOut, HeightOut: v.HeightOut, FPSOut: math.Round(v.FPSOut*10) / 10,
		Frames: v.FramesIn, FramesOut: v.FramesOut, Freezes: v.Freezes, FrozenMS: v.Frozen.Milliseconds(),
		BitrateIn: int64(v.BitrateIn), BitrateOut: int64(v.BitrateOut), Target: int64(v.Target),
		LossIn: v.LossIn, LossOut: v.LossOut, Resent: v.Resent, Recovered: v.Recovered,
	}
}

// shown notes and shows whether we show something.
func (t *talk) shown(on bool) {
	if t.shows != on {
		t.shows = on
		t.phone.Show(events.Shown{Call: t.id(), On: on})
	}
}

// key does what a key of the user says: m switches the microphone, v the
// picture, h holds, 0-9, * and # are sent as tones of a telephone. Others mean
// nothing.
func (t *talk) key(ctx context.Context, k rune) {
	var err error
	switch {
	case k == 'm':
		on := !t.media.Muted()
		if err = t.media.Mute(on); err == nil {
			t.phone.Show(events.Muted{Call: t.id(), On: on})
		}
	case k == 'h':
		on := !t.media.Held()
		if err = t.media.Hold(on); err == nil {
			t.phone.Show(events.Held{Call: t.id(), On: on})
		}
	case k == 'v':
		err = t.switchVideo(ctx)
	case strings.ContainsRune("0123456789*#", k):
		select {
		case t.digits <- k:
		default: // a full second of tones per key: nobody waits for that many
		}
	}
	if err != nil {
		t.phone.warn("%v", err)
	}
}

// sendDigits sends keys one after the other until ctx ends.
func (t *talk) sendDigits(ctx context.Context) {
	for {
		select {
		case k := <-t.digits:
			err := t.media.DTMF(ctx, string(k))
			if errors.Is(err, media.ErrNoDTMF) {
				t.phone.warn("the other side takes no telephone keys")
			} else if err != nil {
				t.phone.Log.Debug("key not sent", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
