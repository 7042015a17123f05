package bridge

import (
	"context"
	"errors"
	"fmt"
	"image"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/trouble"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/iceudp"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/media/capture"
	"github.com/carillon-im/carillon/media/device"
	"github.com/carillon-im/carillon/media/video"
	"github.com/carillon-im/carillon/signaling"
)

const (
	servicesTime = 5 * time.Second // for the server to name its relays
	openTime     = 10 * time.Second
	chooseTime   = 2 * time.Minute // for a dialog of the desktop, on Wayland
	hangUpTime   = 5 * time.Second // for a hang-up to reach the peer
	patience     = 3 * time.Second // for a device to ring before we say why none may
	busyAt       = 4               // calls; from then on others hear that we are busy; nobody talks to five
	maxMissed    = 5               // missed calls said outside the window, the newest
	maxKeys      = 64              // telephone keys typed and not yet sent
	maxWishes    = 64              // what the user wants of a call and it has not done
	calmStats    = time.Second
	levelTime    = 100 * time.Millisecond // between levels while somebody looks at them
	levelFall    = 6                      // dB in that time, at most: words have gaps
)

// hasVideo reports whether this program was built with codecs for pictures.
func hasVideo() bool { return len(video.Codecs()) > 0 }

// A signal is what outgoing and incoming calls of package signaling have in common.
type signal interface {
	SID() string
	Peer() jid.JID
	Done() <-chan struct{}
	Result() signaling.Result
	Hangup(jingle.Reason)
}

// A call is one that is not over. It runs on a goroutine of its own, which the
// owner of the state tells what the user wants.
type call struct {
	b    *Bridge
	a    *account
	id   string
	key  state.Key
	film bool            // offered with video
	rang time.Time       // when it was shown first
	ctx  context.Context // ends when the user hangs up
	stop context.CancelFunc

	wishes chan func(*call)
	keys   chan rune
	answer chan bool // whether the user takes it, and then with video; closed never
	refuse chan struct{}
	once   sync.Once
	remove func() // the notification of it; owner only

	// Those that follow belong to the goroutine of the call.
	media   *media.Call
	sound   *device.Sound
	signal  signal
	over    media.Ended
	started time.Time
	relay   bool
	// fingerprint is that of the other side, once it is known.
	fingerprint string
	trust       state.Trust

	levels            *time.Ticker // nil while nobody looks
	levelIn, levelOut float64
}

// newCall makes one that is shown from now on. Owner only.
func (b *Bridge) newCall(a *account, c state.Call) *call {
	k := &call{b: b, a: a, id: b.id("c"), key: c.Key, film: c.Video, rang: time.Now(), wishes: make(chan func(*call), maxWishes), keys: make(chan rune, maxKeys),
		answer: make(chan bool, 1), refuse: make(chan struct{})}
	k.ctx, k.stop = context.WithCancel(a.ctx)
	c.ID = k.id
	b.calls[k.id] = k
	b.apply(state.CallBegan{Call: c})
	return k
}

// wish has the call do something. Owner only; it does not wait.
func (k *call) wish(f func(*call)) {
	select {
	case k.wishes <- f:
	default:
	}
}

func (k *call) hangUp() { k.stop() }

func (k *call) setDevices(mic, speaker string) {
	k.wish(func(k *call) {
		if k.sound == nil {
			return
		}
		s := k.sound
		k.b.wg.Go(func() {
			ctx, cancel := context.WithTimeout(k.ctx, openTime)
			defer cancel()
			k.b.wrong(errors.Join(s.SetMicrophone(ctx, mic), s.SetSpeaker(ctx, speaker)), "")
		})
	})
}

func (k *call) tell(e state.Event) { k.b.tell(e) }

