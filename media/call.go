package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// A Call is the media of one Jingle session. Make it early, while it rings:
// NewCall finds addresses and opens what it needs, so that Attach can begin at
// once. One goroutine owns a call; methods may be called from any.
type Call struct {
	cfg    Config
	log    *slog.Logger
	box    *mailbox
	events chan Event
	done   chan struct{} // closed when everything has stopped
	over   chan struct{} // closed when the session is, before cleaning up
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // everything but the owner

	sender   *audioSender // nil when nothing is sent
	receiver *audioReceiver
	shower   *videoSender // nil when there can be no video, as watcher
	watcher  *videoReceiver
	lips     *lipSync

	muted atomic.Bool // by us
	held  atomic.Bool // by us

	mu    sync.Mutex // guards what follows
	err   error
	stats Stats

	session // the owner's alone
}

// NewCall prepares a call. It sends nothing to the peer; only the configured
// ICE servers are asked. Whatever is returned, the source and sink are the
// call's: on error they are closed.
func NewCall(cfg Config) (*Call, error) {
	full, err := cfg.withDefaults()
	if err == nil {
		var c *Call
		if c, err = newCall(full); err == nil {
			return c, nil
		}
	}
	closeAudio(cfg.Audio)
	closeVideo(cfg.Video)
	return nil, fmt.Errorf("prepare call: %w", err)
}

func closeAudio(a Audio) error {
	var errs []error
	if a.Source != nil {
		errs = append(errs, a.Source.Close())
	}
	if a.Sink != nil {
		errs = append(errs, a.Sink.Close())
	}
	return errors.Join(errs...)
}

func closeVideo(v Video) error {
	var errs []error
	if v.Source != nil {
		errs = append(errs, v.Source.Close())
	}
	if v.Sink != nil {
		errs = append(errs, v.Sink.Close())
	}
	return errors.Join(errs...)
}

func newCall(cfg Config) (*Call, error) {
	if cfg.Audio.Sink == nil {
		cfg.Audio.Sink = audio.Discard()
	}
	c := &Call{
		cfg: cfg, log: cfg.Logger, box: newMailbox(),
		events: make(chan Event, maxEvents), done: make(chan struct{}), over: make(chan struct{}),
	}
	c.stats = Stats{LevelIn: audio.MinLevel, LevelOut: audio.MinLevel}
	c.receiver = newAudioReceiver(cfg.Audio.Sink, c.log)
	c.receiver.heard = func(at, packet time.Time) { c.box.post(func() { c.firstAudio(at, packet) }) }
	c.receiver.deaf = c.deaf
	c.receiver.digit = func(key rune) { c.box.post(func() { c.emit(Digit{Key: key}) }) }
	c.receiver.ended = func(err error) { c.box.post(func() { c.emit(SinkEnded{Err: err}) }) }
	if cfg.Audio.Source != nil {
		track := newSendTrack("audio", webrtc.RTPCodecTypeAudio)
		c.sender = newAudioSender(cfg.Audio.Source, track, c.log, func(err error) {
			c.box.post(func() { c.emit(SourceEnded{Err: err}) })
		})
		c.sender.silent = c.silent
	}
	c.prepareVideo()
	c.init()
	var track *sendTrack
	if c.sender != nil {
		track = c.sender.track
	}
	main, err := c.open(track)
	if err != nil {
		return nil, err
	}
	c.links = []*callLink{main}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if c.sender != nil {
		c.wg.Go(func() { c.sender.run(c.ctx) })
		c.wg.Go(func() { readRTCP(main.sender, c.reported) })
	}
	if c.shower != nil {
		c.wg.Go(func() { c.shower.run(c.ctx) })
		c.wg.Go(func() { c.watcher.play(c.ctx) })
	}
	go c.run()
	return c, nil
}

// run is the goroutine that owns the call.
func (c *Call) run() {
	defer close(c.done)
	for !c.finished {
		select {
		case <-c.box.wake:
			for _, fn := range c.box.take() {
				if fn(); c.finished {
					break
				}
			}
		case <-c.statsTick.C:
			c.measure()
			c.emit(c.Stats())
			c.tellSwitches()
		case <-c.connectTimer.C:
			c.fail(refuse(jingle.ConnectivityError, "no path to the other side was found in %s", c.cfg.ConnectTimeout))
		case <-c.restartTimer.C:
			c.restartOverdue()
		case <-c.closeTimer.C:
			c.finish(jingle.Ended{Reason: c.reason})
		}
	}
	c.cleanUp()
}

// cleanUp stops everything and waits for it.
func (c *Call) cleanUp() {
	c.box.close()
	c.cancel()
	if err := closeAudio(c.cfg.Audio); err != nil {
		c.log.Warn("close source and sink", "err", err)
	}
	if c.shower != nil {
		c.cfg.Video.Source = c.shower.swap(nil)
	}
	if err := closeVideo(c.cfg.Video); err != nil {
		c.log.Warn("close source and sink of video", "err", err)
	}
	for _, l := range c.links {
		if err := l.link.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			c.log.Debug("close link", "err", err)
		}
	}
	if c.watcher != nil {
		c.watcher.wg.Wait()
	}
	c.receiver.close()
	c.wg.Wait()
	c.statsTick.Stop()
	c.connectTimer.Stop()
	c.restartTimer.Stop()
	c.closeTimer.Stop()
}

// Attach takes part in a session: the initiator offers at once, the responder
// answers at once (the user has accepted before). It makes Call a
// jingle.Application.
func (c *Call) Attach(conn jingle.Conn) {
	at := time.Now()
	c.box.post(func() { c.attach(conn, at) })
}

