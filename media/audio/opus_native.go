//go:build native && cgo

package audio

/*
#cgo pkg-config: opus
#include <opus.h>

// opus_encoder_ctl and opus_decoder_ctl take variable arguments, which Go
// cannot pass.
static int set_bitrate(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_BITRATE(v)); }
static int set_complexity(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_COMPLEXITY(v)); }
static int set_signal(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_SIGNAL(v)); }
static int set_fec(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_INBAND_FEC(v)); }
static int set_loss(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_PACKET_LOSS_PERC(v)); }
static int set_dtx(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_DTX(v)); }
static int set_vbr(OpusEncoder *e, opus_int32 v) { return opus_encoder_ctl(e, OPUS_SET_VBR(v)); }
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// OpusImplementation names the Opus codec this program was built with.
var OpusImplementation = C.GoString(C.opus_get_version_string())

// opusError turns an error number of libopus into an error.
func opusError(code C.int) error {
	if code >= 0 {
		return nil
	}
	return errors.New("libopus: " + C.GoString(C.opus_strerror(code)))
}

type opusEncoder struct {
	e   *C.OpusEncoder
	buf [maxOpusPacket]byte
}

func newOpusEncoder(o EncoderOptions) (*opusEncoder, error) {
	var code C.int
	e := C.opus_encoder_create(SampleRate, 1, C.OPUS_APPLICATION_VOIP, &code)
	if err := opusError(code); err != nil {
		return nil, err
	}
	flag := func(b bool) C.opus_int32 {
		if b {
			return 1
		}
		return 0
	}
	for _, code := range []C.int{
		C.set_bitrate(e, C.opus_int32(o.Bitrate)),
		C.set_complexity(e, C.opus_int32(o.Complexity)),
		C.set_signal(e, C.OPUS_SIGNAL_VOICE),
		C.set_fec(e, flag(!o.NoFEC)),
		C.set_loss(e, C.opus_int32(o.Loss)),
		C.set_dtx(e, flag(o.DTX)),
		C.set_vbr(e, flag(!o.CBR)),
	} {
		if err := opusError(code); err != nil {
			C.opus_encoder_destroy(e)
			return nil, err
		}
	}
	enc := &opusEncoder{e: e}
	runtime.SetFinalizer(enc, (*opusEncoder).Close)
	return enc, nil
}

func (e *opusEncoder) Encode(dst []byte, f Frame) ([]byte, error) {
	if len(f) != FrameSize || e.e == nil {
		return dst, fmt.Errorf("audio: encode %d samples: %w", len(f), ErrFrameSize)
	}
	n := C.opus_encode(e.e, (*C.opus_int16)(unsafe.Pointer(&f[0])), FrameSize, (*C.uchar)(unsafe.Pointer(&e.buf[0])), maxOpusPacket)
	if err := opusError(C.int(n)); err != nil {
		return dst, fmt.Errorf("audio: encode Opus: %w", err)
	}
	if n <= opusDTXSize {
		return dst, nil
	}
	return append(dst, e.buf[:n]...), nil
}

func (e *opusEncoder) SetBitrate(bps int) {
	if e.e != nil {
		C.set_bitrate(e.e, C.opus_int32(min(max(bps, minBitrate), maxBitrate)))
	}
}

func (e *opusEncoder) SetLoss(percent int) {
	if e.e != nil {
		C.set_loss(e.e, C.opus_int32(min(max(percent, 0), 100)))
	}
}

func (e *opusEncoder) Close() {
	if e.e != nil {
		C.opus_encoder_destroy(e.e)
		e.e = nil
		runtime.SetFinalizer(e, nil)
	}
}

type opusDecoder struct{ d *C.OpusDecoder }

func newOpusDecoder() (*opusDecoder, error) {
	var code C.int
	d := C.opus_decoder_create(SampleRate, 1, &code)
	if err := opusError(code); err != nil {
		return nil, err
	}
	dec := &opusDecoder{d}
	runtime.SetFinalizer(dec, (*opusDecoder).Close)
	return dec, nil
}

func (d *opusDecoder) Samples(payload []byte) (int, error) { return opusSamples(payload) }

// decode appends n samples; without a payload they are concealed, and with fec
// they are those before it.
func (d *opusDecoder) decode(dst Frame, payload []byte, n int, fec C.int) (Frame, error) {
	if d.d == nil {
		return dst, errors.New("decoder is closed")
	}
	var p *C.uchar
	if len(payload) > 0 {
		p = (*C.uchar)(unsafe.Pointer(&payload[0]))
	}
	all, out := grow(dst, n)
	got := C.opus_decode(d.d, p, C.opus_int32(len(payload)), (*C.opus_int16)(unsafe.Pointer(&out[0])), C.int(n), fec)
	if err := opusError(got); err != nil {
		return dst, err
	}
	return all[:len(dst)+int(got)], nil
}

func (d *opusDecoder) Decode(dst Frame, payload []byte) (Frame, error) {
	n, err := opusSamples(payload)
	if err != nil {
		return dst, err
	}
	f, err := d.decode(dst, payload, n, 0)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrPayload, err)
	}
	return f, nil
}

func (d *opusDecoder) DecodeFEC(dst Frame, next []byte, n int) (Frame, bool) {
	if !opusHasFEC(next) || n < opusFrameSamples(next[0]) || n > maxOpusSamples || n%opusUnit != 0 {
		return dst, false
	}
	f, err := d.decode(dst, next, n, 1)
	return f, err == nil && len(f) == len(dst)+n
}

func (d *opusDecoder) Conceal(dst Frame, n int) (Frame, error) {
	if n < 0 || n > maxOpusSamples {
		return dst, fmt.Errorf("audio: conceal %d samples: %w", n, ErrFrameSize)
	}
	if n == 0 {
		return dst, nil
	}
	f, err := d.decode(dst, nil, n, 0)
	if err != nil {
		return dst, fmt.Errorf("audio: conceal: %w", err)
	}
	return f, nil
}

func (d *opusDecoder) Close() {
	if d.d != nil {
		C.opus_decoder_destroy(d.d)
		d.d = nil
		runtime.SetFinalizer(d, nil)
	}
}
