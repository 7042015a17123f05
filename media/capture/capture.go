// Package capture takes pictures from cameras, screens and windows, as
// [video.Source], and shows them in a window of its own, as [video.Sink].
//
//	camera  V4L2, the smallest mode that has the size wanted     Linux
//	screen  X11, by shared memory; Wayland, by a dialog of the
//	        desktop (ScreenCast portal and PipeWire)             Linux
//	window  X11, also while others cover it                      Linux
//
// Begin with [OpenSource] and [OpenSink]; [Cameras], [Screens] and [Windows] list what a
// person can choose from, and a [Gallery] shows how that looks. A window that is
// closed ends its source with io.EOF, a camera that is unplugged and a display that
// ends with an error; the call goes on without.
package capture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"strconv"
	"strings"
	"syscall"

	"github.com/carillon-im/carillon/media/video"
)

// Options adjust OpenSource. The zero value is right.
type Options struct {
	// Width and Height are what a camera is to have, in pixels. Zero means
	// 640 by 480. The camera may have something else.
	Width, Height int
	// FPS is how many pictures are taken in a second. Zero means 30 of a
	// camera and 15 of a screen or window.
	FPS float64
	// NoPointer leaves the mouse pointer out of a screen.
	NoPointer bool
	// Logger receives decisions. Nil discards.
	Logger *slog.Logger
}

const (
	cameraWidth, cameraHeight = 640, 480
	cameraFPS                 = 30
	screenFPS                 = 15
	maxFPS                    = 60
)