// Handle takes an effect of the session. It makes Call a jingle.Application.
func (c *Call) Handle(e jingle.Effect) { c.box.post(func() { c.handle(e) }) }

// Accepted tells when the person called accepted, for SinceAccept. Without it
// that is when Attach was called.
func (c *Call) Accepted(at time.Time) { c.box.post(func() { c.acceptedAt = at }) }

// Events returns what happens in the call. It is closed after Ended. A reader
// that is slow loses Stats first, and never holds up the call.
func (c *Call) Events() <-chan Event { return c.events }

// emit is the owner's. When the reader is slow, Stats are dropped first.
func (c *Call) emit(e Event) {
	if _, ok := e.(Stats); ok && len(c.events) > maxEvents/2 {
		return
	}
	for {
		select {
		case c.events <- e:
			return
		default:
		}
		select {
		case <-c.events: // the oldest
		default:
		}
	}
}

// Stats returns how the call was doing when it was last measured, at most
// Config.StatsInterval ago.
func (c *Call) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Levels returns how loud the last 20 ms were, what we hear and what we say, in
// dBFS; for a meter that moves faster than Stats come.
func (c *Call) Levels() (in, out float64) {
	in, out = math.Float64frombits(c.receiver.level.Load()), audio.MinLevel
	if c.sender != nil {
		out = math.Float64frombits(c.sender.level.Load())
	}
	return in, out
}

// Mute stops or resumes sending what the source says, and tells the peer. While
// muted, silence is sent, for the sake of those who take a stream that stops
// for a broken one.
func (c *Call) Mute(on bool) error {
	c.muted.Store(on)
	return c.switched()
}

// Muted reports whether we are muted.
func (c *Call) Muted() bool { return c.muted.Load() }

// Hold stops or resumes media both ways, and tells the peer.
func (c *Call) Hold(on bool) error {
	c.held.Store(on)
	return c.switched()
}

// Held reports whether we hold the call.
func (c *Call) Held() bool { return c.held.Load() }

// silent reports whether the peer may not hear the source. It is asked for every
// frame, and not kept: what several goroutines switch would be open in the end
// when one of them looked before another switched.
func (c *Call) silent() bool {
	return c.muted.Load() || c.held.Load() || c.remoteHeld.Load() || c.unwanted.Load() || c.parting.Load()
}

// deaf reports whether the peer may not be heard.
func (c *Call) deaf() bool { return c.held.Load() || c.parting.Load() }

// errOver is what methods return when the call is over.
func (c *Call) errOver() error {
	if err := c.Err(); err != nil {
		return err
	}
	return net.ErrClosed
}

// DTMF sends keys, any of "0123456789*#ABCD", and returns when they are sent.
// It returns ErrNoDTMF when the peer takes none.
func (c *Call) DTMF(ctx context.Context, keys string) error {
	if c.sender == nil {
		return ErrNoDTMF
	}
	return c.sender.press(ctx, keys, c.over, c.errOver)
}

// NetworkChanged tells that this machine's addresses changed, so that a new
// path is looked for at once, with peers that can.
func (c *Call) NetworkChanged() {
	c.box.post(func() { c.reconnect("the network changed", true) })
}

// HangUp ends the call. The zero reason means success, or cancel before media
// could flow. It returns at once; see Done.
func (c *Call) HangUp(r jingle.Reason) { c.box.post(func() { c.hangUp(r) }) }

// Close hangs up if need be and returns when everything has stopped.
func (c *Call) Close() error {
	c.HangUp(jingle.Reason{})
	<-c.done
	return nil
}

// Done is closed when the call is over and everything has stopped.
func (c *Call) Done() <-chan struct{} { return c.done }

// Err returns what went wrong: nil while the call goes on, and after a hang-up
// of either side.
func (c *Call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Call) setErr(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// open makes a link that sends a track; nil is none.
func (c *Call) open(track *sendTrack) (*callLink, error) {
	cl := &callLink{sent: make(map[string]bool)}
	l, err := openLink(c.cfg, track, linkEvents{
		candidate: func(generation int, found iceudp.Candidate) {
			c.box.post(func() { c.found(cl, generation, found) })
		},
		state: func(s linkState) {
			c.box.post(func() { c.linkState(cl, s) })
		},
		track: func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
			c.box.post(func() { c.track(cl, t, r) })
		},
	})
	if err != nil {
		return nil, err
	}
	cl.link, cl.sender = l, l.sender
	return cl, nil
}

// track begins to read what the peer sends.
func (c *Call) track(cl *callLink, t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	video := t.Kind() == webrtc.RTPCodecTypeVideo
	if !video && cl != c.links[0] || video && c.watcher == nil {
		return
	}
	if cl.tracks++; cl.tracks > maxTracks {
		// More than any client has: what it sends from there is not for us.
		c.log.Debug("source not read", "ssrc", t.SSRC(), "sources", cl.tracks)
		return
	}
	if video {
		c.watch(cl, t, r)
		return
	}
	c.receiver.wg.Go(func() { c.receiver.read(t) })
	c.wg.Go(func() {
		readRTCP(r, func(p rtcp.Packet) {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				c.lips.report(sr, t.Codec().ClockRate)
			}
		})
	})
}

// reported takes what the peer says about what it hears. RFC 3550 §6.4
func (c *Call) reported(p rtcp.Packet) {
	at := time.Now()
	switch p := p.(type) {
	case *rtcp.ReceiverReport:
		c.reports(p.Reports, at)
	case *rtcp.SenderReport:
		c.reports(p.Reports, at)
	}
}
