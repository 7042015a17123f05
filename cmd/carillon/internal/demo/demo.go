// Package demo makes a call between two clients on this machine and checks
// that each heard what the other said.
//
// The server is package xmpptest, in this process. Everything between the two
// clients is what two people would use: XMPP over TLS, ICE over UDP sockets,
// DTLS-SRTP, Opus. Only microphones and speakers are replaced, by a generator
// of sound that is like speech and a recorder.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/media"
	"github.com/carillon-im/carillon/media/audio"
	"github.com/carillon-im/carillon/signaling"
	"github.com/carillon-im/carillon/signaling/xmpptest"
	"mellium.im/xmpp/jid"
)

// How long the steps may take, and how long the two talk.
const (
	stepTimeout = 5 * time.Second
	talkTime    = 4 * time.Second
	// maxLag is how much later than it was said a sound may be heard and still
	// be taken for the same.
	maxLag = 500 * time.Millisecond
	// piece is what is compared at once. A jitter buffer that waits longer when
	// the machine is busy shifts what follows, so a whole recording has no
	// single delay. Unrelated voices reach 0.54 in pieces of a second.
	piece = time.Second
)

// The two accounts.
const (
	aliceJID = "alice@carillon.test"
	bobJID   = "bob@carillon.test"
)

// A Config says who watches.
type Config struct {
	// Say tells a person what happens. Nil tells nobody.
	Say func(format string, args ...any)
	// Level is told twice a second what alice hears and says, in dBFS, and how
	// long they have talked. Nil tells nobody.
	Level func(s media.Stats)
	Log   *slog.Logger
}

// A Result is what was measured.
type Result struct {
	Verification string  // what both see
	Local        string  // type of the candidate that alice used
	Remote       string  // and bob's, as alice saw it
	Alice, Bob   Heard   // what each heard of the other
	Login        Seconds // both logins
	Ring         Seconds // from the call to the ringing
	Accept       Seconds // from the answer to the first sound at alice
	Total        Seconds
}

// Seconds is a duration in seconds with milliseconds, for programs.
type Seconds float64

func seconds(d time.Duration) Seconds { return Seconds(d.Round(time.Millisecond).Seconds()) }

// Heard is what one side heard.
type Heard struct {
	Score float64 `json:"score"`    // 1 is the same sound, see audio.Likeness
	Delay int64   `json:"delay_ms"` // from mouth to ear
	Loss  float64 `json:"loss"`     // share of packets
}

// Run makes the call. The error says what did not work, or what was not heard.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	d := &demo{Config: cfg, began: time.Now()}
	err := d.run(ctx)
	d.result.Total = seconds(time.Since(d.began))
	return d.result, err
}

type demo struct {
	Config
	began  time.Time
	result Result
}

func (d *demo) run(ctx context.Context) (err error) {
	password := rand.Text()
	server := xmpptest.NewServer(xmpptest.Config{
		Domains:  []string{"carillon.test"},
		Accounts: map[string]string{aliceJID: password, bobJID: password},
	})
	defer server.Close()
	server.Befriend(aliceJID, bobJID)
	d.Say("an XMPP server runs on %s, with its own certificate", server.Addr())

	alice, bob := newPerson("alice", 1), newPerson("bob", 2)
	defer func() { err = errors.Join(err, alice.close(), bob.close()) }()
	began := time.Now()
	for _, p := range []*person{alice, bob} {
		if err := p.login(ctx, server, signaling.Secret(password), d.Log); err != nil {
			return err
		}
		d.Say("%s is online as %s", p.name, p.client.JID())
	}
	d.result.Login = seconds(time.Since(began))
	return d.call(ctx, alice, bob)
}

// call lets alice call bob, talk and hang up.
func (d *demo) call(ctx context.Context, alice, bob *person) error {
	if err := errors.Join(alice.open(d.Log), bob.open(d.Log)); err != nil {
		return err
	}
	began := time.Now()
	to, err := jid.Parse(bobJID)
	if err != nil {
		return err
	}
	call, err := alice.client.Call(ctx, to, alice.media, signaling.CallOptions{})
	if err != nil {
		return fmt.Errorf("alice calls bob: %w", err)
	}
	d.Say("alice calls bob")
	in, err := wait(ctx, bob.client.Incoming(), "the call to arrive")
	if err != nil {
		return err
	}
	if err := waitClosed(ctx, call.Ringing(), "bob's phone to ring"); err != nil {
		return err
	}
	d.result.Ring = seconds(time.Since(began))
	d.Say("bob's phone rings, %.0f ms later", float64(d.result.Ring)*1000)

	answered := time.Now()
	bob.media.Accepted(answered)
	if err := in.Accept(ctx, bob.media); err != nil {
		return fmt.Errorf("bob answers: %w", err)
	}
	if err := waitClosed(ctx, call.Proceeded(), "bob's answer"); err != nil {
		return err
	}
	alice.media.Accepted(answered)
	d.Say("bob answers")
	if err := d.connect(ctx, alice, bob); err != nil {
		return err
	}
	if err := d.talk(ctx, alice, bob); err != nil {
		return err
	}
	call.Hangup(jingle.Reason{})
	for _, done := range []<-chan struct{}{call.Done(), in.Done(), alice.media.Done(), bob.media.Done()} {
		if err := waitClosed(ctx, done, "the call to end"); err != nil {
			return err
		}
	}
	d.Say("alice hangs up")
	if r := in.Result(); !r.Remote || r.Reason.Condition != jingle.Success {
		return fmt.Errorf("bob saw the call end with %q", r.Reason.Condition)
	}
	return d.compare(alice, bob)
}

