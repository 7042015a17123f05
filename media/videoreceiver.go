package media

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/media/video"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	// maxCoded bounds the pictures that wait for the decoder.
	maxCoded = 32
	// manyCoded is how many may wait before some are not shown, to catch up.
	manyCoded = 8
	// askKeyEvery is the least time between two requests for a key frame.
	askKeyEvery = 300 * time.Millisecond
	// tendEvery is how often packets that are missing are looked for.
	tendEvery = 20 * time.Millisecond
	// frozenAfter is a gap between two pictures that people notice.
	frozenAfter = 250 * time.Millisecond
	// maxHold is how long pictures wait for their sound.
	maxHold = 300 * time.Millisecond
)

// A videoReceiver shows what the peer sends.
type videoReceiver struct {
	sink   video.Sink
	codecs []video.Codec
	log    *slog.Logger
	// first tells of the first picture, and of the first after clear.
	first func(at time.Time, width, height int)
	// hidden says that nothing is to be seen. It is asked for every picture.
	hidden func() bool
	// hold says how long a picture that was sent at an RTP time is to wait for
	// its sound.
	hold func(ssrc, timestamp uint32, arrived time.Time) time.Duration

	frames chan trackedFrame
	wg     sync.WaitGroup // of track readers

	rtt      atomic.Int64 // nanoseconds
	fresh    atomic.Bool  // the next picture is the first
	shown    atomic.Uint64
	keys     atomic.Uint64
	packets  atomic.Uint64
	bytes    atomic.Uint64
	lost     atomic.Uint64
	recover  atomic.Uint64
	freezes  atomic.Uint64
	frozen   atomic.Int64 // nanoseconds
	delay    atomic.Int64 // nanoseconds
	width    atomic.Int64
	height   atomic.Int64
	codec    atomic.Pointer[string]
	overload atomic.Uint64
}

// A trackedFrame is a picture and whom to ask for a better one.
type trackedFrame struct {
	codedFrame
	track *videoTrack
}

func newVideoReceiver(sink video.Sink, codecs []video.Codec, log *slog.Logger) *videoReceiver {
	r := &videoReceiver{sink: sink, codecs: codecs, log: log, frames: make(chan trackedFrame, maxCoded)}
	r.fresh.Store(true)
	return r
}

// A videoTrack is one source of the peer.
type videoTrack struct {
	ssrc uint32
	send func([]rtcp.Packet) error
	log  *slog.Logger

	mu    sync.Mutex // guards what follows
	asm   *assembler
	asked time.Time // for a key frame
	times int       // in vain
}

// wantKey asks for a key frame, unless that was done just now. It requires t.mu.
func (t *videoTrack) wantKey(now time.Time) {
	wait := max(askKeyEvery, 2*t.asm.rtt)
	if t.times > 4 { // perhaps the peer has nothing to show
		wait *= 4
	}
	if now.Sub(t.asked) < wait {
		return
	}
	t.asked = now
	t.times++
	if err := t.send([]rtcp.Packet{&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: t.ssrc}}); err != nil {
		t.log.Log(context.Background(), LevelTrace, "ask for key frame", "err", err)
	}
}

// broken says that a picture could not be decoded.
func (t *videoTrack) broken(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asm.lose()
	t.wantKey(now)
}

// read takes the packets of one track until it ends. orientation is the id of
// the header extension, zero when there is none.
func (r *videoReceiver) read(track *webrtc.TrackRemote, names map[uint8]string, orientation uint8, send func([]rtcp.Packet) error) {
	t := &videoTrack{ssrc: uint32(track.SSRC()), send: send, log: r.log, asm: newAssembler(names)}
	stop, tended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(tended)
		r.tend(t, stop)
	}()
	defer func() { close(stop); <-tended }()
	eachPacket(track, func(h *rtp.Header, payload []byte, now time.Time) {
		r.packets.Add(1)
		r.bytes.Add(uint64(len(payload)))
		p := videoPacket{
			timestamp: h.Timestamp, payloadType: h.PayloadType, marker: h.Marker,
			payload: append([]byte(nil), payload...), arrived: now,
		}
		if orientation != 0 {
			if x := h.GetExtension(orientation); len(x) == 1 {
				p.rotation = int(x[0]&3) * 90 // 3GPP TS 26.114 §7.4.5
			}
		}
		t.mu.Lock()
		t.asm.rtt = time.Duration(r.rtt.Load())
		lost, recovered := t.asm.lost, t.asm.recovered
		if t.asm.put(h.SequenceNumber, p) {
			t.wantKey(now)
		}
		r.lost.Add(t.asm.lost - lost)
		r.recover.Add(t.asm.recovered - recovered)
		r.take(t, now)
		t.mu.Unlock()
	})
}

