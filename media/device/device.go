// Package device captures from microphones and plays to speakers, as
// [audio.Source] and [audio.Sink], with little delay.
//
//	microphone -> server -> capture, 10 ms pieces -> Source.Read, 20 ms frames
//	Sink.Write, 10 ms frames -> credit of 20 ms -> server -> speaker
//
// Sound goes through the PulseAudio protocol, which PipeWire speaks, too, in
// pure Go. Where no such server runs, programs built with -tags native use
// PortAudio, which also reaches the sound of macOS and Windows.
//
// A device may vanish or its server may die in the middle of a call. The call
// goes on: a Source then gives silence and a Sink discards at the pace of real
// time, while the device, or the default one when it is gone, is opened again.
// [Options.OnEvent] hears of it.
//
// Begin with [Open], which gives the microphone and the speaker of one call,
// without the echo of the one in the other, and changes them in mid-call; with
// [OpenSource] and [OpenSink] for one alone; and with [List].
package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/carillon-im/carillon/media/audio"
)

// A Kind is what a Device is for.
type Kind string

// The kinds of devices.
const (
	Capture  Kind = "capture"
	Playback Kind = "playback"
)

// A Device is one that can be opened.
type Device struct {
	ID      string // unique within its backend and kind
	Name    string // for people
	Kind    Kind
	Default bool   // is used when no name is given
	Monitor bool   // captures what another device plays
	Backend string // "pulse" or "portaudio"
}

// Options adjust List, OpenSource and OpenSink. The zero value is right.
type Options struct {
	// Backend is "pulse" or "portaudio"; empty means the first that works.
	Backend string
	// Logger receives one line per event. Nil discards.
	Logger *slog.Logger
	// OnEvent is told when a device stops working or works again. It is called
	// by one goroutine at a time and must not call Close. Nil ignores.
	OnEvent func(Event)
}

// An EventKind is what happened to an open device.
type EventKind string

// The events of a device.
const (
	Lost     EventKind = "lost"      // no sound comes or goes any more
	Restored EventKind = "restored"  // it works again
	FellBack EventKind = "fell-back" // it is gone and another one took its place
	Moved    EventKind = "moved"     // the user or the sound server chose another one
)

// An Event is something that happened to an open device.
type Event struct {
	Kind   EventKind
	Device string // as it was asked for, "" for the default one
	For    Kind
	To     string // FellBack, Moved: the ID of the one in use, "" for the default one
	Err    error  // Lost: why
}

// Reasons why a device cannot be opened; they come inside an *audio.OpenError,
// which has a hint.
var (
	ErrNoServer    = errors.New("no sound server is running")
	ErrNoDevice    = errors.New("no such sound device")
	ErrUnsupported = errors.New("sound devices are not supported by this build")
	ErrAmbiguous   = errors.New("several sound devices have this in their name")
)

// A backend reaches sound devices in one way.
type backend interface {
	name() string
	list(context.Context) ([]Device, error)
	// open opens the device with the given ID, "" for the default one.
	// Capture calls t.captured with each piece, playback calls t.wanted when
	// there is room and t.closed when the stream ended by itself, all from any
	// one goroutine.
	open(ctx context.Context, kind Kind, id string, t target) (stream, error)
}

// A target receives what a stream has to say.
type target interface {
	captured(pcm []int16) // not kept
	wanted(samples int)
	moved(id string) // the stream goes on with another device
	closed(err error)
}

// A stream is an open device.
type stream interface {
	// write hands over samples that were wanted, without waiting for them.
	write(pcm []int16) error
	// latency is the time between write and the speaker, or between the
	// microphone and captured, as far as it is known.
	latency() time.Duration
	close()
}

// backends are those of this build, best first. Where a sound server runs its
// own protocol is better than PortAudio, which reaches it through ALSA: measured
// from mouth to ear that is 77 ms and 107 ms, and the devices have their names.
func backends() []backend {
	var list []backend
	if runtime.GOOS != "windows" {
		list = append(list, pulse{})
	}
	if b := portAudio(); b != nil {
		list = append(list, b)
	}
	return list
}