// place calls somebody. Owner only.
func (b *Bridge) place(key state.Key, withVideo bool) {
	a := b.accounts[key.Account]
	j, err := jid.Parse(key.JID)
	switch {
	case a == nil || a.client == nil:
		b.apply(state.WentWrong{Problem: state.Problem{Code: "offline"}})
		return
	case err != nil || j.Localpart() == "" && j.Domainpart() == "":
		b.apply(state.WentWrong{Problem: state.Problem{Code: "bad-address"}})
		return
	}
	for _, c := range b.app.Calls { // one with them is enough
		if c.Key != key || c.Phase == state.Ending {
			continue
		}
		if c.Phase.Live() && c.Held {
			b.swap(c.ID)
		}
		b.apply(state.CallInFront{ID: c.ID})
		return
	}
	if len(b.calls) >= state.MaxCalls { // one more could not be shown, nor hung up
		b.apply(state.WentWrong{Problem: state.Problem{Code: "too-many-calls", Detail: fmt.Sprintf("there are %d calls already; hang up one of them first.", len(b.calls))}})
		return
	}
	b.holdOthers("")
	withVideo = withVideo && hasVideo()
	k := b.newCall(a, state.Call{Key: key, Video: withVideo, Phase: state.Dialing})
	client, mic, speaker, camera, relayOnly := a.client, b.mic(), b.speaker(), b.camera(), b.app.Settings.RelayOnly
	known, _ := b.app.Contact(key)
	contact := known.SeesUs
	a.goes(func() {
		defer k.stop()
		problem := k.prepare(client, mic, speaker, camera, withVideo, relayOnly, contact)
		if problem != nil {
			k.ended(state.CallEnded{ID: k.id, Outcome: state.Failed, Problem: problem})
			return
		}
		defer k.media.Close()
		opts := signaling.CallOptions{Media: []rtp.Media{rtp.Audio}}
		if withVideo {
			opts.Media = append(opts.Media, rtp.Video)
		}
		out, err := client.Call(k.ctx, j, k.media, opts)
		if err != nil {
			k.ended(state.CallEnded{ID: k.id, Outcome: k.failed(), Problem: b.problem(err, key.JID)})
			return
		}
		k.signal = out
		k.run(out.Ringing(), out.Proceeded())
	})
}

// failed is the outcome of a call that could not begin.
func (k *call) failed() state.Outcome {
	if k.ctx.Err() != nil {
		return state.Retracted
	}
	return state.Failed
}

// prepare opens sound and picture and finds addresses.
func (k *call) prepare(client *signaling.Client, mic, speaker, camera string, withVideo, relayOnly, contact bool) *state.Problem {
	ctx, cancel := context.WithTimeout(k.ctx, openTime)
	defer cancel()
	servers, err := k.servers(ctx, client)
	if err != nil {
		return k.b.problem(err, k.key.JID)
	}
	k.relay = false
	for _, s := range servers {
		k.relay = k.relay || strings.HasPrefix(s.URL, "turn")
	}
	if relayOnly && !k.relay {
		return k.b.problem(fmt.Errorf("%w for %s", trouble.ErrNoRelay, client.JID().Domain()), "")
	}
	s, err := device.Open(ctx, device.Config{Microphone: mic, Speaker: speaker, Options: device.Options{Logger: k.b.log, OnEvent: k.device}})
	if err != nil {
		return k.b.problem(err, "")
	}
	cfg := media.Config{
		Audio: media.Audio{Source: s.Source(), Sink: s.Sink()}, ICEServers: servers, RelayOnly: relayOnly, StatsInterval: calmStats, Logger: k.b.log,
	}
	if contact { // others could tell by it that two calls are of the same person
		if cfg.Identity, err = k.b.identity(k.key.Account); err != nil {
			k.b.log.Warn("a new key is used for this call", "err", err)
		}
	}
	if hasVideo() {
		cfg.Video.Sink = newPicture(k.b, func(v View, i image.Image) { v.ShowPicture(k.id, i) }, k.past(false))
		if withVideo {
			source, err := k.openPicture(ctx, state.Camera, camera)
			if err != nil {
				// The call goes on with sound.
				k.b.tell(state.WentWrong{Problem: state.Problem{Code: "camera", Detail: err.Error()}})
			} else {
				cfg.Video.Source = source
				k.tell(state.CallPictured{ID: k.id, Picture: state.Camera})
			}
		}
	}
	k.sound = s
	if k.media, err = media.NewCall(cfg); err != nil {
		return k.b.problem(err, "")
	}
	return nil
}

// past shows pictures past the view, where the desktop can.
func (k *call) past(own bool) func(*image.YCbCr) bool {
	film := k.b.cfg.Desktop.Film
	if film == nil {
		return nil
	}
	return func(m *image.YCbCr) bool { return film(k.id, own, m) }
}

