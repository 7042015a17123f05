package courier

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/datachannel"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/quic"
	"github.com/carillon-im/carillon/ft/race"
	"github.com/carillon-im/carillon/ft/si"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// Times of a sender.
const (
	patience  = 5 * time.Second  // for a device to show itself
	comeBack  = 15 * time.Second // for one that was there to show itself again
	betweenGo = time.Second      // between two offers that came to nothing
)

// maxFruitless bounds the offers in a row that brought nothing new across.
const maxFruitless = 5

// errReturned ends a session whose peer is back as another device.
var errReturned = errors.New("the receiver has come back")

// errAnew begins again with what is wanted now.
var errAnew = errors.New("what is wanted has changed")

// SendOptions adjust Send. The zero value is ready to use.
type SendOptions struct {
	// Limit is the highest rate in bytes a second; zero means none.
	Limit int64
	// SHA256 asks for the SHA-256 of each file in the result.
	SHA256 bool
	// Thumbnail shows a receiver of one file what it is; nil sends none.
	Thumbnail *filetransfer.Thumbnail
	// Wait goes on for as long as it takes: for a device to come online, and to
	// come back after it was lost.
	Wait bool
	// Plain sends as other clients do (XEP-0234), also to devices of ours.
	Plain bool
	// RelayOnly is asked before each offer, in place of that of the Courier: a
	// device may be waited for until something else is wanted. Nil never changes.
	RelayOnly func() bool
	// OnEvent is told what happens, in order. Nil ignores.
	OnEvent func(Event)
}

// An Event is something that happens to a transfer.
type Event interface{ event() }

// A Session says which transfer an event belongs to.
type Session struct {
	SID  string
	Peer jid.JID // full
}

// Waiting says that nobody is there and that Send waits.
type Waiting struct {
	To  jid.JID
	Why string
}

// Offered says that something is offered, by us or to us.
type Offered struct {
	Session
	Offer    ft.Offer
	Incoming bool
	Known    bool // the sender of an incoming offer may see our presence
	Resumed  bool // part of it has come before
}

// Happened is what package ft tells about a transfer.
type Happened struct {
	Session
	What ft.Event
}

// Broken says that a transfer was lost and is begun again.
type Broken struct {
	Session
	Err error
}

func (Waiting) event()  {}
func (Offered) event()  {}
func (Happened) event() {}
func (Broken) event()   {}

// A Done tells how a transfer ended.
type Done struct {
	Session
	exchange.Result
	Offer     ft.Offer
	Transport string // kind of the stream that carried the last byte; empty when there was none
	Verified  bool
	Seconds   float64 // since it was accepted
}

// Send offers src to somebody, and returns when all of it has arrived or why
// not. Done is complete also beside an error. To devices of ours everything
// goes in one session, to others file by file. A context that ends pauses: the
// same call goes on later.
func (c *Courier) Send(ctx context.Context, to jid.JID, src *exchange.Source, opt SendOptions) (*Done, error) {
	s := &sending{c: c, to: to, src: src, opt: opt}
	if s.opt.OnEvent == nil {
		s.opt.OnEvent = func(Event) {}
	}
	err := s.run(ctx)
	return &s.done, err
}

type sending struct {
	c   *Courier
	to  jid.JID
	src *exchange.Source
	opt SendOptions

	done     Done
	accepted time.Time
	sent     int // files that arrived, for targets that take them one by one
}

