package capture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/blackjack/webcam"
	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/media/video"
)

// Pixel formats of V4L2, as four letters.
const (
	yuyv  = webcam.PixelFormat('Y' | 'U'<<8 | 'Y'<<16 | 'V'<<24)
	mjpeg = webcam.PixelFormat('M' | 'J'<<8 | 'P'<<16 | 'G'<<24)
	jpg   = webcam.PixelFormat('J' | 'P'<<8 | 'E'<<16 | 'G'<<24)
)

const (
	// cameraBuffers are filled by the camera while we look at one. More would
	// only be older.
	cameraBuffers = 4
	// cameraWait is how long one wait for a picture lasts, and how long Close
	// may take with a camera that gives none.
	cameraWait = 1 // seconds
	// cameraDead is after how many waits a camera is taken for broken.
	cameraDead = 5
	// maxBroken pictures in a row are left out before the camera is given up.
	// Cameras begin with some that are cut off.
	maxBroken = 60
)

// A node is a video device of the kernel, as blackjack/webcam drives it by
// ioctl. Tests put their own in its place.
type node interface {
	GetName() (string, error)
	GetSupportedFormats() map[webcam.PixelFormat]string
	GetSupportedFrameSizes(webcam.PixelFormat) []webcam.FrameSize
	GetSupportedFramerates(f webcam.PixelFormat, width, height uint32) []webcam.FrameRate
	SetImageFormat(f webcam.PixelFormat, width, height uint32) (webcam.PixelFormat, uint32, uint32, error)
	SetFramerate(float32) error
	SetBufferCount(uint32) error
	StartStreaming() error
	WaitForFrame(seconds uint32) error
	GetFrame() ([]byte, uint32, error)
	ReleaseFrame(uint32) error
	Close() error
}

// nodes are the video devices there are, and open opens one.
type nodes struct {
	list func() ([]string, error)
	open func(path string) (node, error)
}

var kernel = nodes{
	list: func() ([]string, error) { return filepath.Glob("/dev/video*") },
	open: func(path string) (node, error) { return webcam.Open(path) },
}

func cameras(context.Context) ([]Camera, error) { return kernel.cameras() }

// cameras lists the nodes that give pictures; a camera has others besides.
func (k nodes) cameras() ([]Camera, error) {
	paths, err := k.list()
	if err != nil {
		return nil, fmt.Errorf("list cameras: %w", err)
	}
	slices.SortFunc(paths, func(a, b string) int { return number(a) - number(b) })
	var list []Camera
	var denied error
	for _, p := range paths {
		n, err := k.open(p)
		if err != nil {
			if errors.Is(err, os.ErrPermission) {
				denied = fmt.Errorf("open %s: %w", p, err)
			}
			continue // no camera, or somebody else's
		}
		name, err := n.GetName()
		if err == nil && len(modes(n)) > 0 {
			list = append(list, Camera{ID: p, Name: name})
		}
		n.Close()
	}
	if len(list) == 0 && denied != nil {
		return nil, fmt.Errorf("list cameras: %w (is this user in the group video?)", denied)
	}
	return list, nil
}

// number is that of /dev/videoN.
func number(path string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), "video"))
	if err != nil {
		return math.MaxInt32
	}
	return n
}

// A mode is what a camera can be set to.
type mode struct {
	format webcam.PixelFormat
	w, h   int
	fps    float64 // the most there is; zero when the camera does not say
}

// modes are those we can use.
func modes(n node) (list []mode) {
	known := n.GetSupportedFormats()
	for _, f := range []webcam.PixelFormat{yuyv, mjpeg, jpg} {
		if _, ok := known[f]; !ok {
			continue
		}
		for _, s := range n.GetSupportedFrameSizes(f) {
			for _, p := range sizes(s) {
				if video.CheckSize(p.X, p.Y) != nil || f == yuyv && p.X%2 != 0 {
					continue
				}
				m := mode{format: f, w: p.X, h: p.Y}
				for _, r := range n.GetSupportedFramerates(f, uint32(p.X), uint32(p.Y)) {
					if r.MinNumerator > 0 {
						m.fps = max(m.fps, float64(r.MaxDenominator)/float64(r.MinNumerator))
					}
				}
				list = append(list, m)
			}
		}
	}
	return list
}

// usual are the sizes that are looked for in a range.
var usual = []image.Point{{320, 240}, {640, 360}, {640, 480}, {960, 540}, {1280, 720}, {1920, 1080}}

// sizes are those that s stands for.
func sizes(s webcam.FrameSize) (list []image.Point) {
	if s.StepWidth == 0 || s.StepHeight == 0 {
		return []image.Point{{int(s.MaxWidth), int(s.MaxHeight)}}
	}
	fits := func(v int, least, most, step uint32) bool {
		return v >= int(least) && v <= int(most) && (v-int(least))%int(step) == 0
	}
	for _, p := range usual {
		if fits(p.X, s.MinWidth, s.MaxWidth, s.StepWidth) && fits(p.Y, s.MinHeight, s.MaxHeight, s.StepHeight) {
			list = append(list, p)
		}
	}
	return append(list, image.Point{int(s.MaxWidth), int(s.MaxHeight)})
}