// device tells what happens to the microphone and the speaker.
func (k *call) device(e device.Event) {
	switch e.Kind {
	case device.Lost:
		k.b.tell(state.WentWrong{Problem: state.Problem{Code: state.DeviceLost, Detail: fmt.Sprint(e.Err)}})
	case device.FellBack:
		k.b.tell(state.WentWrong{Problem: state.Problem{Code: state.DeviceReplaced}})
	case device.Restored:
		k.b.tell(state.DeviceMended{})
	}
}

func (k *call) servers(ctx context.Context, client *signaling.Client) ([]media.ICEServer, error) {
	list, _, err := k.b.relays()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, servicesTime)
	defer cancel()
	services, err := client.Services(ctx)
	if err != nil {
		k.b.log.Info("the server does not tell its relays", "err", err) // most paths need none
	}
	for _, s := range services {
		list = append(list, media.ICEServer{URL: s.URL(), Username: s.Username, Password: media.Secret(s.Password)})
	}
	return list, nil
}

// openPicture opens a camera or a screen, with a small copy for ourselves: as in a
// mirror, but for a screen.
func (k *call) openPicture(ctx context.Context, p state.Picture, spec string) (video.Source, error) {
	source, err := capture.OpenSource(ctx, spec, capture.Options{Logger: k.b.log})
	if err != nil {
		return nil, err
	}
	return newPreview(source, newPicture(k.b, func(v View, i image.Image) { v.ShowOwnPicture(k.id, i) }, k.past(true)), p == state.Camera), nil
}

// incoming shows a call that came in. Owner only.
func (b *Bridge) incoming(a *account, in *signaling.IncomingCall) {
	if a.ctx.Err() != nil {
		return // signed out meanwhile: it goes on ringing elsewhere
	}
	key := state.Key{Account: a.kept.JID, JID: in.From().Bare().String()}
	withVideo := false
	for _, m := range in.Media() {
		withVideo = withVideo || m == rtp.Video
	}
	if len(b.app.Calls) >= busyAt {
		in.Reject(jingle.Reason{Condition: jingle.Busy})
		return
	}
	k := b.newCall(a, state.Call{Key: key, Incoming: true, Stranger: !in.Known(), Video: withVideo && hasVideo(), Phase: state.Rings})
	k.signal = in
	name := b.app.Name(key)
	k.remove = b.notify(Notice{
		Title: name, Video: k.film, Accept: func() { b.Do(state.AnswerCall{ID: k.id}) }, Decline: func() { b.Do(state.DeclineCall{ID: k.id}) }, Open: b.raise,
	})
	b.raise()
	client, mic, speaker, camera := a.client, b.mic(), b.speaker(), b.camera()
	relayOnly := b.app.Settings.RelayOnly
	a.goes(func() {
		defer k.stop()
		k.rings(in, client, mic, speaker, camera, relayOnly)
	})
}

// rings waits for the user. What is slow happens meanwhile; nothing of it
// reaches the caller before the call is taken.
func (k *call) rings(in *signaling.IncomingCall, client *signaling.Client, mic, speaker, camera string, relayOnly bool) {
	if client == nil {
		k.finished()
		return
	}
	// People who are not contacts learn no address of ours when that can be helped.
	if !in.Known() && !relayOnly {
		if servers, err := k.servers(k.ctx, client); err == nil {
			for _, s := range servers {
				relayOnly = relayOnly || strings.HasPrefix(s.URL, "turn")
			}
		}
	}
	// Nobody listens in a room because somebody calls.
	problem := k.prepare(client, "silence", speaker, camera, false, relayOnly, in.Known())
	if problem != nil {
		in.Reject(jingle.Reason{Condition: jingle.FailedApplication})
		k.ended(state.CallEnded{ID: k.id, Outcome: state.Failed, Problem: problem})
		return
	}
	defer k.media.Close()
	withVideo := false
	select {
	case <-in.Cancelled():
		k.finished()
		return
	case <-k.refuse:
		in.Reject(jingle.Reason{})
		k.wait()
		k.finished()
		return
	case <-k.ctx.Done(): // the program ends: it goes on ringing elsewhere
		k.finished()
		return
	case withVideo = <-k.answer:
	}
	k.media.Accepted(time.Now())
	listens := make(chan error, 1)
	k.b.wg.Go(func() {
		ctx, cancel := context.WithTimeout(k.ctx, openTime)
		defer cancel()
		listens <- k.sound.SetMicrophone(ctx, mic)
	})
	if err := in.Accept(k.ctx, k.media); err != nil {
		if errors.Is(err, signaling.ErrCancelled) {
			k.finished()
		} else {
			k.ended(state.CallEnded{ID: k.id, Outcome: state.Failed, Problem: k.b.problem(err, k.key.JID)})
		}
		return
	}
	k.tell(state.CallChanged{ID: k.id, Phase: state.Linking})
	if err := <-listens; err != nil && k.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
		// They are heard all the same, and another microphone can be chosen.
		k.tell(state.WentWrong{Problem: *k.b.problem(err, "")})
	}
	if withVideo {
		k.wish(func(k *call) { k.picture(state.Camera, camera) })
	}
	k.run(nil, nil)
}

