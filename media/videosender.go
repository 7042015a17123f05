package media

import (
	"context"
	"errors"
	"image"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/media/video"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

const (
	// videoPayload is how much of a picture is in one packet, so that it fits
	// with all headers into what every path carries.
	videoPayload = 1150
	// keyEvery is the least time between two key frames that the peer asks for.
	keyEvery = 400 * time.Millisecond
	// keyRefresh is the most time between two key frames for peers that send no
	// reports about the path.
	keyRefresh = 3 * time.Second
	// reanchor is how far the clock of a source may be from ours before its
	// pictures are dated anew.
	reanchor = time.Second
	// rembLeast is what is sent whatever the peer asks for, as long as less than
	// rembLoss is lost.
	rembLeast = 250_000
	rembLoss  = 0.02
	// soundShare is left of the path for sound and for headers.
	soundShare = 48_000
)

// A videoSender reads a source and sends what it shows.
type videoSender struct {
	cfg   Video
	log   *slog.Logger
	ended func(error) // the source has no more to show; called by the sender
	// hidden says that the peer may not see the source. It is asked for every picture.
	hidden func() bool

	wantKey atomic.Bool
	flowing atomic.Bool // media can flow

	mu     sync.Mutex // guards what follows
	after  time.Time  // before it nothing is sent, though media can flow; see hold
	source video.Source
	number int                     // of the source
	cancel context.CancelCauseFunc // ends reading of the present source
	news   chan struct{}           // has one element when source changed
	track  *sendTrack              // nil before video was agreed
	flow   *flow                   // of the link of the track
	remb   float64                 // what the peer asks for, 0 when it does not
	rembAt time.Time
	loss   lossControl
	lost   float64 // share, as the peer reports it

	frames, keys, packets, bytes atomic.Uint64
	width, height, target        atomic.Int64

	// What follows is the sending goroutine's.
	encoder   video.Encoder
	codec     string
	shape     shape
	drawn     bool // what the encoder was made for
	bps       int
	payloader rtp.Payloader
	ladder    ladder
	scaled    *image.YCbCr
	data      []byte
	sequence  uint16
	base      uint32 // RTP time of when
	began     time.Time
	offset    time.Duration // of the source's clock to ours
	from      int           // number of the source that offset is of
	due       time.Duration // of the next picture
	lastTime  time.Duration
	keyAt     time.Time
}

func newVideoSender(cfg Video, log *slog.Logger) *videoSender {
	return &videoSender{
		cfg: cfg, log: log, source: cfg.Source, news: make(chan struct{}, 1),
		sequence: uint16(rand.Uint32()), base: rand.Uint32(), from: -1,
	}
}

// swap shows another source, and returns the one before.
func (s *videoSender) swap(source video.Source) (old video.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, s.source = s.source, source
	s.number++
	if s.cancel != nil {
		s.cancel(errSwapped)
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
	return old
}

var errSwapped = errors.New("another source is shown")

// attach says by which track pictures leave from now on.
func (s *videoSender) attach(t *sendTrack, f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.track, s.flow = t, f
	s.wantKey.Store(true)
}

func (s *videoSender) has() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source != nil
}

// current returns the source to read, and a context that ends when there is
// another.
func (s *videoSender) current(ctx context.Context) (video.Source, int, context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel(errSwapped)
	}
	ctx, s.cancel = context.WithCancelCause(ctx)
	return s.source, s.number, ctx
}

// run sends until ctx ends.
func (s *videoSender) run(ctx context.Context) {
	defer func() {
		if s.encoder != nil {
			s.encoder.Close()
		}
		s.mu.Lock()
		if s.cancel != nil {
			s.cancel(context.Cause(ctx))
		}
		s.mu.Unlock()
	}()
	for ctx.Err() == nil {
		source, number, read := s.current(ctx)
		if source == nil {
			select {
			case <-s.news:
			case <-ctx.Done():
			}
			continue
		}
		s.show(read, source, number)
		if ctx.Err() != nil {
			return
		}
	}
}

