//go:build guest && linux

package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	"github.com/carillon-im/carillon/media/video"
)

// A usbCamera is a webcam on USB 2, played by this program: the kernel talks to it
// by USB/IP (Documentation/usb/usbip_protocol.rst), and its driver uvcvideo, that of
// nearly all webcams, does the rest. See the class definition of USB video devices,
// 1.1, and chapter 9 of USB 2.0.
type usbCamera struct {
	conn *os.File
	wg   sync.WaitGroup
	ask  chan usbRequest // from its reader
	cut  chan bool       // whether every other picture lacks its end

	probe, commit uvcStream
	pending       []usbRequest // for pictures
	rest          []byte       // of the picture that is being sent
	frame         byte         // the bit that says which picture a part is of
	shots         map[uvcStream][][]byte
}

const usbCameraName = "Carillon Test Camera"

// A uvcStream is a format and size by their numbers, and the time between
// pictures in 100 ns.
type uvcStream struct {
	format, frame byte
	interval      uint32
}

// What it can do is what many can: the large size only as MJPEG in good time.
var uvcModes = []struct {
	mode
	is uvcStream
}{
	{mode{yuyv, 640, 480, 30}, uvcStream{1, 1, 333333}},
	{mode{yuyv, 320, 240, 30}, uvcStream{1, 2, 333333}},
	{mode{yuyv, 1280, 720, 5}, uvcStream{1, 3, 2000000}},
	{mode{mjpeg, 640, 480, 30}, uvcStream{2, 1, 333333}},
	{mode{mjpeg, 1280, 720, 30}, uvcStream{2, 2, 333333}},
}

const (
	usbSubmit, usbUnlink = 1, 2 // and 2 more for the answers
	usbHeader            = 48
	usbHighSpeed         = 3
	uvcPayload           = 16384 // in one transfer
	uvcEndpoint          = 1
	uvcRate              = time.Second / 30
)

// A usbRequest is what the kernel wants of the device.
type usbRequest struct {
	command, seq, endpoint uint32
	in                     bool
	length                 int    // of what is sent or expected
	unlink                 uint32 // the request that is not wanted any more
	setup                  [8]byte
	data                   []byte
}

