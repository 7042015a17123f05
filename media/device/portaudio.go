//go:build native && cgo

package device

/*
#cgo linux LDFLAGS: -ldl
#ifdef __linux__
#define _GNU_SOURCE
#include <dlfcn.h>

// PortAudio tries every ALSA device and JACK, and these libraries complain on
// standard error about each that does not exist: 80 lines a start. Both can be
// told to keep quiet. They came with PortAudio, so they are looked up and not
// linked. What PortAudio itself writes when a device fails cannot be stopped.
static void alsa_quiet(const char *file, int line, const char *function, int err, const char *fmt, ...) {}
static void text_quiet(const char *message) {}

static void quiet(void) {
	int (*alsa)(void (*)(const char *, int, const char *, int, const char *, ...)) = dlsym(RTLD_DEFAULT, "snd_lib_error_set_handler");
	if (alsa)
		alsa(alsa_quiet);
	static const char *const names[] = {"jack_set_error_function", "jack_set_info_function"};
	for (int i = 0; i < 2; i++) {
		void (*print)(void (*)(const char *)) = dlsym(RTLD_DEFAULT, names[i]);
		if (print)
			print(text_quiet);
	}
}
#else
static void quiet(void) {}
#endif
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gordonklaus/portaudio"

	"github.com/carillon-im/carillon/media/audio"
)

// portAudioLatency is asked for in each direction.
const portAudioLatency = 20 * time.Millisecond

// portAudioAhead is what may wait here for PortAudio to fetch it. It fetches
// 10 ms at a time, and with that much only, a writer that is late is heard.
const portAudioAhead = 2 * audio.HalfFrame

// portAudioClose bounds the closing of a stream. PortAudio may never return
// from it when the server behind ALSA has died (PortAudio issue 1037).
const portAudioClose = 2 * time.Second

// portAudioTurn is held by whoever is inside PortAudio, which is one library
// for the whole process and not made for several threads. It is a channel so
// that waiting for one that hangs can be given up.
var portAudioTurn = make(chan struct{}, 1)

var errHangs = errors.New("PortAudio hangs")

// inPortAudio runs f alone and initialized.
func inPortAudio(ctx context.Context, f func() error) error {
	select {
	case portAudioTurn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errHangs, context.Cause(ctx))
	}
	defer func() { <-portAudioTurn }()
	C.quiet()
	if err := portaudio.Initialize(); err != nil {
		return fmt.Errorf("start PortAudio: %w", err)
	}
	if err := f(); err != nil {
		return errors.Join(err, portaudio.Terminate())
	}
	return nil
}

type portAudioBackend struct{}

func portAudio() backend { return portAudioBackend{} }

func (portAudioBackend) name() string { return "portaudio" }

func (b portAudioBackend) list(ctx context.Context) (list []Device, err error) {
	err = inPortAudio(ctx, func() error {
		if list, err = b.devices(nil); err != nil {
			return err
		}
		return portaudio.Terminate()
	})
	return list, err
}

// devices lists what PortAudio found when it was initialized last, and calls
// each, if not nil, with every device.
func (b portAudioBackend) devices(each func(Device, *portaudio.DeviceInfo)) ([]Device, error) {
	infos, err := portaudio.Devices()
	if err != nil {
		return nil, fmt.Errorf("list devices of PortAudio: %w", err)
	}
	// Without a device there is no default one, which is no error.
	in, _ := portaudio.DefaultInputDevice()
	out, _ := portaudio.DefaultOutputDevice()
	var list []Device
	add := func(info *portaudio.DeviceInfo, kind Kind, channels int, usual *portaudio.DeviceInfo) {
		if channels == 0 {
			return
		}
		d := Device{
			ID: info.Name, Name: info.Name, Kind: kind, Backend: b.name(),
			Default: usual != nil && usual.Index == info.Index,
		}
		if info.HostApi != nil {
			d.ID = info.HostApi.Name + "/" + info.Name
		}
		if each != nil {
			each(d, info)
		}
		if d.Default {
			list = append([]Device{d}, list...)
		} else {
			list = append(list, d)
		}
	}
	for _, info := range infos {
		add(info, Capture, info.MaxInputChannels, in)
		add(info, Playback, info.MaxOutputChannels, out)
	}
	return list, nil
}

// A portAudioStream is an open stream, which keeps PortAudio initialized.
type portAudioStream struct {
	s *portaudio.Stream
	t target

	delay time.Duration // of the device

	mu   sync.Mutex
	fifo []int16 // to be played, at most portAudioAhead
	once sync.Once
}

func (b portAudioBackend) open(ctx context.Context, kind Kind, id string, t target) (stream, error) {
	s := &portAudioStream{t: t}
	err := inPortAudio(ctx, func() error {
		var info *portaudio.DeviceInfo
		_, err := b.devices(func(d Device, i *portaudio.DeviceInfo) {
			if d.Kind == kind && (d.ID == id || id == "" && d.Default) {
				info = i
			}
		})
		if err != nil {
			return err
		}
		if info == nil {
			return ErrNoDevice
		}
		p := portaudio.StreamParameters{SampleRate: audio.SampleRate, FramesPerBuffer: audio.HalfFrame}
		way := portaudio.StreamDeviceParameters{Device: info, Channels: 1, Latency: portAudioLatency}
		if kind == Capture {
			p.Input = way
			s.s, err = portaudio.OpenStream(p, t.captured)
		} else {
			p.Output = way
			s.s, err = portaudio.OpenStream(p, s.fill)
		}
		if err != nil {
			return fmt.Errorf("open %s: %w", info.Name, err)
		}
		if i := s.s.Info(); i != nil && kind == Capture {
			s.delay = i.InputLatency
		} else if i != nil {
			s.delay = i.OutputLatency
		}
		if kind == Playback {
			t.wanted(portAudioAhead)
		}
		if err := s.s.Start(); err != nil {
			return errors.Join(fmt.Errorf("start %s: %w", info.Name, err), s.s.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// fill is called by PortAudio for each piece that is to be played.
func (s *portAudioStream) fill(out []int16) {
	s.mu.Lock()
	n := copy(out, s.fifo)
	s.fifo = s.fifo[:copy(s.fifo, s.fifo[n:])]
	s.mu.Unlock()
	clear(out[n:])
	// What was given is wanted again. When nothing was there nothing more is
	// wanted, or it would pile up here.
	if n > 0 {
		s.t.wanted(n)
	}
}

func (s *portAudioStream) write(pcm []int16) error {
	s.mu.Lock()
	s.fifo = append(s.fifo, pcm...)
	s.mu.Unlock()
	return nil
}

// latency is that of the device and of what waits for it.
func (s *portAudioStream) latency() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delay + audio.Frame(s.fifo).Duration()
}

// close gives up after portAudioClose. The goroutine that stays behind then is
// inside PortAudio for good, and nobody else gets in again.
func (s *portAudioStream) close() {
	s.once.Do(func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			portAudioTurn <- struct{}{}
			defer func() { <-portAudioTurn }()
			// There is nobody to tell that closing went wrong.
			_ = s.s.Abort()
			_ = s.s.Close()
			_ = portaudio.Terminate()
		}()
		timer := time.NewTimer(portAudioClose)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		}
	})
}