func (s *sending) run(ctx context.Context) error {
	wait, lost := patience, false
	fruitless := 0
	for {
		t, err := s.find(ctx, wait, lost)
		if err != nil {
			return err
		}
		before := s.done.Wire
		if err = s.deliver(ctx, t); err == nil {
			return nil
		}
		if errors.Is(err, errAnew) {
			continue // with what the device may be offered now
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.accepted.IsZero() && !s.opt.Wait && !errors.Is(err, errReturned) || !again(err) {
			return err
		}
		if fruitless++; s.done.Wire > before {
			fruitless = 0
		}
		if fruitless >= maxFruitless && !s.opt.Wait {
			return err
		}
		s.opt.OnEvent(Broken{s.done.Session, err})
		wait, lost = comeBack, true
		select {
		case <-time.After(betweenGo * time.Duration(min(fruitless, 30))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// again reports whether another offer may do better.
func again(err error) bool {
	var said *exchange.PeerError
	switch {
	case errors.Is(err, exchange.ErrPaused), errors.Is(err, exchange.ErrCancelled), errors.Is(err, ft.ErrDeclined), errors.Is(err, ft.ErrUnconfirmed),
		errors.Is(err, ft.ErrForgotten), errors.Is(err, exchange.ErrManifest), errors.Is(err, exchange.ErrChanged), errors.Is(err, exchange.ErrDiskFull), errors.As(err, &said):
		return false
	}
	return true
}

// find looks for the device, and says so when that takes long.
func (s *sending) find(ctx context.Context, wait time.Duration, lost bool) (Target, error) {
	t, err := s.c.find(ctx, s.to, wait, lost)
	var nobody *NobodyError
	if errors.As(err, &nobody) && s.opt.Wait {
		s.opt.OnEvent(Waiting{s.to, nobody.Why})
		t, err = s.c.find(ctx, s.to, -1, lost)
	}
	return t, err
}

// changed takes over whether our addresses are kept from others now, and
// reports whether that is something else than before.
func (s *sending) changed() bool {
	if s.opt.RelayOnly == nil {
		return false
	}
	now := s.opt.RelayOnly()
	if now == s.c.RelayOnly {
		return false
	}
	c := *s.c // others use the old one
	c.RelayOnly = now
	s.c = &c
	return true
}

// deliver offers to one device what has not arrived yet.
func (s *sending) deliver(ctx context.Context, t Target) error {
	if t.Ours && !s.opt.Plain {
		t.Carriers = withoutDetours(t.Carriers)
		s.done.Files, s.done.Bytes = nil, 0
		return s.session(ctx, t, s.src, ft.NewSender)
	}
	t.Carriers = without(t.Carriers, race.NS) // no other client has it
	for _, one := range s.src.Each()[s.sent:] {
		err := error(nil)
		if t.SI {
			err = s.stream(ctx, t, one)
		} else {
			err = s.session(ctx, t, one, ft.NewPlainSender)
		}
		if errors.Is(err, exchange.ErrChanged) {
			s.done.Files = append(s.done.Files, exchange.FileResult{Path: one.Manifest[0].Path, Size: one.Manifest[0].Size, Err: err})
			err = nil
		}
		if err != nil {
			return err
		}
		s.sent++
	}
	s.done.Files = append(s.done.Files, s.src.Unread...) // the whole source has them, its parts do not
	return nil
}

// without leaves out a carrier.
func without(list []ft.Carrier, ns string) []ft.Carrier {
	return slices.DeleteFunc(slices.Clone(list), func(c ft.Carrier) bool { return c.Namespace() == ns })
}

// withoutDetours leaves data channels out where there is QUIC: it finds the same
// paths and is faster on them; and TCP alone where it races with QUIC. QUIC
// alone stays: it comes next when a stream over TCP breaks.
func withoutDetours(list []ft.Carrier) []ft.Carrier {
	if slices.ContainsFunc(list, func(c ft.Carrier) bool { return c.Namespace() == race.NS }) {
		list = without(list, tcp.NS)
	}
	if !slices.Contains(list, ft.Carrier(quic.Carrier{})) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(c ft.Carrier) bool {
		return c == ft.Carrier(datachannel.Carrier{}) || c == ft.Carrier(datachannel.XEP0343{})
	})
}

// session makes one offer and waits for its end. A device that cannot use what
// is offered first, as one that keeps its address to itself and knows no relay,
// is offered the next. XEP-0166#protocol-initiate
//
// So is one of another client that ends the session, or refuses another
// transport, where the first fails.
//
// interop Dino 0.4.2: refuses every transport-replace.
func (s *sending) session(ctx context.Context, t Target, src *exchange.Source, newSender func(ft.SendConfig) (*ft.Transfer, error)) error {
	for {
		if s.changed() {
			return errAnew
		}
		before := s.done.Wire
		tried, err := s.attempt(ctx, t, src, newSender)
		if ctx.Err() != nil || s.done.Wire > before {
			return err
		}
		switch {
		case errors.Is(err, ft.ErrUnsupported) && tried < len(t.Carriers):
		case noPath(err) && !t.Ours && len(t.Carriers) > 1:
			tried = 1 // those after it were refused, not tried
		default:
			return err
		}
		t.Carriers = t.Carriers[tried:]
		s.opt.OnEvent(Broken{s.done.Session, err})
	}
}

// noPath reports whether a session came to nothing because its transport did.
func noPath(err error) bool {
	var ended *ft.EndedError
	if errors.As(err, &ended) {
		switch ended.Reason.Condition {
		case jingle.ConnectivityError, jingle.FailedTransport:
			return true
		}
	}
	return errors.Is(err, ft.ErrNoPath)
}

// attempt makes one session. tried is how many carriers were.
func (s *sending) attempt(ctx context.Context, t Target, src *exchange.Source, newSender func(ft.SendConfig) (*ft.Transfer, error)) (tried int, err error) {
	tried = 1
	id := Session{Peer: t.JID}
	ready := make(chan struct{}) // closed when id is complete
	streaming := make(chan bool, 1)
	var kind string
	x, err := newSender(ft.SendConfig{
		Source: src, Carriers: t.Carriers, Env: s.c.env(), Limit: s.opt.Limit, SHA256: s.opt.SHA256, Thumbnail: s.thumbnail(src), Forgetful: t.forgetful,
		OnEvent: func(e ft.Event) {
			<-ready
			switch e := e.(type) {
			case ft.Accepted:
				if s.accepted.IsZero() {
					s.accepted = time.Now()
				}
			case ft.Carrying:
				kind = e.Stream.Kind
				tell(streaming, true)
			case ft.Failing:
				tried++
				tell(streaming, false)
			}
			s.opt.OnEvent(Happened{id, e})
		},
	})
	if err != nil {
		return tried, err
	}
	news := s.c.Client.Subscribe(maxEvents)
	defer news.Close()
	conn, err := s.c.Client.Open(ctx, t.JID, "", x)
	if err != nil {
		return tried, err
	}
	id.SID = conn.SID()
	s.done.Session = id
	s.opt.OnEvent(Offered{Session: id, Offer: ft.Summary(src.Manifest)})
	close(ready)
	s.watch(ctx, x, t, news, streaming)
	res, err := x.Result()
	s.add(res, x.Verified(), kind)
	return tried, err
}

// thumbnail is what shows src. Of several files none is shown by it.
func (s *sending) thumbnail(src *exchange.Source) *filetransfer.Thumbnail {
	if len(s.src.Manifest) != 1 || len(src.Manifest) != 1 || src.Manifest[0].Dir {
		return nil
	}
	return s.opt.Thumbnail
}

// tell replaces what nobody has read yet.
func tell(ch chan bool, v bool) {
	select {
	case <-ch:
	default:
	}
	ch <- v
}

// watch waits for the end of a session. While no stream is up, a device that
// comes online may be the receiver who is back after a crash: when the old one
// is silent then, the session is given up, since waiting for its answers would
// only take time.
func (s *sending) watch(ctx context.Context, x running, t Target, news *signaling.Subscription, streaming <-chan bool) {
	up, came := false, false
	var asked chan bool // gets whether the old device is there
	for {
		select {
		case <-x.Done():
			return
		case <-ctx.Done():
			x.Pause()
			<-x.Done()
			return
		case up = <-streaming:
		case there := <-asked:
			asked = nil
			if !there && !up {
				x.Stop(errReturned)
			}
		case e, ok := <-news.Events():
			if !ok {
				<-x.Done()
				return
			}
			p, ok := e.(signaling.PresenceChanged)
			came = came || ok && sameBare(p.Device.JID, t.JID) && p.Device.Available != p.Device.JID.Equal(t.JID)
		}
		if came && !up && asked == nil {
			came, asked = false, make(chan bool, 1)
			go func(answer chan<- bool) {
				ctx, cancel := context.WithTimeout(ctx, pingTimeout)
				defer cancel()
				answer <- s.c.alive(ctx, t.JID)
			}(asked)
		}
	}
}

// stream sends one file to a device without Jingle.
func (s *sending) stream(ctx context.Context, t Target, src *exchange.Source) error {
	if s.changed() {
		return errAnew
	}
	env := s.c.env()
	env.SID, env.Local, env.Peer = rand.Text(), s.c.Client.JID(), t.JID
	id := Session{env.SID, t.JID}
	s.done.Session = id
	s.opt.OnEvent(Offered{Session: id, Offer: ft.Summary(src.Manifest)})
	streaming := make(chan bool, 1)
	var kind string
	news := s.c.Client.Subscribe(maxEvents)
	defer news.Close()
	x, err := si.Send(ft.SendConfig{
		Source: src, Carriers: t.Carriers, Env: env, Limit: s.opt.Limit, SHA256: s.opt.SHA256,
		OnEvent: func(e ft.Event) {
			switch e := e.(type) {
			case ft.Accepted:
				if s.accepted.IsZero() {
					s.accepted = time.Now()
				}
			case ft.Carrying:
				kind = e.Stream.Kind
				tell(streaming, true)
			}
			s.opt.OnEvent(Happened{id, e})
		},
	})
	if err != nil {
		return err
	}
	s.watch(ctx, x, t, news, streaming)
	res, err := x.Result()
	s.add(res, x.Verified(), kind)
	return err
}

// add takes the result of one session into the whole.
func (s *sending) add(res *exchange.Result, verified bool, kind string) {
	d := &s.done
	d.Verified = verified && (len(d.Files) == 0 || d.Verified)
	d.Bytes += res.Bytes
	d.Wire += res.Wire
	d.Kept += res.Kept
	d.Files = append(d.Files, res.Files...)
	if kind != "" {
		d.Transport = kind
	}
	if !s.accepted.IsZero() {
		d.Seconds = time.Since(s.accepted).Seconds()
	}
}

// An IncompleteError reports the files that were not transferred although the transfer
// came to its end. It unwraps to their errors.
type IncompleteError struct{ Files []exchange.FileResult }

// maxNamed is how many files the text of an IncompleteError names.
const maxNamed = 5

func (e *IncompleteError) Error() string {
	first := e.Files[0]
	if len(e.Files) == 1 {
		return fmt.Sprintf("%q was not transferred: %v", first.Path, first.Err)
	}
	text := fmt.Sprintf("%d files or folders were not transferred", len(e.Files))
	for i, f := range e.Files[:min(len(e.Files), maxNamed)] {
		text += fmt.Sprintf("%c %q: %v", ":;"[min(i, 1)], f.Path, f.Err)
	}
	if more := len(e.Files) - maxNamed; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

func (e *IncompleteError) Unwrap() (errs []error) {
	for _, f := range e.Files {
		errs = append(errs, f.Err)
	}
	return errs
}
