package talk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/cmd/carillon/internal/events"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"github.com/carillon-im/carillon/signaling"
)

// A Ringing is a call that came in. It is ended by exactly one of Take,
// Decline and Leave. Prepare and these have one caller.
type Ringing struct {
	phone *Phone
	in    *signaling.IncomingCall

	wg        sync.WaitGroup // of what prepares
	cancel    context.CancelFunc
	relayOnly bool
	media     *prepared
	err       error
}

// Ring shows a call that came in.
func (p *Phone) Ring(in *signaling.IncomingCall) *Ringing {
	r := &Ringing{phone: p, in: in}
	var kinds []string
	for _, m := range in.Media() {
		kinds = append(kinds, string(m))
	}
	p.Show(events.Incoming{Call: r.Call(), Media: kinds, Contact: in.Known()})
	return r
}

// Call says which call it is.
func (r *Ringing) Call() events.Call {
	return events.Call{SID: r.in.SID(), Peer: r.in.From().String()}
}

// Known reports whether the caller may see our presence.
func (r *Ringing) Known() bool { return r.in.Known() }

// Cancelled is closed when it stopped ringing without our doing.
func (r *Ringing) Cancelled() <-chan struct{} { return r.in.Cancelled() }

// Prepare opens sound and finds addresses in the background, so that taking
// the call is quick.
func (r *Ringing) Prepare(ctx context.Context) {
	if r.cancel != nil {
		return
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.wg.Go(func() {
		servers := r.phone.ICEServers(ctx)
		// People who are not contacts learn no address of ours when that can be helped.
		r.relayOnly = r.phone.RelayOnly || !r.in.Known() && hasRelay(servers)
		r.media, r.err = r.phone.prepare(ctx, servers, r.relayOnly, r.sees())
	})
}

// release frees what was prepared.
func (r *Ringing) release() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.wg.Wait()
	if r.media != nil {
		r.media.Close()
	}
}

// sees reports whether the caller proposed video.
func (r *Ringing) sees() bool { return slices.Contains(r.in.Media(), rtp.Video) }

func (r *Ringing) talk() *talk {
	return &talk{phone: r.phone, call: r.in, media: r.media, shows: r.phone.Sight.shows() && r.sees()}
}

// Leave shows that the call does not ring here any more. Other devices may go on.
func (r *Ringing) Leave() {
	r.release()
	r.phone.Show(r.talk().ended(0))
}

// Decline refuses the call on all devices of the account.
func (r *Ringing) Decline() {
	r.release()
	r.in.Reject(jingle.Reason{})
	t := r.talk()
	t.wait()
	r.phone.Show(t.ended(0))
}

// Take takes the call and returns when it is over. taken is false when the
// caller had given up before.
func (r *Ringing) Take(ctx context.Context) (taken bool, err error) {
	r.Prepare(ctx)
	r.wg.Wait()
	defer r.release()
	if r.err != nil {
		r.in.Reject(jingle.Reason{Condition: jingle.FailedApplication})
		return true, &CallError{Call: r.Call(), Err: r.err}
	}
	t, who := r.talk(), r.in.From()
	if !r.in.Known() && !r.relayOnly {
		r.phone.warn("%s is not a contact and no relay is known: they can see the address of this machine", who.Bare())
	}
	r.media.Accepted(time.Now())
	switch err := r.in.Accept(ctx, r.media); {
	case errors.Is(err, signaling.ErrCancelled):
		r.phone.Show(t.ended(0))
		return false, nil
	case err != nil:
		return true, &CallError{Call: r.Call(), Err: fmt.Errorf("answer %s: %w", who, err)}
	}
	r.phone.Show(events.Accepted{Call: r.Call()})
	return true, t.run(ctx, nil, nil)
}