// run follows the call until it is over. Channels may be nil.
func (k *call) run(ringing, proceeded <-chan struct{}) {
	own, stop := context.WithCancel(context.WithoutCancel(k.ctx))
	defer stop()
	defer k.watch(false)
	k.b.wg.Go(func() { k.sendKeys(own) })
	var (
		silence <-chan time.Time
		happens = k.media.Events()
		ended   = k.ctx.Done()
		giveUp  <-chan time.Time
	)
	if ringing != nil {
		silence = time.After(patience)
	}
	hangUp := func() {
		k.signal.Hangup(jingle.Reason{})
		if giveUp == nil {
			giveUp = time.After(hangUpTime)
		}
	}
	for {
		select {
		case <-silence:
			silence = nil
			k.b.wg.Go(func() { k.explain(own) })
		case <-ringing:
			ringing, silence = nil, nil
			k.tell(state.CallChanged{ID: k.id, Phase: state.RingsThere})
		case <-proceeded:
			proceeded, ringing, silence = nil, nil, nil
			k.media.Accepted(time.Now())
			k.tell(state.CallChanged{ID: k.id, Phase: state.Linking})
		case e, ok := <-happens:
			if !ok {
				happens = nil
				hangUp()
				continue
			}
			k.happened(e)
		case f := <-k.wishes:
			f(k)
		case <-k.look():
			k.showLevels()
		case <-ended:
			ended = nil
			k.tell(state.CallChanged{ID: k.id, Phase: state.Ending})
			hangUp()
		case <-k.signal.Done():
			k.finished()
			return
		case <-giveUp:
			k.finished()
			return
		}
	}
}

// watch begins or ends to show how loud the call is.
func (k *call) watch(on bool) {
	if k.levels != nil {
		k.levels.Stop()
		k.levels = nil
	}
	if on {
		k.levels = time.NewTicker(levelTime)
		k.levelIn, k.levelOut = audio.MinLevel, audio.MinLevel
	}
}

// look is when the levels are shown again; never while nobody looks.
func (k *call) look() <-chan time.Time {
	if k.levels == nil {
		return nil
	}
	return k.levels.C
}

func (k *call) showLevels() {
	in, out := k.media.Levels()
	k.levelIn, k.levelOut = max(in, k.levelIn-levelFall), max(out, k.levelOut-levelFall)
	k.tell(state.LevelsMoved{ID: k.id, In: k.levelIn, Out: k.levelOut})
}

// happened shows an event of the media.
func (k *call) happened(e media.Event) {
	switch e := e.(type) {
	case media.Connected:
		k.started = time.Now()
		k.tell(state.CallChanged{ID: k.id, Phase: state.Running, At: k.started})
		k.recognise(e)
	case media.Reconnecting:
		k.tell(state.CallChanged{ID: k.id, Phase: state.Reconnecting})
	case media.RemoteMuted:
		k.tell(state.CallMuted{ID: k.id, On: e.Muted, Remote: true})
	case media.RemoteHeld:
		k.tell(state.CallHeld{ID: k.id, On: e.Held, Remote: true})
	case media.RemoteVideo:
		k.tell(state.CallShown{ID: k.id, On: e.On})
	case media.FirstFrame:
		k.b.log.Info("first frame", "since_accept", e.SinceAccept)
	case media.VideoSourceEnded:
		k.b.await(func() { k.pictureEnded(e.Err) })
		k.b.onView(func(v View) { v.ShowOwnPicture(k.id, nil) })
	case media.SourceEnded:
		if e.Err != nil {
			k.tell(state.WentWrong{Problem: state.Problem{Code: "device", Detail: e.Err.Error()}})
		}
	case media.Stats:
		if e.Connected > 0 {
			k.tell(state.CallMeasured{ID: k.id, Stats: stats(e)})
		}
	case media.Ended:
		k.over = e
	}
}

