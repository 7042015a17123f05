package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/carillon-im/carillon/media/audio"
)

const (
	// silentFor is how long a working device may say nothing.
	silentFor = 500 * time.Millisecond
	// silentFirst is how long one that was just opened may. Bluetooth takes its
	// time, and so does an idle virtual device, which has gone to sleep for 2 s.
	silentFirst = 3 * time.Second
	// watchEvery is how often that is looked at.
	watchEvery = 250 * time.Millisecond
	// firstRetry and lastRetry bound the pauses between attempts to open again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 3 * time.Second
	// fallBackAfter is how long a device may be missing before the default one
	// takes its place. A server that starts again finds its devices one by one.
	fallBackAfter = time.Second
	// openTimeout bounds one attempt.
	openTimeout = 2 * time.Second

	// captureWait is what a reader may leave lying. What is older is lost.
	captureWait = 200 * time.Millisecond
	// captureFresh is what a reader finds that begins, or was away.
	captureFresh = audio.FrameSize
)

var errSilent = errors.New("the device stopped without a word")

// A unit keeps one device working, behind a source or a sink.
type unit struct {
	back backend
	kind Kind
	name string // as asked for, "" for the default
	id   string
	opts Options
	log  *slog.Logger

	stop context.CancelFunc
	done chan struct{} // closed when keep has returned

	alarm chan struct{} // wakes keep

	mu      sync.Mutex
	signal  chan struct{} // closed and replaced when Read or Write may go on
	ended   bool
	stream  stream    // nil while the device is lost
	turn    int       // which stream this is; older ones are not listened to
	failed  error     // why the stream is to be replaced
	heard   time.Time // when something was captured last
	pcm     []int16   // captured, not read yet
	read    bool      // Read was called since the last overflow
	spoke   bool      // the stream has done something since it was opened
	credit  int       // samples the device wants
	hungry  time.Time // since when Write has waited for credit in vain
	movedTo string    // the device the server chose for the stream, not reported yet
}

// open chooses the device and opens it.
func open(ctx context.Context, kind Kind, name string, o Options) (*unit, error) {
	b, list, err := choose(ctx, o)
	if err != nil {
		return nil, err
	}
	d, err := find(list, kind, name)
	if err != nil {
		return nil, err
	}
	id := ""
	if name != "" {
		id = d.ID
	}
	return newUnit(ctx, b, kind, name, id, o)
}

// newUnit opens a device and keeps it working.
func newUnit(ctx context.Context, b backend, kind Kind, name, id string, o Options) (*unit, error) {
	u := &unit{back: b, kind: kind, name: name, id: id, opts: o, log: o.Logger, done: make(chan struct{}), alarm: make(chan struct{}, 1), signal: make(chan struct{})}
	if u.log == nil {
		u.log = slog.New(slog.DiscardHandler)
	}
	if err := u.start(ctx, u.id); err != nil {
		return nil, err
	}
	u.log.Debug("sound device opened", "backend", b.name(), "kind", kind, "device", id)
	var keep context.Context
	keep, u.stop = context.WithCancel(context.Background())
	go u.keep(keep)
	return u, nil
}

// start opens a stream and makes it the present one.
func (u *unit) start(ctx context.Context, id string) error {
	u.mu.Lock()
	u.turn++
	t := &turn{u, u.turn}
	u.credit, u.failed, u.pcm, u.hungry, u.spoke, u.movedTo = 0, nil, u.pcm[:0], time.Time{}, false, ""
	u.mu.Unlock()
	s, err := u.back.open(ctx, u.kind, id, t)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.turn++ // nothing it may still say counts
		return err
	}
	u.stream, u.heard = s, time.Now()
	u.changed()
	return nil
}

// changed wakes those who wait. u.mu is held.
func (u *unit) changed() {
	close(u.signal)
	u.signal = make(chan struct{})
}

// ring wakes keep. Being woken costs, and sound comes and goes a hundred times
// a second, so only what concerns keep rings.
func (u *unit) ring() {
	select {
	case u.alarm <- struct{}{}:
	default:
	}
}

// A turn is a target for one stream.
type turn struct {
	u *unit
	n int
}