// connect waits until both have a path and hear the other.
func (d *demo) connect(ctx context.Context, alice, bob *person) error {
	a, err := wait(ctx, alice.connected, "alice's media to connect")
	if err != nil {
		return errors.Join(err, alice.media.Err())
	}
	b, err := wait(ctx, bob.connected, "bob's media to connect")
	if err != nil {
		return errors.Join(err, bob.media.Err())
	}
	d.Say("connected directly (%s to %s), encrypted with DTLS-SRTP", a.Pair.Local.Type, a.Pair.Remote.Type)
	if a.Verification != b.Verification || a.Verification == "" {
		return fmt.Errorf("alice and bob see different keys: %q and %q", a.Verification, b.Verification)
	}
	d.Say("both see the verification %s", a.Verification)
	d.result.Verification = a.Verification
	d.result.Local, d.result.Remote = string(a.Pair.Local.Type), string(a.Pair.Remote.Type)
	first, err := wait(ctx, alice.heardFirst, "alice to hear bob")
	if err != nil {
		return err
	}
	if _, err := wait(ctx, bob.heardFirst, "bob to hear alice"); err != nil {
		return err
	}
	d.result.Accept = seconds(first.SinceAccept)
	d.Say("alice hears bob %d ms after he answered", first.SinceAccept.Milliseconds())
	return nil
}

// talk lets time pass.
func (d *demo) talk(ctx context.Context, alice, bob *person) error {
	d.Say("they talk for %d seconds", int(talkTime.Seconds()))
	over := time.NewTimer(talkTime)
	defer over.Stop()
	for {
		select {
		case s := <-alice.stats:
			if d.Level != nil {
				d.Level(s)
			}
		case <-over.C:
			d.result.Alice.Loss, d.result.Bob.Loss = alice.loss(), bob.loss()
			return nil
		case <-alice.media.Done():
			return fmt.Errorf("alice's call broke: %w", alice.media.Err())
		case <-bob.media.Done():
			return fmt.Errorf("bob's call broke: %w", bob.media.Err())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// compare checks that what was heard is what was said, and not something else.
func (d *demo) compare(alice, bob *person) error {
	var toBob, toAlice, crossed audio.Likeness
	var wg sync.WaitGroup
	wg.Go(func() { toBob = likeness(alice.said(), bob.heard()) })
	wg.Go(func() { toAlice = likeness(bob.said(), alice.heard()) })
	wg.Go(func() { crossed = likeness(alice.said(), alice.heard()) })
	wg.Wait()
	d.result.Bob.Score, d.result.Bob.Delay = toBob.Score, toBob.Delay.Milliseconds()
	d.result.Alice.Score, d.result.Alice.Delay = toAlice.Score, toAlice.Delay.Milliseconds()
	for _, side := range []struct {
		who, other string
		l          audio.Likeness
	}{{"bob", "alice", toBob}, {"alice", "bob", toAlice}} {
		if side.l.Score < audio.SameSound {
			return fmt.Errorf("%s did not hear what %s said: likeness %.2f, at least %.2f is needed", side.who, side.other, side.l.Score, audio.SameSound)
		}
		d.Say("%s heard what %s said: likeness %.2f of 1, %d ms from mouth to ear", side.who, side.other, side.l.Score, side.l.Delay.Milliseconds())
	}
	if crossed.Score >= audio.SameSound {
		return fmt.Errorf("alice heard herself (likeness %.2f): the check proves nothing", crossed.Score)
	}
	return nil
}

// likeness compares two recordings piece by piece: the score is the mean of the
// pieces, the delay the median.
func likeness(said, heard []int16) audio.Likeness {
	samples := func(d time.Duration) int { return int(d * audio.SampleRate / time.Second) }
	length, lag := samples(piece), samples(maxLag)
	var sum float64
	var delays []time.Duration
	for at := 0; at+length <= len(heard); at += length {
		// What was said earlier than maxLag before, or later, cannot be it.
		from, to := min(len(said), max(0, at-lag)), min(len(said), at+length)
		l := audio.Compare(said[from:to], heard[at:at+length], maxLag)
		sum += l.Score
		if l.Score >= audio.SameSound {
			delays = append(delays, l.Delay+time.Duration(at-from)*time.Second/audio.SampleRate)
		}
	}
	var total audio.Likeness
	if n := len(heard) / length; n > 0 {
		total.Score = sum / float64(n)
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		total.Delay = delays[len(delays)/2]
	}
	return total
}

// wait waits for one value.
func wait[T any](ctx context.Context, c <-chan T, what string) (T, error) {
	var zero T
	select {
	case v, ok := <-c:
		if !ok {
			return zero, fmt.Errorf("wait for %s: it ended first", what)
		}
		return v, nil
	case <-time.After(stepTimeout):
		return zero, fmt.Errorf("wait for %s: nothing in %s", what, stepTimeout)
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

func waitClosed(ctx context.Context, c <-chan struct{}, what string) error {
	select {
	case <-c:
		return nil
	case <-time.After(stepTimeout):
		return fmt.Errorf("wait for %s: nothing in %s", what, stepTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