// best chooses among modes: fast enough, then at least as large as wanted and
// no larger than that takes, of the right shape, and without a codec between.
func best(list []mode, o Options) mode {
	cost := func(m mode) (c float64) {
		if m.fps > 0 {
			c += 40 * max(0, math.Log(min(o.FPS, 30)/m.fps)) // half the pictures: 28
		}
		have, want := float64(m.w*m.h), float64(o.Width*o.Height)
		if have < want {
			c += 30 * math.Log(want/have)
		} else {
			c += 5 * math.Log(have/want)
		}
		c += 4 * math.Abs(math.Log(float64(m.w)/float64(m.h)*float64(o.Height)/float64(o.Width)))
		if m.format != yuyv {
			c += 0.5
		}
		return c
	}
	return slices.MinFunc(list, func(a, b mode) int {
		switch x, y := cost(a), cost(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// A camera is a Source with a goroutine that takes pictures.
type camera struct {
	node   node
	mode   mode
	latest *latest
	stop   chan struct{}
	once   sync.Once
	done   chan struct{}
}

func openCamera(_ context.Context, name string, o Options) (video.Source, error) {
	return kernel.openCamera(name, o)
}

func (k nodes) openCamera(name string, o Options) (video.Source, error) {
	list, err := k.cameras()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrNoCamera
	}
	which := list[0]
	if name != "" {
		which, err = choose(list, name, func(c Camera) string { return c.ID }, func(c Camera) string { return c.Name }, ErrNoCamera)
		if err != nil {
			return nil, err
		}
	}
	n, err := k.open(which.ID)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", which.ID, err)
	}
	c, err := newCamera(n, o)
	if err != nil {
		n.Close()
		if errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("%s is in use by another program: %w", which.Name, err)
		}
		return nil, err
	}
	o.Logger.Debug("camera opened", "camera", which.Name, "width", c.mode.w, "height", c.mode.h, "fps", c.mode.fps)
	return c, nil
}

func newCamera(n node, o Options) (*camera, error) {
	list := modes(n)
	if len(list) == 0 {
		return nil, ErrFormat
	}
	m := best(list, o)
	format, _, _, err := n.SetImageFormat(m.format, uint32(m.w), uint32(m.h))
	if err != nil {
		return nil, fmt.Errorf("set %dx%d: %w", m.w, m.h, err)
	}
	if format != m.format {
		return nil, fmt.Errorf("set %dx%d: %w", m.w, m.h, ErrFormat)
	}
	// Cameras that cannot be told keep a rate of their own.
	if rate := min(o.FPS, m.fps); rate > 0 {
		_ = n.SetFramerate(float32(rate))
	}
	if err := errors.Join(n.SetBufferCount(cameraBuffers), n.StartStreaming()); err != nil {
		return nil, fmt.Errorf("start the camera: %w", err)
	}
	c := &camera{node: n, mode: m, latest: newLatest(), stop: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c, nil
}

// run takes pictures until Close, or until the camera is gone.
func (c *camera) run() {
	defer close(c.done)
	start := time.Now()
	silent, broken := 0, 0
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		err := c.node.WaitForFrame(cameraWait)
		var timeout *webcam.Timeout
		if errors.As(err, &timeout) {
			if silent++; silent >= cameraDead {
				c.latest.end(errors.New("the camera gives no pictures any more"))
				return
			}
			continue
		}
		if err == nil {
			err = c.take(start)
		}
		switch {
		case err == nil:
			silent, broken = 0, 0
		case errors.Is(err, unix.EAGAIN):
		case errors.Is(err, ErrFormat) && broken < maxBroken:
			broken++
		case errors.Is(err, unix.ENODEV):
			c.latest.end(fmt.Errorf("the camera was unplugged: %w", io.EOF))
			return
		default:
			c.latest.end(fmt.Errorf("camera: %w", err))
			return
		}
	}
}

// take converts the newest picture there is.
func (c *camera) take(start time.Time) error {
	data, index, err := c.node.GetFrame()
	if err != nil {
		return err
	}
	at := time.Since(start)
	dst := c.latest.space()
	var m *image.YCbCr
	if c.mode.format == yuyv {
		m, err = fromYUYV(dst, data, c.mode.w, c.mode.h)
	} else {
		m, err = fromMJPEG(dst, data)
	}
	if again := c.node.ReleaseFrame(index); again != nil {
		return again
	}
	if err != nil {
		return err
	}
	c.latest.put(m, at)
	return nil
}

func (c *camera) Read(ctx context.Context) (video.Frame, error) { return c.latest.read(ctx) }

// Live reports that the camera goes on while nobody reads it.
func (c *camera) Live() bool { return true }

func (c *camera) Close() (err error) {
	c.once.Do(func() {
		c.latest.end(net.ErrClosed)
		close(c.stop)
		<-c.done
		err = c.node.Close()
	})
	return err
}
