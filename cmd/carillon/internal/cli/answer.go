package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/cmd/carillon/internal/interrupt"
	"github.com/carillon-im/carillon/cmd/carillon/internal/talk"
	"mellium.im/xmpp/jid"
)

// swapTime is how long after another call came to the front a key may still
// have been meant for the one before.
const swapTime = 400 * time.Millisecond

func (c answerCmd) Run(ctx context.Context, a *app) error {
	d := &desk{cmd: c, app: a, done: make(chan result, 1), keys: make(chan rune, 16), closed: make(chan struct{}), gone: make(chan *talk.Ringing)}
	var wanted []jid.JID // nil for everybody
	for _, s := range c.From {
		j, err := parseJID(s)
		if err != nil {
			return err
		}
		wanted = append(wanted, j.Bare())
	}
	if err := c.sight(a).Check(ctx); err != nil {
		return err
	}
	l, err := a.line(ctx, c.soundFlags, !c.Auto || a.screen.Interactive(), func(from jid.JID) bool { return chosen(from, wanted) })
	if err != nil {
		return err
	}
	d.line = l
	typed := l.phone.Keys
	l.phone.Keys = d.keys
	err = d.serve(ctx, typed)
	d.leave()
	return errors.Join(err, l.close())
}

// A desk takes the calls of "carillon answer". Several may ring; one is at the
// front, which is the one that a key answers, and one at a time is taken.
type desk struct {
	cmd  answerCmd
	app  *app
	line *line

	ringing []*talk.Ringing // contacts first, the front first
	shown   *talk.Ringing   // what was at the front when it was last shown
	swapped time.Time       // when another call than before came to the front
	busy    bool            // a call is being taken or declined
	done    chan result     // of that call
	keys    chan rune       // for that call
	gone    chan *talk.Ringing
	closed  chan struct{}
	wg      sync.WaitGroup // of what waits for calls to stop ringing
}

// A result is how a call went that was taken or declined.
type result struct {
	taken bool
	err   error
}

// serve takes calls until ctx ends, which is how it is meant to end.
func (d *desk) serve(ctx context.Context, typed <-chan rune) error {
	stop, incoming := ctx.Done(), d.line.client.Incoming()
	for {
		select {
		case <-stop:
			stop = nil
			if !d.busy {
				return d.offline(ctx)
			}
		case <-d.line.client.Done():
			return fmt.Errorf("not online any more: %w", d.line.client.Err())
		case in, ok := <-incoming:
			if !ok {
				incoming = nil // Done is next
				continue
			}
			d.add(d.line.phone.Ring(in))
		case r := <-d.gone:
			if i := slices.Index(d.ringing, r); i >= 0 {
				d.ringing = slices.Delete(d.ringing, i, i+1)
				r.Leave()
			}
		case k, ok := <-typed:
			if !ok {
				typed = nil
				if !d.cmd.Auto {
					d.app.screen.Warn("nobody can answer: the input has ended, and --auto was not given")
				}
				continue
			}
			d.key(ctx, k)
		case o := <-d.done:
			d.busy = false
			for len(d.keys) > 0 {
				<-d.keys // typed for the call that is over
			}
			d.swapped = time.Now()
			switch interrupted := ctx.Err() != nil && errors.Is(o.err, interrupt.ErrInterrupted); {
			case o.err != nil && !interrupted && d.cmd.Once:
				return o.err
			case o.err != nil && !interrupted:
				// The next call may go better.
				if e := describe(o.err); !told(o.err) {
					d.line.view.Show(e)
				}
			case o.taken && d.cmd.Once:
				return nil
			}
			if ctx.Err() != nil {
				return d.offline(ctx)
			}
		}
		d.front(ctx)
	}
}

// offline is the end that Ctrl-C asks for.
func (d *desk) offline(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, interrupt.ErrInterrupted) {
		return err
	}
	d.app.screen.Printf("going offline")
	return nil
}

func chosen(from jid.JID, wanted []jid.JID) bool {
	for _, j := range wanted {
		if j.Equal(from.Bare()) {
			return true
		}
	}
	return len(wanted) == 0
}

// add lets a call wait, contacts before strangers.
func (d *desk) add(r *talk.Ringing) {
	at := len(d.ringing)
	if r.Known() {
		if i := slices.IndexFunc(d.ringing, func(r *talk.Ringing) bool { return !r.Known() }); i >= 0 {
			at = i
		}
	}
	d.ringing = slices.Insert(d.ringing, at, r)
	d.wg.Go(func() {
		select {
		case <-r.Cancelled():
			select {
			case d.gone <- r:
			case <-d.closed:
			}
		case <-d.closed:
		}
	})
}

// front shows and prepares the call that is answered next, and with --auto
// takes it.
func (d *desk) front(ctx context.Context) {
	if d.busy || ctx.Err() != nil {
		return
	}
	if len(d.ringing) == 0 {
		if d.shown != nil {
			d.shown, d.swapped = nil, time.Now()
		}
		return
	}
	r := d.ringing[0]
	d.line.view.Show(events.Next{Call: r.Call(), More: len(d.ringing) - 1})
	r.Prepare(ctx)
	if d.cmd.Auto {
		d.begin(func() result {
			taken, err := r.Take(ctx)
			return result{taken, err}
		})
		return
	}
	if r == d.shown {
		return
	}
	if d.shown != nil {
		d.swapped = time.Now()
	}
	d.shown = r
	if !d.app.screen.Live() {
		d.app.screen.Printf("write a and Enter to answer, d and Enter to decline")
	}
}

// begin takes the front call out of those that ring and does something with it.
func (d *desk) begin(do func() result) {
	d.ringing, d.busy, d.shown = slices.Delete(d.ringing, 0, 1), true, nil
	d.wg.Go(func() { d.done <- do() })
}

// key does what the user typed. A key that is typed while nothing rings, or
// while the call it was meant for gives way to another, means nothing.
func (d *desk) key(ctx context.Context, k rune) {
	switch {
	case d.busy:
		select {
		case d.keys <- k:
		default: // faster than the call handles them
		}
	case len(d.ringing) == 0:
		if k == 'q' && d.app.screen.Interactive() {
			d.app.stop.Now()
		}
	case d.app.screen.Interactive() && time.Since(d.swapped) < swapTime:
	case k == 'a' || k == 'y' || k == '\r':
		r := d.ringing[0]
		d.begin(func() result {
			taken, err := r.Take(ctx)
			return result{taken, err}
		})
	case k == 'd' || k == 'n' || k == 'q':
		r := d.ringing[0]
		d.begin(func() result {
			r.Decline()
			return result{taken: true}
		})
	}
}

// leave ends everything: calls that ring go on elsewhere.
func (d *desk) leave() {
	close(d.closed)
	for _, r := range d.ringing {
		r.Leave()
	}
	d.wg.Wait()
}