// withDefaults fills in zero values.
func (o Options) withDefaults(fps float64) Options {
	if o.Width <= 0 || o.Height <= 0 {
		o.Width, o.Height = cameraWidth, cameraHeight
	}
	if o.FPS <= 0 {
		o.FPS = fps
	}
	o.FPS = min(o.FPS, maxFPS)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Camera is one that can be opened.
type Camera struct {
	ID   string // "/dev/video0"
	Name string // for people
}

// A Screen is one of the monitors of a desktop.
type Screen struct {
	Number int             // from 1, as in "screen:1"
	Bounds image.Rectangle // on the desktop, in pixels; empty with Dialog
	// Primary says that it is the one that the person called the main one, where
	// there are several.
	Primary bool
	// Dialog says that opening it asks the person what to show, as on Wayland.
	Dialog bool
}

// A Window is one that a person can see.
type Window struct {
	ID     string // "0x1e00003", as in "window:0x1e00003"
	Title  string // as its program wrote it, which may be anything
	Bounds image.Rectangle
}

// Reasons why a source cannot be opened; they come inside a *video.OpenError,
// which has a hint.
var (
	ErrUnsupported = errors.New("not supported on this system")
	ErrNoCamera    = errors.New("no such camera")
	ErrNoDisplay   = errors.New("no display of X11 can be reached")
	ErrNoScreen    = errors.New("no such screen")
	ErrNoWindow    = errors.New("no such window")
	ErrNoGStreamer = errors.New("GStreamer is missing, which reads the screen on Wayland")
	ErrNotShared   = errors.New("nothing was chosen to be shown")
	ErrPortal      = errors.New("the desktop fails to share its screen")
	ErrAmbiguous   = errors.New("several have this in their name")
	ErrBusy        = errors.New("in use by another program")
	ErrFormat      = errors.New("its pictures are of a kind that is not known")
)

// OpenSource opens what video.OpenSource opens, and
//
//	camera[:NAME]    the first camera, or the one with this ID, or with NAME in its name
//	screen[:N]       the whole desktop, or its Nth monitor; on Wayland what the
//	                 person chooses in a dialog, for which ctx must leave time
//	window:TITLE|ID  the window with this ID, or with TITLE in its title
//
// The context is for the opening only. Errors are of type *video.OpenError.
func OpenSource(ctx context.Context, spec string, o Options) (video.Source, error) {
	kind, arg, given := strings.Cut(spec, ":")
	var s video.Source
	var err error
	switch {
	case kind == "camera" && (!given || arg != ""):
		s, err = openCamera(ctx, arg, o.withDefaults(cameraFPS))
	case kind == "screen":
		n := 0
		if given {
			if n, err = strconv.Atoi(arg); err != nil || n < 1 {
				err = fmt.Errorf("screen %q %w", arg, video.ErrSpec)
				break
			}
		}
		s, err = openScreen(ctx, n, o.withDefaults(screenFPS))
	case kind == "window" && arg != "":
		s, err = openWindow(ctx, arg, o.withDefaults(screenFPS))
	case kind == "camera" || kind == "window":
		err = video.ErrSpec
	default:
		return video.OpenSource(spec)
	}
	if err != nil {
		return nil, &video.OpenError{Spec: spec, Err: err, Hint: hint(kind, err)}
	}
	return s, nil
}

// OpenSink opens what video.OpenSink opens, and
//
//	window  a window on the display (X11, Linux; on Wayland by Xwayland), which
//	        comes with the first picture. It keeps the shape of the pictures in
//	        whatever size the person gives it. When the person closes it, Write
//	        returns net.ErrClosed.
//
// Errors are of type *video.OpenError.
func OpenSink(spec string, log *slog.Logger) (video.Sink, error) {
	if spec != "window" {
		return video.OpenSink(spec)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s, err := openShow(log)
	if err != nil {
		h := ""
		switch {
		case errors.Is(err, ErrNoDisplay):
			h = "run this inside the desktop where it is to be shown"
		case errors.Is(err, ErrUnsupported):
			h = "use file:PATH or null"
		}
		return nil, &video.OpenError{Spec: spec, Err: err, Hint: h}
	}
	return s, nil
}

func hint(kind string, err error) string {
	switch {
	case errors.Is(err, ErrAmbiguous):
		return "write more of the name, or its ID"
	case errors.Is(err, ErrNoCamera):
		return "plug one in, or use pattern or file:PATH"
	case errors.Is(err, ErrNoDisplay):
		return "run this inside the desktop whose screen is wanted"
	case errors.Is(err, ErrNoScreen), errors.Is(err, ErrNoWindow):
		return "`carillon devices` lists what there is"
	case errors.Is(err, ErrFormat) && kind == "camera":
		return "cameras that give MJPEG, YUYV, UYVY, NV12 or YU12 work, which most do"
	case errors.Is(err, ErrBusy):
		return "close the program that shows it, or choose another camera"
	case errors.Is(err, syscall.ENOSPC) && kind == "camera":
		return "what else is on its USB takes all the room: plug it in at another place"
	case errors.Is(err, ErrNoGStreamer):
		return "install gstreamer1.0-tools, gstreamer1.0-pipewire and gstreamer1.0-plugins-good"
	case errors.Is(err, ErrPortal):
		return "the portal of the desktop must run: xdg-desktop-portal with -gnome, -kde or -wlr"
	case errors.Is(err, video.ErrSpec):
		return "write camera[:NAME], screen[:N] or window:TITLE"
	}
	return ""
}

// Cameras lists the cameras, the one that is used without a name first.
func Cameras(ctx context.Context) ([]Camera, error) { return cameras(ctx) }

// Screens lists the monitors of the desktop.
func Screens(ctx context.Context) ([]Screen, error) { return screens(ctx) }

// Windows lists the windows that a person can see, the topmost first.
func Windows(ctx context.Context) ([]Window, error) { return windows(ctx) }

// choose returns the one that name means: by ID, by the whole name, or by a
// part of the name that no other has. missing is returned when there is none.
func choose[T any](list []T, name string, id, title func(T) string, missing error) (T, error) {
	lower := strings.ToLower(name)
	for _, same := range []func(T) bool{
		func(v T) bool { return strings.EqualFold(id(v), name) },
		func(v T) bool { return title(v) == name },
		func(v T) bool { return strings.Contains(strings.ToLower(title(v)), lower) },
	} {
		var found []T
		for _, v := range list {
			if same(v) {
				found = append(found, v)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			var none T
			return none, fmt.Errorf("%w: %s %q and %s %q", ErrAmbiguous, id(found[0]), title(found[0]), id(found[1]), title(found[1]))
		}
	}
	var none T
	return none, missing
}
