package capture

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/carillon-im/carillon/media/video"
)

const (
	// gstStop is how long GStreamer has to end.
	gstStop = 2 * time.Second
	// maxComplaint bounds what GStreamer says when it fails.
	maxComplaint = 2 << 10
)

// playing is a GStreamer that runs.
type playing struct {
	cmd  *exec.Cmd
	out  io.ReadCloser
	says *says
}

// play starts GStreamer on the stream, over a connection of its own to PipeWire.
func (c *cast) play(ctx context.Context) (*playing, error) {
	soon, cancel := context.WithTimeout(ctx, portalTimeout)
	defer cancel()
	var fd dbus.UnixFD
	if err := c.portal.CallWithContext(soon, screenCast+".OpenPipeWireRemote", 0, c.session, map[string]dbus.Variant{}).Store(&fd); err != nil {
		return nil, fmt.Errorf("open PipeWire: %w", err)
	}
	remote := os.NewFile(uintptr(fd), "pipewire")
	defer remote.Close() // the child has its own
	// The desktop is asked for no more pictures than are wanted, and for those
	// that lie in memory. One that cannot do that is read as slowly as they are
	// wanted: the queue keeps the newest. videorate is not for pictures without
	// a rate, which are what a desktop has: it ends the program.
	most := strconv.Itoa(int(math.Ceil(max(c.most, 1))))
	cmd := exec.Command(c.program, "-q", "pipewiresrc", "fd=3", "path="+strconv.FormatUint(uint64(c.node), 10), "do-timestamp=true",
		"!", "video/x-raw,max-framerate=(fraction)[0/1,"+most+"/1];video/x-raw",
		"!", "queue", "leaky=downstream", "max-size-buffers=1", "max-size-bytes=0", "max-size-time=0",
		"!", "videoconvert", "!", "video/x-raw,format=I420,colorimetry=bt601",
		"!", "y4menc", "!", "fdsink", "fd=1", "sync=false")
	cmd.Env = append(os.Environ(), "GST_DEBUG=pipewiresrc:5", "GST_DEBUG_FILE=", "GST_DEBUG_NO_COLOR=1")
	cmd.ExtraFiles = []*os.File{remote}
	cmd.WaitDelay = gstStop
	p := &playing{cmd: cmd, says: &says{kill: func() { cmd.Process.Kill() }}}
	cmd.Stderr = p.says
	var err error
	if p.out, err = cmd.StdoutPipe(); err == nil {
		err = c.launch(cmd)
	}
	if err != nil {
		return nil, fmt.Errorf("start GStreamer: %w", err)
	}
	return p, nil
}

// launch starts what Close ends.
func (c *cast) launch(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.gst = cmd
	return cmd.Start()
}

// says is what GStreamer writes: complaints, of which the beginning is kept, and
// what it notes about the stream. When the pictures get another size, the
// element of PipeWire 0.3 goes on as if they had not, and what comes out is
// stripes; then it is ended, to be started anew.
type says struct {
	kill    func()
	line    []byte // begun
	size    string // of the pictures, as it writes it
	resized atomic.Bool
	kept    bytes.Buffer // not embedded: its ReadFrom knows no bound
}

func (s *says) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		s.line = append(s.line, part[:min(len(part), maxComplaint-len(s.line))]...)
		if rest = after; whole {
			s.take(string(s.line))
			s.line = s.line[:0]
		}
	}
	return len(p), nil
}

func (s *says) take(line string) {
	if !strings.Contains(line, " pipewiresrc ") { // else it is a note
		line += "\n"
		s.kept.WriteString(line[:min(len(line), maxComplaint-s.kept.Len())])
		return
	}
	_, caps, ok := strings.Cut(line, "we got format ")
	if !ok {
		return
	}
	w, h := field(caps, "width=(int)"), field(caps, "height=(int)")
	if size := w + "x" + h; w != "" && h != "" && size != s.size {
		if s.size != "" && !s.resized.Swap(true) {
			s.kill()
		}
		s.size = size
	}
}

// field is what follows name in a description of GStreamer.
func field(caps, name string) string {
	_, v, _ := strings.Cut(caps, name)
	v, _, _ = strings.Cut(v, ",")
	return v
}

// read takes pictures until GStreamer ends for good.
func (c *cast) read(p *playing) {
	defer close(c.done)
	err := c.pictures(p)
	for p.says.resized.Load() {
		if p, err = c.play(context.Background()); err != nil {
			break
		}
		err = c.pictures(p)
	}
	c.latest.end(err)
}