// List returns the devices of the first backend that works, default ones first.
func List(ctx context.Context, o Options) ([]Device, error) {
	_, list, err := choose(ctx, o)
	if err != nil {
		return nil, &audio.OpenError{Spec: "device", Err: err, Hint: hint(err)}
	}
	return list, nil
}

// choose returns the first backend that has devices.
func choose(ctx context.Context, o Options) (backend, []Device, error) {
	var errs []error
	for _, b := range backends() {
		if o.Backend != "" && o.Backend != b.name() {
			continue
		}
		list, err := b.list(ctx)
		if err == nil && len(list) == 0 {
			err = ErrNoDevice
		}
		if err == nil {
			return b, list, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", b.name(), err))
	}
	if len(errs) == 0 {
		return nil, nil, ErrUnsupported
	}
	return nil, nil, errors.Join(errs...)
}

// find returns the device of the given kind that the user means: by ID, by
// name, or by a part of either that only one has. "" means the default one and
// is not looked for.
func find(list []Device, kind Kind, name string) (Device, error) {
	if name == "" {
		for _, d := range list {
			if d.Kind == kind && d.Default {
				return d, nil
			}
		}
		for _, d := range list {
			if d.Kind == kind {
				return d, nil
			}
		}
		return Device{}, ErrNoDevice
	}
	match := func(same func(string) bool) (found []Device) {
		for _, d := range list {
			if d.Kind == kind && (same(d.ID) || same(d.Name)) {
				found = append(found, d)
			}
		}
		return found
	}
	lower := strings.ToLower(name)
	for _, same := range []func(string) bool{
		func(s string) bool { return s == name },
		func(s string) bool { return strings.EqualFold(s, name) },
		func(s string) bool { return strings.Contains(strings.ToLower(s), lower) },
	} {
		switch found := match(same); {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return Device{}, fmt.Errorf("%w: %s and %s", ErrAmbiguous, found[0].ID, found[1].ID)
		}
	}
	return Device{}, ErrNoDevice
}

// OpenSource opens what audio.OpenSource opens, and
//
//	device          the default microphone
//	device:NAME     the one with this ID or name, or with NAME in it
//
// The context is for the opening only. Errors are of type *audio.OpenError.
func OpenSource(ctx context.Context, spec string, o Options) (audio.Source, error) {
	return openSource(ctx, spec, o, nil)
}

func openSource(ctx context.Context, spec string, o Options, c *cleaner) (audio.Source, error) {
	name, ok := parse(spec)
	if !ok {
		return audio.OpenSource(spec)
	}
	u, err := open(ctx, Capture, name, o)
	if err != nil {
		return nil, &audio.OpenError{Spec: spec, Err: err, Hint: hint(err)}
	}
	return newSource(u, c), nil
}

// OpenSink opens what audio.OpenSink opens, and
//
//	device          the default speaker
//	device:NAME     the one with this ID or name, or with NAME in it
//
// The context is for the opening only. Errors are of type *audio.OpenError.
func OpenSink(ctx context.Context, spec string, o Options) (audio.Sink, error) {
	return openSink(ctx, spec, o, nil)
}

func openSink(ctx context.Context, spec string, o Options, c *cleaner) (audio.Sink, error) {
	name, ok := parse(spec)
	if !ok {
		return audio.OpenSink(spec)
	}
	u, err := open(ctx, Playback, name, o)
	if err != nil {
		return nil, &audio.OpenError{Spec: spec, Err: err, Hint: hint(err)}
	}
	return newSink(u, c), nil
}

func parse(spec string) (name string, ok bool) {
	kind, name, _ := strings.Cut(spec, ":")
	return name, kind == "device"
}

func hint(err error) string {
	switch {
	case errors.Is(err, ErrAmbiguous):
		return "write more of the name; `carillon devices` lists them"
	case errors.Is(err, ErrNoServer):
		return "start PipeWire or PulseAudio, or use files: --mic file:PATH --speaker file:PATH"
	case errors.Is(err, ErrNoDevice):
		return "`carillon devices` lists what there is"
	case errors.Is(err, ErrUnsupported):
		return "build with -tags native for PortAudio, or use files: --mic file:PATH --speaker file:PATH"
	}
	return ""
}
