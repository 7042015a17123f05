package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// Ogg Opus files, RFC 7845.

// opusPreSkip is how many samples at the beginning of a decoded stream are the
// encoder's delay. libopus and gopus both have 312 at 48 kHz for VoIP.
const opusPreSkip = 312

// newOggOpusReader decodes the first Opus stream of an Ogg file and those
// chained to it.
func newOggOpusReader(r io.Reader) (*FileReader, error) {
	s := &oggOpus{ogg: oggReader{r: r}}
	p, err := s.ogg.packet()
	if err != nil {
		return nil, fmt.Errorf("%w: Ogg file without sound", ErrFormat)
	}
	if err := s.begin(p); err != nil {
		return nil, err
	}
	return &FileReader{next: s.next, close: s.close}, nil
}

type oggOpus struct {
	ogg    oggReader
	dec    Decoder
	tags   bool  // the next packet is OpusTags
	skip   int   // samples to leave out
	pos    int64 // granule position after what was decoded
	gained bool
	gain   float32
	buf    Frame
}

// begin reads an OpusHead. RFC 7845 §5.1
func (s *oggOpus) begin(p oggPacket) error {
	h := p.data
	if len(h) < 19 || string(h[:8]) != "OpusHead" {
		return fmt.Errorf("%w: Ogg file that is not Opus", ErrFormat)
	}
	if h[8]&0xf0 != 0 || h[18] != 0 || h[9] < 1 || h[9] > 2 {
		return fmt.Errorf("%w: Ogg Opus with %d channels, mapping %d", ErrFormat, h[9], h[18])
	}
	c, _ := FindCodec("opus", SampleRate, 2)
	dec, err := c.NewDecoder()
	if err != nil {
		return err
	}
	s.close()
	s.dec, s.tags, s.pos = dec, true, 0
	s.skip = int(binary.LittleEndian.Uint16(h[10:]))
	q8 := int16(binary.LittleEndian.Uint16(h[16:]))
	s.gained, s.gain = q8 != 0, decibels(float64(q8)/256)
	return nil
}

func (s *oggOpus) close() {
	if s.dec != nil {
		s.dec.Close()
		s.dec = nil
	}
}

func (s *oggOpus) next() ([]int16, error) {
	for {
		p, err := s.ogg.packet()
		if err != nil {
			return nil, err
		}
		if p.first {
			if err := s.begin(p); err != nil {
				return nil, err
			}
			continue
		}
		if s.tags { // comments: not needed
			s.tags = false
			continue
		}
		out, err := s.dec.Decode(s.buf[:0], p.data)
		s.buf = out
		if errors.Is(err, ErrPayload) {
			continue // one bad packet does not end the file
		} else if err != nil {
			return nil, err
		}
		s.pos += int64(len(out))
		if p.last && p.granule >= 0 && p.granule < s.pos { // end trimming, RFC 7845 §4.4
			out = out[:max(0, int64(len(out))-(s.pos-p.granule))]
		}
		cut := min(s.skip, len(out))
		out, s.skip = out[cut:], s.skip-cut
		if s.gained {
			for i, v := range out {
				out[i] = clip16(float32(v) * s.gain)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}

// An OggWriter writes an Ogg Opus file.
type OggWriter struct {
	pager oggPager
	enc   Encoder
	in    []int16 // less than a frame
	out   []byte
	pos   int64 // samples encoded
	given int64 // samples written
}

const (
	oggVendor     = "Carillon"
	oggPageFrames = 25 // half a second a page
)

// NewOggWriter writes the headers of a mono Ogg Opus stream to w.
func NewOggWriter(w io.Writer) (*OggWriter, error) {
	c, _ := FindCodec("opus", SampleRate, 2)
	enc, err := c.NewEncoder(EncoderOptions{NoFEC: true})
	if err != nil {
		return nil, err
	}
	o := &OggWriter{enc: enc, pager: oggPager{w: w, serial: rand.Uint32()}}
	head := append([]byte("OpusHead"), 1, 1)
	head = binary.LittleEndian.AppendUint16(head, opusPreSkip)
	head = binary.LittleEndian.AppendUint32(head, SampleRate)
	head = append(head, 0, 0, 0) // no gain, mapping 0
	tags := append([]byte("OpusTags"), byte(len(oggVendor)), 0, 0, 0)
	tags = append(tags, oggVendor...)
	tags = append(tags, 0, 0, 0, 0)
	for _, p := range [][]byte{head, tags} { // a page each, RFC 7845 §3
		if err := errors.Join(o.pager.add(p, 0), o.pager.flush(false)); err != nil {
			enc.Close()
			return nil, err
		}
	}
	return o, nil
}

// Write appends samples, any number of them.
func (o *OggWriter) Write(f Frame) error {
	o.given += int64(len(f))
	o.in = append(o.in, f...)
	for len(o.in) >= FrameSize {
		if err := o.encode(o.in[:FrameSize]); err != nil {
			return err
		}
		o.in = o.in[:copy(o.in, o.in[FrameSize:])]
	}
	return nil
}

func (o *OggWriter) encode(f Frame) error {
	out, err := o.enc.Encode(o.out[:0], f)
	if err != nil {
		return err
	}
	o.out = out
	o.pos += FrameSize
	if err := o.pager.add(out, o.pos); err != nil {
		return err
	}
	if o.pos/FrameSize%oggPageFrames == 0 {
		return o.pager.flush(false)
	}
	return nil
}

// Close writes the last page. It does not close the file.
func (o *OggWriter) Close() error {
	end := o.given + opusPreSkip
	for o.pos < end { // the rest, and what the encoder still holds
		rest := min(len(o.in), FrameSize)
		f := make(Frame, FrameSize)
		copy(f, o.in[:rest])
		o.in = o.in[:copy(o.in, o.in[rest:])]
		if err := o.encode(f); err != nil {
			return err
		}
	}
	o.pager.granule = end
	err := o.pager.flush(true)
	o.enc.Close()
	return err
}
