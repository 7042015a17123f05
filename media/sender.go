package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/media/audio"
	"github.com/pion/rtp"
)

// A sendCodec is what was agreed for the way to the peer.
type sendCodec struct {
	codec       audio.Codec
	payloadType uint8
	options     audio.EncoderOptions
	// events is the payload type of telephone-event and its clock rate, the
	// codec's if the peer has that; zero when the peer takes none.
	events     uint8
	eventsRate uint32
}

// Of a telephone key. ITU-T Q.24 wants at least 40 ms each; phone systems are
// happier with these.
const (
	keyHold  = 100 * time.Millisecond
	keyPause = 80 * time.Millisecond
)

// silentEvery is how many frames of silence pass between two packets when a
// codec without discontinuous transmission is muted: half a second. Phone
// gateways hang up on a stream that stops.
const silentEvery = 25

// A keyPress is a request to send keys.
type keyPress struct {
	keys []rune
	done chan error // has room for one
}

// An audioSender reads a source and sends what it says.
type audioSender struct {
	src   audio.Source
	track *sendTrack
	log   *slog.Logger
	ended func(error) // the source has no more to say
	// silent says that the source is not to be heard. It is asked for every frame.
	silent func() bool

	codec  atomic.Pointer[sendCodec] // nil until agreed
	loss   atomic.Int32              // percent, as the peer reports it
	level  atomic.Uint64             // float64 bits, dBFS
	count  atomic.Uint64             // packets
	bytes  atomic.Uint64             // of payload
	keys   chan keyPress
	flow   chan struct{} // closed when media can flow
	flowed sync.Once

	// What follows is the sending goroutine's.
	encoder   audio.Encoder
	current   *sendCodec
	header    rtp.Header
	payload   []byte
	quiet     bool // nothing was sent for the frame before
	valve     valve
	muted     bool // nothing of this frame is to be heard
	skipped   int  // frames since the last packet while muted
	lossKnown int32
	pressing  []audio.EventPacket
	pressAt   uint32 // RTP timestamp of the key
	pause     int    // frames until the next key
	request   *keyPress
}

func newAudioSender(src audio.Source, track *sendTrack, log *slog.Logger, ended func(error)) *audioSender {
	s := &audioSender{
		src: src, track: track, log: log, ended: ended,
		keys: make(chan keyPress), flow: make(chan struct{}),
		payload: make([]byte, 0, receiveMTU), quiet: true,
	}
	s.header = rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32()}
	s.level.Store(math.Float64bits(audio.MinLevel))
	return s
}

// start lets media flow.
func (s *audioSender) start() { s.flowed.Do(func() { close(s.flow) }) }

// live reports whether the source goes on while nobody reads it.
func live(src any) bool {
	l, ok := src.(interface{ Live() bool })
	return ok && l.Live()
}

// run sends until ctx ends.
func (s *audioSender) run(ctx context.Context) {
	defer func() {
		if s.encoder != nil {
			s.encoder.Close()
		}
		s.finishKeys(context.Cause(ctx))
	}()
	if !live(s.src) {
		select {
		case <-s.flow:
		case <-ctx.Done():
			return
		}
	}
	src := s.src
	for {
		f, err := src.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			s.ended(err)
			// Silence keeps the stream and its clock alive.
			src = audio.NewSource(audio.Silence{})
			defer src.Close()
			continue
		}
		select {
		case <-s.flow:
			s.frame(f)
		default: // a microphone, before anyone listens
		}
	}
}

// frame sends one frame, or what replaces it.
func (s *audioSender) frame(f audio.Frame) {
	s.muted = s.valve.pass(f, !s.silent())
	s.level.Store(math.Float64bits(audio.Measure(f).RMS))
	c := s.codec.Load()
	if c == nil {
		return
	}
	if c != s.current {
		if err := s.open(c); err != nil {
			s.log.Error("open encoder", "codec", c.codec.Name, "err", err)
			return
		}
	}
	if !s.pressKeys(c) {
		s.speak(c, f)
	}
	s.header.Timestamp += c.codec.TimestampStep()
}

