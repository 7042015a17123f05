package signaling

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/rtp"
	"mellium.im/xmpp/jid"
)

// CallOptions adjust a call. The zero value is a voice call.
type CallOptions struct {
	// Media that are proposed. Empty means audio. What the application
	// initiates with must be the same.
	Media []rtp.Media
	// SID is the session id. Empty makes up a UUID.
	SID string
	// Direct sends a session-initiate to one device without asking all of
	// them first. A full JID as callee chooses the device; it does not by
	// itself make the call direct.
	Direct bool
	// RingTimeout replaces Config.RingTimeout.
	RingTimeout time.Duration
}

// A Result says how a call ended.
type Result struct {
	Outcome Outcome
	Reason  jingle.Reason
	Remote  bool   // the other side ended it, or another device of ours
	Why     string // one lower-case line for people; may be empty
}

// A Call is an outgoing call.
type Call struct{ *call }

// An IncomingCall is a call of somebody to us.
type IncomingCall struct{ *call }

// SID returns the session id of the call, the same on all devices. It changes
// when both call each other at the same moment and their call wins.
func (k *call) SID() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sid
}

// Media returns what was proposed.
func (k *call) Media() []rtp.Media { return slices.Clone(k.media) }

// Done is closed when the call is over.
func (k *call) Done() <-chan struct{} { return k.done }

// Result returns how the call ended. It is complete once Done is closed.
func (k *call) Result() Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.result
}

// Session is closed when the application was attached to a Jingle session.
func (k *call) Session() <-chan struct{} { return k.attached }

// Hangup ends the call in whatever state it is: it takes back a proposal,
// rejects one, or terminates the session. An empty condition means what is
// usual in that state. It returns at once; Done tells when it is over.
func (k *call) Hangup(reason jingle.Reason) {
	_ = k.box.post(maxMailbox, func(over bool) {
		if !over {
			k.hangUp(reason)
		}
	}) // a call that is over needs no hanging up
}

// Peer returns the full JID of the other device; for an outgoing call that
// nobody answered yet, what Call was given.
func (k *call) Peer() jid.JID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.peer
}

// Since returns when the call was proposed.
func (k *call) Since() time.Time { return k.since }

// Ringing is closed when a device of the callee rings.
func (k *Call) Ringing() <-chan struct{} { return k.ringing }

// Proceeded is closed when a device of the callee took the call.
func (k *Call) Proceeded() <-chan struct{} { return k.proceeded }

// From returns the full JID of the device that calls.
func (k *IncomingCall) From() jid.JID { return k.Peer() }

// Known reports whether the caller may see our presence. Calls of others are
// shown without having been answered in any way (see [StrangerPolicy]).
func (k *IncomingCall) Known() bool { return k.known }

// Accept takes the call. app is attached to the session when the caller has
// started it, which takes a round trip; when that never happens app is never
// called, and whoever made it has to close it. The error is [ErrCancelled]
// when the call had ended before.
func (k *IncomingCall) Accept(ctx context.Context, app jingle.Application) error {
	result := make(chan error, 1)
	err := k.box.post(maxMailbox, func(over bool) {
		if over {
			result <- ErrCancelled
			return
		}
		result <- k.accept(app)
	})
	if err != nil {
		return ErrCancelled
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reject declines the call on all devices of the account. An empty condition
// means [jingle.Decline]; [jingle.Busy] says that we are in another call.
// After Accept it does the same as Hangup.
func (k *IncomingCall) Reject(reason jingle.Reason) { k.Hangup(reason) }

// Cancelled is closed when the call stopped ringing without our doing:
// retracted, answered or rejected on another device, or expired. Why is in
// Result, which is then complete.
func (k *IncomingCall) Cancelled() <-chan struct{} { return k.cancelled }

// Incoming delivers the calls of others. When nobody receives, new calls are
// not answered. The channel is closed by Close.
func (c *Client) Incoming() <-chan *IncomingCall { return c.incoming }

// calls are those that ring or run.
type calls struct {
	perPeer int // Config.MaxPerPeer

	mu      sync.Mutex
	all     map[*call]string // and their sid
	bySID   map[string][]*call
	byPeer  map[string]int // by bare JID
	ringing int            // incoming, not answered
}

// add registers a call. Two people may choose the same sid, so it alone does
// not tell calls apart.
func (t *calls) add(k *call) error {
	bare := k.peer.Bare().String()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all, t.bySID, t.byPeer = make(map[*call]string), make(map[string][]*call), make(map[string]int)
	}
	for _, other := range t.bySID[k.sid] {
		if other.dialed.Bare().Equal(k.peer.Bare()) {
			return errSameSID
		}
	}
	if t.byPeer[bare] >= t.perPeer || len(t.all) >= maxSessions || k.dir == In && t.ringing >= max(maxRinging, t.perPeer) {
		return ErrTooMany
	}
	t.all[k] = k.sid
	t.bySID[k.sid] = append(t.bySID[k.sid], k)
	t.byPeer[bare]++
	if k.dir == In {
		t.ringing++
		k.counted = true
	}
	return nil
}

func (t *calls) remove(k *call) {
	bare := k.dialed.Bare().String()
	t.mu.Lock()
	defer t.mu.Unlock()
	sid, ok := t.all[k]
	if !ok {
		return
	}
	delete(t.all, k)
	t.unlink(k, sid)
	if t.byPeer[bare]--; t.byPeer[bare] == 0 {
		delete(t.byPeer, bare)
	}
	t.stopRinging(k)
}

func (t *calls) unlink(k *call, sid string) {
	t.bySID[sid] = slices.DeleteFunc(t.bySID[sid], func(o *call) bool { return o == k })
	if len(t.bySID[sid]) == 0 {
		delete(t.bySID, sid)
	}
}

func (t *calls) stopRinging(k *call) {
	if k.counted {
		k.counted = false
		t.ringing--
	}
}

// answered says that a call rings no longer.
func (t *calls) answered(k *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopRinging(k)
}

// rename gives a call another sid.
func (t *calls) rename(k *call, sid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ok := t.all[k]
	if !ok {
		return
	}
	t.unlink(k, old)
	t.all[k] = sid
	t.bySID[sid] = append(t.bySID[sid], k)
}

// find returns the calls with a sid; with honest peers at most one.
func (t *calls) find(sid string) []*call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.bySID[sid])
}

// with returns the calls with a person.
func (t *calls) with(who jid.JID) []*call {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*call
	for k := range t.all {
		if k.dialed.Bare().Equal(who.Bare()) {
			out = append(out, k)
		}
	}
	return out
}

// busy reports whether there is a call with somebody else that is more than
// an incoming one nobody answered.
func (t *calls) busy(except jid.JID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.all {
		if !k.counted && !k.silent && !k.dialed.Bare().Equal(except.Bare()) {
			return true
		}
	}
	return false
}

func (t *calls) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}
