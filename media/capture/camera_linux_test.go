package capture

import (
	"context"
	"errors"
	"image"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/media/video"
)

// A fakeNode stands where we meet the kernel: it has modes and gives a picture
// every 33 ms. The kernel itself is met in TestIntegrationCamera.
type fakeNode struct {
	name  string
	modes []mode
	sizes []sizeRange // of every format, instead of those of modes
	hangs chan struct{}
	give  layout // what it is set to, instead of what is asked for

	mu       sync.Mutex
	rate     float64
	started  bool
	startErr error
	closed   bool
	held     int // buffers not released
	shots    [][]byte
	err      error // of the next Take
	silent   bool
	eager    bool // there is always a picture, as it says
	takes    int
}

func (n *fakeNode) Name() (string, error) { return n.name, nil }

func (n *fakeNode) Formats() (list []fourCC) {
	if n.hangs != nil {
		<-n.hangs
	}
	for _, x := range n.modes {
		list = append(list, x.format)
	}
	return list
}

func (n *fakeNode) Sizes(f fourCC) (list []sizeRange) {
	if n.sizes != nil {
		return n.sizes
	}
	for _, x := range n.modes {
		if x.format == f {
			p := image.Pt(x.w, x.h)
			list = append(list, sizeRange{least: p, most: p})
		}
	}
	return list
}

func (n *fakeNode) Rate(f fourCC, w, h int) float64 {
	for _, x := range n.modes {
		if x.format == f && x.w == w && x.h == h {
			return x.fps
		}
	}
	return 0
}

func (n *fakeNode) SetFormat(f fourCC, w, h int) (layout, error) {
	if n.give != (layout{}) {
		return n.give, nil
	}
	return layout{format: f, w: w, h: h, stride: 2 * w}, nil
}

func (n *fakeNode) SetRate(r float64) error { n.rate = r; return nil }

func (n *fakeNode) Start(int) error {
	n.started = true
	return n.startErr
}

func (n *fakeNode) Wait(most time.Duration) error {
	n.mu.Lock()
	silent, eager := n.silent, n.eager
	n.mu.Unlock()
	if eager {
		return nil
	}
	if silent {
		time.Sleep(most)
		return errTimeout
	}
	time.Sleep(33 * time.Millisecond)
	return nil
}

func (n *fakeNode) Take() ([]byte, uint32, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.takes++
	if n.err != nil {
		return nil, 0, n.err
	}
	if len(n.shots) == 0 {
		return nil, 0, unix.EAGAIN
	}
	shot := n.shots[0]
	if len(n.shots) > 1 {
		n.shots = n.shots[1:]
	}
	n.held++
	return shot, 0, nil
}

func (n *fakeNode) Release(uint32) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held--
	return nil
}

func (n *fakeNode) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.New("closed twice")
	}
	n.closed = true
	return nil
}

func fakeKernel(list map[string]*fakeNode) nodes {
	return nodes{
		list: func() (paths []string, err error) {
			for p := range list {
				paths = append(paths, p)
			}
			return paths, nil
		},
		open: func(p string) (node, error) {
			n := list[p]
			if n == nil {
				return nil, &fs.PathError{Op: "open", Path: p, Err: unix.ENOTTY}
			}
			n.mu.Lock()
			n.closed = false
			n.mu.Unlock()
			return n, nil
		},
	}
}

// usualModes are those of a common webcam on USB 2.
var usualModes = []mode{
	{yuyv, 160, 120, 30}, {yuyv, 640, 480, 30}, {yuyv, 1280, 720, 10}, {yuyv, 1920, 1080, 5},
	{mjpeg, 640, 480, 30}, {mjpeg, 1280, 720, 30}, {mjpeg, 1920, 1080, 30},
}