// hold lets no picture leave before a time. The next one is a key frame.
func (s *videoSender) hold(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = until
}

// flows says whether pictures can be sent.
func (s *videoSender) flows(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flowing.Load() && !now.Before(s.after)
}

// show reads one source until it ends or another one is shown.
func (s *videoSender) show(ctx context.Context, source video.Source, number int) {
	for {
		if !live(source) && !s.flows(time.Now()) { // a file is seen from its beginning
			timer := time.NewTimer(10 * time.Millisecond)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
		f, err := source.Read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = f.Check()
		}
		if err != nil {
			s.mu.Lock()
			now := s.number == number
			if now {
				s.source = nil
			}
			s.mu.Unlock()
			if !now { // another is shown already, and whoever showed it closes this one
				return
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			s.ended(errors.Join(err, source.Close()))
			return
		}
		s.frame(f, number, video.IsDrawn(source))
	}
}

// frame sends one picture, unless it is to be left out.
func (s *videoSender) frame(f video.Frame, number int, drawn bool) {
	s.mu.Lock()
	track, flow := s.track, s.flow
	s.mu.Unlock()
	if track == nil || !s.flows(time.Now()) || s.hidden() {
		s.due = 0
		s.wantKey.Store(true) // for when it is seen again
		return
	}
	codec, ok := track.bound()
	if !ok {
		return
	}
	now := time.Now()
	if s.began.IsZero() {
		s.began = now
	}
	// Dated by the source's clock, which is steadier than ours at reading.
	since := now.Sub(s.began)
	if s.from != number || (f.Time+s.offset-since).Abs() > reanchor {
		s.from, s.offset = number, since-f.Time
	}
	at := f.Time + s.offset
	if at <= s.lastTime {
		at = s.lastTime + time.Millisecond
	}
	// A picture that comes a little early is taken, so that none is left out
	// when the source is as fast as we.
	if s.shape.fps > 0 && at < s.due-interval(s.shape.fps)/4 || flow.behind() > maxPacedTime {
		return
	}
	bps := s.rate(flow, now)
	want := s.ladder.choose(f.Image.Rect.Dx(), f.Image.Rect.Dy(), bps, drawn, s.cfg, now)
	if err := s.prepare(codec, want, drawn, bps); err != nil {
		s.log.Error("open encoder", "codec", codec, "err", err)
		return
	}
	s.due = max(s.due, at-interval(want.fps)) + interval(want.fps)
	m := f.Image
	if m.Rect.Dx() != want.width || m.Rect.Dy() != want.height {
		s.scaled = video.Scale(s.scaled, m, want.width, want.height)
		m = s.scaled
	}
	key := false
	if _, reports := flow.estimate(now); !reports && now.Sub(s.keyAt) > keyRefresh {
		// interop Dino 0.4: it changes what shows the picture in mid-call, and
		// does not always ask for a key frame then.
		s.wantKey.Store(true)
	}
	if flow.overrun.Swap(false) {
		s.wantKey.Store(true)
	}
	if s.wantKey.Load() && now.Sub(s.keyAt) >= keyEvery {
		key = s.wantKey.Swap(false)
	}
	data, isKey, err := s.encoder.Encode(s.data[:0], m, at, key)
	if err != nil {
		s.log.Debug("encode", "err", err)
		s.encoder.Close()
		s.encoder = nil
		return
	}
	s.lastTime = at
	if s.data = data; len(data) == 0 {
		if key {
			s.wantKey.Store(true)
		}
		return
	}
	if isKey {
		s.keyAt = now
		s.keys.Add(1)
	}
	s.send(track, data, s.base+uint32(at*video.ClockRate/time.Second), f.Rotation)
}

func interval(fps float64) time.Duration { return time.Duration(float64(time.Second) / fps) }

// rate is the bit rate for pictures.
func (s *videoSender) rate(flow *flow, now time.Time) int {
	bps := s.cfg.MaxBitrate
	estimate, known := flow.estimate(now)
	s.mu.Lock()
	switch {
	case known:
		bps = min(bps, estimate)
	case s.loss.bps > 0:
		bps = min(bps, int(s.loss.bps))
	default:
		bps = min(bps, startBitrate)
	}
	if s.remb > 0 && now.Sub(s.rembAt) < reportFresh {
		remb := int(s.remb)
		if s.lost < rembLoss {
			// interop Dino 0.4: it never asks for much more than it gets, which
			// says nothing about the path when the picture stands still.
			remb = max(remb, rembLeast)
		}
		bps = min(bps, remb)
	}
	s.mu.Unlock()
	s.target.Store(int64(bps))
	flow.pace(bps)
	return max(min(bps*95/100, bps-soundShare/2), leastBitrate/2)
}

// prepare has an encoder for what is to be sent.
func (s *videoSender) prepare(codec string, want shape, drawn bool, bps int) error {
	if s.encoder != nil && s.codec == codec && s.drawn == drawn && s.shape.width == want.width && s.shape.height == want.height {
		if d := bps - s.bps; max(d, -d) > s.bps/50 || want.fps != s.shape.fps {
			if err := s.encoder.SetBitrate(bps, want.fps); err != nil {
				return err
			}
			s.bps, s.shape = bps, want
		}
		return nil
	}
	c, ok := video.FindCodec(s.cfg.Codecs, codec)
	p, can := payloader(codec)
	if !ok || !can || c.NewEncoder == nil {
		return ErrNoCodec
	}
	e, err := c.NewEncoder(video.EncoderOptions{Width: want.width, Height: want.height, FPS: want.fps, Bitrate: bps, Drawn: drawn})
	if err != nil {
		return err
	}
	if s.encoder != nil {
		s.encoder.Close()
	}
	s.log.Debug("video", "codec", codec, "width", want.width, "height", want.height, "fps", want.fps, "bps", bps)
	if s.codec != codec || s.payloader == nil {
		s.payloader = p
	}
	s.encoder, s.codec, s.shape, s.drawn, s.bps = e, codec, want, drawn, bps
	s.width.Store(int64(want.width))
	s.height.Store(int64(want.height))
	return nil
}

func (s *videoSender) send(track *sendTrack, data []byte, timestamp uint32, rotation int) {
	parts := s.payloader.Payload(videoPayload, data)
	for i, b := range parts {
		h := rtp.Header{
			Version: 2, Marker: i == len(parts)-1, SequenceNumber: s.sequence, Timestamp: timestamp,
		}
		s.sequence++
		if err := track.writeVideo(&h, b, rotation); err != nil {
			s.log.Log(context.Background(), LevelTrace, "send packet", "err", err)
			continue
		}
		s.packets.Add(1)
		s.bytes.Add(uint64(len(b)))
	}
	s.frames.Add(1)
}

// feedback takes what the peer says about the stream of the given source.
func (s *videoSender) feedback(p rtcp.Packet, ssrc uint32) {
	now := time.Now()
	reports := func(rs []rtcp.ReceptionReport) {
		for _, r := range rs {
			if r.SSRC == ssrc {
				s.mu.Lock()
				s.lost = float64(r.FractionLost) / 256
				s.loss.report(s.lost, now, s.cfg.MaxBitrate)
				s.mu.Unlock()
			}
		}
	}
	switch p := p.(type) {
	case *rtcp.PictureLossIndication:
		if p.MediaSSRC == ssrc {
			s.wantKey.Store(true)
		}
	case *rtcp.FullIntraRequest: // RFC 5104 §4.3.1
		for _, e := range p.FIR {
			if e.SSRC == ssrc {
				s.wantKey.Store(true)
			}
		}
	case *rtcp.ReceiverEstimatedMaximumBitrate:
		for _, of := range p.SSRCs {
			if of == ssrc {
				s.mu.Lock()
				s.remb, s.rembAt = max(float64(p.Bitrate), leastBitrate), now
				s.mu.Unlock()
			}
		}
	case *rtcp.ReceiverReport:
		reports(p.Reports)
	case *rtcp.SenderReport:
		reports(p.Reports)
	}
}
