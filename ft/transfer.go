package ft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	"github.com/carillon-im/carillon/jingle/group"
)

// Times of a transfer.
const (
	openTimeout   = 10 * time.Second // for one carrier to find a path
	answerTimeout = 30 * time.Second // for an answer to a transport-replace
	returnTimeout = 60 * time.Second // for the sender to come back with another transport
	politeTimeout = 2 * time.Second  // for the receiver to end a session that is done; then we do
	endTimeout    = 5 * time.Second  // for our own end to be sent
	pingAfter     = 3 * time.Second  // for a program to show an offer, before it is asked whether it knows of it

	lastWordTimeout = 500 * time.Millisecond // for what was on its way when the session ended
)

// maxFruitless is how many streams in a row may break without a byte of
// progress before a transfer gives up.
const maxFruitless = 3

// maxInfos bounds the session-infos about a file that wait to be looked at.
const maxInfos = 4

// maxEarly bounds the transport-infos that wait for a person's decision.
const maxEarly = 64

// maxEffects bounds what waits for the transfer's goroutine.
const maxEffects = 256

// Errors that callers branch on. Those of package exchange come through too.
var (
	ErrDeclined    = errors.New("the peer declined")
	ErrUnsupported = errors.New("the peer has no way of transfer that we have")
	// ErrUnconfirmed reports that everything was sent to another client, which
	// never said that it has the file.
	ErrUnconfirmed = errors.New("the other client took every byte and does not say that it has the file")
	// ErrForgotten reports that the peer acknowledged the offer and knew nothing of
	// it a moment later.
	ErrForgotten = errors.New("the other program took the offer and lost it: it shows it to nobody")
	errReplaced  = errors.New("the peer replaces the transport")
)

// An Event tells what a transfer does. Events come in order from one
// goroutine, which waits for the callback.
type Event interface{ event() }

// Accepted says that the receiver agreed.
type Accepted struct{}

// Carrying says how the bytes travel. It comes again when the stream changes.
type Carrying struct{ Stream StreamInfo }

// Failing says that a carrier did not work and that the next is tried.
type Failing struct {
	Kind string // namespace of the transport
	Err  error
}

// Progressing tells how far the transfer is.
type Progressing struct{ exchange.Progress }

func (Accepted) event()    {}
func (Carrying) event()    {}
func (Failing) event()     {}
func (Progressing) event() {}

// A Transfer is one session that moves files. It is a jingle.Application:
// give it to package signaling, or to whatever else drives sessions.
type Transfer struct {
	carriers []Carrier
	env      Env
	role     jingle.Role
	onEvent  func(Event)
	work     func(context.Context) error // what the transfer's goroutine does
	log      *slog.Logger

	conn    jingle.Conn
	effects chan jingle.Effect
	ctx     context.Context
	cancel  context.CancelCauseFunc
	done    chan struct{}

	content   string
	forgetful bool // the peer may lose the offer
	senders   jingle.Senders
	answer    *jingle.Jingle   // the session-accept
	accepted  bool             // by us, as the responder
	early     []*jingle.Jingle // transport-infos that came before the offer was accepted
	infos     chan *filetransfer.Info
	confirmed bool                // another client said that it received the file
	checked   bool                // a file that we asked for is what the hash says
	plain     *exchange.PlainFile // of a receiver that talks to another client
	given     *exchange.Source    // what a responder was asked for
	from      int64               // and from where on
	replaced  *jingle.Jingle      // a transport-replace that interrupted a carrier
	ended     *jingle.Ended       // the session is over
	over      chan struct{}       // closed with it while a carrier runs

	group     *bunch   // of one file among several in a session; nil when the session is its own
	absent    bool     // its content was gone before the session was accepted
	partly    bool     // of several files, some arrived, and the peer knows about the others
	offered   int      // contents of the offer, if several
	withdrawn []string // contents that the sender removed while the offer was thought about

	mu       sync.Mutex
	result   *exchange.Result
	settled  int64 // the most bytes that a stream took, those kept included
	verified bool
	err      error
}

