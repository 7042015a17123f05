package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-im/carillon/media/audio"
)

// fake is a backend whose devices do what the test says. It keeps the time of
// synctest: while a stream is alive, a piece comes or goes every 10 ms.
type fake struct {
	mu      sync.Mutex
	gone    map[string]bool // devices that cannot be opened
	devices []Device        // that are listed
	opened  []string
	streams []*fakeStream
	wg      sync.WaitGroup
}

type fakeStream struct {
	f      *fake
	kind   Kind
	t      target
	stop   chan struct{}
	once   sync.Once
	silent chan struct{} // closed when it should say nothing any more

	mu     sync.Mutex
	fifo   []int16
	played []int16
	late   int // pieces that were not there in time
}

func (*fake) name() string { return "fake" }

func (f *fake) list(context.Context) ([]Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.devices), nil
}

func (f *fake) open(_ context.Context, kind Kind, id string, t target) (stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone[id] {
		return nil, fmt.Errorf("open: %w", ErrNoDevice)
	}
	f.opened = append(f.opened, id)
	s := &fakeStream{f: f, kind: kind, t: t, stop: make(chan struct{}), silent: make(chan struct{})}
	f.streams = append(f.streams, s)
	if kind == Playback {
		t.wanted(2 * audio.HalfFrame)
	}
	f.wg.Add(1)
	go s.run()
	return s, nil
}

func (s *fakeStream) run() {
	defer s.f.wg.Done()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n := int16(1); ; n++ {
		select {
		case <-s.stop:
			return
		case <-s.silent:
			<-s.stop
			return
		case <-tick.C:
		}
		if s.kind == Capture {
			s.t.captured(slices.Repeat([]int16{n}, audio.HalfFrame))
			continue
		}
		s.mu.Lock()
		k := min(len(s.fifo), audio.HalfFrame)
		if k < audio.HalfFrame {
			s.late++
		}
		s.played = append(s.played, s.fifo[:k]...)
		s.fifo = s.fifo[k:]
		s.mu.Unlock()
		if k > 0 {
			s.t.wanted(k)
		}
	}
}

func (s *fakeStream) write(pcm []int16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fifo = append(s.fifo, pcm...)
	return nil
}

func (s *fakeStream) latency() time.Duration { return 30 * time.Millisecond }

func (s *fakeStream) close() { s.once.Do(func() { close(s.stop) }) }

// last is the newest stream.
func (f *fake) last() *fakeStream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streams[len(f.streams)-1]
}

// opens is what was opened so far.
func (f *fake) opens() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.opened, " ")
}

func newTest(t *testing.T, f *fake, kind Kind, id string) (*unit, <-chan Event) {
	t.Helper()
	events := make(chan Event, 16)
	u, err := newUnit(t.Context(), f, kind, id, id, Options{OnEvent: func(e Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	return u, events
}

func TestSourceReadsFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		u, _ := newTest(t, f, Capture, "mic")
		s := newSource(u, nil)
		time.Sleep(5 * time.Second) // it rings; nobody reads
		start := time.Now()
		for i := range 50 {
			frame, err := s.Read(t.Context())
			if err != nil || len(frame) != audio.FrameSize {
				t.Fatalf("read = %d samples, %v", len(frame), err)
			}
			if i == 0 && frame[0] < 500 {
				t.Errorf("the first frame is from piece %d, want what is said now, 500", frame[0])
			}
			if frame[audio.HalfFrame] != frame[0]+1 {
				t.Errorf("frame of pieces %d and %d", frame[0], frame[audio.HalfFrame])
			}
		}
		if took := time.Since(start); took < 980*time.Millisecond || took > 1010*time.Millisecond {
			t.Errorf("50 frames took %v", took)
		}
		// A reader that was away for long finds what is fresh.
		time.Sleep(2 * time.Second)
		frame, _ := s.Read(t.Context())
		if frame[0] < 790 {
			t.Errorf("after 8 s: piece %d, want about 798", frame[0])
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if _, err := s.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close = %v, want %v", err, net.ErrClosed)
		}
		f.wg.Wait()
	})
}

func TestReadEndsWithContextAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		u, _ := newTest(t, f, Capture, "mic")
		s := newSource(u, nil)
		why := errors.New("hung up")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Millisecond, func() { cancel(why) })
		if _, err := s.Read(ctx); err != why {
			t.Errorf("read = %v, want %v", err, why)
		}
		time.AfterFunc(3*time.Millisecond, func() { s.Close() })
		if _, err := s.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read = %v, want %v", err, net.ErrClosed)
		}
		f.wg.Wait()
	})
}

func TestSinkIsAskedJustInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		u, _ := newTest(t, f, Playback, "speaker")
		s := newSink(u, nil)
		time.Sleep(time.Second)
		start := time.Now()
		for range 100 {
			if err := s.Write(make(audio.Frame, audio.HalfFrame)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 970*time.Millisecond || took > 1010*time.Millisecond {
			t.Errorf("1 s was written in %v", took)
		}
		st := f.last()
		st.mu.Lock()
		if n := len(st.fifo); n > 2*audio.HalfFrame {
			t.Errorf("%d samples wait in the device, want at most 20 ms", n)
		}
		late := st.late
		st.mu.Unlock()
		// While it rang there was nothing; then each piece was in time.
		if late > 101 {
			t.Errorf("%d pieces came too late", late-100)
		}
		if err := s.Write(make(audio.Frame, 100)); !errors.Is(err, audio.ErrFrameSize) {
			t.Errorf("write of 100 samples = %v, want %v", err, audio.ErrFrameSize)
		}
		s.Close()
		if err := s.Write(make(audio.Frame, audio.HalfFrame)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close = %v, want %v", err, net.ErrClosed)
		}
		f.wg.Wait()
	})
}

// The watchdog replaces a device that stops, and Read goes on meanwhile.
func TestSilentMicrophoneIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{gone: map[string]bool{}}
		u, events := newTest(t, f, Capture, "mic")
		s := newSource(u, nil)
		if _, err := s.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(f.last().silent)
		start := time.Now()
		silent := 0
		for len(events) < 2 {
			frame, err := s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if frame[0] == 0 {
				silent++
			}
		}
		if took := time.Since(start); took < silentFor || took > silentFor+3*watchEvery {
			t.Errorf("replaced after %v", took)
		}
		if e := <-events; e.Kind != Lost || !errors.Is(e.Err, errSilent) || e.For != Capture || e.Device != "mic" {
			t.Errorf("event = %+v", e)
		}
		if e := <-events; e.Kind != Restored {
			t.Errorf("event = %+v", e)
		}
		if silent < 5 {
			t.Errorf("%d silent frames", silent)
		}
		if got := f.opens(); got != "mic mic" {
			t.Errorf("opened %s", got)
		}
		s.Close()
		f.wg.Wait()
	})
}

// A microphone that takes its time, like one on Bluetooth, slows nothing down.
func TestSilenceTakesAsLongAsSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		u, _ := newTest(t, f, Capture, "mic")
		s := newSource(u, nil)
		close(f.last().silent)
		start := time.Now()
		for i := range 20 {
			frame, err := s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if frame[0] != 0 {
				t.Fatal("the microphone said something")
			}
			should := time.Duration(i+1) * audio.FrameDuration
			if took := time.Since(start); took < should || took > max(should, deadAfter) {
				t.Errorf("frame %d after %v, want %v", i, took, should)
			}
		}
		s.Close()
		f.wg.Wait()
	})
}

// Neither does a speaker that takes its time.
func TestDeafSpeakerTakesAsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		u, _ := newTest(t, f, Playback, "speaker")
		s := newSink(u, nil)
		close(f.last().silent)
		synctest.Wait()
		start := time.Now()
		const wants = 2 // pieces, before it falls silent
		for i := range 40 {
			if err := s.Write(make(audio.Frame, audio.HalfFrame)); err != nil {
				t.Fatal(err)
			}
			should := time.Duration(i+2-wants) * halfFrame
			if took := time.Since(start); took < should || took > max(should+halfFrame, deadAfter) {
				t.Errorf("piece %d after %v, want %v", i, took, should)
			}
		}
		s.Close()
		f.wg.Wait()
	})
}

func TestSpeakerThatIsGoneFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{gone: map[string]bool{}}
		u, events := newTest(t, f, Playback, "usb")
		s := newSink(u, nil)
		write := func(n int) time.Duration {
			t.Helper()
			start := time.Now()
			for range n {
				if err := s.Write(make(audio.Frame, audio.HalfFrame)); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start)
		}
		write(10)
		f.mu.Lock()
		f.gone["usb"], f.gone[""] = true, true
		f.mu.Unlock()
		f.last().t.closed(errors.New("unplugged"))
		synctest.Wait()
		if e := <-events; e.Kind != Lost || e.Err == nil {
			t.Errorf("event = %+v", e)
		}
		if took := write(100); took < 950*time.Millisecond || took > 1050*time.Millisecond {
			t.Errorf("1 s without a device took %v", took)
		}
		f.mu.Lock()
		delete(f.gone, "")
		f.mu.Unlock()
		write(400)
		if e := <-events; e.Kind != FellBack || e.Device != "usb" {
			t.Errorf("event = %+v", e)
		}
		if got := f.opens(); got != "usb " {
			t.Errorf("opened %q, want usb and then the default", got)
		}
		s.Close()
		f.wg.Wait()
	})
}