func (t *turn) captured(pcm []int16) {
	u := t.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.turn != t.n {
		return
	}
	u.heard, u.spoke = time.Now(), true
	u.pcm = append(u.pcm, pcm...)
	limit := int(captureWait.Seconds() * audio.SampleRate)
	if !u.read {
		limit = captureFresh
	}
	if over := len(u.pcm) - limit; over > 0 {
		if u.read { // the reader was away: begin anew with what is fresh
			u.read = false
			over = len(u.pcm) - captureFresh
		}
		u.pcm = u.pcm[:copy(u.pcm, u.pcm[over:])]
	}
	if len(u.pcm) >= audio.FrameSize {
		u.changed()
	}
}

func (t *turn) wanted(samples int) {
	u := t.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.turn == t.n {
		u.spoke = u.stream != nil // not by what it wants to begin with
		if u.credit += samples; u.credit >= audio.HalfFrame {
			u.hungry = time.Time{}
			u.changed()
		}
	}
}

func (t *turn) moved(id string) {
	u := t.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.turn == t.n {
		u.movedTo = id
		u.ring()
	}
}

func (t *turn) closed(err error) {
	u := t.u
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.turn == t.n && u.failed == nil {
		u.failed = err
		u.ring()
	}
}

// keep watches the stream and replaces it when it fails, until ctx ends.
func (u *unit) keep(ctx context.Context) {
	defer close(u.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		u.mu.Lock()
		err, to := u.failed, u.movedTo
		u.movedTo = ""
		if err == nil && u.stream != nil && u.overdue() {
			err = errSilent
		}
		u.mu.Unlock()
		if err != nil {
			if !u.replace(ctx, err) {
				return
			}
			continue
		}
		if to != "" {
			u.event(Event{Kind: u.whyMoved(ctx, to), To: to})
		}
		select {
		case <-ctx.Done():
			return
		case <-u.alarm:
		case <-tick.C:
		}
	}
}