func newTransfer(role jingle.Role, carriers []Carrier, env Env, onEvent func(Event)) *Transfer {
	t := &Transfer{
		carriers: carriers, env: env, role: role, onEvent: onEvent, log: env.Log(),
		effects: make(chan jingle.Effect, maxEffects),
		senders: jingle.SendersInitiator,
		done:    make(chan struct{}),
		over:    make(chan struct{}),
		infos:   make(chan *filetransfer.Info, maxInfos),
		result:  &exchange.Result{},
	}
	if t.onEvent == nil {
		t.onEvent = func(Event) {}
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background()) // ends with Pause, Cancel or the session
	return t
}

// Attach implements jingle.Application.
func (t *Transfer) Attach(conn jingle.Conn) {
	t.conn = conn
	t.env.SID, t.env.Local, t.env.Peer = conn.SID(), conn.Local(), conn.Peer()
	go t.run()
}

// Handle implements jingle.Application.
func (t *Transfer) Handle(e jingle.Effect) {
	if added, ok := e.(jingle.ContentOffered); ok {
		t.refuseMore(added.Jingle)
		return
	}
	select {
	case t.effects <- e:
	default: // no honest peer says so much
		t.cancel(fmt.Errorf("more than %d actions wait", maxEffects))
	}
}

// refuseMore declines contents that are added to a session that is there. What
// somebody agreed to is the offer; more is another one, for a session of its
// own. XEP-0166#def-action-content-reject
func (t *Transfer) refuseMore(j *jingle.Jingle) {
	var names []string
	for _, c := range j.Contents {
		names = append(names, c.Name)
	}
	t.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		names = slices.DeleteFunc(names, func(name string) bool { // taken back meanwhile
			return !slices.ContainsFunc(s.Contents(), func(c jingle.ContentStatus) bool { return c.Name == name })
		})
		if len(names) == 0 {
			return nil, nil
		}
		return s.RejectContent(&jingle.Reason{Condition: jingle.Decline, Text: "more files need a session of their own"}, names...)
	})
}

// Done is closed when the transfer is over and nothing of it runs any more.
func (t *Transfer) Done() <-chan struct{} { return t.done }

// Result returns what was transferred and why the transfer ended; nil when
// everything went well. It is final once Done is closed.
func (t *Transfer) Result() (*exchange.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result, t.err
}

// Verified reports whether what arrived was compared with hashes of the
// sender. Without it the bytes are as many as announced, and nothing more is
// known. It is final once Done is closed.
func (t *Transfer) Verified() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.verified
}

// Pause ends the session; the same transfer offered again goes on from there.
func (t *Transfer) Pause() { t.cancel(exchange.ErrPaused) }

// Cancel ends the transfer for good.
func (t *Transfer) Cancel() { t.cancel(exchange.ErrCancelled) }

// Stop ends the session with err as the result, as when the peer has come back
// in another session. What has arrived stays.
func (t *Transfer) Stop(err error) { t.cancel(err) }

func (t *Transfer) run() {
	defer close(t.done)
	err := t.work(t.ctx)
	if cause := context.Cause(t.ctx); cause != nil {
		err = cause
	}
	t.cancel(net.ErrClosed)
	t.mu.Lock()
	t.err = err
	t.mu.Unlock()
	t.finish(err)
}