func TestBestMode(t *testing.T) {
	for _, test := range []struct {
		w, h int
		fps  float64
		want mode
	}{
		{640, 480, 30, mode{yuyv, 640, 480, 30}},
		{640, 360, 30, mode{yuyv, 640, 480, 30}},
		{1280, 720, 30, mode{mjpeg, 1280, 720, 30}},
		{1280, 720, 5, mode{yuyv, 1280, 720, 10}},
		{1920, 1080, 30, mode{mjpeg, 1920, 1080, 30}},
		{3840, 2160, 30, mode{mjpeg, 1920, 1080, 30}},
		{160, 120, 15, mode{yuyv, 160, 120, 30}},
	} {
		if got := best(usualModes, Options{Width: test.w, Height: test.h, FPS: test.fps}); got != test.want {
			t.Errorf("for %dx%d@%v: %+v, want %+v", test.w, test.h, test.fps, got, test.want)
		}
	}
}

func TestModesOfARange(t *testing.T) {
	n := &fakeNode{modes: []mode{{format: yuyv}}, sizes: []sizeRange{{least: image.Pt(32, 32), most: image.Pt(1300, 1000), step: image.Pt(2, 2)}}}
	var got []image.Point
	for _, m := range modes(n) {
		got = append(got, image.Pt(m.w, m.h))
	}
	want := []image.Point{{320, 240}, {640, 360}, {640, 480}, {960, 540}, {1280, 720}, {1300, 1000}}
	if len(got) != len(want) || got[0] != want[0] || got[4] != want[4] || got[5] != want[5] {
		t.Errorf("sizes %v, want %v", got, want)
	}
}

func TestCameras(t *testing.T) {
	k := fakeKernel(map[string]*fakeNode{
		"/dev/video10": {name: "Capture Card", modes: usualModes},
		"/dev/video0":  {name: "Integrated Camera", modes: usualModes},
		"/dev/video1":  {name: "Integrated Camera"}, // metadata: no pictures
		"/dev/video2":  {name: "Integrated IR Camera", modes: []mode{{fourLetters("GREY"), 640, 360, 15}}},
		"/dev/video3":  nil,
	})
	list, err := k.cameras(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0] != (Camera{"/dev/video0", "Integrated Camera"}) || list[1].Name != "Capture Card" {
		t.Errorf("cameras %+v", list)
	}
	for name, want := range map[string]error{"capture": nil, "/dev/video10": nil, "Integrated Camera": nil, "c": ErrAmbiguous, "phone": ErrNoCamera} {
		s, err := k.openCamera(t.Context(), name, Options{}.withDefaults(cameraFPS))
		if !errors.Is(err, want) {
			t.Errorf("open %q: %v, want %v", name, err, want)
		}
		if err == nil {
			s.Close()
		}
	}
	if _, err := fakeKernel(nil).openCamera(t.Context(), "", Options{}); !errors.Is(err, ErrNoCamera) {
		t.Errorf("without any: %v", err)
	}
	denied := nodes{list: func() ([]string, error) { return []string{"/dev/video0"}, nil },
		open: func(p string) (node, error) { return nil, unix.EACCES }}
	if _, err := denied.cameras(t.Context()); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "group video") {
		t.Errorf("without permission: %v", err)
	}
}

// grey is a picture in YUYV of one luma.
func grey(w, h int, y byte) []byte {
	b := make([]byte, 2*w*h)
	for i := 0; i < len(b); i += 2 {
		b[i], b[i+1] = y, 128
	}
	return b
}

func TestCameraReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{name: "cam", modes: usualModes, shots: [][]byte{grey(640, 480, 40), grey(640, 480, 50), grey(640, 480, 60), grey(640, 480, 70)}}
		s, err := fakeKernel(map[string]*fakeNode{"/dev/video0": n}).openCamera(t.Context(), "", Options{}.withDefaults(cameraFPS))
		if err != nil {
			t.Fatal(err)
		}
		if n.rate != 30 || !n.started {
			t.Errorf("rate %v, started %v", n.rate, n.started)
		}
		f, err := s.Read(t.Context())
		if err != nil || f.Image.Y[0] != 40 || f.Check() != nil {
			t.Fatalf("first picture: %v, %v", f.Image.Y[0], err)
		}
		time.Sleep(110 * time.Millisecond) // a reader that was away gets the newest
		g, err := s.Read(t.Context())
		if err != nil || g.Image.Y[0] != 70 || g.Time <= f.Time {
			t.Errorf("after a pause: luma %d at %v, %v, want 70", g.Image.Y[0], g.Time, err)
		}
		if g.Image == f.Image {
			t.Error("a picture was changed while it was the reader's")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read with a context that ends: %v", err)
		}
		cancel()
		s.Close()
		s.Close()
		if _, err := s.Read(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after Close: %v", err)
		}
		if !n.closed || n.held != 0 {
			t.Errorf("closed %v, %d buffers held", n.closed, n.held)
		}
	})
}

