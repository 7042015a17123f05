// Package talk joins signaling and media: it makes and takes single calls and
// tells what happens as events.
//
//	Phone.Call:    open sound, media.NewCall, signaling.Client.Call, run
//	Phone.Ring:    shows a call that came in; several may ring at once
//	Ringing.Take:  open sound, media.NewCall (Prepare: while it rings), Accept, run
//
// What is slow, such as opening devices and finding addresses, happens while
// it rings. Nothing of it reaches the peer before somebody has answered.
package talk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/internal/trouble"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/device"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// Times we wait.
const (
	servicesTimeout = 5 * time.Second // for the server to name its relays
	hangUpTimeout   = 5 * time.Second // for a hang-up to reach the peer
	patience        = 3 * time.Second // for a device to ring before we say why none may
)

// A Phone makes and takes calls of one account. Client, Sound and Show are
// needed.
type Phone struct {
	Client *signaling.Client
	Sound  Sound
	// Sight is the picture. The zero Sight is a call without.
	Sight Sight
	// Relays are used besides those that the server names.
	Relays []media.ICEServer
	// RelayOnly reveals no address but those of relays.
	RelayOnly bool
	// Duration ends a call that has lasted so long. Zero means never.
	Duration time.Duration
	// RingTimeout ends an outgoing call that nobody answers. Zero means what
	// the client was told.
	RingTimeout time.Duration
	// StatsInterval is the time between two Stats. Zero means a second.
	StatsInterval time.Duration
	// Keys are what the user types, see [Phone.key]. Nil when nobody does.
	Keys <-chan rune
	// Show takes what happens, on the goroutine that called.
	Show func(events.Event)
	// Warn takes what the user should know. Nil ignores.
	Warn func(format string, args ...any)
	// Media may change what a call is made with. Nil changes nothing.
	Media func(*media.Config)
	// Failed is told at once what goes wrong in a call that goes on. The call
	// then returns it with Told set. Nil ignores.
	Failed func(events.Call, error)
	Log    *slog.Logger

	calls atomic.Int32 // made or prepared so far
}

// ICEServers returns the relays of the configuration and of the server. A
// server that does not tell is no error: most paths need none.
func (p *Phone) ICEServers(ctx context.Context) []media.ICEServer {
	own, cancel := context.WithTimeout(ctx, servicesTimeout)
	defer cancel()
	list := append([]media.ICEServer(nil), p.Relays...)
	services, err := p.Client.Services(own)
	if err != nil && ctx.Err() == nil {
		p.warn("the server does not tell its relays: %v", err)
	}
	for _, s := range services {
		list = append(list, media.ICEServer{URL: s.URL(), Username: s.Username, Password: media.Secret(s.Password)})
	}
	return list
}

// warn tells the user; what comes from others is made harmless.
func (p *Phone) warn(format string, args ...any) {
	if p.Warn != nil {
		p.Warn("%s", screen.Escape(fmt.Sprintf(format, args...)))
	}
}

// prepare opens sound and picture and finds addresses. Nothing is shown from the
// beginning unless shown.
func (p *Phone) prepare(ctx context.Context, servers []media.ICEServer, relayOnly, shown bool) (*prepared, error) {
	if relayOnly && !hasRelay(servers) {
		return nil, fmt.Errorf("%w for %s", ErrNoRelay, p.Client.JID().Domain())
	}
	sound, err := p.Sound.Open(ctx)
	if err != nil {
		return nil, err
	}
	picture, err := p.Sight.Open(ctx, int(p.calls.Add(1)), shown)
	if err != nil {
		return nil, errors.Join(err, sound.Close())
	}
	cfg := media.Config{
		Audio: media.Audio{Source: sound.Source(), Sink: sound.Sink()}, Video: picture, ICEServers: servers, RelayOnly: relayOnly,
		StatsInterval: p.StatsInterval, Logger: p.Log,
	}
	if p.Media != nil {
		p.Media(&cfg)
	}
	m, err := media.NewCall(cfg)
	if err != nil {
		return nil, err
	}
	return &prepared{Call: m, sound: sound}, nil
}

// A prepared call has its sound and addresses.
type prepared struct {
	*media.Call
	sound *device.Sound
}

func hasRelay(servers []media.ICEServer) bool {
	for _, s := range servers {
		if len(s.URL) > 4 && s.URL[:4] == "turn" {
			return true
		}
	}
	return false
}

// Call calls somebody and returns when the call is over: nil when it was taken
// and ended as calls do, else a [*NotTakenError], a [*BrokenError], or what
// stood in the way.
func (p *Phone) Call(ctx context.Context, to jid.JID) error {
	m, err := p.prepare(ctx, p.ICEServers(ctx), p.RelayOnly, true)
	if err != nil {
		return err
	}
	defer m.Close()
	kinds := []rtp.Media{rtp.Audio}
	if p.Sight.shows() {
		kinds = append(kinds, rtp.Video)
	}
	call, err := p.Client.Call(ctx, to, m, signaling.CallOptions{Media: kinds, RingTimeout: p.RingTimeout})
	if err != nil {
		return err
	}
	t := &talk{phone: p, call: call, media: m, shows: p.Sight.shows(), dialed: events.Call{SID: call.SID(), Peer: to.String()}}
	p.Show(events.Calling{Call: t.dialed})
	return t.run(ctx, call.Ringing(), call.Proceeded())
}

// A CallError says in which call something went wrong.
type CallError struct {
	Call events.Call
	Err  error
	Told bool // the user knows it already, see [Phone.Failed]
}

func (e *CallError) Error() string { return e.Err.Error() }
func (e *CallError) Unwrap() error { return e.Err }

