//go:build guest && linux

package capture

import (
	"context"
	"errors"
	"image"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/internal/lab"
	"github.com/carillon-im/carillon/media/video"
)

// These tests run in a machine of their own, with the cameras that
// TestIntegrationCamera asks for.
func TestMain(m *testing.M) { lab.GuestMain(m) }

const (
	webcam = "/dev/video0" // as most have it
	hdmi   = "/dev/video3" // of any size
	fixed  = "/dev/video4" // of the size of what is at the other end of the cable
)

const (
	// pictureWithin is when a picture is there, also the first one: the processor is
	// emulated.
	pictureWithin = 3 * time.Second
	// slowest is how many times longer than asked for it may be from one picture to
	// the next on a machine that is busy. Nothing makes it shorter.
	slowest = 2
)

// openGuest opens a camera, and checks at the end that nothing is left of it.
func openGuest(t *testing.T, spec string, o Options) video.Source {
	t.Helper()
	before := goleak.IgnoreCurrent()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := OpenSource(t.Context(), spec, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		goleak.VerifyNone(t, before)
		nothingOpen(t)
	})
	return s
}

// nothingOpen checks that no camera is open, nor its memory in use.
func nothingOpen(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "/dev/video") {
			t.Errorf("%s is still open", to)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(maps), "/dev/video"); n > 0 {
		t.Errorf("%d buffers are still there", n)
	}
}

// readGuest reads a picture, which is late after some seconds.
func readGuest(t *testing.T, s video.Source) video.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pictureWithin)
	defer cancel()
	f, err := s.Read(ctx)
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bars are those of the driver's picture, from the left, at three quarters of
// full strength: white, yellow, cyan, green, magenta, red, blue and black, as
// ITU-R BT.601 writes them.
var bars = [][3]byte{{180, 128, 128}, {162, 44, 142}, {131, 156, 44}, {112, 72, 58}, {84, 184, 198}, {65, 100, 212}, {35, 212, 114}, {16, 128, 128}}

// wantBars looks at the middle of each, below what the driver writes over them.
func wantBars(t *testing.T, m *image.YCbCr) {
	t.Helper()
	y := m.Rect.Dy() - 6
	for i, want := range bars {
		x := m.Rect.Dx() * (2*i + 1) / 16
		got := [3]byte{m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)]}
		for k := range got {
			if d := int(got[k]) - int(want[k]); d < -3 || d > 3 {
				t.Errorf("bar %d is %v, want %v", i, got, want)
				break
			}
		}
	}
}

func TestGuestList(t *testing.T) {
	list, err := Cameras(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Its node for metadata and the camera of several planes are left out.
	want := []Camera{{webcam, "vivid"}, {hdmi, "vivid"}, {fixed, "vivid"}}
	if !slices.Equal(list, want) {
		t.Errorf("cameras: %+v, want %+v", list, want)
	}
	var oe *video.OpenError
	for spec, want := range map[string]error{"camera:vivid": ErrAmbiguous, "camera:phone": ErrNoCamera, "camera:/dev/video2": ErrNoCamera} {
		if _, err := OpenSource(t.Context(), spec, Options{}); !errors.Is(err, want) || !errors.As(err, &oe) || oe.Hint == "" {
			t.Errorf("%s: %v, want %v with a hint", spec, err, want)
		}
	}
	nothingOpen(t)
}

// A camera has the size that is asked for, its pictures come soon and regularly,
// move, and have the right colours. What was open can be opened again.
func TestGuestPictures(t *testing.T) {
	for _, test := range []struct {
		name  string
		spec  string
		o     Options
		want  image.Point
		every time.Duration // between pictures
	}{
		{"by itself", "camera", Options{}, image.Pt(640, 480), time.Second / 25},
		{"again", "camera", Options{}, image.Pt(640, 480), time.Second / 25},
		{"slower", "camera:" + webcam, Options{FPS: 10}, image.Pt(640, 480), time.Second / 10},
		{"large", "camera:" + webcam, Options{Width: 1280, Height: 720}, image.Pt(1280, 720), 2 * time.Second / 25},
		{"small", "camera:" + webcam, Options{Width: 320, Height: 180, FPS: 15}, image.Pt(320, 180), time.Second / 15},
		{"HDMI", "camera:" + hdmi, Options{}, image.Pt(640, 480), time.Second / 60},
		{"HDMI of one size", "camera:" + fixed, Options{}, image.Pt(1280, 720), time.Second / 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			s := openGuest(t, test.spec, test.o)
			f := readGuest(t, s)
			if took := time.Since(began); took > pictureWithin {
				t.Errorf("the first picture came after %v", took)
			}
			if f.Image.Rect.Size() != test.want {
				t.Errorf("pictures of %v, want %v", f.Image.Rect.Size(), test.want)
			}
			wantBars(t, f.Image)
			first, moved := video.Copy(nil, f.Image), 0
			var gaps []time.Duration
			for range 15 {
				from := f.Time
				f = readGuest(t, s)
				gaps = append(gaps, f.Time-from)
				if string(f.Image.Y) != string(first.Y) { // the driver writes the time on them
					moved++
				}
			}
			if moved != len(gaps) {
				t.Errorf("%d of %d pictures are other ones than the first", moved, len(gaps))
			}
			if test.every < time.Second/30 { // more than an emulated processor can do
				return
			}
			slices.Sort(gaps) // the machine may be busy now and then
			if each := gaps[len(gaps)/2]; each < test.every*4/5 || each > test.every*slowest {
				t.Errorf("a picture every %v, want %v", each, test.every)
			}
		})
	}
}