// pictures takes those of one run of GStreamer.
func (c *cast) pictures(p *playing) (err error) {
	r := newY4M(p.out, c.pads)
	var next time.Time
	var whole *image.YCbCr
	for {
		var m *image.YCbCr
		if c.window {
			whole, err = r.next(whole)
		} else {
			m, err = r.next(c.latest.space())
		}
		if err != nil || p.says.resized.Load() {
			break
		}
		now := time.Now()
		if c.window {
			m = cut(c.latest.space(), whole, c.trim.of(whole, now))
		}
		c.latest.put(m, now.Sub(c.start))
		// One that comes a little early is taken, so that none is left out when
		// the desktop is as fast as we.
		every := c.every()
		if e := now.Add(-every / 2); next.Before(e) {
			next = e
		}
		next = next.Add(every)
		timer := time.NewTimer(next.Sub(now))
		select {
		case <-timer.C:
		case <-c.stop:
			timer.Stop()
		}
	}
	p.cmd.Process.Kill() // when it was us who did not understand
	if e := p.cmd.Wait(); e != nil && p.says.kept.Len() > 0 {
		// Nothing else says why: it ends, or writes to where pictures go.
		err = fmt.Errorf("GStreamer: %s", strings.TrimSpace(p.says.kept.String()))
	}
	return err
}

// every is how long a picture is shown at least.
func (c *cast) every() time.Duration {
	return time.Duration(float64(time.Second) / math.Float64frombits(c.fps.Load()))
}

// pads finds out whether this GStreamer writes pictures with the gaps that it has
// between lines in memory, which it did until 1.24, or as the format is. It is
// asked when it makes a difference, once.
func (c *cast) pads() bool {
	if c.gaps == nil {
		ctx, cancel := context.WithTimeout(context.Background(), portalTimeout)
		defer cancel()
		out, err := exec.CommandContext(ctx, c.program, "-q", "videotestsrc", "num-buffers=1", "!", "video/x-raw,format=I420,width=5,height=3",
			"!", "y4menc", "!", "fdsink", "fd=1").Output()
		_, picture, found := bytes.Cut(out, []byte("FRAME\n"))
		gaps := err == nil && found && len(picture) > 5*3+2*3*2
		c.gaps = &gaps
	}
	return *c.gaps
}

// y4m reads a stream of pictures of YUV4MPEG2, whose size may change by another
// header, as GStreamer writes it.
type y4m struct {
	r    *bufio.Reader
	pads func() bool // whether there are gaps in pictures of odd sizes
	w, h int
	gaps bool
}

func newY4M(r io.Reader, pads func() bool) *y4m {
	return &y4m{r: bufio.NewReaderSize(r, 1<<16), pads: pads}
}

// next returns a picture, in dst if that has its size.
func (y *y4m) next(dst *image.YCbCr) (*image.YCbCr, error) {
	for {
		line, err := y.r.ReadSlice('\n')
		if err != nil {
			if err == bufio.ErrBufferFull {
				err = ErrFormat
			}
			return nil, err
		}
		words := strings.Fields(string(line))
		switch {
		case len(words) > 0 && words[0] == "YUV4MPEG2":
			if err := y.header(words[1:]); err != nil {
				return nil, err
			}
		case len(words) > 0 && words[0] == "FRAME" && y.w > 0:
			return y.picture(dst)
		default:
			return nil, fmt.Errorf("%w: a line %.40q between pictures", ErrFormat, line)
		}
	}
}

func (y *y4m) header(words []string) error {
	y.w, y.h = 0, 0
	for _, w := range words {
		n, _ := strconv.Atoi(w[1:])
		switch w[0] {
		case 'W':
			y.w = n
		case 'H':
			y.h = n
		case 'C':
			if !strings.HasPrefix(w, "C420") || strings.HasPrefix(w, "C420p1") {
				return fmt.Errorf("%w: pixels %s", ErrFormat, w)
			}
		}
	}
	if err := video.CheckSize(y.w, y.h); err != nil {
		return err
	}
	y.gaps = (y.w%8 != 0 || y.h%2 != 0) && y.pads()
	return nil
}

func (y *y4m) picture(dst *image.YCbCr) (*image.YCbCr, error) {
	dst = fit(dst, y.w, y.h)
	cw, ch := (y.w+1)/2, (y.h+1)/2
	for _, plane := range []struct {
		pix             []byte
		w, h, gap, more int // more lines than there are
	}{
		{dst.Y, y.w, y.h, -y.w & 3, y.h & 1}, {dst.Cb, cw, ch, -cw & 3, 0}, {dst.Cr, cw, ch, -cw & 3, 0},
	} {
		if !y.gaps {
			if _, err := io.ReadFull(y.r, plane.pix); err != nil {
				return nil, err
			}
			continue
		}
		for i := range plane.h {
			if _, err := io.ReadFull(y.r, plane.pix[i*plane.w:][:plane.w]); err != nil {
				return nil, err
			}
			if _, err := y.r.Discard(plane.gap); err != nil {
				return nil, err
			}
		}
		if _, err := y.r.Discard(plane.more * (plane.w + plane.gap)); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
