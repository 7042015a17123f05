package device

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-im/carillon/media/audio"
)

// recorder is a processor that notes what it is told, and makes sound of it
// that a test recognises.
type recorder struct {
	mu       sync.Mutex
	rendered []int16
	delays   []time.Duration
	closed   int
}

func (r *recorder) Render(pcm []int16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rendered = append(r.rendered, pcm...)
	return nil
}

func (r *recorder) Capture(pcm []int16, delay time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delays = append(r.delays, delay)
	for i := range pcm {
		pcm[i] = -pcm[i]
	}
	return nil
}

func (r *recorder) Close() error {
	r.closed++
	return nil
}

// The processor is told exactly what the speaker gets, in its order, also when
// the speaker is away for a while, and the delay of both devices.
func TestProcessorIsFedWithWhatIsPlayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{gone: map[string]bool{}}
		r := &recorder{}
		c := &cleaner{p: r}
		c.on.Store(true)
		speaker, _ := newTest(t, f, Playback, "speaker")
		out := newSink(speaker, c)
		first := f.last()
		n := int16(0)
		write := func(pieces int) {
			t.Helper()
			for range pieces {
				n++
				if err := out.Write(slices.Repeat(audio.Frame{n}, audio.HalfFrame)); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(20)
		f.mu.Lock()
		f.gone["speaker"] = true
		f.mu.Unlock()
		first.t.closed(errors.New("unplugged"))
		synctest.Wait()
		write(20) // to nowhere
		f.mu.Lock()
		f.gone["speaker"] = false
		f.mu.Unlock()
		write(100)
		out.Close()

		microphone, _ := newTest(t, f, Capture, "microphone")
		in := newSource(microphone, c)
		got, err := in.Read(t.Context())
		if err != nil || got[0] >= 0 {
			t.Errorf("read %d, %v: not processed", got[0], err)
		}
		c.on.Store(false)
		if got, err = in.Read(t.Context()); err != nil || got[0] <= 0 {
			t.Errorf("read %d, %v: processed, though switched off", got[0], err)
		}
		in.Close()
		f.wg.Wait()

		var played []int16
		for _, s := range f.streams {
			if s.kind == Playback {
				played = append(append(played, s.played...), s.fifo...)
			}
		}
		if !slices.Equal(r.rendered, played) {
			t.Errorf("the processor was told %d samples and the speaker got %d, or others", len(r.rendered), len(played))
		}
		if len(played) < 60*audio.HalfFrame || len(played) > 125*audio.HalfFrame {
			t.Errorf("%d pieces were played", len(played)/audio.HalfFrame)
		}
		// 30 ms of each device, and the 20 ms of a frame.
		if len(r.delays) != 1 || r.delays[0] != 80*time.Millisecond {
			t.Errorf("delays %v, want 80ms once", r.delays)
		}
	})
}

// A microphone is exchanged under a Read that waits, and under one call.
func TestExchange(t *testing.T) {
	s, err := Open(t.Context(), Config{Microphone: "silence", Speaker: "null"})
	if err != nil {
		t.Fatal(err)
	}
	src, out := s.Source(), s.Sink()
	read := func() audio.Frame {
		t.Helper()
		f, err := src.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	read()
	result := make(chan error)
	go func() {
		defer close(result)
		for range 20 {
			f, err := src.Read(t.Context())
			if err != nil {
				result <- err
				return
			}
			if audio.HasTone(f, 440) {
				return
			}
		}
		result <- errors.New("the tone is not heard")
	}()
	if err := s.SetMicrophone(t.Context(), "tone:440"); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	var oe *audio.OpenError
	if err := s.SetMicrophone(t.Context(), "nonsense"); !errors.As(err, &oe) {
		t.Errorf("an unknown microphone: %v", err)
	}
	if got := s.Microphone(); got != "tone:440" || !audio.HasTone(read(), 440) {
		t.Errorf("after an error %q is in use", got)
	}
	if err := s.SetSpeaker(t.Context(), "file:"+t.TempDir()+"/heard.wav"); err != nil {
		t.Fatal(err)
	}
	if err := out.Write(make(audio.Frame, audio.FrameSize)); err != nil {
		t.Error(err)
	}
	if err := errors.Join(src.Close(), out.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := src.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if err := out.Write(make(audio.Frame, audio.FrameSize)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	if err := s.SetMicrophone(t.Context(), "silence"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("another microphone after Close: %v", err)
	}
}

// The processor is freed when both ends are closed, once.
func TestProcessorIsFreed(t *testing.T) {
	r := &recorder{}
	s := &Sound{cleaner: &cleaner{p: r}}
	s.sink.done, s.source.done = s.release, s.release
	if err := errors.Join(s.SetSpeaker(t.Context(), "null"), s.SetMicrophone(t.Context(), "silence")); err != nil {
		t.Fatal(err)
	}
	s.Sink().Close()
	s.Sink().Close()
	if r.closed != 0 {
		t.Error("freed while the microphone is in use")
	}
	s.Source().Close()
	s.Close()
	if r.closed != 1 {
		t.Errorf("freed %d times, want once", r.closed)
	}
	if _, err := Open(context.Background(), Config{Microphone: "nonsense", Speaker: "null"}); err == nil {
		t.Error("nonsense was opened")
	}
}

// The server gives a stream another device: because the user chose one, or
// because the old one is gone.
func TestMovedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{devices: []Device{{ID: "usb", Kind: Playback}, {ID: "hdmi", Kind: Playback}}}
		u, events := newTest(t, f, Playback, "usb")
		f.last().t.moved("hdmi")
		if e := <-events; e.Kind != Moved || e.To != "hdmi" || e.Device != "usb" || e.For != Playback {
			t.Errorf("event = %+v, want moved to hdmi", e)
		}
		f.mu.Lock()
		f.devices = f.devices[1:]
		f.mu.Unlock()
		f.last().t.moved("hdmi")
		if e := <-events; e.Kind != FellBack || e.To != "hdmi" {
			t.Errorf("event = %+v, want fell back to hdmi", e)
		}
		u.close()
		f.wg.Wait()
	})
}