// control sets a control of the driver, as a person does with v4l2-ctl.
func control(t *testing.T, path, name string, value int32) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const query, change, next = 0xc0445624, 0xc008561c, 1 << 31 // VIDIOC_QUERYCTRL, VIDIOC_S_CTRL, V4L2_CTRL_FLAG_NEXT_CTRL
	var q struct {
		id, kind uint32
		name     [32]byte
		_        [7]uint32
	}
	for {
		q.id |= next
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), query, uintptr(unsafe.Pointer(&q))); errno != 0 {
			t.Fatalf("%s has no control %q: %v", path, name, errno)
		}
		if unix.ByteSliceToString(q.name[:]) == name {
			break
		}
	}
	c := struct {
		id    uint32
		value int32
	}{q.id, value}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), change, uintptr(unsafe.Pointer(&c))); errno != 0 {
		t.Fatalf("set %q of %s: %v", name, path, errno)
	}
}

// ends reads until the source ends, which it does within so long.
func ends(t *testing.T, s video.Source, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), within, errors.New("the source goes on"))
	defer cancel()
	for {
		if _, err := s.Read(ctx); err != nil {
			return err
		}
	}
}

// works checks that the first camera gives pictures.
func works(t *testing.T) {
	t.Helper()
	s, err := OpenSource(t.Context(), "camera", Options{})
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	readGuest(t, s)
	if err := s.Close(); err != nil {
		t.Fatalf("afterwards: close: %v", err)
	}
	nothingOpen(t)
}

// A camera that somebody has is left to them, with a word about it.
func TestGuestBusy(t *testing.T) {
	s := openGuest(t, "camera", Options{})
	readGuest(t, s)
	_, err := OpenSource(t.Context(), "camera", Options{})
	var oe *video.OpenError
	if !errors.Is(err, ErrBusy) || !errors.As(err, &oe) || oe.Hint == "" || !strings.Contains(err.Error(), "vivid: in use by another program") {
		t.Errorf("a second time: %v", err)
	}
	if list, err := Cameras(t.Context()); err != nil || len(list) != 3 {
		t.Errorf("cameras while one is open: %+v, %v", list, err)
	}
	readGuest(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	works(t)
}

// Programs that are started meanwhile do not keep the camera.
func TestGuestNotInherited(t *testing.T) {
	openGuest(t, "camera", Options{})
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		to, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if !strings.HasPrefix(to, "/dev/video") {
			continue
		}
		found++
		fd, _ := strconv.Atoi(e.Name())
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("programs that are started keep %s open (%v)", to, err)
		}
	}
	if found != 1 {
		t.Errorf("the camera is open %d times", found)
	}
}

// A camera that fails to start says why, and is free again.
func TestGuestFailsToStart(t *testing.T) {
	for _, what := range []string{"Inject VIDIOC_REQBUFS Error", "Inject VIDIOC_QBUF Error", "Inject VIDIOC_STREAMON Error"} {
		control(t, webcam, what, 1)
		s, err := OpenSource(t.Context(), "camera", Options{})
		if !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v, want %v", what, err, unix.EINVAL)
		}
		if err == nil {
			s.Close()
		}
		nothingOpen(t)
		works(t)
	}
}

