package signaling

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// onlineSince is when the stream was last connected, or that it is not.
type onlineSince struct{ at atomic.Pointer[time.Time] }

func (o *onlineSince) set(on bool) {
	if !on {
		o.at.Store(nil)
		return
	}
	now := time.Now()
	o.at.Store(&now)
}

// during returns for how long we have been online; zero when we are not.
func (o *onlineSince) during() time.Duration {
	if at := o.at.Load(); at != nil {
		return time.Since(*at)
	}
	return 0
}

var errNoAnswer = errors.New("no answer")

// ask sends a Jingle action and calls done once with how it was answered: nil,
// a [*jingle.Error], or another error when no answer came. The order of calls
// is the order on the wire. done runs on a goroutine of its own.
//
// Time without connection does not count: what was queued is sent, and
// answered, when the stream is resumed. After a new login in place of a
// resumption nobody knows whether the peer got the action. It is sent once
// more then: a repeated candidate is harmless, and one lost for good is not.
func (c *Client) ask(to jid.JID, payload any, done func(error)) error {
	from := c.JID()
	wait, err := c.s.Ask(c.sendCtx, to, stanza.SetIQ, payload)
	if err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	ok := c.start(func() {
		st, err := c.await(wait)
		if errors.Is(err, stream.ErrRebound) && c.JID().Equal(from) {
			if wait, again := c.s.Ask(c.sendCtx, to, stanza.SetIQ, payload); again == nil {
				st, err = c.await(wait)
			}
		}
		done(jingleError(st, err))
	})
	if !ok {
		return net.ErrClosed
	}
	return nil
}

// await waits for an answer until we were online for actionTimeout without it.
func (c *Client) await(wait func(context.Context) (*stream.Stanza, error)) (*stream.Stanza, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	// Whoever closes waits for no answer, and what was said goes out all the same:
	// a session that was declined a moment ago is not left waiting.
	defer context.AfterFunc(c.ctx, func() { cancel(stream.ErrUnheard) })()
	began := time.Now()
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(actionTimeout, func() {
		<-ready
		if online := min(c.online.during(), time.Since(began)); online < actionTimeout {
			timer.Reset(actionTimeout - online)
			return
		}
		cancel(errNoAnswer)
	})
	close(ready)
	defer timer.Stop()
	return wait(ctx)
}

// jingleError turns the error answer to a Jingle action into what the engine takes.
func jingleError(st *stream.Stanza, err error) error {
	var answer *stream.AnswerError
	if !errors.As(err, &answer) {
		return err
	}
	var e jingle.Error
	if st.Child(st.Start.Name.Space, "error").Decode(&e) != nil {
		e.Stanza = answer.Err
	}
	return &e
}
