package audio

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Codec is a way to put sound into RTP payloads. The values are in [Codecs].
type Codec struct {
	Name        string // as in rtpmap: "opus", "PCMU", "PCMA"
	PayloadType uint8  // the number we propose; the negotiated one may differ
	ClockRate   uint32 // of RTP timestamps, in Hz
	Channels    uint8  // as in rtpmap; Opus always says 2, whatever it carries
	// Parameters are what we say about our decoder, in order (SDP fmtp,
	// XEP-0167 <parameter/>).
	Parameters []Parameter
}

// A Parameter is a name and value, as in an SDP fmtp line.
type Parameter struct{ Name, Value string }

// Codecs returns what we encode and decode, best first.
func Codecs() []Codec {
	return []Codec{
		{
			Name: "opus", PayloadType: 111, ClockRate: 48000, Channels: 2,
			// RFC 7587 §6.1
			Parameters: []Parameter{{"minptime", "10"}, {"useinbandfec", "1"}},
		},
		{Name: "PCMU", PayloadType: 0, ClockRate: 8000, Channels: 1},
		{Name: "PCMA", PayloadType: 8, ClockRate: 8000, Channels: 1},
	}
}

// FindCodec returns the codec with the given rtpmap values; the name's case
// does not matter, and channels 0 means 1.
func FindCodec(name string, clockRate uint32, channels uint8) (Codec, bool) {
	for _, c := range Codecs() {
		if strings.EqualFold(c.Name, name) && c.ClockRate == clockRate && c.Channels == max(channels, 1) {
			return c, true
		}
	}
	return Codec{}, false
}

// Fmtp is the parameters as the value of an SDP fmtp attribute, "" for none.
func (c Codec) Fmtp() string {
	var b strings.Builder
	for i, p := range c.Parameters {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(p.Name)
		b.WriteByte('=')
		b.WriteString(p.Value)
	}
	return b.String()
}

// TimestampStep is by how much the RTP timestamp grows per FrameSize samples.
func (c Codec) TimestampStep() uint32 { return c.ClockRate / 50 }

// EncoderOptions adjust an Encoder. The zero value is right for a call.
type EncoderOptions struct {
	// Bitrate in bit/s, 6000 to 60000. Zero means 32000. Opus only, as all
	// that follows.
	Bitrate int
	// Complexity is 1 (cheap) to 10 (best). Zero means 5. Of gopus at 32 kbit/s
	// the signal-to-noise ratio (mean of 20 ms segments) is 0.1 to 0.2 dB below
	// that of 9 and 10, which are alike, and the mean spectral distance 0.1 dB
	// above: 9.33 against 9.44 dB for [Speech], 7.09 against 7.20 and 6.59
	// against 6.79 dB for English and German of espeak-ng.
	Complexity int
	// Loss is the expected share of lost packets in percent, 0 to 100, which
	// decides how much forward error correction is spent.
	Loss int
	// NoFEC leaves out forward error correction.
	NoFEC bool
	// DTX sends almost nothing during silence.
	DTX bool
	// CBR makes every packet the same size, so that sizes say nothing about
	// what is spoken.
	CBR bool
}

// With returns o as limited by the receive parameters the peer gave for Opus:
// maxaveragebitrate, useinbandfec, usedtx, cbr. RFC 7587 §6.1. Values that make
// no sense are ignored.
func (o EncoderOptions) With(params []Parameter) EncoderOptions {
	fec := false // the default is 0: the receiver cannot use it
	for _, p := range params {
		n, err := strconv.Atoi(strings.TrimSpace(p.Value))
		if err != nil {
			continue
		}
		switch strings.ToLower(p.Name) {
		case "maxaveragebitrate":
			if n >= minBitrate {
				o.Bitrate = min(o.withDefaults().Bitrate, n)
			}
		case "useinbandfec":
			fec = n == 1
		case "usedtx":
			o.DTX = o.DTX || n == 1
		case "cbr":
			o.CBR = o.CBR || n == 1
		}
	}
	o.NoFEC = o.NoFEC || !fec
	return o
}

