package audio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// A FileReader decodes a WAV or Ogg Opus file to samples at SampleRate.
type FileReader struct {
	next  func() ([]int16, error) // the next samples, never none without an error
	close func()                  // may be nil
	rest  []int16
	end   error
}

// NewFileReader reads the header of a WAV file (8, 16, 24 or 32 bit integers or
// 32 bit floats, any rate, up to 8 channels, which are mixed to one) or of an
// Ogg Opus file. The error wraps ErrFormat when it is neither.
func NewFileReader(r io.Reader) (*FileReader, error) {
	br := bufio.NewReaderSize(r, 32<<10)
	magic, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read header: %w", err)
	}
	switch {
	case bytes.Equal(magic, []byte("RIFF")):
		return newWAVReader(br)
	case bytes.Equal(magic, []byte("OggS")):
		return newOggOpusReader(br)
	}
	return nil, fmt.Errorf("%w: neither WAV nor Ogg Opus", ErrFormat)
}

// Read fills p with the next samples and says how many there were; the error is
// io.EOF when there are none. It is for whole files; a Source keeps real time.
func (r *FileReader) Read(p []int16) (int, error) {
	n := 0
	for n < len(p) {
		if len(r.rest) == 0 {
			if r.end == nil {
				r.rest, r.end = r.next()
				continue
			}
			if n == 0 {
				return 0, r.end
			}
			break
		}
		k := copy(p[n:], r.rest)
		r.rest = r.rest[k:]
		n += k
	}
	return n, nil
}

// fill is Read for a Source: the last frame is filled up with silence.
func (r *FileReader) fill(f Frame) error {
	n, err := r.Read(f)
	clear(f[n:])
	return err
}

// Close releases the decoder, not the file.
func (r *FileReader) Close() {
	if r.close != nil {
		r.close()
		r.close = nil
	}
}

const (
	maxWAVRate     = 768000
	maxWAVChannels = 8
	wavPCM         = 1
	wavFloat       = 3
	wavExtensible  = 0xfffe
)

// A wavFormat is the fmt chunk of a WAV file.
type wavFormat struct {
	kind     uint16
	channels int
	rate     int
	bits     int
}

func (f wavFormat) size() int { return f.channels * f.bits / 8 }

func newWAVReader(r *bufio.Reader) (*FileReader, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[8:]) != "WAVE" {
		return nil, fmt.Errorf("%w: RIFF file that is not WAVE", ErrFormat)
	}
	var format wavFormat
	for {
		var ck [8]byte
		if _, err := io.ReadFull(r, ck[:]); err != nil {
			return nil, fmt.Errorf("%w: WAV file without sound", ErrFormat)
		}
		size := int64(binary.LittleEndian.Uint32(ck[4:]))
		switch string(ck[:4]) {
		case "fmt ":
			var err error
			if format, err = readWAVFormat(r, size); err != nil {
				return nil, err
			}
		case "data":
			if format.rate == 0 {
				return nil, fmt.Errorf("%w: WAV file without format", ErrFormat)
			}
			// Programs that write to a pipe, or are killed, leave 0 or all ones.
			if size == 0 || size >= math.MaxUint32-8 {
				size = math.MaxInt64
			}
			return newWAVData(io.LimitReader(r, size), format), nil
		default:
			if _, err := io.CopyN(io.Discard, r, size+size&1); err != nil {
				return nil, fmt.Errorf("%w: WAV file without sound", ErrFormat)
			}
		}
	}
}

func readWAVFormat(r io.Reader, size int64) (wavFormat, error) {
	var b [40]byte
	if size < 16 || size > 1024 {
		return wavFormat{}, fmt.Errorf("%w: WAV format of %d bytes", ErrFormat, size)
	}
	n := min(size, int64(len(b)))
	if _, err := io.ReadFull(r, b[:n]); err != nil {
		return wavFormat{}, fmt.Errorf("%w: WAV format cut off", ErrFormat)
	}
	if _, err := io.CopyN(io.Discard, r, size-n+size&1); err != nil {
		return wavFormat{}, fmt.Errorf("%w: WAV format cut off", ErrFormat)
	}
	f := wavFormat{
		kind:     binary.LittleEndian.Uint16(b[0:]),
		channels: int(binary.LittleEndian.Uint16(b[2:])),
		rate:     int(binary.LittleEndian.Uint32(b[4:])),
		bits:     int(binary.LittleEndian.Uint16(b[14:])),
	}
	if f.kind == wavExtensible && n >= 26 {
		f.kind = binary.LittleEndian.Uint16(b[24:])
	}
	switch {
	case f.channels < 1 || f.channels > maxWAVChannels:
		return f, fmt.Errorf("%w: WAV with %d channels", ErrFormat, f.channels)
	case f.rate < 1000 || f.rate > maxWAVRate:
		return f, fmt.Errorf("%w: WAV at %d Hz", ErrFormat, f.rate)
	case f.kind == wavPCM && (f.bits == 8 || f.bits == 16 || f.bits == 24 || f.bits == 32):
	case f.kind == wavFloat && f.bits == 32:
	default:
		return f, fmt.Errorf("%w: WAV format %d with %d bits", ErrFormat, f.kind, f.bits)
	}
	return f, nil
}

