//go:build integration

package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jfreymuth/pulse/proto"
	"go.uber.org/goleak"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/audio/apm"
)

// A server is a PulseAudio of the test's own, with two speakers that lead
// nowhere, A and B, and their monitors as microphones.
type server struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

// startServer starts a server and points the environment of the test at it.
func startServer(t *testing.T) *server {
	t.Helper()
	if _, err := exec.LookPath("pulseaudio"); err != nil {
		t.Skip("pulseaudio is not installed: apt install pulseaudio")
	}
	// Unix socket paths are short, and t.TempDir is not.
	dir, err := os.MkdirTemp("", "pa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for k, v := range map[string]string{
		"HOME": dir, "XDG_RUNTIME_DIR": dir, "XDG_CONFIG_HOME": filepath.Join(dir, "config"),
		"PULSE_RUNTIME_PATH": filepath.Join(dir, "pulse"), "PULSE_STATE_PATH": filepath.Join(dir, "state"),
		"PULSE_SERVER": "unix:" + filepath.Join(dir, "native"), "PULSE_COOKIE": filepath.Join(dir, "cookie"),
		"ALSA_CONFIG_PATH": filepath.Join(dir, "asound.conf"), "JACK_NO_START_SERVER": "1",
	} {
		t.Setenv(k, v)
	}
	// For PortAudio, which comes to the server by ALSA.
	conf := "</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n"
	for _, n := range []string{"A", "B"} {
		conf += fmt.Sprintf("pcm.speaker%[1]s { type pulse; device sink%[1]s; hint { show on; description \"Speaker %[1]s\" } }\n", n)
		conf += fmt.Sprintf("pcm.microphone%[1]s { type pulse; device sink%[1]s.monitor; hint { show on; description \"Monitor %[1]s\" } }\n", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "asound.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir}
	t.Cleanup(s.kill)
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1",
		"--disallow-exit=true", "--realtime=no", "--high-priority=no", "--log-target=file:"+filepath.Join(s.dir, "log"),
		"-L", "module-native-protocol-unix socket="+filepath.Join(s.dir, "native")+" auth-anonymous=1",
		"-L", `module-null-sink sink_name=sinkA rate=48000 channels=2 norewinds=1 sink_properties=device.description=SpeakerA`,
		"-L", `module-null-sink sink_name=sinkB rate=48000 channels=2 norewinds=1 sink_properties=device.description=SpeakerB`)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	for {
		list, err := pulse{}.list(ctx)
		if err == nil && len(list) == 4 {
			return
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("pulseaudio does not come up: %v\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kill ends the server without a word.
func (s *server) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// freeze stops the server from doing anything, with its sockets open.
func (s *server) freeze(on bool) {
	sig := syscall.SIGCONT
	if on {
		sig = syscall.SIGSTOP
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// backendNames are those to test in this build.
func backendNames() (names []string) {
	for _, b := range backends() {
		names = append(names, b.name())
	}
	return names
}

// names of the devices of the test server in each backend.
func names(backend string) (speaker, microphone string) {
	if backend == "portaudio" {
		return "speakerA", "microphoneA"
	}
	return "sinkA", "sinkA.monitor"
}

func options(t *testing.T, backend string, events chan<- Event) Options {
	return Options{
		Backend: backend,
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
		OnEvent: func(e Event) {
			if events != nil {
				events <- e
			}
		},
	}
}

// play writes a generator to a sink in frames of 10 ms until ctx ends.
func play(ctx context.Context, t *testing.T, s audio.Sink, g audio.Generator) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f := make(audio.Frame, audio.HalfFrame)
		for ctx.Err() == nil {
			g.Fill(f)
			if err := s.Write(f); err != nil {
				t.Errorf("write: %v", err)
				return
			}
		}
	}()
	return done
}

// hears says whether most pieces of 20 ms have the tone. A busy machine may
// leave gaps, which the tone as a whole does not survive.
func hears(pcm []int16) bool {
	n := 0
	for at := 0; at+audio.FrameSize <= len(pcm); at += audio.FrameSize {
		if audio.HasTone(pcm[at:at+audio.FrameSize], 440) {
			n++
		}
	}
	return n*2*audio.FrameSize > len(pcm)
}

func listen(t *testing.T, s audio.Source, frames int) []int16 {
	t.Helper()
	var out []int16
	for range frames {
		f, err := s.Read(t.Context())
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		out = append(out, f...)
	}
	return out
}

func TestIntegrationList(t *testing.T) {
	startServer(t)
	list, err := List(t.Context(), Options{Backend: "pulse"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list {
		got = append(got, fmt.Sprintf("%s %s %q monitor=%v default=%v", d.Kind, d.ID, d.Name, d.Monitor, d.Default))
	}
	slices.Sort(got)
	if len(got) != 4 || !strings.Contains(strings.Join(got, "\n"), `playback sinkA "SpeakerA"`) || !strings.Contains(strings.Join(got, "\n"), "default=true") {
		t.Errorf("devices:\n%s", strings.Join(got, "\n"))
	}
	_, err = OpenSink(t.Context(), "device:nonsense", Options{})
	var oe *audio.OpenError
	if !errors.Is(err, ErrNoDevice) || !errors.As(err, &oe) || oe.Hint == "" {
		t.Errorf("open of a device that is not there = %v, want %v with a hint", err, ErrNoDevice)
	}
	if _, err = OpenSink(t.Context(), "device:speaker", Options{Backend: "pulse"}); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("open of half a name = %v, want %v", err, ErrAmbiguous)
	}
}

// A tone played to a speaker is captured from its monitor, whole and at its level.
func TestIntegrationTone(t *testing.T) {
	startServer(t)
	for _, backend := range backendNames() {
		t.Run(backend, func(t *testing.T) {
			speaker, microphone := names(backend)
			sink, err := OpenSink(t.Context(), "device:"+speaker, options(t, backend, nil))
			if err != nil {
				t.Fatal(err)
			}
			source, err := OpenSource(t.Context(), "device:"+microphone, options(t, backend, nil))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := play(ctx, t, sink, &audio.Tone{Hz: 440})
			listen(t, source, 25)
			heard := listen(t, source, 100)
			cancel()
			<-done
			// 20 ms at a time, so that gaps are found. On a busy machine the
			// speaker may run dry now and then.
			gaps := 0
			for at := 0; at < len(heard); at += audio.FrameSize {
				if math.Abs(audio.ToneLevel(heard[at:at+audio.FrameSize], 440) - -9) > 1 {
					gaps++
				}
			}
			t.Logf("%d of 100 pieces of a tone are not whole", gaps)
			if gaps > 25 {
				t.Errorf("the tone has %d gaps in 2 s", gaps)
			}
			if err := errors.Join(sink.Close(), source.Close(), sink.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What goes to B is not heard at A: the test above can fail.
func TestIntegrationOtherDeviceIsSilent(t *testing.T) {
	startServer(t)
	sink, err := OpenSink(t.Context(), "device:sinkB", options(t, "pulse", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	source, err := OpenSource(t.Context(), "device:sinkA.monitor", options(t, "pulse", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := play(ctx, t, sink, &audio.Tone{Hz: 440})
	heard := listen(t, source, 50)
	cancel()
	<-done
	if l := audio.Measure(heard); l.Peak > -90 {
		t.Errorf("level at the other device = %+v, want silence", l)
	}
}

// measureLatency is the time from the Write of a click to the return of the
// Read that has it, the median of several.
func measureLatency(t testing.TB, backend string, clicks int) time.Duration {
	speaker, microphone := names(backend)
	o := Options{Backend: backend}
	sink, err := OpenSink(t.Context(), "device:"+speaker, o)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	source, err := OpenSource(t.Context(), "device:"+microphone, o)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	written := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f := make(audio.Frame, audio.HalfFrame)
		for i := 0; ctx.Err() == nil; i++ {
			clear(f)
			if i%37 == 30 { // not in step with the frames of 20 ms
				for k := range f {
					f[k] = 12000
				}
				written <- time.Now()
			}
			if sink.Write(f) != nil {
				return
			}
		}
	}()
	var all []time.Duration
	sounding := false
	for len(all) < clicks {
		f, err := source.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(f, func(v int16) bool { return v > 3000 })
		if at >= 0 && !sounding {
			// The click was written as a piece and is heard as a piece: count
			// from its beginning to its beginning.
			all = append(all, time.Since(<-written)-time.Duration(len(f)-at)*time.Second/audio.SampleRate+audio.FrameDuration)
		}
		sounding = at >= 0
	}
	cancel()
	select { // the writer may be waiting to report one more
	case <-written:
	default:
	}
	<-done
	slices.Sort(all)
	return all[len(all)/2]
}

// The whole way through two devices must leave room for the network in the
// 80 ms from mouth to ear. The measure includes the 20 ms of the frame.
func TestIntegrationLatency(t *testing.T) {
	startServer(t)
	for _, backend := range backendNames() {
		t.Run(backend, func(t *testing.T) {
			got := measureLatency(t, backend, 15)
			t.Logf("Write to Read through %s: %v, 20 ms of it the frame", backend, got.Round(time.Millisecond/10))
			limit := 70 * time.Millisecond
			if backend == "portaudio" {
				limit = 100 * time.Millisecond
			}
			if got > limit {
				t.Errorf("latency = %v, want at most %v", got, limit)
			}
		})
	}
}

// From mouth to ear without a network: capture, Opus, jitter buffer, Opus, and
// playback, heard at the other end by a third stream, whose own delay of a frame
// is taken off.
func TestIntegrationMouthToEar(t *testing.T) {
	if slow {
		t.Skip("with the race detector Opus is slower than real time")
	}
	startServer(t)
	for _, backend := range backendNames() {
		t.Run(backend, func(t *testing.T) {
			if backend == "portaudio" && runtime.NumCPU() < 4 {
				t.Skip("four streams of PortAudio in one process need more processors to be in time")
			}
			o := Options{Backend: backend}
			speaker, microphone := names(backend)
			mouth := must(OpenSink(t.Context(), "device:"+speaker, o)) // what is said at A
			mic := must(OpenSource(t.Context(), "device:"+microphone, o))
			loudspeaker := must(OpenSink(t.Context(), "device:"+strings.Replace(speaker, "A", "B", 1), o))
			ear := must(OpenSource(t.Context(), "device:"+strings.Replace(microphone, "A", "B", 1), o))
			ctx, cancel := context.WithCancel(t.Context())
			opus, _ := audio.FindCodec("opus", 48000, 2)
			enc := must(opus.NewEncoder(audio.EncoderOptions{}))
			jb := audio.NewJitterBuffer(audio.JitterConfig{Decoders: map[uint8]audio.Codec{111: opus}})
			var wg sync.WaitGroup
			wg.Go(func() { // the sender
				p := audio.Packet{PayloadType: 111}
				for {
					f, err := mic.Read(ctx)
					if err != nil {
						return
					}
					if p.Payload, err = enc.Encode(p.Payload[:0], f); err != nil {
						t.Error(err)
						return
					}
					jb.Put(p, time.Now())
					p.Sequence++
					p.Timestamp += audio.FrameSize
				}
			})
			wg.Go(func() { // the receiver
				f := make(audio.Frame, audio.HalfFrame)
				for ctx.Err() == nil {
					jb.Get(f, time.Now())
					if err := loudspeaker.Write(f); err != nil {
						t.Error(err)
						return
					}
				}
			})
			said := make(chan time.Time, 100)
			wg.Go(func() { // who speaks: 40 ms of a tone now and then
				f := make(audio.Frame, audio.HalfFrame)
				tone := &audio.Tone{Hz: 1000}
				for i := 0; ctx.Err() == nil; i++ {
					clear(f)
					if k := i % 53; k >= 40 && k < 44 {
						tone.Fill(f)
						if k == 40 {
							said <- time.Now()
						}
					}
					if err := mouth.Write(f); err != nil {
						t.Error(err)
						return
					}
				}
			})
			var all []time.Duration
			quiet := 0
			for len(all) < 15 {
				f, err := ear.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				at := slices.IndexFunc(f, func(v int16) bool { return v > 4000 })
				if at >= 0 && quiet > 10 {
					// The end of f was heard just now.
					all = append(all, time.Since(<-said)-audio.Frame(f[at:]).Duration())
				}
				if quiet++; at >= 0 {
					quiet = 0
				}
			}
			cancel()
			wg.Wait()
			for _, c := range []io.Closer{mouth, mic, loudspeaker, ear} {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
			st := jb.Stats()
			jb.Close()
			enc.Close()
			slices.Sort(all)
			t.Logf("mouth to ear through %s: median %v, %v to %v; jitter buffer %v", backend,
				all[len(all)/2].Round(time.Millisecond), all[0].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond), st.Delay.Round(time.Millisecond))
			// 80 ms is what a quiet machine must reach, see BENCHMARKS.md; here
			// others may be working.
			if limit := 160 * time.Millisecond; all[len(all)/2] > limit {
				t.Errorf("want at most %v", limit)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func wait(t *testing.T, events <-chan Event, kind EventKind) Event {
	t.Helper()
	select {
	case e := <-events:
		if e.Kind != kind {
			t.Fatalf("event = %+v, want %s", e, kind)
		}
		return e
	case <-time.After(8 * time.Second):
		t.Fatalf("no event %s", kind)
	}
	return Event{}
}

// The server dies in mid-stream and comes back: reads and writes go on at the
// pace of real time, and then there is sound again.
func TestIntegrationServerDies(t *testing.T) {
	for _, backend := range backendNames() {
		t.Run(backend, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			s := startServer(t)
			speaker, microphone := names(backend)
			events, sinkEvents := make(chan Event, 16), make(chan Event, 16)
			sink, err := OpenSink(t.Context(), "device:"+speaker, options(t, backend, sinkEvents))
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			source, err := OpenSource(t.Context(), "device:"+microphone, options(t, backend, events))
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := play(ctx, t, sink, &audio.Tone{Hz: 440})
			if heard := listen(t, source, 50); !hears(heard[len(heard)/2:]) {
				t.Error("no tone at first")
			}
			s.kill()
			wait(t, events, Lost)
			wait(t, sinkEvents, Lost)
			start := time.Now()
			if heard := listen(t, source, 25); audio.Measure(heard).RMS > audio.MinLevel {
				t.Error("sound from a dead server")
			}
			if took := time.Since(start); took < 400*time.Millisecond || took > time.Second {
				t.Errorf("500 ms of silence took %v", took)
			}
			s.start()
			wait(t, events, Restored)
			wait(t, sinkEvents, Restored)
			listen(t, source, 25)
			if heard := listen(t, source, 25); !hears(heard) {
				t.Errorf("no tone after the server came back: %+v", audio.Measure(heard))
			}
			cancel()
			<-done
		})
	}
}

// The server hangs: nothing ends, nothing comes. The watchdog must see it.
func TestIntegrationServerHangs(t *testing.T) {
	s := startServer(t)
	events := make(chan Event, 16)
	source, err := OpenSource(t.Context(), "device:sinkA.monitor", options(t, "pulse", events))
	if err != nil {
		t.Fatal(err)
	}
	sinkEvents := make(chan Event, 16)
	sink, err := OpenSink(t.Context(), "device:sinkA", options(t, "pulse", sinkEvents))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := play(ctx, t, sink, &audio.Tone{Hz: 440})
	listen(t, source, 10)
	s.freeze(true)
	start := time.Now()
	listen(t, source, 10) // goes on
	if e := wait(t, events, Lost); !errors.Is(e.Err, errSilent) {
		t.Errorf("lost because %v, want %v", e.Err, errSilent)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("noticed after %v", took)
	}
	wait(t, sinkEvents, Lost)
	s.freeze(false)
	wait(t, events, Restored)
	wait(t, sinkEvents, Restored)
	listen(t, source, 10)
	if heard := listen(t, source, 25); !hears(heard) {
		t.Error("no tone after the server went on")
	}
	cancel()
	<-done
	if err := errors.Join(sink.Close(), source.Close()); err != nil {
		t.Error(err)
	}
}

// addSpeaker gives the server one more speaker and returns what takes it away.
func addSpeaker(t *testing.T, name string) (remove func()) {
	t.Helper()
	if _, err := exec.LookPath("pactl"); err != nil {
		t.Skip("pactl is not installed: apt install pulseaudio-utils")
	}
	out, err := exec.Command("pactl", "load-module", "module-null-sink", "sink_name="+name, "norewinds=1").Output()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := exec.Command("pactl", "unload-module", strings.TrimSpace(string(out))).Run(); err != nil {
			t.Fatal(err)
		}
	}
}

// The device is unplugged: the server moves the stream to the default one, and
// the call goes on there.
func TestIntegrationDeviceUnplugged(t *testing.T) {
	startServer(t)
	remove := addSpeaker(t, "usb")
	events := make(chan Event, 16)
	source, err := OpenSource(t.Context(), "device:usb.monitor", options(t, "pulse", events))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if l := audio.Measure(listen(t, source, 10)); l.Peak > -90 {
		t.Errorf("level of a silent device = %+v", l)
	}
	remove()
	if e := wait(t, events, FellBack); e.Device != "usb.monitor" || e.To == "" || e.To == "usb.monitor" {
		t.Errorf("event = %+v, want that another device took the place of usb.monitor", e)
	}
	o := options(t, "pulse", nil)
	sink, err := OpenSink(t.Context(), "device", o)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := play(ctx, t, sink, &audio.Tone{Hz: 440})
	listen(t, source, 50)
	if heard := listen(t, source, 25); !hears(heard) {
		t.Errorf("the default device is not heard: %+v", audio.Measure(heard))
	}
	cancel()
	<-done
}

// The device is gone when the server comes back: the default one takes its place.
func TestIntegrationDeviceVanishes(t *testing.T) {
	s := startServer(t)
	addSpeaker(t, "usb")
	events := make(chan Event, 16)
	source, err := OpenSource(t.Context(), "device:usb.monitor", options(t, "pulse", events))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	listen(t, source, 10)
	s.kill()
	if e := wait(t, events, Lost); e.Device != "usb.monitor" || e.For != Capture {
		t.Errorf("event = %+v, want the loss of usb.monitor", e)
	}
	s.start()
	wait(t, events, FellBack)
	listen(t, source, 50)
}

func TestIntegrationNoServer(t *testing.T) {
	startServer(t).kill()
	for _, open := range []func() error{
		func() error { _, err := OpenSource(t.Context(), "device", Options{Backend: "pulse"}); return err },
		func() error { _, err := OpenSink(t.Context(), "device", Options{Backend: "pulse"}); return err },
		func() error { _, err := List(t.Context(), Options{Backend: "pulse"}); return err },
	} {
		err := open()
		var oe *audio.OpenError
		if !errors.Is(err, ErrNoServer) || !errors.As(err, &oe) || oe.Hint == "" {
			t.Errorf("error = %v, want %v with a hint", err, ErrNoServer)
		}
	}
}

// The devices of a call are exchanged in its middle: A is heard, then B.
func TestIntegrationExchange(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	startServer(t)
	s, err := Open(t.Context(), Config{Microphone: "device:sinkA.monitor", Speaker: "device:sinkA", NoProcessing: true, Options: options(t, "pulse", nil)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := play(ctx, t, s.Sink(), &audio.Tone{Hz: 440})
	until := func(what string, tone bool) {
		t.Helper()
		for range 20 {
			if heard := listen(t, s.Source(), 10); hears(heard) == tone && (tone || audio.Measure(heard).Peak < -90) {
				return
			}
		}
		t.Errorf("%s: want a tone: %v", what, tone)
	}
	until("speaker A, microphone A", true)
	if err := s.SetSpeaker(t.Context(), "device:sinkB"); err != nil {
		t.Fatal(err)
	}
	until("speaker B, microphone A", false)
	if err := s.SetMicrophone(t.Context(), "device:sinkB.monitor"); err != nil {
		t.Fatal(err)
	}
	until("speaker B, microphone B", true)
	if err := s.SetMicrophone(t.Context(), "device:nonsense"); !errors.Is(err, ErrNoDevice) {
		t.Errorf("a microphone that is not there: %v", err)
	}
	until("still speaker B, microphone B", true)
	cancel()
	<-done
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// What the speaker plays comes back through the microphone, and is taken out
// of what it hears; the real delays of the server are what is told.
func TestIntegrationEchoIsCancelled(t *testing.T) {
	if !apm.Available {
		t.Skip("this build has no echo cancelling")
	}
	if slow {
		t.Skip("with the race detector it is slower than real time")
	}
	startServer(t)
	s, err := Open(t.Context(), Config{Microphone: "device:sinkA.monitor", Speaker: "device:sinkA", Options: options(t, "pulse", nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := play(ctx, t, s.Sink(), audio.NewSpeech(1))
	listen(t, s.Source(), 150)
	// On a busy machine sound is lost now and then, and the canceller has to
	// find its way again.
	best := 0.0
	for range 4 {
		clean := audio.Measure(listen(t, s.Source(), 75)).RMS
		if err := s.SetProcessing(false); err != nil {
			t.Fatal(err)
		}
		echo := audio.Measure(listen(t, s.Source(), 75)).RMS
		if err := s.SetProcessing(true); err != nil {
			t.Fatal(err)
		}
		t.Logf("echo %.1f dBFS, %.1f dBFS when cancelled", echo, clean)
		if best = max(best, echo-clean); best >= 20 {
			break
		}
	}
	if best < 20 {
		t.Errorf("the echo is %.1f dB less, want at least 20", best)
	}
	cancel()
	<-done
}

// The cushion in the real server follows: it is heard that it got smaller again.
func TestIntegrationCushionShrinks(t *testing.T) {
	startServer(t)
	u, err := open(t.Context(), Playback, "sinkA", options(t, "pulse", nil))
	if err != nil {
		t.Fatal(err)
	}
	out := newSink(u, nil)
	defer out.Close()
	st := u.stream.(*pulseStream)
	ctx, cancel := context.WithCancel(t.Context())
	done := play(ctx, t, out, audio.Silence{})
	// lies is what is in the server's buffer, in pieces.
	lies := func() float64 {
		var r proto.GetPlaybackLatencyReply
		if err := st.c.Request(&proto.GetPlaybackLatency{StreamIndex: st.index}, &r); err != nil {
			t.Fatal(err)
		}
		return float64(r.WriteIndex-r.ReadIndex) / pieceBytes
	}
	until := func(what string, ok func(float64) bool) {
		t.Helper()
		var seen []float64
		deadline := time.Now().Add(8 * time.Second)
		for time.Now().Before(deadline) {
			var sum float64
			for range 10 {
				sum += lies()
				time.Sleep(7 * time.Millisecond) // not in step with the server
			}
			if seen = append(seen, sum/10); ok(sum / 10) {
				return
			}
		}
		t.Errorf("%s: pieces in the server were %.1f", what, seen)
	}
	for range 4 {
		st.mu.Lock()
		st.cushion.ranDry(time.Now())
		changed := st.cushion.ranDry(time.Now())
		st.mu.Unlock()
		if changed {
			st.setCushion()
		}
	}
	until("after growing", func(n float64) bool { return n > 3.5 })
	st.mu.Lock()
	st.cushion.since, st.cushion.wait = time.Now().Add(-time.Hour), 0 // calm for long: one piece with each look
	st.mu.Unlock()
	until("after shrinking", func(n float64) bool { return n < 2.5 })
	cancel()
	<-done
}