// finish ends the session if the peer has not.
func (t *Transfer) finish(err error) {
	if t.ended != nil {
		return
	}
	reason := jingle.Reason{Condition: jingle.Success}
	var refused *RefusedError
	switch {
	case err == nil, t.partly:
	case errors.As(err, &refused):
		reason.Condition, reason.Text = jingle.Decline, refused.Text
	case errors.Is(err, exchange.ErrPaused):
		reason.Condition = jingle.Gone // and perhaps coming back
	case errors.Is(err, exchange.ErrCancelled):
		reason.Condition = jingle.Cancel
	case errors.Is(err, ErrDeclined):
		reason.Condition = jingle.Decline
	case errors.Is(err, ErrUnsupported):
		reason.Condition = jingle.UnsupportedTransports
	case errors.Is(err, ErrNoPath):
		reason.Condition = jingle.ConnectivityError
	default:
		reason.Condition = jingle.FailedApplication
	}
	if t.group != nil {
		t.group.leave(t, reason)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := t.do(ctx, func(s *jingle.Session) ([]jingle.Effect, error) { return s.Terminate(reason), nil }); err != nil && !errors.Is(err, net.ErrClosed) {
		t.log.Warn("session is not ended", "err", err)
	}
	for t.ended == nil { // the driver's goroutine must not find our queue full
		if _, err := t.next(ctx); err != nil {
			return
		}
	}
}

func (t *Transfer) do(ctx context.Context, fn func(*jingle.Session) ([]jingle.Effect, error)) error {
	return t.conn.Do(ctx, fn)
}

// next returns the next effect of the session. The end of the session is an
// error.
func (t *Transfer) next(ctx context.Context) (jingle.Effect, error) {
	select {
	case e := <-t.effects:
		return t.took(e)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// took makes the end of the session an error.
func (t *Transfer) took(e jingle.Effect) (jingle.Effect, error) {
	if end, ok := e.(jingle.Ended); ok {
		t.ended = &end
		return nil, t.endError(end)
	}
	return e, nil
}

// An EndedError reports that the peer ended the session before the transfer
// was done.
type EndedError struct{ Reason jingle.Reason }

func (e *EndedError) Error() string {
	if e.Reason.Text != "" {
		return fmt.Sprintf("the peer ended the transfer: %s (%s)", e.Reason.Condition, printable(e.Reason.Text))
	}
	return fmt.Sprintf("the peer ended the transfer: %s", e.Reason.Condition)
}

// A RefusedError declines an offer with a reason that the sender may read. Err is
// the reason for this side, and may be nil.
type RefusedError struct {
	Text string
	Err  error
}

func (e *RefusedError) Error() string { return e.Text }
func (e *RefusedError) Unwrap() error { return e.Err }

// A DeclinedError is [ErrDeclined] with what the peer said of it.
type DeclinedError struct{ Text string }

func (e *DeclinedError) Error() string { return ErrDeclined.Error() + ": " + printable(e.Text) }
func (e *DeclinedError) Unwrap() error { return ErrDeclined }

func (t *Transfer) endError(e jingle.Ended) error {
	switch e.Reason.Condition {
	case jingle.Decline:
		if e.Reason.Text != "" {
			return &DeclinedError{e.Reason.Text}
		}
		return ErrDeclined
	case jingle.Cancel:
		return exchange.ErrCancelled
	case jingle.Gone:
		// A sender that pauses in the middle of a block has no way to say so
		// on the stream.
		if e.Remote && t.role == jingle.Responder && t.plain == nil {
			return exchange.ErrPaused
		}
	case jingle.UnsupportedApplications, jingle.UnsupportedTransports:
		return fmt.Errorf("%w: %w", ErrUnsupported, &EndedError{e.Reason})
	}
	return &EndedError{e.Reason}
}

// lastWord reports whether the peer said on the stream why it gives up.
func lastWord(err error) bool {
	var said *exchange.PeerError
	return errors.As(err, &said) || errors.Is(err, exchange.ErrPaused) || errors.Is(err, exchange.ErrCancelled)
}

// own reports whether err came to be on this side. Another stream changes
// nothing about it, and it explains more than the end of the session that the
// peer makes on account of it.
func own(err error) bool {
	for _, e := range []error{exchange.ErrDiskFull, exchange.ErrManifest, exchange.ErrProtocol, exchange.ErrChanged} {
		if errors.Is(err, e) {
			return true
		}
	}
	var file *fs.PathError
	var rename *os.LinkError
	return errors.As(err, &file) || errors.As(err, &rename)
}

// carrier returns the carrier for a transport, or nil.
func (t *Transfer) carrier(ns string) Carrier {
	for _, c := range t.carriers {
		if c.Namespace() == ns {
			return c
		}
	}
	return nil
}

// begin makes a negotiation of this session.
func (t *Transfer) begin(c Carrier) (Negotiation, error) {
	if _, none := c.(interface{ NeedsNoServices() }); !none && t.env.FindServices != nil {
		t.env.Services = append(t.env.Services, t.env.FindServices(t.ctx)...)
		t.env.FindServices = nil
	}
	env := t.env
	env.Content = t.content
	return c.New(env, t.role)
}

// bundle groups our content when its carrier wants that.
func (t *Transfer) bundle(c Carrier, j *jingle.Jingle) {
	if _, ok := c.(interface{ Bundled() }); ok {
		j.Groups = append(j.Groups, group.New(group.Bundle, t.content))
	}
}

// transportOf returns the transport of our content in j, or nil.
func (t *Transfer) transportOf(j *jingle.Jingle) jingle.Transport {
	for _, c := range j.Contents {
		if c.Name == t.content {
			return c.Transport
		}
	}
	return nil
}

// keepEarly keeps a transport-info for the negotiation that there is not yet,
// and notes contents that are offered no more.
func (t *Transfer) keepEarly(e jingle.Effect) {
	switch e := e.(type) {
	case jingle.TransportInfoReceived:
		if len(t.early) < maxEarly*max(1, t.offered) {
			t.early = append(t.early, e.Jingle)
		}
	case jingle.ContentRemoved:
		t.withdrawn = append(t.withdrawn, e.Names...)
	}
}

// tell sends what a negotiation has to say after its first element.
func (t *Transfer) tell(info jingle.Transport) {
	t.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		return s.TransportInfo(&jingle.Jingle{Contents: []jingle.Content{{Name: t.content, Transport: info}}})
	})
}

// hear gives a transport-info of the peer to a negotiation.
func (t *Transfer) hear(neg Negotiation, j *jingle.Jingle) {
	if tr := t.transportOf(j); tr != nil {
		if err := neg.Remote(tr); err != nil {
			t.log.Debug("transport-info is not used", "err", err)
		}
	}
}

// An openError reports that a carrier was tried and found no path.
type openError struct{ err error }

func (e *openError) Error() string { return e.err.Error() }
func (e *openError) Unwrap() error { return e.err }

// carry opens the stream of a negotiation and runs use on it, while it passes
// transport-infos both ways. It returns errReplaced when the peer changes the
// transport meanwhile.
func (t *Transfer) carry(ctx context.Context, neg Negotiation, patience time.Duration, use func(context.Context, Stream) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	result := make(chan error, 1)
	go func() {
		octx, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no connection within %v", patience))
		defer stop()
		s, err := neg.Open(octx)
		if err != nil {
			result <- &openError{err}
			return
		}
		t.onEvent(Carrying{s.Info()})
		result <- use(ctx, s)
	}()
	var (
		interrupted error
		listen      <-chan time.Time // for the last word on the stream, which says more than a reason
	)
	for {
		select {
		case err := <-result:
			if err == nil && t.confirmed {
				return nil // whatever came of the session
			}
			if interrupted != nil && !lastWord(err) && !own(err) {
				return interrupted
			}
			return err
		case <-listen:
			cancel(interrupted)
		case info := <-neg.Infos():
			t.tell(info)
		case e := <-t.effects:
			switch e := e.(type) {
			case jingle.TransportInfoReceived:
				t.hear(neg, e.Jingle)
			case jingle.InfoReceived:
				if info, ok := e.Payload.(*filetransfer.Info); ok {
					select {
					case t.infos <- info:
					default:
					}
				}
			case jingle.TransportReplaceReceived:
				t.replaced, interrupted = e.Jingle, errReplaced
				cancel(errReplaced)
			case jingle.Ended:
				t.ended, interrupted = &e, t.endError(e)
				close(t.over)
				if e.Remote && e.Reason.Condition == jingle.Success {
					interrupted = nil // what was said on the stream counts
					continue
				}
				listen = time.After(lastWordTimeout)
			}
		}
	}
}