// take hands over the pictures that are whole. It requires t.mu.
func (r *videoReceiver) take(t *videoTrack, now time.Time) {
	for {
		f, ok, lost := t.asm.pop(now)
		switch {
		case lost:
			t.wantKey(now)
		case !ok:
			return
		default:
			if f.key {
				t.times = 0
			}
			select {
			case r.frames <- trackedFrame{f, t}:
			default: // the decoder is too slow for this peer
				r.overload.Add(1)
				t.asm.lose()
				t.wantKey(now)
			}
		}
	}
}

// tend asks for what is missing until stop.
func (r *videoReceiver) tend(t *videoTrack, stop <-chan struct{}) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	var missing []uint16
	for {
		var now time.Time
		select {
		case now = <-ticker.C:
		case <-stop:
			return
		}
		t.mu.Lock()
		r.take(t, now)
		missing = t.asm.missing(now, missing[:0])
		t.mu.Unlock()
		if len(missing) == 0 {
			continue
		}
		nack := &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: t.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(missing)}
		if err := t.send([]rtcp.Packet{nack}); err != nil {
			r.log.Log(context.Background(), LevelTrace, "ask for packets", "err", err)
		}
	}
}

// drain lets pictures go by that nobody looks at any more, so that the peer is
// not asked for others, until ctx ends.
func (r *videoReceiver) drain(ctx context.Context) {
	for {
		select {
		case <-r.frames:
		case <-ctx.Done():
			return
		}
	}
}

// play decodes and shows until ctx ends.
func (r *videoReceiver) play(ctx context.Context) {
	var dec video.Decoder
	var name string
	closeDecoder := func() {
		if dec != nil {
			dec.Close()
			dec = nil
		}
	}
	defer closeDecoder()
	var last time.Time // when a picture was shown
	clock := newRTPClock(video.ClockRate)
	for {
		var f trackedFrame
		select {
		case f = <-r.frames:
		case <-ctx.Done():
			return
		}
		if !strings.EqualFold(f.codec, name) {
			closeDecoder()
			name = f.codec
		}
		if dec == nil {
			c, ok := video.FindCodec(r.codecs, name)
			if !ok || c.NewDecoder == nil {
				continue
			}
			var err error
			if dec, err = c.NewDecoder(); err != nil {
				r.log.Error("open decoder", "codec", name, "err", err)
				continue
			}
			r.codec.Store(&c.Name)
		}
		if wait := r.hold(f.track.ssrc, f.timestamp, f.done) - time.Since(f.done); wait > 0 {
			timer := time.NewTimer(min(wait, maxHold))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
		m, err := dec.Decode(f.data)
		if err != nil {
			r.log.Debug("decode", "codec", name, "err", err)
			closeDecoder() // what it has is of no use
			f.track.broken(time.Now())
			continue
		}
		if m == nil || len(r.frames) > manyCoded {
			continue
		}
		if r.hidden() {
			last = time.Time{}
			continue
		}
		now := time.Now()
		at := clock.at(f.track.ssrc, f.timestamp, now)
		if err := r.sink.Write(video.Frame{Image: m, Time: at, Rotation: f.rotation}); err != nil {
			if !errors.Is(err, net.ErrClosed) {
				r.log.Warn("show", "err", err)
			}
			closeDecoder()
			r.drain(ctx)
			return
		}
		w, h := m.Rect.Dx(), m.Rect.Dy()
		if r.fresh.Swap(false) {
			last = time.Time{}
			uw, uh := w, h
			if f.rotation%180 != 0 {
				uw, uh = h, w
			}
			r.first(now, uw, uh)
		}
		if gap := now.Sub(last); !last.IsZero() && gap > frozenAfter {
			r.freezes.Add(1)
			r.frozen.Add(int64(gap))
		}
		last = now
		r.shown.Add(1)
		if f.key {
			r.keys.Add(1)
		}
		r.delay.Store(int64(now.Sub(f.begun)))
		r.width.Store(int64(w))
		r.height.Store(int64(h))
	}
}

// clear says that the peer stopped, so that the next picture is a first one.
func (r *videoReceiver) clear() { r.fresh.Store(true) }

// An rtpClock turns the timestamps of a stream into times since its beginning.
type rtpClock struct {
	rate  int64
	ssrc  uint32
	last  uint32
	begun time.Time
	now   time.Duration
}

func newRTPClock(rate int64) *rtpClock { return &rtpClock{rate: rate} }

// maxTimeJump is how far apart two pictures in a row may be dated.
const maxTimeJump = 10 * time.Second

func (c *rtpClock) at(ssrc, timestamp uint32, now time.Time) time.Duration {
	step := time.Duration(int64(int32(timestamp-c.last)) * int64(time.Second) / c.rate)
	switch {
	case c.begun.IsZero():
		c.begun = now
	case ssrc != c.ssrc || step <= 0 || step > maxTimeJump:
		c.now = max(c.now+time.Millisecond, now.Sub(c.begun))
	default:
		c.now += step
	}
	c.ssrc, c.last = ssrc, timestamp
	return c.now
}
