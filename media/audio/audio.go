// Package audio carries sound between the places where it is heard and said
// and the RTP packets of a call: frames, sources and sinks, codecs, the jitter
// buffer, telephone events, and the measuring of what was heard.
//
//	Source --Frame--> Encoder --payload--> RTP ~~~ network ~~~ RTP
//	                                                            |
//	Sink <--Frame-- JitterBuffer.Get <-- decode, conceal <-- JitterBuffer.Put
//
// Everything between codecs and devices is one format, [SampleRate] mono in
// signed 16 bit, so nothing needs to be negotiated inside the program. Sources
// and sinks keep real time themselves: a loop of Read, Encode and send runs at
// the pace of the source, a loop of [JitterBuffer.Get] and Write at the pace of
// the sink, and neither needs a ticker.
//
// Start with [OpenSource], [OpenSink] and [Codecs]; sound cards are in package
// media/device, whose OpenSource and OpenSink understand everything these do
// and "device" besides. Echo cancellation and mixing are not here.
package audio

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// SampleRate is the rate of every Frame, in samples per second.
	SampleRate = 48000
	// FrameDuration is the time that one frame of a Source covers.
	FrameDuration = 20 * time.Millisecond
	// FrameSize is the number of samples in one frame of a Source: 20 ms.
	FrameSize = 960
	// HalfFrame is the shortest frame a Sink takes: 10 ms. A player that asks
	// its jitter buffer for 10 ms at a time hears 10 ms earlier.
	HalfFrame = 480
	// MaxFrameSize is the longest frame a Sink or JitterBuffer takes: 60 ms.
	MaxFrameSize = 2880
)

// A Frame is a piece of sound, mono signed 16-bit samples at SampleRate.
// A Source always returns FrameSize samples; sinks and the jitter buffer also
// take any other multiple of HalfFrame up to MaxFrameSize.
type Frame []int16

// Duration is the time the frame covers.
func (f Frame) Duration() time.Duration {
	return time.Duration(len(f)) * time.Second / SampleRate
}

// check says whether a sink may be given f.
func (f Frame) check() error {
	if len(f) == 0 || len(f) > MaxFrameSize || len(f)%HalfFrame != 0 {
		return fmt.Errorf("audio: frame of %d samples: %w", len(f), ErrFrameSize)
	}
	return nil
}

// ErrFrameSize is returned for a frame whose length is not allowed.
var ErrFrameSize = errors.New("length is not a multiple of 10 ms up to 60 ms")

// A Source is sound to be sent, such as a microphone or a file.
type Source interface {
	// Read returns the next FrameSize samples, waiting until they are due in
	// real time. The frame is the caller's until the next Read. The error is
	// io.EOF after the last frame, net.ErrClosed after Close, or the cause of
	// ctx when it ends first.
	Read(ctx context.Context) (Frame, error)
	// Close releases the source and ends a waiting Read. It may be called twice.
	Close() error
}

// A Sink is where received sound goes, such as a speaker or a file.
type Sink interface {
	// Write takes a copy of the frame, waiting until there is room for it in
	// real time: a loop that only writes runs at the pace of the sound. The
	// error is net.ErrClosed after Close.
	Write(Frame) error
	// Close releases the sink, after what was written is safe (a file has a
	// valid header), and ends a waiting Write. It may be called twice.
	Close() error
}