// plugIn plugs one in. What is plugged in is pulled out when the test ends.
func plugIn(t *testing.T) *usbCamera {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &usbCamera{
		conn: os.NewFile(uintptr(pair[0]), "usbip"), ask: make(chan usbRequest), cut: make(chan bool),
		probe: uvcModes[0].is, shots: map[uvcStream][][]byte{},
	}
	for _, m := range uvcModes {
		c.shots[m.is] = usbPictures(t, m.mode)
	}
	c.wg.Go(c.read)
	c.wg.Go(c.run)
	t.Cleanup(c.pullOut)
	writeFile(t, "/sys/devices/platform/vhci_hcd.0/attach", fmt.Sprintf("0 %d 65537 %d", pair[1], usbHighSpeed))
	unix.Close(pair[1]) // the kernel has it
	// It takes the kernel a moment to find out what it is.
	for end := time.Now().Add(10 * time.Second); ; {
		list, err := Cameras(t.Context())
		if slices.ContainsFunc(list, func(c Camera) bool { return c.Name == usbCameraName }) {
			return c
		}
		if time.Now().After(end) {
			t.Fatalf("the camera is not found: %+v, %v", list, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pullOut pulls it out. It may be called again.
func (c *usbCamera) pullOut() {
	unix.Shutdown(int(c.conn.Fd()), unix.SHUT_RDWR)
	c.wg.Wait()
	c.conn.Close()
}

// read takes requests from the kernel until it is pulled out.
func (c *usbCamera) read() {
	defer close(c.ask)
	for {
		var h [usbHeader]byte
		if _, err := io.ReadFull(c.conn, h[:]); err != nil {
			return
		}
		word := func(i int) uint32 { return binary.BigEndian.Uint32(h[4*i:]) }
		r := usbRequest{command: word(0), seq: word(1), in: word(3) == 1, endpoint: word(4), length: int(int32(word(6))), unlink: word(5), setup: [8]byte(h[40:])}
		if r.command == usbSubmit && !r.in {
			r.data = make([]byte, r.length)
			if _, err := io.ReadFull(c.conn, r.data); err != nil {
				return
			}
		}
		c.ask <- r
	}
}

// run is the camera.
func (c *usbCamera) run() {
	tick := time.NewTicker(uvcRate)
	defer tick.Stop()
	cut := false
	for n := 0; ; {
		select {
		case r, ok := <-c.ask:
			switch {
			case !ok:
				return
			case r.command == usbUnlink:
				i := slices.IndexFunc(c.pending, func(p usbRequest) bool { return p.seq == r.unlink })
				status := unix.Errno(0)
				if i >= 0 {
					c.pending, status = slices.Delete(c.pending, i, i+1), unix.ECONNRESET
				}
				c.answer(r, status, nil)
			case r.endpoint == uvcEndpoint:
				c.pending = append(c.pending, r)
			default:
				data, status := c.control(r)
				c.answer(r, status, data)
			}
		case cut = <-c.cut:
		case <-tick.C:
			shots := c.shots[c.commit]
			if len(c.pending) == 0 || len(c.rest) > 0 || len(shots) == 0 {
				break
			}
			n++
			c.rest = shots[n%len(shots)]
			if cut && n%2 == 0 {
				c.rest = c.rest[:len(c.rest)/2]
			}
			c.frame ^= 1
		}
		for len(c.pending) > 0 && len(c.rest) > 0 {
			part := c.rest[:min(len(c.rest), uvcPayload-2)]
			c.rest = c.rest[len(part):]
			head := []byte{2, 0x80 | c.frame}
			if len(c.rest) == 0 {
				head[1] |= 2 // the last one
			}
			c.answer(c.pending[0], 0, append(head, part...))
			c.pending = c.pending[1:]
		}
	}
}

func (c *usbCamera) answer(r usbRequest, status unix.Errno, data []byte) {
	if len(data) > r.length {
		data = data[:r.length]
	}
	actual := len(data)
	if !r.in {
		actual = r.length
	}
	b := make([]byte, usbHeader, usbHeader+len(data))
	put := func(i int, v uint32) { binary.BigEndian.PutUint32(b[4*i:], v) }
	put(0, r.command+2)
	put(1, r.seq)
	put(5, uint32(-int32(status)))
	if r.command == usbSubmit {
		put(6, uint32(actual))
	}
	c.conn.Write(append(b, data...)) // when it is pulled out, the reader says so
}

// control answers a control transfer.
func (c *usbCamera) control(r usbRequest) ([]byte, unix.Errno) {
	const stall = unix.EPIPE
	kind, request, value := r.setup[0], r.setup[1], binary.LittleEndian.Uint16(r.setup[2:])
	switch {
	case kind == 0x80 && request == 6: // GET_DESCRIPTOR
		switch value >> 8 {
		case 1:
			return []byte{18, 1, 0, 2, 0xef, 2, 1, 64, 0x09, 0x12, 0x01, 0, 0, 1, 0, 1, 0, 1}, 0 // product is string 1
		case 2:
			return uvcConfiguration(), 0
		case 3:
			if value&0xff == 0 {
				return []byte{4, 3, 9, 4}, 0 // English
			}
			s := []byte{0, 3}
			for _, u := range utf16.Encode([]rune(usbCameraName)) {
				s = binary.LittleEndian.AppendUint16(s, u)
			}
			s[0] = byte(len(s))
			return s, 0
		}
		return nil, stall
	case kind == 0x80 && request == 0, kind == 0x81 && request == 0: // GET_STATUS
		return []byte{0, 0}, 0
	case kind < 3: // SET_CONFIGURATION, SET_INTERFACE, CLEAR_FEATURE
		if kind == 2 {
			c.rest = nil // it stops
		}
		return nil, 0
	}
	which := map[byte]*uvcStream{1: &c.probe, 2: &c.commit}[byte(value>>8)]
	if kind&0x7f != 0x21 || r.setup[4] != 1 || which == nil {
		return nil, stall // no control is there
	}
	switch request {
	case 0x01: // SET_CUR
		if len(r.data) < 8 {
			return nil, stall
		}
		*which = uvcStream{r.data[2], r.data[3], binary.LittleEndian.Uint32(r.data[4:])}
		c.rest = nil
		return nil, 0
	case 0x85: // GET_LEN
		return []byte{26, 0}, 0
	case 0x86: // GET_INFO
		return []byte{3}, 0
	}
	for _, m := range uvcModes {
		if m.is.format != which.format && which.format != 0 || m.is.frame != which.frame && which.frame != 0 {
			continue
		}
		b := make([]byte, 26)
		b[2], b[3] = m.is.format, m.is.frame
		binary.LittleEndian.PutUint32(b[4:], m.is.interval)
		binary.LittleEndian.PutUint32(b[18:], uint32(2*m.w*m.h))
		binary.LittleEndian.PutUint32(b[22:], uvcPayload)
		return b, 0
	}
	return nil, stall
}

// uvcConfiguration describes a camera whose pictures come in bulk.
func uvcConfiguration() []byte {
	le := binary.LittleEndian
	// sized puts the length in front.
	sized := func(b ...byte) []byte { return append([]byte{byte(len(b) + 1)}, b...) }
	// total puts the length of all into the place for it.
	total := func(at int, parts ...[]byte) []byte {
		b := slices.Concat(parts...)
		le.PutUint16(b[at:], uint16(len(b)))
		return b
	}
	colours := sized(0x24, 0x0d, 1, 1, 4) // sRGB, BT.709 and SMPTE 170M, as most
	yuy2 := append([]byte("YUY2"), 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71)
	format := func(number byte, head []byte, kind byte) (b []byte) {
		b = head
		for _, m := range uvcModes {
			if m.is.format != number {
				continue
			}
			f := []byte{0x24, kind, m.is.frame, 0}
			f = le.AppendUint16(le.AppendUint16(f, uint16(m.w)), uint16(m.h))
			f = le.AppendUint32(le.AppendUint32(f, 1<<20), 1<<28) // bits in a second
			f = le.AppendUint32(f, uint32(2*m.w*m.h))
			f = append(le.AppendUint32(f, m.is.interval), 1)
			b = append(b, sized(le.AppendUint32(f, m.is.interval)...)...)
		}
		return append(b, colours...)
	}
	raw := format(1, sized(slices.Concat([]byte{0x24, 4, 1, 3}, yuy2, []byte{16, 1, 0, 0, 0, 0})...), 5)
	coded := format(2, sized(0x24, 6, 2, 2, 1, 1, 0, 0, 0, 0), 7)
	videoControl := total(5,
		sized(0x24, 1, 0, 1, 0, 0, 0x80, 0x8d, 0x5b, 0, 1, 1),       // UVC 1.0, one stream, interface 1
		sized(0x24, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0), // the lens is terminal 1
		sized(0x24, 3, 2, 1, 1, 0, 1, 0))                            // and the USB terminal 2
	videoStreaming := total(4,
		sized(0x24, 1, 2, 0, 0, 0x80|uvcEndpoint, 0, 2, 0, 0, 0, 1, 0, 0), raw, coded)
	return total(2,
		sized(2, 0, 0, 2, 1, 0, 0x80, 250),
		sized(11, 0, 2, 14, 3, 0, 0),
		sized(4, 0, 0, 0, 14, 1, 0, 0), videoControl,
		sized(4, 1, 0, 1, 14, 2, 0, 0), videoStreaming,
		sized(5, 0x80|uvcEndpoint, 2, 0, 2, 0))
}

// usbPictures are bars of colour, and above them what changes.
func usbPictures(t *testing.T, m mode) (list [][]byte) {
	t.Helper()
	colours := []color.RGBA{{191, 191, 191, 255}, {191, 191, 0, 255}, {0, 191, 191, 255}, {0, 191, 0, 255}, {191, 0, 191, 255}, {191, 0, 0, 255}, {0, 0, 191, 255}, {0, 0, 0, 255}}
	for n := range 3 {
		if m.format == yuyv {
			b := make([]byte, 0, 2*m.w*m.h)
			for y := range m.h {
				for x := 0; x < m.w; x += 2 {
					c := bars[x*len(bars)/m.w]
					if y < 16 {
						c = bars[n]
					}
					b = append(b, c[0], c[1], c[0], c[2])
				}
			}
			list = append(list, b)
			continue
		}
		pic := image.NewRGBA(image.Rect(0, 0, m.w, m.h))
		for y := range m.h {
			for x := range m.w {
				c := colours[x*len(bars)/m.w]
				if y < 16 {
					c = colours[n]
				}
				pic.SetRGBA(x, y, c)
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, pic, &jpeg.Options{Quality: 90}); err != nil {
			t.Fatal(err)
		}
		list = append(list, withoutTables(b.Bytes()))
	}
	return list
}

// A webcam on USB: raw and compressed pictures, in use, cut off, pulled out in the
// middle, and plugged in again.
func TestGuestUSB(t *testing.T) {
	c := plugIn(t)
	const spec = "camera:" + usbCameraName
	for _, test := range []struct {
		name string
		o    Options
		want image.Point
	}{
		{"raw", Options{}, image.Pt(640, 480)},
		{"small", Options{Width: 320, Height: 240}, image.Pt(320, 240)},
		{"MJPEG", Options{Width: 1280, Height: 720}, image.Pt(1280, 720)},
		{"raw again", Options{}, image.Pt(640, 480)},
	} {
		t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			s := openGuest(t, spec, test.o)
			f := readGuest(t, s)
			t.Logf("the first picture came after %v", time.Since(began))
			first, others := video.Copy(nil, f.Image), 0
			for range 10 {
				f = readGuest(t, s)
				if f.Image.Rect.Size() != test.want {
					t.Errorf("pictures of %v, want %v", f.Image.Rect.Size(), test.want)
				}
				wantBars(t, f.Image)
				if !bytes.Equal(f.Image.Y, first.Y) {
					others++
				}
			}
			if others == 0 {
				t.Error("the picture stands still")
			}
			if _, err := OpenSource(t.Context(), spec, Options{}); !errors.Is(err, ErrBusy) {
				t.Errorf("a second time: %v, want %v", err, ErrBusy)
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		for _, o := range []Options{{}, {Width: 1280, Height: 720}} {
			s := openGuest(t, spec, o)
			readGuest(t, s)
			c.cut <- true
			for range 4 {
				wantBars(t, readGuest(t, s).Image)
			}
			c.cut <- false
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("pulled out", func(t *testing.T) {
		s := openGuest(t, spec, Options{})
		readGuest(t, s)
		c.pullOut()
		if err := ends(t, s, 5*time.Second); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "unplugged") {
			t.Errorf("after it was pulled out: %v", err)
		}
		if _, err := OpenSource(t.Context(), spec, Options{}); !errors.Is(err, ErrNoCamera) {
			t.Errorf("without the camera: %v, want %v", err, ErrNoCamera)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		plugIn(t)
		readGuest(t, openGuest(t, spec, Options{}))
	})
}