// pictureEnded shows that we send none any more. Owner only.
func (k *call) pictureEnded(err error) {
	c, _ := k.b.app.Call(k.id)
	k.b.apply(state.CallPictured{ID: k.id})
	switch {
	case err == nil:
	case errors.Is(err, media.ErrNoVideo):
		k.b.apply(state.WentWrong{Problem: state.Problem{Code: "video"}})
	default:
		k.b.apply(state.WentWrong{Problem: state.Problem{Code: troubleWith(c.Picture), Detail: err.Error()}})
	}
}

// troubleWith is the code of a problem with what we send.
func troubleWith(p state.Picture) string {
	if p == state.Screen {
		return "screen"
	}
	return "camera"
}

func stats(s media.Stats) state.Stats {
	out := state.Stats{
		Codec: s.Codec, RTT: s.RTT, Delay: s.Delay, LossIn: s.LossIn, LossOut: s.LossOut, Concealed: s.Concealed,
		RateIn: s.BitrateIn + s.Video.BitrateIn, RateOut: s.BitrateOut + s.Video.BitrateOut, LevelIn: s.LevelIn, LevelOut: s.LevelOut,
		VideoCodec: s.Video.CodecIn, Width: s.Video.WidthIn, Height: s.Video.HeightIn, FPS: s.Video.FPSIn, Freezes: int(s.Video.Freezes),
	}
	if out.VideoCodec == "" {
		out.VideoCodec = s.Video.CodecOut
	}
	local, remote := s.Pair.Local.Type, s.Pair.Remote.Type
	switch {
	case local == "" && remote == "":
	case s.Pair.Relayed():
		out.Path = state.PathRelay
	case local == iceudp.SRflx || remote == iceudp.SRflx:
		out.Path = state.PathNAT
	default: // a peer-reflexive candidate may be an address that was not told yet
		out.Path = state.PathDirect
	}
	return out
}

// picture begins or ends to send one.
func (k *call) picture(p state.Picture, spec string) {
	if p == state.NoPicture {
		k.b.wg.Go(func() {
			if err := k.media.SetVideo(nil); err != nil && !errors.Is(err, media.ErrNoVideo) {
				k.b.log.Info("picture not ended", "err", err)
			}
			k.tell(state.CallPictured{ID: k.id})
			k.b.onView(func(v View) { v.ShowOwnPicture(k.id, nil) })
		})
		return
	}
	k.b.wg.Go(func() {
		code, within := troubleWith(p), openTime
		if p == state.Screen {
			within = chooseTime
		}
		ctx, cancel := context.WithTimeout(k.ctx, within)
		defer cancel()
		source, err := k.openPicture(ctx, p, spec)
		if err == nil {
			k.tell(state.CallPictured{ID: k.id, Picture: p}) // now: it may end at once
			if err = k.media.SetVideo(source); err != nil {
				code = "video"
				k.tell(state.CallPictured{ID: k.id}) // what was sent before has ended, too
			}
		}
		if err != nil {
			k.tell(state.WentWrong{Problem: state.Problem{Code: code, Detail: err.Error()}})
		}
	})
}

// sendKeys sends telephone keys one after the other.
func (k *call) sendKeys(ctx context.Context) {
	for {
		select {
		case r := <-k.keys:
			if err := k.media.DTMF(ctx, string(r)); err != nil {
				if errors.Is(err, media.ErrNoDTMF) {
					k.tell(state.WentWrong{Problem: state.Problem{Code: "incompatible", Detail: err.Error()}})
				}
				continue
			}
			k.tell(state.CallTyped{ID: k.id, Key: r})
		case <-ctx.Done():
			return
		}
	}
}

// explain says why no device rings, if that is known.
func (k *call) explain(ctx context.Context) {
	k.b.await(func() {
		if c, ok := k.b.app.Contact(k.key); ok && ctx.Err() == nil {
			k.b.apply(state.CallBlocked{ID: k.id, Why: c.Why})
		}
	})
}

// wait waits for the call to be over, but not for ever.
func (k *call) wait() {
	select {
	case <-k.signal.Done():
	case <-time.After(hangUpTime):
	}
}