// Each format that we know has the right colours, whatever its values mean.
func TestGuestFormats(t *testing.T) {
	defer func() {
		control(t, webcam, "Y'CbCr Encoding", 0)
		control(t, webcam, "Quantization", 0)
	}()
	for _, f := range []fourCC{yuyv, uyvy, nv12, yu12} {
		for _, c := range []struct{ encoding, quantization int32 }{{1, 2}, {1, 1}, {2, 2}, {2, 1}} { // BT.601 and 709, of video and full
			control(t, webcam, "Y'CbCr Encoding", c.encoding)
			control(t, webcam, "Quantization", c.quantization)
			n, err := openV4L2(webcam)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newCamera(only{n, f}, Options{}.withDefaults(cameraFPS))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			t.Logf("%+v", s.layout)
			if s.layout.format != f || s.layout.rec709 != (c.encoding == 2) || s.layout.full != (c.quantization == 1) {
				t.Errorf("%+v comes as %+v", c, s.layout)
			}
			wantBars(t, readGuest(t, s).Image)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	n, err := openV4L2(webcam)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := newCamera(only{n, fourLetters("GREY")}, Options{}.withDefaults(cameraFPS)); !errors.Is(err, ErrFormat) {
		t.Errorf("a camera without a format that we know: %v, want %v", err, ErrFormat)
	}
}

// only has one format of those of a node.
type only struct {
	node
	format fourCC
}

func (o only) Formats() []fourCC { return []fourCC{o.format} }

// A picture that the driver says is broken is not shown, and costs only itself.
func TestGuestBrokenPicture(t *testing.T) {
	n, err := openV4L2(webcam)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.SetFormat(yuyv, 640, 480); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(cameraBuffers); err != nil {
		t.Fatal(err)
	}
	control(t, webcam, "Inject V4L2_BUF_FLAG_ERROR", 1)
	broken, after := 0, 0
	for i := 0; i < 50 && after < 10; i++ { // more than there are buffers
		if err := n.Wait(time.Second); err != nil {
			t.Fatal(err)
		}
		_, index, err := n.Take()
		switch {
		case errors.Is(err, unix.EAGAIN):
		case errors.Is(err, ErrFormat):
			broken++
		case err != nil:
			t.Fatal(err)
		default:
			if broken > 0 {
				after++
			}
			if err := n.Release(index); err != nil {
				t.Fatal(err)
			}
		}
	}
	if broken != 1 || after != 10 {
		t.Errorf("%d pictures were broken, and then %d whole", broken, after)
	}
}

// Signals, which Go sends to itself now and then, end nothing.
func TestGuestSignals(t *testing.T) {
	s := openGuest(t, "camera", Options{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			tasks, err := os.ReadDir("/proc/self/task") // each thread, as it is one that waits
			if err != nil {
				t.Error(err)
				return
			}
			for _, task := range tasks {
				tid, _ := strconv.Atoi(task.Name())
				_ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG) // it may have ended
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	for range 90 {
		readGuest(t, s)
	}
}

// A camera that is unplugged ends its source with a word about it, and works when
// it is there again.
func TestGuestUnplugged(t *testing.T) {
	const driver = "/sys/bus/platform/drivers/vivid/"
	for _, test := range []struct {
		name       string
		gone, back func(*testing.T)
	}{
		{"by itself", func(t *testing.T) { control(t, webcam, "Disconnect", 1) }, func(*testing.T) {}},
		{"with its driver", func(t *testing.T) { writeFile(t, driver+"unbind", "vivid.0") }, func(t *testing.T) { writeFile(t, driver+"bind", "vivid.0") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openGuest(t, "camera", Options{})
			readGuest(t, s)
			test.gone(t)
			err := ends(t, s, 3*time.Second)
			if !errors.Is(err, unix.ENODEV) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "unplugged") {
				t.Errorf("after it was unplugged: %v", err)
			}
			var oe *video.OpenError
			if _, err := OpenSource(t.Context(), "camera:"+webcam, Options{}); !errors.Is(err, ErrNoCamera) || !errors.As(err, &oe) || oe.Hint == "" {
				t.Errorf("a camera that is gone: %v, want %v", err, ErrNoCamera)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			test.back(t)
			works(t)
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// A camera that breaks, or falls silent, ends its source with a word about it.
func TestGuestBreaks(t *testing.T) {
	for _, test := range []struct {
		control string
		value   int32
		within  time.Duration
		says    string
	}{
		{"Inject Fatal Streaming Error", 1, 2 * time.Second, "camera: input/output error"},
		{"Percentage of Dropped Buffers", 100, (cameraDead + 2) * cameraWait, "gives no pictures any more"},
	} {
		t.Run(test.says, func(t *testing.T) {
			s := openGuest(t, "camera", Options{})
			readGuest(t, s)
			control(t, webcam, test.control, test.value)
			if err := ends(t, s, test.within); !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if test.value > 1 {
				control(t, webcam, test.control, 0)
			}
			works(t)
		})
	}
}