// whyMoved tells a device that is gone from one that somebody exchanged. A
// stream that lost its device stays with the new one when the old one is back.
func (u *unit) whyMoved(ctx context.Context, to string) EventKind {
	if u.id == "" || u.id == to {
		return Moved
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	list, err := u.back.list(ctx)
	if err != nil {
		return Moved
	}
	for _, d := range list {
		if d.Kind == u.kind && d.ID == u.id {
			return Moved
		}
	}
	u.id = "" // do not go back and forth
	return FellBack
}

// overdue says whether the device should have said something. u.mu is held.
func (u *unit) overdue() bool {
	limit, since := silentFor, u.heard
	if !u.spoke {
		limit = silentFirst
	}
	if u.kind == Playback {
		since = u.hungry
	}
	return !since.IsZero() && time.Since(since) > limit
}

// replace opens the device again, or the default one if it is gone. It returns
// false when ctx ended first.
func (u *unit) replace(ctx context.Context, why error) bool {
	u.mu.Lock()
	old := u.stream
	u.stream, u.failed = nil, nil
	u.turn++
	u.changed()
	u.mu.Unlock()
	if old != nil {
		old.close()
	}
	u.event(Event{Kind: Lost, Err: why})
	start := time.Now()
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		id, kind := u.id, Restored
		err := u.attempt(ctx, id)
		if errors.Is(err, ErrNoDevice) && id != "" && time.Since(start) >= fallBackAfter {
			kind = FellBack
			if err = u.attempt(ctx, ""); err == nil {
				u.id = "" // do not go back and forth
			}
		}
		if err == nil {
			u.event(Event{Kind: kind})
			return ctx.Err() == nil
		}
		u.log.Debug("sound device does not open", "kind", u.kind, "device", u.name, "err", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

func (u *unit) attempt(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return u.start(ctx, id)
}

func (u *unit) event(e Event) {
	e.Device, e.For = u.name, u.kind
	if e.Err != nil {
		u.log.Warn("sound device "+string(e.Kind), "kind", e.For, "device", e.Device, "err", e.Err)
	} else {
		u.log.Info("sound device "+string(e.Kind), "kind", e.For, "device", e.Device)
	}
	if u.opts.OnEvent != nil {
		u.opts.OnEvent(e)
	}
}

// close ends everything and waits for it.
func (u *unit) close() error {
	u.mu.Lock()
	first := !u.ended
	u.ended = true
	u.changed()
	u.mu.Unlock()
	u.stop()
	<-u.done
	if !first {
		return nil
	}
	u.mu.Lock()
	s := u.stream
	u.stream = nil
	u.turn++
	u.mu.Unlock()
	if s != nil {
		s.close()
	}
	return nil
}

// A source is the audio.Source of a unit.
type source struct {
	*unit
	cleaner *cleaner // nil when nothing is to be done with the sound
	frame   [audio.FrameSize]int16
	beat    beat
}

func newSource(u *unit, c *cleaner) *source {
	return &source{unit: u, cleaner: c, beat: beat{step: audio.FrameDuration}}
}

func (s *source) Read(ctx context.Context) (audio.Frame, error) {
	s.beat.begin(time.Now())
	for first := true; ; first = false {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		if first && !s.read {
			s.read = true
			// What lay there before anybody listened is up to a frame old.
			s.pcm = s.pcm[:0]
		}
		if s.ended {
			s.mu.Unlock()
			return nil, net.ErrClosed
		}
		if len(s.pcm) >= len(s.frame) {
			copy(s.frame[:], s.pcm)
			s.pcm = s.pcm[:copy(s.pcm, s.pcm[len(s.frame):])]
			st, waited := s.stream, audio.FrameDuration+audio.Frame(s.pcm).Duration()
			s.mu.Unlock()
			s.beat.kept(time.Now())
			if s.cleaner != nil && st != nil {
				s.cleaner.capture(s.frame[:], st.latency()+waited)
			}
			return s.frame[:], nil
		}
		end, signal := s.beat.end(s.stream != nil), s.signal
		s.mu.Unlock()
		switch late, err := pause(ctx, signal, time.Until(end)); {
		case err != nil:
			return nil, err
		case late:
			s.beat.missed()
			clear(s.frame[:])
			return s.frame[:], nil
		}
	}
}

// pause waits for the signal, at most for the given time.
func pause(ctx context.Context, signal <-chan struct{}, wait time.Duration) (late bool, err error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-signal:
		return false, nil
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (s *source) Close() error { return s.close() }

// A sink is the audio.Sink of a unit.
type sink struct {
	*unit
	cleaner *cleaner // nil when nobody wants to know what is played
	beat    beat
}

func newSink(u *unit, c *cleaner) *sink {
	return &sink{unit: u, cleaner: c, beat: beat{step: halfFrame}}
}

func (s *sink) Write(f audio.Frame) error {
	if len(f) == 0 || len(f)%audio.HalfFrame != 0 || len(f) > audio.MaxFrameSize {
		return fmt.Errorf("write %d samples to device: %w", len(f), audio.ErrFrameSize)
	}
	for ; len(f) > 0; f = f[audio.HalfFrame:] {
		if err := s.hand(f[:audio.HalfFrame]); err != nil {
			return err
		}
		if err := s.room(); err != nil {
			return err
		}
	}
	return nil
}

// hand gives 10 ms to the device if it wants them. What it does not want, after
// Write has waited, is dropped: sent, it would be heard late forever.
func (s *sink) hand(f audio.Frame) error {
	s.mu.Lock()
	st, turn := s.stream, s.turn
	ended, drop := s.ended, st == nil || s.credit < len(f)
	if !drop {
		s.credit -= len(f)
	}
	s.mu.Unlock()
	if ended {
		return net.ErrClosed
	}
	if drop {
		return nil
	}
	if s.cleaner != nil {
		s.cleaner.render(f, st.latency())
	}
	if err := st.write(f); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.turn == turn && s.failed == nil {
			s.failed = err
			s.ring()
		}
	}
	return nil
}

// room waits until the device wants 10 ms more, but not for a dead one: that
// takes nothing as fast as a good one takes sound.
func (s *sink) room() error {
	s.beat.begin(time.Now())
	for {
		s.mu.Lock()
		switch {
		case s.ended:
			s.mu.Unlock()
			return net.ErrClosed
		case s.stream == nil:
		case s.credit >= audio.HalfFrame:
			s.mu.Unlock()
			s.beat.kept(time.Now())
			return nil
		case s.hungry.IsZero():
			s.hungry = time.Now()
		}
		end, signal := s.beat.end(s.stream != nil), s.signal
		s.mu.Unlock()
		timer := time.NewTimer(time.Until(end))
		select {
		case <-signal:
			timer.Stop()
		case <-timer.C:
			s.beat.missed()
			return nil
		}
	}
}

func (s *sink) Close() error { return s.close() }

const halfFrame = audio.FrameDuration / 2
