package video

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxHeader bounds a line of a Y4M file.
const maxHeader = 4096

// y4mReader reads YUV4MPEG2 with 4:2:0 and 8 bit, as ffmpeg and mjpegtools
// write it.
type y4mReader struct {
	r        *bufio.Reader
	image    *image.YCbCr
	num, den int64 // pictures in a second
	n        int64
}

func newY4MReader(r *bufio.Reader) (*y4mReader, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, ErrFormat
	}
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != "YUV4MPEG2" {
		return nil, ErrFormat
	}
	y := &y4mReader{r: r, num: 25, den: 1}
	var w, h int
	for _, f := range fields[1:] {
		v := f[1:]
		switch f[0] {
		case 'W':
			w, err = strconv.Atoi(v)
		case 'H':
			h, err = strconv.Atoi(v)
		case 'F':
			num, den, _ := strings.Cut(v, ":")
			if y.num, err = strconv.ParseInt(num, 10, 32); err == nil {
				y.den, err = strconv.ParseInt(den, 10, 32)
			}
		case 'C':
			if !strings.HasPrefix(v, "420") || strings.HasPrefix(v, "420p") && v != "420paldv" {
				return nil, fmt.Errorf("%w: colours %s", ErrFormat, v)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: header %q", ErrFormat, f)
		}
	}
	if err := CheckSize(w, h); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if y.num <= 0 || y.den <= 0 || y.num > maxFPS*y.den {
		return nil, fmt.Errorf("%w: %d:%d pictures a second", ErrFormat, y.num, y.den)
	}
	y.image = image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	return y, nil
}

// readLine reads a line without its end, of at most maxHeader bytes.
func readLine(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for b.Len() < maxHeader {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return b.String(), nil
		}
		b.WriteByte(c)
	}
	return "", ErrFormat
}

func (y *y4mReader) next() (Frame, error) {
	line, err := readLine(y.r)
	if err != nil {
		return Frame{}, err // io.EOF at the end
	}
	if line != "FRAME" && !strings.HasPrefix(line, "FRAME ") {
		return Frame{}, fmt.Errorf("%w: picture %d begins with %q", ErrFormat, y.n, line)
	}
	for _, plane := range [][]byte{y.image.Y, y.image.Cb, y.image.Cr} {
		if _, err := io.ReadFull(y.r, plane); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = io.EOF // the writer was stopped in the middle
			}
			return Frame{}, err
		}
	}
	at := time.Duration(y.n * y.den * int64(time.Second) / y.num)
	y.n++
	return Frame{Image: y.image, Time: at}, nil
}

func (y *y4mReader) close() error { return nil }

// y4mWriter writes YUV4MPEG2.
type y4mWriter struct {
	w       *bufio.Writer
	started bool
}

func newY4MWriter(w io.Writer) *y4mWriter { return &y4mWriter{w: bufio.NewWriterSize(w, 1<<16)} }

func (y *y4mWriter) add(m *image.YCbCr) error {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	if !y.started {
		y.started = true
		fmt.Fprintf(y.w, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420mpeg2\n", w, h, fileFPS)
	}
	y.w.WriteString("FRAME\n")
	plane := func(b []byte, stride, w, h int) {
		for r := range h {
			y.w.Write(b[r*stride : r*stride+w])
		}
	}
	yo, co := m.YOffset(m.Rect.Min.X, m.Rect.Min.Y), m.COffset(m.Rect.Min.X, m.Rect.Min.Y)
	plane(m.Y[yo:], m.YStride, w, h)
	plane(m.Cb[co:], m.CStride, (w+1)/2, (h+1)/2)
	plane(m.Cr[co:], m.CStride, (w+1)/2, (h+1)/2)
	return y.w.Flush() // which tells of errors before
}

func (y *y4mWriter) close() error { return y.w.Flush() }