// newWAVData reads the data chunk, 20 ms at a time.
func newWAVData(r io.Reader, f wavFormat) *FileReader {
	raw := make([]byte, max(f.rate/50, 1)*f.size())
	var mono, out []int16
	var rs *Resampler
	skip := 0
	if f.rate != SampleRate {
		rs = NewResampler(f.rate, SampleRate)
		skip = rs.Delay()
	}
	ended := false
	next := func() ([]int16, error) {
		for {
			if ended {
				return nil, io.EOF
			}
			n, err := io.ReadFull(r, raw)
			mono = mixWAV(mono[:0], raw[:n-n%f.size()], f)
			if err != nil {
				ended = true
				if err != io.EOF && err != io.ErrUnexpectedEOF {
					return nil, fmt.Errorf("read WAV: %w", err)
				}
			}
			if rs == nil {
				out = mono
			} else {
				if ended { // push out what the filter holds
					mono = append(mono, make([]int16, rs.taps/2)...)
				}
				out = rs.Process(out[:0], mono)
				cut := min(skip, len(out))
				out, skip = out[cut:], skip-cut
			}
			if len(out) > 0 {
				return out, nil
			}
		}
	}
	return &FileReader{next: next}
}

// mixWAV appends the mean of the channels of each sample in raw.
func mixWAV(dst []int16, raw []byte, f wavFormat) []int16 {
	width := f.bits / 8
	for len(raw) >= f.size() {
		var sum float32
		for range f.channels {
			sum += wavSample(raw, f)
			raw = raw[width:]
		}
		dst = append(dst, clip16(sum/float32(f.channels)))
	}
	return dst
}

// wavSample is the sample at the beginning of b, scaled to 16 bit.
func wavSample(b []byte, f wavFormat) float32 {
	switch {
	case f.kind == wavFloat:
		v := math.Float32frombits(binary.LittleEndian.Uint32(b))
		if v != v {
			return 0
		}
		return min(max(v, -1), 1) * 32768
	case f.bits == 8:
		return float32(int(b[0])-128) * 256
	case f.bits == 16:
		return float32(int16(binary.LittleEndian.Uint16(b)))
	case f.bits == 24:
		return float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / 65536
	}
	return float32(int32(binary.LittleEndian.Uint32(b))) / 65536
}

// A WAVWriter writes 16-bit mono WAV. The header is correct after each Flush,
// which Write does every half second, so an interrupted file can be played.
type WAVWriter struct {
	w       io.Writer
	seek    io.WriterAt // nil if the size cannot be corrected afterwards
	buf     []byte
	written int64
}

const (
	wavHeader   = 44
	wavFlush    = SampleRate * 2 / 2 // bytes in half a second
	wavLongest  = math.MaxUint32 - wavHeader
	wavUnending = math.MaxUint32
)

// NewWAVWriter writes a header to w. If w is an io.WriterAt, as files are, the
// lengths in it are kept right; otherwise they say "unknown".
func NewWAVWriter(w io.Writer) (*WAVWriter, error) {
	ww := &WAVWriter{w: w}
	size := uint32(wavUnending)
	if at, ok := w.(io.WriterAt); ok {
		// A pipe or terminal has the method, too, but cannot do it.
		if s, ok := w.(io.Seeker); ok {
			if _, err := s.Seek(0, io.SeekCurrent); err == nil {
				ww.seek, size = at, 0
			}
		}
	}
	if _, err := w.Write(wavHead(size)); err != nil {
		return nil, fmt.Errorf("write WAV header: %w", cause(err))
	}
	return ww, nil
}

func wavHead(data uint32) []byte {
	riff := data
	if data != wavUnending {
		riff = data + wavHeader - 8
	}
	b := make([]byte, 0, wavHeader)
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, riff)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, wavPCM)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint32(b, SampleRate)
	b = binary.LittleEndian.AppendUint32(b, SampleRate*2)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = append(b, "data"...)
	return binary.LittleEndian.AppendUint32(b, data)
}

// Write appends samples, any number of them.
func (w *WAVWriter) Write(f Frame) error {
	for _, v := range f {
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(v))
	}
	if len(w.buf) < wavFlush {
		return nil
	}
	return w.Flush()
}

// Flush writes what is buffered and corrects the header.
func (w *WAVWriter) Flush() error {
	n, err := w.w.Write(w.buf)
	w.written += int64(n)
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
	if err == nil && w.seek != nil {
		_, err = w.seek.WriteAt(wavHead(uint32(min(w.written, wavLongest))), 0)
	}
	if err != nil {
		return fmt.Errorf("write WAV: %w", cause(err))
	}
	return nil
}

// Close flushes. It does not close the file.
func (w *WAVWriter) Close() error { return w.Flush() }