// What an old stream still says after it was replaced does not count.
func TestOldStreamIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		u, events := newTest(t, f, Capture, "mic")
		old := f.last()
		old.t.closed(errors.New("broken"))
		synctest.Wait()
		<-events
		<-events
		old.t.closed(errors.New("again"))
		old.t.captured(make([]int16, 100000))
		synctest.Wait()
		if len(events) != 0 {
			t.Errorf("event = %+v", <-events)
		}
		u.mu.Lock()
		if n := len(u.pcm); n > audio.FrameSize {
			t.Errorf("%d samples of an old stream", n)
		}
		u.mu.Unlock()
		u.close()
		f.wg.Wait()
	})
}

// Close ends a unit that tries to open its device again.
func TestCloseWhileLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{gone: map[string]bool{}}
		u, events := newTest(t, f, Capture, "mic")
		f.mu.Lock()
		f.gone["mic"], f.gone[""] = true, true
		f.mu.Unlock()
		f.last().t.closed(errors.New("unplugged"))
		<-events
		time.Sleep(10 * time.Second)
		start := time.Now()
		u.close()
		if took := time.Since(start); took != 0 {
			t.Errorf("close took %v", took)
		}
		f.wg.Wait()
	})
}

func TestFind(t *testing.T) {
	list := []Device{
		{ID: "alsa.pci", Name: "Built-in Audio", Kind: Playback, Default: true},
		{ID: "alsa.usb", Name: "USB Headset", Kind: Playback},
		{ID: "alsa.usb.mic", Name: "USB Headset", Kind: Capture},
		{ID: "bt", Name: "USB Headset 2", Kind: Playback},
	}
	for _, test := range []struct {
		kind Kind
		name string
		want string
		err  error
	}{
		{Playback, "", "alsa.pci", nil},
		{Capture, "", "alsa.usb.mic", nil},
		{Playback, "alsa.usb", "alsa.usb", nil},
		{Playback, "USB Headset", "alsa.usb", nil},
		{Playback, "usb headset", "alsa.usb", nil},
		{Playback, "headset 2", "bt", nil},
		{Playback, "head", "", ErrAmbiguous},
		{Playback, "hdmi", "", ErrNoDevice},
		{Capture, "built-in", "", ErrNoDevice},
	} {
		d, err := find(list, test.kind, test.name)
		if d.ID != test.want || !errors.Is(err, test.err) {
			t.Errorf("find %s %q = %q, %v, want %q, %v", test.kind, test.name, d.ID, err, test.want, test.err)
		}
	}
	if _, err := find(nil, Playback, ""); !errors.Is(err, ErrNoDevice) {
		t.Errorf("find in nothing = %v", err)
	}
}

func TestOpenWithoutServer(t *testing.T) {
	t.Setenv("PULSE_SERVER", "unix:"+t.TempDir()+"/none")
	_, err := OpenSource(t.Context(), "device", Options{Backend: "pulse"})
	var oe *audio.OpenError
	if !errors.As(err, &oe) || oe.Hint == "" || oe.Spec != "device" || !errors.Is(err, ErrNoServer) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("error = %v, want an OpenError with a hint", err)
	}
	if _, err := OpenSink(t.Context(), "device:x", Options{Backend: "esd"}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("unknown backend: %v, want %v", err, ErrUnsupported)
	}
	s, err := OpenSource(t.Context(), "tone:440", Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	k, err := OpenSink(t.Context(), "null", Options{})
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

func TestPulseServers(t *testing.T) {
	for env, want := range map[string][]pulseServer{
		"unix:/a/b":                          {{"unix", "/a/b"}},
		"/a/b":                               {{"unix", "/a/b"}},
		"tcp:host:99 tcp4:other":             {{"tcp", "host:99"}, {"tcp4", "other:4713"}},
		"{no-such-host-here}unix:/x nothing": nil,
		"{":                                  nil,
	} {
		t.Setenv("PULSE_SERVER", env)
		if got := pulseServers(); !slices.Equal(got, want) {
			t.Errorf("%q = %v, want %v", env, got, want)
		}
	}
	t.Setenv("PULSE_SERVER", "")
	t.Setenv("PULSE_RUNTIME_PATH", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/me")
	if got := pulseServers(); len(got) == 0 || got[0] != (pulseServer{"unix", "/run/me/pulse/native"}) {
		t.Errorf("without PULSE_SERVER = %v", got)
	}
}
