package capture

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/media/video"
)

const (
	// cameraBuffers are filled by the camera while we look at one. More would
	// only be older.
	cameraBuffers = 4
	// cameraWait is how long one wait for a picture lasts, and how long Close
	// may take with a camera that gives none.
	cameraWait = time.Second
	// cameraDead is after how many such waits without a picture a camera is taken
	// for broken.
	cameraDead = 5
	// cameraAgain is the pause after a driver said that there is a picture where
	// there was none.
	cameraAgain = 5 * time.Millisecond
	// maxBroken pictures in a row are left out before the camera is given up.
	// Cameras begin with some that are cut off.
	maxBroken = 60
)

// A node is a video device of the kernel. Tests put their own in its place.
type node interface {
	Name() (string, error)
	// Formats, Sizes and Rate tell what it can be set to; the rate is the fastest
	// that there is, zero when it does not say.
	Formats() []fourCC
	Sizes(fourCC) []sizeRange
	Rate(f fourCC, w, h int) (fps float64)
	// SetFormat returns what it is set to, which may be something else.
	SetFormat(f fourCC, w, h int) (layout, error)
	SetRate(fps float64) error
	// Start begins to fill so many buffers, or about as many.
	Start(buffers int) error
	// Wait returns errTimeout when there is no picture to take. Take knows better.
	Wait(most time.Duration) error
	// Take returns the oldest picture, which is there until it is released.
	Take() (data []byte, buffer uint32, err error)
	Release(buffer uint32) error
	Close() error
}

// nodes are the video devices there are, and open opens one.
type nodes struct {
	list func() ([]string, error)
	open func(path string) (node, error)
}

var kernel = nodes{
	list: func() ([]string, error) { return filepath.Glob("/dev/video*") },
	open: openV4L2,
}

func cameras(ctx context.Context) ([]Camera, error) { return kernel.cameras(ctx) }

// cameras lists the nodes that give pictures; a camera has others besides.
func (k nodes) cameras(ctx context.Context) ([]Camera, error) {
	return until(ctx, k.probe, func([]Camera) {})
}

// probe is cameras without an end.
func (k nodes) probe() ([]Camera, error) {
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
		name, err := n.Name()
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
	format fourCC
	w, h   int
	fps    float64 // the most there is; zero when the camera does not say
}

// formats are those we can use, of those that cost the same the best first.
var formats = []fourCC{yuyv, uyvy, nv12, yu12, mjpeg, jpg}

// modes are those we can use.
func modes(n node) (list []mode) {
	known := n.Formats()
	for _, f := range formats {
		if !slices.Contains(known, f) {
			continue
		}
		for _, s := range n.Sizes(f) {
			for _, p := range sizes(s) {
				if video.CheckSize(p.X, p.Y) == nil && (layout{format: f, w: p.X, h: p.Y}).check() == nil {
					list = append(list, mode{format: f, w: p.X, h: p.Y, fps: n.Rate(f, p.X, p.Y)})
				}
			}
		}
	}
	return list
}

// usual are the sizes that are looked for in a range.
var usual = []image.Point{{320, 240}, {640, 360}, {640, 480}, {960, 540}, {1280, 720}, {1920, 1080}}

// sizes are those that s stands for.
func sizes(s sizeRange) (list []image.Point) {
	if s.step.X == 0 || s.step.Y == 0 {
		return []image.Point{s.most}
	}
	fits := func(v, least, most, step int) bool { return v >= least && v <= most && (v-least)%step == 0 }
	for _, p := range usual {
		if fits(p.X, s.least.X, s.most.X, s.step.X) && fits(p.Y, s.least.Y, s.most.Y, s.step.Y) {
			list = append(list, p)
		}
	}
	return append(list, s.most)
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
		if coded(m.format) {
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
	layout layout
	latest *latest
	stop   chan struct{}
	once   sync.Once
	done   chan struct{}
}

func openCamera(ctx context.Context, name string, o Options) (video.Source, error) {
	return kernel.openCamera(ctx, name, o)
}

func (k nodes) openCamera(ctx context.Context, name string, o Options) (video.Source, error) {
	return until(ctx, func() (video.Source, error) { return k.find(name, o) }, closeSource)
}

// find opens a camera by its name.
func (k nodes) find(name string, o Options) (video.Source, error) {
	list, err := k.probe()
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
			err = fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return nil, fmt.Errorf("%s: %w", which.Name, err)
	}
	o.Logger.Debug("camera opened", "camera", which.Name, "format", c.layout.format, "width", c.layout.w, "height", c.layout.h)
	return c, nil
}

func newCamera(n node, o Options) (*camera, error) {
	list := modes(n)
	if len(list) == 0 {
		return nil, ErrFormat
	}
	m := best(list, o)
	l, err := n.SetFormat(m.format, m.w, m.h)
	if err != nil {
		return nil, fmt.Errorf("set %dx%d: %w", m.w, m.h, err)
	}
	// The driver has the last word on the size.
	if err := l.check(); err != nil || l.format != m.format {
		return nil, fmt.Errorf("set %dx%d: %w", m.w, m.h, errors.Join(ErrFormat, err))
	}
	// Cameras that cannot be told keep a rate of their own.
	if rate := min(o.FPS, m.fps); rate > 0 {
		_ = n.SetRate(rate)
	}
	if err := n.Start(cameraBuffers); err != nil {
		return nil, fmt.Errorf("start the camera: %w", err)
	}
	c := &camera{node: n, layout: l, latest: newLatest(), stop: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c, nil
}

// run takes pictures until Close, or until the camera is gone.
func (c *camera) run() {
	defer close(c.done)
	start := time.Now()
	last, broken := start, 0 // when there was a picture, and how many were broken since
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		err := c.node.Wait(cameraWait)
		if err == nil {
			err = c.take(start)
		}
		switch {
		case err == nil:
			last, broken = time.Now(), 0
		case errors.Is(err, errTimeout), errors.Is(err, unix.EAGAIN):
			if time.Since(last) >= cameraDead*cameraWait {
				c.latest.end(errors.New("the camera gives no pictures any more"))
				return
			}
			if errors.Is(err, unix.EAGAIN) {
				select {
				case <-time.After(cameraAgain):
				case <-c.stop:
				}
			}
		case errors.Is(err, ErrFormat) && broken < maxBroken:
			broken++
		case errors.Is(err, unix.ENODEV):
			c.latest.end(fmt.Errorf("the camera was unplugged: %w", err))
			return
		default:
			c.latest.end(fmt.Errorf("camera: %w", err))
			return
		}
	}
}

// take converts the newest picture there is.
func (c *camera) take(start time.Time) error {
	data, buffer, err := c.node.Take()
	if err != nil {
		return err
	}
	at := time.Since(start)
	dst := c.latest.space()
	m, err := c.layout.convert(dst, data)
	if again := c.node.Release(buffer); again != nil {
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