// finished shows how the call ended.
func (k *call) finished() {
	if k.media != nil {
		k.media.Close()
		for e := range k.media.Events() {
			if end, ok := e.(media.Ended); ok {
				k.over = end
			}
		}
	}
	r := k.signal.Result()
	end := state.CallEnded{ID: k.id, Outcome: state.Outcome(r.Outcome), Lasted: k.over.Duration, Remote: r.Remote}
	peer := k.key.JID
	switch {
	case r.Outcome == signaling.Answered || k.over.Duration > 0:
		end.Outcome = state.Answered
		if k.over.Err != nil || !trouble.Usual(r.Reason.Condition) {
			end.Problem = k.b.problem(&trouble.BrokenError{Peer: peer, Reason: r.Reason, Remote: r.Remote, Err: k.over.Err}, "")
		}
	case r.Outcome == signaling.Failed:
		end.Problem = k.b.problem(&trouble.NotTakenError{Peer: peer, Outcome: r.Outcome, Reason: r.Reason, Why: r.Why}, "")
	case r.Outcome == "":
		end.Outcome = state.Retracted
	}
	k.ended(end)
}

// ended takes the call off the screen.
func (k *call) ended(e state.CallEnded) {
	k.b.await(func() {
		k.unnotify()
		delete(k.b.calls, k.id)
		k.b.apply(e)
		if e.Outcome == state.Missed {
			name := k.b.app.Name(k.key)
			remove := k.b.notify(Notice{
				Title: name, Missed: k.rang, Video: k.film,
				CallBack: func() { k.b.Do(state.PlaceCall{Key: k.key, Video: k.film}); k.b.raise() },
				Open:     func() { k.b.Do(state.Look{Event: state.Select{Key: k.key}}); k.b.raise() },
			})
			k.b.missed = append(k.b.missed, missed{k.key, remove})
			if len(k.b.missed) > maxMissed {
				k.b.missed[0].remove()
				k.b.missed = k.b.missed[1:]
			}
		}
	})
}

// A missed call that was said outside the window.
type missed struct {
	key    state.Key
	remove func()
}

// looked takes away what was said of missed calls that the user looks at. Owner only.
func (b *Bridge) looked(at func(state.Key) bool) {
	b.missed = slices.DeleteFunc(b.missed, func(m missed) bool {
		if !at(m.key) {
			return false
		}
		m.remove()
		return true
	})
}

// unnotify takes the notification of a call away. Owner only.
func (k *call) unnotify() {
	if k.remove != nil {
		k.remove()
		k.remove = nil
	}
}

// holdOthers holds the calls that run, but one. Owner only.
func (b *Bridge) holdOthers(id string) {
	for _, c := range b.app.Calls {
		if c.ID != id && c.Phase.Live() && !c.Held {
			b.hold(c.ID, true)
		}
	}
}

// hold holds a call or goes on with it. Owner only.
func (b *Bridge) hold(id string, on bool) {
	k := b.calls[id]
	if k == nil {
		return
	}
	k.wish(func(k *call) {
		if err := k.media.Hold(on); err != nil {
			k.b.log.Info("hold", "err", err)
			return
		}
		k.tell(state.CallHeld{ID: id, On: on})
	})
}

// take answers a call that rings. Owner only.
func (b *Bridge) take(c state.AnswerCall) {
	k := b.calls[c.ID]
	shown, ok := b.app.Call(c.ID)
	if k == nil || !ok || shown.Phase != state.Rings {
		return
	}
	for _, other := range b.app.Calls {
		if other.ID == c.ID || !other.Phase.Live() && other.Phase != state.Dialing && other.Phase != state.RingsThere {
			continue
		}
		if c.End {
			b.calls[other.ID].hangUp()
		} else {
			b.hold(other.ID, true)
		}
	}
	k.once.Do(func() {
		k.answer <- c.Video && hasVideo()
		k.unnotify()
		b.apply(state.CallChanged{ID: c.ID, Phase: state.Linking}, state.CallInFront{ID: c.ID})
	})
}

// decline refuses one. Owner only.
func (b *Bridge) decline(id string) {
	if k := b.calls[id]; k != nil {
		k.once.Do(func() {
			close(k.refuse)
			k.unnotify()
			b.apply(state.CallChanged{ID: id, Phase: state.Ending})
		})
	}
}

// swap goes on with a held call and holds the others. Owner only.
func (b *Bridge) swap(id string) {
	b.holdOthers(id)
	b.hold(id, false)
	b.apply(state.CallInFront{ID: id})
}
