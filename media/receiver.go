package media

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// heardAbove is the level, in dBFS, from which sound is no silence.
const heardAbove = -50

// maxTracks bounds the sources a peer can send from in one call.
const maxTracks = 8

// lipEvery is how many packets of sound pass between two looks at how late it
// is heard.
const lipEvery = 8

// An audioReceiver plays what the peer sends.
type audioReceiver struct {
	sink  audio.Sink
	log   *slog.Logger
	heard func(at, packet time.Time) // first sound
	deaf  func() bool                // nothing is to be heard
	digit func(rune)
	ended func(error)                                                          // the sink takes no more
	said  func(ssrc, timestamp uint32, arrived time.Time, delay time.Duration) // for the pictures; may be nil
	wg    sync.WaitGroup                                                       // of track readers

	jitter  atomic.Pointer[audio.JitterBuffer] // nil until agreed
	events  atomic.Pointer[map[uint8]bool]     // payload types of telephone-event
	level   atomic.Uint64                      // float64 bits, dBFS
	bytes   atomic.Uint64                      // of payload
	count   atomic.Uint64                      // packets
	first   atomic.Pointer[time.Time]          // when the first packet came; nil before
	codecPT atomic.Uint32                      // payload type of the last packet of sound, plus one
}

func newAudioReceiver(sink audio.Sink, log *slog.Logger) *audioReceiver {
	r := &audioReceiver{sink: sink, log: log}
	r.level.Store(math.Float64bits(audio.MinLevel))
	return r
}

// agree tells what the peer may send.
func (r *audioReceiver) agree(cfg audio.JitterConfig, events map[uint8]bool) {
	r.events.Store(&events)
	if old := r.jitter.Swap(audio.NewJitterBuffer(cfg)); old != nil {
		old.Close()
	}
}

// read takes the packets of one track until it ends.
func (r *audioReceiver) read(track *webrtc.TrackRemote) {
	var keys audio.EventReader
	eachPacket(track, func(h *rtp.Header, payload []byte, now time.Time) {
		if r.first.Load() == nil {
			at := now
			r.first.CompareAndSwap(nil, &at)
		}
		r.count.Add(1)
		r.bytes.Add(uint64(len(payload)))
		if events := r.events.Load(); events != nil && (*events)[h.PayloadType] {
			if key, ok := keys.Receive(payload, h.Timestamp); ok {
				r.digit(key)
			}
		} else {
			r.codecPT.Store(uint32(h.PayloadType) + 1)
		}
		if jb := r.jitter.Load(); jb != nil {
			jb.Put(audio.Packet{
				SSRC: h.SSRC, Sequence: h.SequenceNumber, Timestamp: h.Timestamp,
				PayloadType: h.PayloadType, Marker: h.Marker, Payload: payload,
			}, now)
			if r.said != nil && h.SequenceNumber%lipEvery == 0 {
				r.said(h.SSRC, h.Timestamp, now, jb.Stats().Delay)
			}
		}
	})
}

// play writes to the sink, at its pace, until ctx ends.
func (r *audioReceiver) play(ctx context.Context) {
	frame := make(audio.Frame, audio.HalfFrame)
	heard := false
	var v valve
	for ctx.Err() == nil {
		now := time.Now()
		voiced := false
		if jb := r.jitter.Load(); jb != nil {
			voiced = jb.Get(frame, now)
		}
		if v.pass(frame, !r.deaf()) {
			voiced = false
		}
		level := audio.Measure(frame).RMS
		r.level.Store(math.Float64bits(level))
		if voiced && !heard && level > heardAbove {
			heard = true
			r.heard(now, *r.first.Load())
		}
		if err := r.sink.Write(frame); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				r.ended(err)
			}
			return
		}
	}
}

// close releases the decoders, after all readers ended.
func (r *audioReceiver) close() {
	r.wg.Wait()
	if jb := r.jitter.Load(); jb != nil {
		jb.Close()
	}
}