// Cameras begin with pictures that are cut off, and are unplugged.
func TestCameraTroubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jpg := encode(t, 64, 48)
		n := &fakeNode{name: "cam", modes: []mode{{mjpeg, 64, 48, 30}}, shots: [][]byte{{0}, jpg[:80], withoutTables(jpg)}}
		k := fakeKernel(map[string]*fakeNode{"/dev/video0": n})
		s, err := k.openCamera(t.Context(), "", Options{}.withDefaults(cameraFPS))
		if err != nil {
			t.Fatal(err)
		}
		if f, err := s.Read(t.Context()); err != nil || f.Image.Rect.Dx() != 64 {
			t.Errorf("after two broken pictures: %v", err)
		}
		n.mu.Lock()
		n.err = unix.ENODEV
		n.mu.Unlock()
		for err == nil {
			_, err = s.Read(t.Context())
		}
		// An end of the file would be nothing to tell anybody.
		if errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "unplugged") {
			t.Errorf("after it was unplugged: %v", err)
		}
		s.Close()

		n.err, n.silent = nil, true
		s, err = k.openCamera(t.Context(), "", Options{}.withDefaults(cameraFPS))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := s.Read(t.Context()); err == nil || time.Since(start) > 6*time.Second {
			t.Errorf("a silent camera: %v after %v", err, time.Since(start))
		}
		s.Close()
	})
}

// A driver that does not answer holds up nobody for longer than he wants to wait,
// and what it opens too late is closed.
func TestCameraThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{name: "cam", modes: usualModes, hangs: make(chan struct{})}
		k := fakeKernel(map[string]*fakeNode{"/dev/video0": n})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := k.openCamera(ctx, "", Options{}.withDefaults(cameraFPS)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want %v", err, context.DeadlineExceeded)
		}
		if _, err := k.cameras(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a list after the end of the context: %v", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
		close(n.hangs)
		time.Sleep(cameraWait) // it waits for a picture, and closes then
		synctest.Wait()
		if !n.started || !n.closed {
			t.Errorf("started %v, closed %v; it is to be closed once it opened", n.started, n.closed)
		}
	})
}

// A driver that says all the time that there is a picture, and has none, is not
// asked without a pause, nor for ever.
func TestCameraThatHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{name: "cam", modes: usualModes, eager: true}
		s, err := fakeKernel(map[string]*fakeNode{"/dev/video0": n}).openCamera(t.Context(), "", Options{}.withDefaults(cameraFPS))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := s.Read(ctx); err == nil || ctx.Err() != nil || time.Since(start) > 6*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if most := int(cameraDead*cameraWait/cameraAgain) + 1; n.takes > most {
			t.Errorf("it was asked %d times, want %d at most", n.takes, most)
		}
	})
}

