package capture

import (
	"errors"
	"fmt"
	"image"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Cameras by V4L2, as the kernel's documentation has it ("Video for Linux API",
// whose names these are), without C.

// maxListed bounds every list of a driver; some never say that it is over.
const maxListed = 256

// maxBuffers is the most that a driver may give, whatever it was asked for.
const maxBuffers = 32

// A sizeRange is the sizes that a camera has in a format: from least to most in
// steps. A single size has no step.
type sizeRange struct{ least, most, step image.Point }

// A v4l2 is an open node of the kernel.
type v4l2 struct {
	fd      int
	buffers [][]byte
}

var (
	errTimeout = errors.New("no picture in time")
	errNode    = errors.New("the device takes no pictures")
	errBroken  = fmt.Errorf("%w: the driver says it is broken", ErrFormat)
)

func openV4L2(path string) (node, error) {
	// Without CLOEXEC every program that is started would keep the camera.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	d := &v4l2{fd: fd}
	c, err := d.capability()
	const needed = capVideoCapture | capStreaming
	if err == nil && c&needed != needed {
		err = errNode
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

const (
	capVideoCapture = 0x00000001
	capStreaming    = 0x04000000
	capDeviceCaps   = 0x80000000

	bufVideoCapture = 1
	memoryMmap      = 1
	bufFlagError    = 0x40

	frmsizeDiscrete  = 1
	frmivalDiscrete  = 1
	privMagic        = 0xfeedcafe // what follows in pixFormat counts
	colorspaceREC709 = 3
	colorspaceJPEG   = 7
	colorspaceDCIP3  = 12
	encREC709        = 2
	encXV709         = 4
	quantFullRange   = 1
)

type (
	capability struct {
		driver                            [16]byte
		card, bus                         [32]byte
		version, capabilities, deviceCaps uint32
		_                                 [3]uint32
	}
	fmtdesc struct {
		index, kind, flags uint32
		description        [32]byte
		pixelFormat        fourCC
		_                  [4]uint32
	}
	frmsizeenum struct {
		index       uint32
		pixelFormat fourCC
		kind        uint32
		// width and height, or least, most and step of width, and of height
		v [6]uint32
		_ [2]uint32
	}
	fract       struct{ numerator, denominator uint32 }
	frmivalenum struct {
		index         uint32
		pixelFormat   fourCC
		width, height uint32
		kind          uint32
		v             [3]fract // the interval, or the shortest, longest and step
		_             [2]uint32
	}
	pixFormat struct {
		width, height                             uint32
		pixelFormat                               fourCC
		field, bytesPerLine, sizeImage            uint32
		colorspace, priv                          uint32
		flags, ycbcrEnc, quantization, xferFormat uint32
	}
	format struct {
		kind uint32
		u    struct { // a union that holds pointers too
			_   [0]uintptr
			pix pixFormat
			_   [152]byte
		}
	}
	streamparm struct {
		kind, capability, mode uint32
		timePerFrame           fract
		extended, buffers      uint32
		_                      [4]uint32
		_                      [160]byte
	}
	requestbuffers struct {
		count, kind, memory, capabilities uint32
		_                                 uint32
	}
	buffer struct {
		index, kind, bytesUsed, flags, field uint32
		timestamp                            unix.Timeval
		timecode                             struct {
			_, _ uint32
			_    [8]byte
		}
		sequence, memory uint32
		m                [1]uintptr // a union; here the offset, of 32 bits
		length           uint32
		_, _             uint32
	}
)

// Directions of ioctl, and its numbers, VIDIOC_ before their names.
const (
	set = 0xc0000000 &^ get
	get = unix.RNDGETENTCNT & 0xc0000000 // what only gets; on MIPS and POWER it is 1<<30

	queryCap           = 0
	enumFmt            = 2
	gFmt               = 4
	sFmt               = 5
	reqBufs            = 8
	queryBuf           = 9
	qBuf               = 15
	dqBuf              = 17
	streamOn           = 18
	streamOff          = 19
	sParm              = 22
	enumFrameSizes     = 74
	enumFrameIntervals = 75
)

// ioctlRequest is what the kernel knows an ioctl of video by.
func ioctlRequest(direction, number, size uintptr) uintptr {
	return direction | size<<16 | 'V'<<8 | number
}

// ioctl asks the driver, again when a signal came between.
func (d *v4l2) ioctl(direction, number, size uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), ioctlRequest(direction, number, size), uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

func (d *v4l2) query() (c capability, err error) {
	err = d.ioctl(get, queryCap, unsafe.Sizeof(c), unsafe.Pointer(&c))
	return c, err
}

// capability returns what this node can, of all that the device can.
func (d *v4l2) capability() (uint32, error) {
	c, err := d.query()
	if c.capabilities&capDeviceCaps != 0 {
		return c.deviceCaps, err
	}
	return c.capabilities, err
}

func (d *v4l2) Name() (string, error) {
	c, err := d.query()
	return unix.ByteSliceToString(c.card[:]), err
}

func (d *v4l2) Formats() (list []fourCC) {
	for i := range uint32(maxListed) {
		f := fmtdesc{index: i, kind: bufVideoCapture}
		if d.ioctl(get|set, enumFmt, unsafe.Sizeof(f), unsafe.Pointer(&f)) != nil {
			break
		}
		list = append(list, f.pixelFormat)
	}
	return list
}

func (d *v4l2) Sizes(in fourCC) (list []sizeRange) {
	for i := range uint32(maxListed) {
		s := frmsizeenum{index: i, pixelFormat: in}
		if d.ioctl(get|set, enumFrameSizes, unsafe.Sizeof(s), unsafe.Pointer(&s)) != nil {
			break
		}
		if s.kind == frmsizeDiscrete {
			p := image.Pt(int(s.v[0]), int(s.v[1]))
			list = append(list, sizeRange{least: p, most: p})
			continue
		}
		return []sizeRange{{ // there is only one
			least: image.Pt(int(s.v[0]), int(s.v[3])), most: image.Pt(int(s.v[1]), int(s.v[4])),
			step: image.Pt(max(1, int(s.v[2])), max(1, int(s.v[5]))),
		}}
	}
	if len(list) > 0 {
		return list
	}
	// What takes pictures of another device has the size of those.
	f := format{kind: bufVideoCapture}
	if d.ioctl(get|set, gFmt, unsafe.Sizeof(f), unsafe.Pointer(&f)) != nil {
		return nil
	}
	p := image.Pt(int(f.u.pix.width), int(f.u.pix.height))
	return []sizeRange{{least: p, most: p}}
}

func (d *v4l2) Rate(in fourCC, w, h int) (fps float64) {
	for i := range uint32(maxListed) {
		v := frmivalenum{index: i, pixelFormat: in, width: uint32(w), height: uint32(h)}
		if d.ioctl(get|set, enumFrameIntervals, unsafe.Sizeof(v), unsafe.Pointer(&v)) != nil {
			break
		}
		if v.v[0].numerator > 0 {
			fps = max(fps, float64(v.v[0].denominator)/float64(v.v[0].numerator))
		}
		if v.kind != frmivalDiscrete {
			break
		}
	}
	return fps
}

func (d *v4l2) SetFormat(in fourCC, w, h int) (layout, error) {
	f := format{kind: bufVideoCapture}
	f.u.pix = pixFormat{width: uint32(w), height: uint32(h), pixelFormat: in, priv: privMagic}
	if err := d.ioctl(get|set, sFmt, unsafe.Sizeof(f), unsafe.Pointer(&f)); err != nil {
		return layout{}, err
	}
	p := f.u.pix
	l := layout{format: p.pixelFormat, w: int(p.width), h: int(p.height), stride: int(p.bytesPerLine)}
	// What a colourspace has when nothing else is said: V4L2_MAP_YCBCR_ENC_DEFAULT
	// and V4L2_MAP_QUANTIZATION_DEFAULT.
	l.rec709 = p.colorspace == colorspaceREC709 || p.colorspace == colorspaceDCIP3
	l.full = p.colorspace == colorspaceJPEG
	if p.priv == privMagic && p.ycbcrEnc != 0 {
		l.rec709 = p.ycbcrEnc == encREC709 || p.ycbcrEnc == encXV709
	}
	if p.priv == privMagic && p.quantization != 0 {
		l.full = p.quantization == quantFullRange
	}
	return l, nil
}

func (d *v4l2) SetRate(fps float64) error {
	p := streamparm{kind: bufVideoCapture, timePerFrame: fract{1000, uint32(1000 * fps)}}
	return d.ioctl(get|set, sParm, unsafe.Sizeof(p), unsafe.Pointer(&p))
}

func (d *v4l2) Start(count int) error {
	r := requestbuffers{count: uint32(count), kind: bufVideoCapture, memory: memoryMmap}
	if err := d.ioctl(get|set, reqBufs, unsafe.Sizeof(r), unsafe.Pointer(&r)); err != nil {
		return fmt.Errorf("ask for buffers: %w", err)
	}
	if r.count < 1 || r.count > maxBuffers {
		return fmt.Errorf("ask for buffers: there are %d", r.count)
	}
	for i := range r.count {
		b := buffer{index: i, kind: bufVideoCapture, memory: memoryMmap}
		if err := d.ioctl(get|set, queryBuf, unsafe.Sizeof(b), unsafe.Pointer(&b)); err != nil {
			return fmt.Errorf("find a buffer: %w", err)
		}
		m, err := unix.Mmap(d.fd, int64(*(*uint32)(unsafe.Pointer(&b.m))), int(b.length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("map a buffer: %w", err)
		}
		d.buffers = append(d.buffers, m)
	}
	for i := range r.count {
		if err := d.Release(i); err != nil {
			return fmt.Errorf("hand over a buffer: %w", err)
		}
	}
	kind := uint32(bufVideoCapture)
	return d.ioctl(set, streamOn, unsafe.Sizeof(kind), unsafe.Pointer(&kind))
}

func (d *v4l2) Wait(most time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(most.Milliseconds()))
	switch {
	case errors.Is(err, unix.EINTR):
		return unix.EAGAIN
	case err != nil:
		return err
	case n == 0:
		return errTimeout
	case fds[0].Revents&unix.POLLIN != 0:
		return nil
	}
	// It is gone, which everything says that is asked. Or broken, which Take says.
	// Or nothing is wrong: a signal came while the driver waited for its own lock
	// (vb2_fop_poll in Linux), and Go sends signals to itself.
	_, err = d.query()
	return err
}

func (d *v4l2) Take() ([]byte, uint32, error) {
	b := buffer{kind: bufVideoCapture, memory: memoryMmap}
	if err := d.ioctl(get|set, dqBuf, unsafe.Sizeof(b), unsafe.Pointer(&b)); err != nil {
		return nil, 0, err
	}
	if int64(b.index) >= int64(len(d.buffers)) {
		return nil, 0, fmt.Errorf("%w: buffer %d of %d", ErrFormat, b.index, len(d.buffers))
	}
	if m := d.buffers[b.index]; int64(b.bytesUsed) > int64(len(m)) {
		return nil, 0, errors.Join(fmt.Errorf("%w: %d bytes in %d", ErrFormat, b.bytesUsed, len(m)), d.Release(b.index))
	}
	if b.flags&bufFlagError != 0 {
		return nil, 0, errors.Join(errBroken, d.Release(b.index))
	}
	return d.buffers[b.index][:b.bytesUsed], b.index, nil
}

func (d *v4l2) Release(index uint32) error {
	b := buffer{index: index, kind: bufVideoCapture, memory: memoryMmap}
	return d.ioctl(get|set, qBuf, unsafe.Sizeof(b), unsafe.Pointer(&b))
}

// Close gives up the buffers too, which would keep the camera taken for as long as
// we run. A camera that is gone says no to all of it.
func (d *v4l2) Close() error {
	kind := uint32(bufVideoCapture)
	_ = d.ioctl(set, streamOff, unsafe.Sizeof(kind), unsafe.Pointer(&kind))
	for _, b := range d.buffers {
		_ = unix.Munmap(b)
	}
	d.buffers = nil
	return unix.Close(d.fd)
}
