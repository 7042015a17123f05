package video

import (
	"image"
	"strings"
	"time"
)

// A Codec turns pictures into bytes and back.
type Codec struct {
	Name        string // as in rtpmap: "VP8", "VP9", "H264", "AV1"
	PayloadType uint8  // that we offer, a dynamic one
	Parameters  []Parameter
	// Fits reports whether what a peer says of a codec of this name is what is
	// coded here. Nil means that it always is.
	Fits func([]Parameter) bool
	// Follows says that a peer who names this codec first gets it, whatever our
	// own order is.
	Follows bool
	// NewEncoder and NewDecoder make one side of it. Nil means that this side
	// cannot be done here.
	NewEncoder func(EncoderOptions) (Encoder, error)
	NewDecoder func() (Decoder, error)
}

// ClockRate is that of every video codec. RFC 7741 §4.1 and its like
const ClockRate = 90000

// A Parameter is one format parameter. RFC 8866 §6.15
type Parameter struct{ Name, Value string }

// Fmtp writes the parameters as SDP does.
func (c Codec) Fmtp() string {
	var parts []string
	for _, p := range c.Parameters {
		parts = append(parts, p.Name+"="+p.Value)
	}
	return strings.Join(parts, ";")
}

// ParseFmtp reads parameters as SDP has them. What is none of the form name=value
// has a value alone.
func ParseFmtp(s string) (ps []Parameter) {
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			name, value = "", part
		}
		ps = append(ps, Parameter{Name: name, Value: value})
	}
	return ps
}

// EncoderOptions say what an encoder is to make.
type EncoderOptions struct {
	Width, Height int
	// FPS is about how many pictures come in a second. Zero means 30.
	FPS float64
	// Bitrate is the aim, in bit/s.
	Bitrate int
	// Drawn says that the source is a [Drawn], such as a screen.
	Drawn bool
}

// An Encoder codes pictures of one size, in real time. Its methods are called
// by one goroutine at a time.
type Encoder interface {
	// Encode appends what it makes of a picture to dst. at is when the picture
	// was taken and grows. key asks for a picture that needs none before it;
	// the second result tells whether it is one. Nothing is appended when the
	// encoder leaves a picture out, to keep to its bit rate.
	Encode(dst []byte, m *image.YCbCr, at time.Duration, key bool) ([]byte, bool, error)
	// SetBitrate changes the aim, in bit/s, and how many pictures come in a
	// second.
	SetBitrate(bps int, fps float64) error
	// Close releases it. It may be called twice.
	Close() error
}

// A Decoder is the inverse of an Encoder. Its methods are called by one
// goroutine at a time.
type Decoder interface {
	// Decode takes one coded picture and returns it, or nil when there is
	// nothing to show. The picture is the caller's until the next call. After
	// an error pictures may be wrong until the next that needs none before it.
	Decode(data []byte) (*image.YCbCr, error)
	// Close releases it. It may be called twice.
	Close() error
}

// Codecs are those this program was built with, best first. There may be none.
func Codecs() []Codec { return codecs() }

// FindCodec returns the codec of a name, however it is written.
func FindCodec(cs []Codec, name string) (Codec, bool) {
	for _, c := range cs {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return Codec{}, false
}
