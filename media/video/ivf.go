package video

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"time"
)

// An IVF file is a header of 32 bytes and then, for each picture, its size, its
// time and what a codec made of it, in little endian.
const (
	ivfHeader = 32
	ivfFrame  = 12
	// maxIVFFrame bounds one coded picture.
	maxIVFFrame = 8 << 20
)

type ivfReader struct {
	r        io.Reader
	dec      Decoder
	num, den uint64 // the clock of the file: a tick is den/num seconds
	first    uint64
	started  bool
	data     []byte
}

func newIVFReader(r io.Reader) (*ivfReader, error) {
	var h [ivfHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, ErrFormat
	}
	skip := int64(binary.LittleEndian.Uint16(h[6:])) - ivfHeader
	f := &ivfReader{r: r, num: uint64(binary.LittleEndian.Uint32(h[16:])), den: uint64(binary.LittleEndian.Uint32(h[20:]))}
	if string(h[:4]) != "DKIF" || skip < 0 || f.num == 0 || f.den == 0 {
		return nil, ErrFormat
	}
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		return nil, ErrFormat
	}
	name, ok := map[string]string{"VP80": "VP8", "VP90": "VP9", "AV01": "AV1"}[string(h[8:12])]
	if !ok {
		return nil, fmt.Errorf("%w: codec %q", ErrFormat, h[8:12])
	}
	codec, ok := FindCodec(Codecs(), name)
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, ErrNoCodec)
	}
	var err error
	f.dec, err = codec.NewDecoder()
	return f, err
}

func (f *ivfReader) next() (Frame, error) {
	for {
		var h [ivfFrame]byte
		if _, err := io.ReadFull(f.r, h[:]); err != nil {
			return Frame{}, endOf(err)
		}
		n, at := binary.LittleEndian.Uint32(h[:]), binary.LittleEndian.Uint64(h[4:])
		if n == 0 || n > maxIVFFrame {
			return Frame{}, fmt.Errorf("%w: a picture of %d bytes", ErrFormat, n)
		}
		if uint32(cap(f.data)) < n {
			f.data = make([]byte, n)
		}
		f.data = f.data[:n]
		if _, err := io.ReadFull(f.r, f.data); err != nil {
			return Frame{}, endOf(err)
		}
		m, err := f.dec.Decode(f.data)
		if err != nil {
			return Frame{}, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if m == nil {
			continue // one that is not shown
		}
		if !f.started {
			f.started, f.first = true, at
		}
		seconds := float64(at-f.first) * float64(f.den) / float64(f.num)
		if at < f.first || seconds > 1e6 {
			return Frame{}, fmt.Errorf("%w: time %d", ErrFormat, at)
		}
		return Frame{Image: m, Time: time.Duration(seconds * float64(time.Second))}, nil
	}
}

// endOf takes a file that ends in the middle for one that ends.
func endOf(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

func (f *ivfReader) close() error { return f.dec.Close() }

// ivfBitrate is that of files that are written, for each pixel in a second.
const ivfBitrate = 0.2

type ivfWriter struct {
	w     *bufio.Writer
	codec Codec
	enc   Encoder
	n     uint64
	data  []byte
}

func newIVFWriter(w io.Writer, c Codec) *ivfWriter {
	return &ivfWriter{w: bufio.NewWriter(w), codec: c}
}

func (f *ivfWriter) add(m *image.YCbCr) error {
	if f.enc == nil {
		w, h := m.Rect.Dx(), m.Rect.Dy()
		var err error
		if f.enc, err = f.codec.NewEncoder(EncoderOptions{
			Width: w, Height: h, FPS: fileFPS, Bitrate: int(ivfBitrate * float64(w*h*fileFPS)),
		}); err != nil {
			return err
		}
		hd := make([]byte, ivfHeader)
		copy(hd, "DKIF\x00\x00\x20\x00VP80")
		binary.LittleEndian.PutUint16(hd[12:], uint16(w))
		binary.LittleEndian.PutUint16(hd[14:], uint16(h))
		binary.LittleEndian.PutUint32(hd[16:], fileFPS)
		binary.LittleEndian.PutUint32(hd[20:], 1)
		f.w.Write(hd)
	}
	data, _, err := f.enc.Encode(f.data[:0], m, time.Duration(f.n)*time.Second/fileFPS, false)
	if err != nil {
		return err
	}
	f.data = data
	if len(data) > 0 { // else the encoder left the picture out
		var h [ivfFrame]byte
		binary.LittleEndian.PutUint32(h[:], uint32(len(data)))
		binary.LittleEndian.PutUint64(h[4:], f.n)
		f.w.Write(h[:])
		f.w.Write(data)
	}
	f.n++
	return f.w.Flush()
}

func (f *ivfWriter) close() error {
	if f.enc != nil {
		f.enc.Close()
	}
	return f.w.Flush()
}