// open makes the encoder for a codec.
func (s *audioSender) open(c *sendCodec) error {
	e, err := c.codec.NewEncoder(c.options)
	if err != nil {
		return err
	}
	if s.encoder != nil {
		s.encoder.Close()
	}
	s.encoder, s.current = e, c
	return nil
}

func (s *audioSender) speak(c *sendCodec, f audio.Frame) {
	if p := s.loss.Load(); p != s.lossKnown {
		s.lossKnown = p
		s.encoder.SetLoss(int(p))
	}
	payload, err := s.encoder.Encode(s.payload[:0], f)
	if err != nil {
		s.log.Debug("encode", "err", err)
		return
	}
	s.payload = payload
	if s.muted && !c.options.DTX {
		if s.skipped++; s.skipped%silentEvery != 1 {
			s.quiet = true
			return
		}
	} else {
		s.skipped = 0
	}
	if len(payload) == 0 {
		s.quiet = true
		return
	}
	// The first packet after silence is marked. RFC 3551 §4.1
	s.send(c.payloadType, s.quiet, s.header.Timestamp, payload)
	s.quiet = false
}

func (s *audioSender) send(pt uint8, marker bool, timestamp uint32, payload []byte) {
	h := s.header
	h.PayloadType, h.Marker, h.Timestamp = pt, marker, timestamp
	s.header.SequenceNumber++
	if err := s.track.write(&h, payload); err != nil {
		s.log.Log(context.Background(), LevelTrace, "send packet", "err", err)
		return
	}
	s.count.Add(1)
	s.bytes.Add(uint64(len(payload)))
}

// pressKeys sends the packet of a telephone key that is due, and reports
// whether that is instead of sound.
func (s *audioSender) pressKeys(c *sendCodec) bool {
	if s.request == nil {
		select {
		case r := <-s.keys:
			s.request = &r
		default:
			return false
		}
	}
	if len(s.pressing) == 0 {
		if s.pause > 0 {
			s.pause--
			return false
		}
		if len(s.request.keys) == 0 {
			s.finishKeys(nil)
			return false
		}
		if c.events == 0 {
			s.finishKeys(ErrNoDTMF)
			return false
		}
		var err error
		if s.pressing, err = audio.PressKey(s.request.keys[0], keyHold, c.eventsRate); err != nil {
			s.finishKeys(err)
			return false
		}
		s.request.keys = s.request.keys[1:]
		s.pressAt = s.header.Timestamp
	}
	p := s.pressing[0]
	s.pressing = s.pressing[1:]
	if len(s.pressing) == 0 {
		s.pause = int(keyPause / audio.FrameDuration)
	}
	s.send(c.events, p.Marker, s.pressAt, p.Append(nil))
	s.quiet = true
	return true
}

func (s *audioSender) finishKeys(err error) {
	if s.request != nil {
		s.request.done <- err
		s.request, s.pressing = nil, nil
	}
}

// ErrNoDTMF says that the peer takes no telephone keys.
var ErrNoDTMF = errors.New("the other side takes no telephone keys")

// press sends keys and waits until they are sent.
func (s *audioSender) press(ctx context.Context, keys string, over <-chan struct{}, ended func() error) error {
	r := keyPress{keys: []rune(keys), done: make(chan error, 1)}
	if len(r.keys) > maxDigits {
		return fmt.Errorf("%d keys are more than %d", len(r.keys), maxDigits)
	}
	for i, k := range r.keys {
		e, err := audio.KeyEvent(k)
		if err != nil {
			return err
		}
		r.keys[i] = e.Key()
	}
	select {
	case s.keys <- r:
	case <-over:
		return ended()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-r.done:
		return err
	case <-over:
		return ended()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