const (
	minBitrate = 6000
	// maxBitrate is transparent for one voice. From 64 kbit/s on the encoder
	// would change between hybrid and CELT frames, and the pure Go decoder
	// (gopus v0.1.1) has a wrong frame at some of these changes.
	maxBitrate = 60000
)

// withDefaults fills in zero values and cuts what is out of range.
func (o EncoderOptions) withDefaults() EncoderOptions {
	if o.Bitrate == 0 {
		o.Bitrate = 32000
	}
	o.Bitrate = min(max(o.Bitrate, minBitrate), maxBitrate)
	if o.Complexity == 0 {
		o.Complexity = 5
	}
	o.Complexity = min(max(o.Complexity, 1), 10)
	o.Loss = min(max(o.Loss, 0), 100)
	return o
}

// An Encoder turns frames into payloads. It is used by one goroutine at a time.
type Encoder interface {
	// Encode appends the payload of a frame of FrameSize samples to dst and
	// returns the extended slice. When nothing was appended nothing needs to be
	// sent for this frame (DTX); the RTP timestamp advances all the same.
	Encode(dst []byte, f Frame) ([]byte, error)
	// SetBitrate changes the bitrate, in bit/s. Fixed-rate codecs ignore it.
	SetBitrate(bps int)
	// SetLoss tells the share of packets the peer loses, in percent, as RTCP
	// receiver reports say it.
	SetLoss(percent int)
	// Close releases memory. The encoder must not be used afterwards.
	Close()
}

// A Decoder turns payloads into frames. It is used by one goroutine at a time.
// Methods fill or append at most 120 ms of sound.
type Decoder interface {
	// Decode appends the samples of a payload to dst.
	Decode(dst Frame, payload []byte) (Frame, error)
	// DecodeFEC appends n samples that were lost, as well as they can be found
	// in the payload that came after them. ok is false, and dst unchanged, when
	// the payload carries nothing about them: use Conceal then.
	DecodeFEC(dst Frame, next []byte, n int) (f Frame, ok bool)
	// Conceal appends n samples that continue what was decoded last.
	Conceal(dst Frame, n int) (Frame, error)
	// Samples is how many samples Decode would append, from a look at the
	// payload only.
	Samples(payload []byte) (int, error)
	// Close releases memory. The decoder must not be used afterwards.
	Close()
}

// ErrUnknownCodec is returned for a Codec that is not one of Codecs.
var ErrUnknownCodec = errors.New("audio: unknown codec")

// ErrPayload is wrapped by errors about a payload that is no sound of its codec.
var ErrPayload = errors.New("audio: malformed payload")

// NewEncoder returns an encoder of the codec.
func (c Codec) NewEncoder(o EncoderOptions) (Encoder, error) {
	o = o.withDefaults()
	switch {
	case c.is("opus"):
		e, err := newOpusEncoder(o)
		if err != nil {
			return nil, fmt.Errorf("audio: open Opus encoder: %w", err)
		}
		return e, nil
	case c.is("PCMU"):
		return newG711Encoder(muLaw), nil
	case c.is("PCMA"):
		return newG711Encoder(aLaw), nil
	}
	return nil, fmt.Errorf("%w: %s/%d", ErrUnknownCodec, c.Name, c.ClockRate)
}

// NewDecoder returns a decoder of the codec.
func (c Codec) NewDecoder() (Decoder, error) {
	switch {
	case c.is("opus"):
		d, err := newOpusDecoder()
		if err != nil {
			return nil, fmt.Errorf("audio: open Opus decoder: %w", err)
		}
		return d, nil
	case c.is("PCMU"):
		return newG711Decoder(muLaw), nil
	case c.is("PCMA"):
		return newG711Decoder(aLaw), nil
	}
	return nil, fmt.Errorf("%w: %s/%d", ErrUnknownCodec, c.Name, c.ClockRate)
}

func (c Codec) is(name string) bool {
	return slices.ContainsFunc(Codecs(), func(k Codec) bool {
		return k.Name == name && strings.EqualFold(c.Name, name) && k.ClockRate == c.ClockRate
	})
}