// What is asked of the kernel has the numbers of its videodev2.h, which have the
// sizes of what is asked with in them.
func TestRequests(t *testing.T) {
	long := unsafe.Sizeof(uintptr(0)) == 8
	other := unix.RNDGETENTCNT>>30 == 1 // MIPS and POWER write directions the other way
	for _, test := range []struct {
		name                    string
		direction, number, size uintptr
		want, want32            uintptr
	}{
		{"QUERYCAP", get, queryCap, unsafe.Sizeof(capability{}), 0x80685600, 0x80685600},
		{"ENUM_FMT", get | set, enumFmt, unsafe.Sizeof(fmtdesc{}), 0xc0405602, 0xc0405602},
		{"G_FMT", get | set, gFmt, unsafe.Sizeof(format{}), 0xc0d05604, 0xc0cc5604},
		{"S_FMT", get | set, sFmt, unsafe.Sizeof(format{}), 0xc0d05605, 0xc0cc5605},
		{"REQBUFS", get | set, reqBufs, unsafe.Sizeof(requestbuffers{}), 0xc0145608, 0xc0145608},
		{"QUERYBUF", get | set, queryBuf, unsafe.Sizeof(buffer{}), 0xc0585609, 0xc0445609},
		{"QBUF", get | set, qBuf, unsafe.Sizeof(buffer{}), 0xc058560f, 0xc044560f},
		{"DQBUF", get | set, dqBuf, unsafe.Sizeof(buffer{}), 0xc0585611, 0xc0445611},
		{"STREAMON", set, streamOn, 4, 0x40045612, 0x40045612},
		{"STREAMOFF", set, streamOff, 4, 0x40045613, 0x40045613},
		{"S_PARM", get | set, sParm, unsafe.Sizeof(streamparm{}), 0xc0cc5616, 0xc0cc5616},
		{"ENUM_FRAMESIZES", get | set, enumFrameSizes, unsafe.Sizeof(frmsizeenum{}), 0xc02c564a, 0xc02c564a},
		{"ENUM_FRAMEINTERVALS", get | set, enumFrameIntervals, unsafe.Sizeof(frmivalenum{}), 0xc034564b, 0xc034564b},
	} {
		want := test.want32
		if long {
			want = test.want
		}
		if d := want >> 30; other && d != 3 {
			want ^= 3 << 30
		}
		if got := ioctlRequest(test.direction, test.number, test.size); got != want {
			t.Errorf("VIDIOC_%s is %#x, want %#x", test.name, got, want)
		}
	}
}

// The driver has the last word on size and format.
func TestCameraChangesItsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNode{name: "cam", modes: usualModes, give: layout{format: yuyv, w: 320, h: 200, stride: 704}, shots: [][]byte{make([]byte, 704*200)}}
		k := fakeKernel(map[string]*fakeNode{"/dev/video0": n})
		s, err := k.openCamera(t.Context(), "", Options{}.withDefaults(cameraFPS))
		if err != nil {
			t.Fatal(err)
		}
		if f, err := s.Read(t.Context()); err != nil || f.Image.Rect.Size() != image.Pt(320, 200) {
			t.Errorf("a picture of %+v, %v", f.Image, err)
		}
		s.Close()
		for _, bad := range []layout{{format: fourLetters("GREY"), w: 640, h: 480, stride: 640}, {format: yuyv}, {format: yuyv, w: 321, h: 200, stride: 642}} {
			n.give = bad
			if _, err := k.openCamera(t.Context(), "", Options{}.withDefaults(cameraFPS)); !errors.Is(err, ErrFormat) || !n.closed {
				t.Errorf("%+v: %v, want %v", bad, err, ErrFormat)
			}
		}
	})
}

func TestCameraFailsToStart(t *testing.T) {
	n := &fakeNode{name: "Integrated Camera", modes: usualModes}
	k := fakeKernel(map[string]*fakeNode{"/dev/video0": n})
	for _, why := range []error{unix.EBUSY, unix.ENOSPC} {
		n.startErr = why
		_, err := k.openCamera(t.Context(), "", Options{}.withDefaults(cameraFPS))
		if !errors.Is(err, why) || errors.Is(err, ErrBusy) != (why == unix.EBUSY) || !strings.Contains(err.Error(), n.name) || hint("camera", err) == "" {
			t.Errorf("%v: %v, with the hint %q", why, err, hint("camera", err))
		}
		if !n.closed {
			t.Errorf("%v: it is still open", why)
		}
	}
}

func TestOpenSpecs(t *testing.T) {
	t.Setenv("DISPLAY", "")
	for spec, want := range map[string]error{
		"camera:": video.ErrSpec, "window": video.ErrSpec, "window:": video.ErrSpec, "screen:x": video.ErrSpec, "screen:0": video.ErrSpec,
		"screen": ErrNoDisplay, "screen:1": ErrNoDisplay, "window:x": ErrNoDisplay, "nonsense": video.ErrSpec,
	} {
		_, err := OpenSource(t.Context(), spec, Options{})
		var oe *video.OpenError
		if !errors.Is(err, want) || !errors.As(err, &oe) || oe.Spec != spec || oe.Hint == "" {
			t.Errorf("%s: %v, want %v with a hint", spec, err, want)
		}
	}
	s, err := OpenSource(t.Context(), "pattern:64x48", Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