// A signal is what *signaling.Call and *signaling.IncomingCall have in common.
type signal interface {
	SID() string
	Peer() jid.JID
	Done() <-chan struct{}
	Result() signaling.Result
	Hangup(jingle.Reason)
}

// A talk is one call.
type talk struct {
	phone  *Phone
	call   signal
	media  *prepared
	broken error       // the sink, after which the call went on
	dialed events.Call // outgoing calls: as long as nobody has answered
	over   media.Ended
	digits chan rune
	shows  bool // something is shown, as far as the keys know
}

func (t *talk) id() events.Call {
	return events.Call{SID: t.call.SID(), Peer: t.call.Peer().String()}
}

// run shows what happens until the call is over. Channels may be nil.
func (t *talk) run(ctx context.Context, ringing, proceeded <-chan struct{}) error {
	own, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait() }()
	t.digits = make(chan rune, maxDigits)
	wg.Go(func() { t.sendDigits(own) })

	var (
		silence     <-chan time.Time // of their devices
		happens     = t.media.Events()
		keys        = t.phone.Keys
		interrupted = ctx.Done()
		limit       <-chan time.Time
		giveUp      <-chan time.Time
		show        = t.phone.Show
	)
	if ringing != nil {
		silence = time.After(patience)
	}
	// advance shows what has happened before anything that follows from it, even
	// when all of it is news at the same moment.
	advance := func() {
		if closed(ringing) {
			ringing, silence = nil, nil
			show(events.Ringing{Call: t.dialed})
		}
		if closed(proceeded) {
			proceeded, ringing, silence = nil, nil, nil
			t.media.Accepted(time.Now())
			show(events.Accepted{Call: t.id()})
		}
	}
	hangUp := func() {
		t.call.Hangup(jingle.Reason{})
		if giveUp == nil {
			giveUp = time.After(hangUpTimeout)
		}
	}
	for {
		select {
		case <-silence:
			wg.Go(func() { t.explainSilence(own) })
		case <-ringing:
			advance()
		case <-proceeded:
			advance()
		case e, ok := <-happens:
			advance()
			if !ok {
				// The media is over, so the session must be.
				happens = nil
				hangUp()
				continue
			}
			if _, first := e.(media.Connected); first && limit == nil && t.phone.Duration > 0 {
				limit = time.After(t.phone.Duration)
			}
			t.happened(e)
		case k, ok := <-keys:
			switch {
			case !ok:
				keys = nil
			case k == 'q':
				hangUp()
			default:
				t.key(own, k)
			}
		case <-limit:
			hangUp()
		case <-interrupted:
			interrupted = nil
			hangUp()
		case <-t.call.Done():
			advance()
			return t.finish(ctx)
		case <-giveUp:
			return t.finish(ctx)
		}
	}
}

// closed reports whether c is closed; nil is not.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// explainSilence tells the user why no device rings, if that is known.
func (t *talk) explainSilence(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, servicesTimeout)
	defer cancel()
	a, err := t.phone.Client.CanCall(ctx, t.call.Peer().Bare())
	if err == nil && !a.Can && a.Why != "" && ctx.Err() == nil {
		t.phone.warn("nothing rings yet: %s", a.Why)
	}
}

// wait waits for the call to be over, but not forever.
func (t *talk) wait() {
	select {
	case <-t.call.Done():
	case <-time.After(hangUpTimeout):
	}
}

// finish stops the media, shows the end, and says how it went.
func (t *talk) finish(ctx context.Context) error {
	t.media.Close()
	for e := range t.media.Events() {
		t.happened(e)
	}
	e := t.ended(t.over.Duration)
	e.Recording = t.media.sound.Recording()
	t.phone.Show(e)
	if err := t.verdict(ctx); err != nil {
		return &CallError{Call: t.id(), Err: err}
	}
	if t.broken != nil {
		return &CallError{Call: t.id(), Err: t.broken, Told: true}
	}
	return nil
}

// verdict says whether the call went as wanted.
func (t *talk) verdict(ctx context.Context) error {
	r := t.call.Result()
	peer := t.call.Peer().Bare().String()
	switch {
	case r.Outcome == signaling.Answered || t.over.Duration > 0:
		if t.over.Err != nil || !trouble.Usual(r.Reason.Condition) {
			return &BrokenError{Peer: peer, Reason: r.Reason, Remote: r.Remote, Err: t.over.Err}
		}
		return nil
	case r.Outcome == signaling.Retracted && ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &NotTakenError{Peer: peer, Outcome: r.Outcome, Reason: r.Reason, Why: r.Why}
}

func by(remote bool) string {
	if remote {
		return events.Peer
	}
	return events.Us
}

// seconds is d to the millisecond. However short a connected call was, it is not
// zero, which says that it never connected.
func seconds(d time.Duration) float64 {
	if d > 0 {
		d = max(d.Round(time.Millisecond), time.Millisecond)
	}
	return d.Seconds()
}

func (t *talk) ended(lasted time.Duration) events.Ended {
	r := t.call.Result()
	if r.Outcome == "" {
		// It still rings elsewhere, and nobody took it here.
		return events.Ended{Call: t.id(), Reason: string(jingle.Gone), Outcome: string(signaling.MissedCall), By: events.Us}
	}
	e := events.Ended{
		Call: t.id(), Reason: string(r.Reason.Condition), Outcome: string(r.Outcome),
		By: by(r.Remote), Seconds: seconds(lasted), Text: r.Reason.Text,
	}
	if e.Reason == "" {
		e.Reason = map[signaling.Outcome]string{
			signaling.Declined: "decline", signaling.Busy: "busy", signaling.NoAnswer: "timeout",
			signaling.Retracted: "cancel", signaling.MissedCall: "cancel", signaling.Answered: "success",
		}[r.Outcome]
	}
	if e.Reason == "" {
		e.Reason = "general-error"
	}
	return e
}
