//go:build !native || !cgo

package audio

import (
	"fmt"

	"github.com/thesyncim/gopus"
)

// OpusImplementation names the Opus codec this program was built with.
const OpusImplementation = "gopus (pure Go)"

type opusEncoder struct {
	e   *gopus.Encoder
	buf [maxOpusPacket]byte
}

func newOpusEncoder(o EncoderOptions) (*opusEncoder, error) {
	e, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: SampleRate, Channels: 1, Application: gopus.ApplicationVoIP})
	if err != nil {
		return nil, err
	}
	if err := e.SetFrameSize(FrameSize); err != nil {
		return nil, err
	}
	if err := e.SetComplexity(o.Complexity); err != nil {
		return nil, err
	}
	if err := e.SetBitrate(o.Bitrate); err != nil {
		return nil, err
	}
	if err := e.SetSignal(gopus.SignalVoice); err != nil {
		return nil, err
	}
	if err := e.SetPacketLoss(o.Loss); err != nil {
		return nil, err
	}
	e.SetFEC(!o.NoFEC)
	e.SetDTX(o.DTX)
	e.SetVBR(!o.CBR)
	return &opusEncoder{e: e}, nil
}

func (e *opusEncoder) Encode(dst []byte, f Frame) ([]byte, error) {
	if len(f) != FrameSize {
		return dst, fmt.Errorf("audio: encode %d samples: %w", len(f), ErrFrameSize)
	}
	n, err := e.e.EncodeInt16(f, e.buf[:])
	if err != nil {
		return dst, fmt.Errorf("audio: encode Opus: %w", err)
	}
	if n <= opusDTXSize {
		return dst, nil
	}
	return append(dst, e.buf[:n]...), nil
}

func (e *opusEncoder) SetBitrate(bps int) {
	_ = e.e.SetBitrate(min(max(bps, minBitrate), maxBitrate)) // in range, so it cannot fail
}

func (e *opusEncoder) SetLoss(percent int) { _ = e.e.SetPacketLoss(min(max(percent, 0), 100)) }

func (e *opusEncoder) Close() {}

type opusDecoder struct {
	d   *gopus.Decoder
	fec [maxOpusSamples]float32
}

func newOpusDecoder() (*opusDecoder, error) {
	d, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(SampleRate, 1))
	if err != nil {
		return nil, err
	}
	return &opusDecoder{d: d}, nil
}

func (d *opusDecoder) Samples(payload []byte) (int, error) { return opusSamples(payload) }

func (d *opusDecoder) Decode(dst Frame, payload []byte) (Frame, error) {
	n, err := opusSamples(payload)
	if err != nil {
		return dst, err
	}
	dst, out := grow(dst, n)
	n, err = d.d.DecodeInt16(payload, out)
	if err != nil {
		return dst[:len(dst)-len(out)], fmt.Errorf("%w: %w", ErrPayload, err)
	}
	return dst[:len(dst)-len(out)+n], nil
}

func (d *opusDecoder) DecodeFEC(dst Frame, next []byte, n int) (Frame, bool) {
	if !opusHasFEC(next) || n < opusFrameSamples(next[0]) || n > maxOpusSamples || n%opusUnit != 0 {
		return dst, false
	}
	got, err := d.d.DecodeWithFEC(next, d.fec[:n], true)
	if err != nil || got != n {
		return dst, false
	}
	for _, v := range d.fec[:n] {
		dst = append(dst, clip16(v*32768))
	}
	return dst, true
}

func (d *opusDecoder) Conceal(dst Frame, n int) (Frame, error) {
	if n < 0 || n > maxOpusSamples {
		return dst, fmt.Errorf("audio: conceal %d samples: %w", n, ErrFrameSize)
	}
	if n == 0 {
		return dst, nil
	}
	dst, out := grow(dst, n)
	if _, err := d.d.DecodeInt16(nil, out); err != nil {
		return dst[:len(dst)-n], fmt.Errorf("audio: conceal: %w", err)
	}
	return dst, nil
}

func (d *opusDecoder) Close() {}
