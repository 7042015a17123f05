package audio

import "fmt"

// A law is one of the two tables of ITU-T G.711.
type law struct {
	silence byte
	decode  [256]int16
	encode  func(int16) byte
}

var (
	muLaw = newLaw(0xff, muLawDecode, muLawEncode)
	aLaw  = newLaw(0xd5, aLawDecode, aLawEncode)
)

func newLaw(silence byte, decode func(byte) int16, encode func(int16) byte) *law {
	l := &law{silence: silence, encode: encode}
	for i := range l.decode {
		l.decode[i] = decode(byte(i))
	}
	return l
}

func muLawDecode(b byte) int16 {
	b = ^b
	v := ((int(b&0x0f) << 3) + 0x84) << (b >> 4 & 7)
	if b&0x80 != 0 {
		return int16(0x84 - v)
	}
	return int16(v - 0x84)
}

func muLawEncode(s int16) byte {
	v, sign := int(s), byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v, 32635) + 0x84
	exp := byte(7)
	for mask := 0x4000; v&mask == 0; mask >>= 1 {
		exp--
	}
	return ^(sign | exp<<4 | byte(v>>(exp+3))&0x0f)
}

func aLawDecode(b byte) int16 {
	b ^= 0x55
	v := int(b&0x0f)<<4 + 8
	if exp := b >> 4 & 7; exp > 0 {
		v = (v + 0x100) << (exp - 1)
	}
	if b&0x80 == 0 {
		return int16(-v)
	}
	return int16(v)
}

func aLawEncode(s int16) byte {
	v, sign := int(s)>>3, byte(0xd5) // 13 bits
	if v < 0 {
		v, sign = -v-1, 0x55
	}
	exp := byte(0)
	for e := v >> 5; e > 0; e >>= 1 {
		exp++
	}
	shift := max(exp, 1)
	return sign ^ (exp<<4 | byte(v>>shift)&0x0f)
}

const (
	g711Rate  = 8000
	g711Frame = g711Rate / 50
	g711Ratio = SampleRate / g711Rate
	// maxG711 is the longest payload taken: 120 ms, as with Opus.
	maxG711 = 6 * g711Frame
)

type g711Encoder struct {
	law *law
	rs  *Resampler
	buf []int16
}

func newG711Encoder(l *law) *g711Encoder {
	return &g711Encoder{law: l, rs: NewResampler(SampleRate, g711Rate)}
}

func (e *g711Encoder) Encode(dst []byte, f Frame) ([]byte, error) {
	if len(f) != FrameSize {
		return dst, fmt.Errorf("audio: encode %d samples: %w", len(f), ErrFrameSize)
	}
	e.buf = e.rs.Process(e.buf[:0], f)
	for _, v := range e.buf {
		dst = append(dst, e.law.encode(v))
	}
	return dst, nil
}

func (*g711Encoder) SetBitrate(int) {}
func (*g711Encoder) SetLoss(int)    {}
func (*g711Encoder) Close()         {}

type g711Decoder struct {
	law  *law
	rs   *Resampler
	buf  []int16
	conc concealer
}

func newG711Decoder(l *law) *g711Decoder {
	return &g711Decoder{law: l, rs: NewResampler(g711Rate, SampleRate)}
}

func (d *g711Decoder) Samples(payload []byte) (int, error) {
	if len(payload) == 0 || len(payload) > maxG711 {
		return 0, fmt.Errorf("%w: G.711 of %d bytes", ErrPayload, len(payload))
	}
	return len(payload) * g711Ratio, nil
}

func (d *g711Decoder) Decode(dst Frame, payload []byte) (Frame, error) {
	if _, err := d.Samples(payload); err != nil {
		return dst, err
	}
	d.buf = d.buf[:0]
	for _, b := range payload {
		d.buf = append(d.buf, d.law.decode[b])
	}
	n := len(dst)
	dst = d.rs.Process(dst, d.buf)
	d.conc.good(dst[n:])
	return dst, nil
}

func (*g711Decoder) DecodeFEC(dst Frame, _ []byte, _ int) (Frame, bool) { return dst, false }

func (d *g711Decoder) Conceal(dst Frame, n int) (Frame, error) {
	if n < 0 || n > maxG711*g711Ratio {
		return dst, fmt.Errorf("audio: conceal %d samples: %w", n, ErrFrameSize)
	}
	return d.conc.conceal(dst, n), nil
}

func (*g711Decoder) Close() {}
