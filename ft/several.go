package ft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
)

// MaxSeveral is how many files one session with another client can have.
const MaxSeveral = jingle.MaxContents

// heardInterval is how often we look whether the peer has heard everything.
const heardInterval = 20 * time.Millisecond

// NewSeveralSender returns a transfer of 2 to [MaxSeveral] files, and no
// folders, in one session of XEP-0234: a content for each, side by side, with a
// transport of its own. Give it only to a peer that is known to take that; most
// take one file in a session. Limit is shared evenly, Thumbnail is not sent.
//
// A file that fails does not stop the others: the error of the result names
// the first that did, Result.Files has them all.
func NewSeveralSender(cfg SendConfig) (*Transfer, error) {
	if cfg.Source == nil || len(cfg.Carriers) == 0 {
		return nil, errors.New("a transfer needs something to send and a way to send it")
	}
	each := cfg.Source.Each()
	if len(each) < 2 || len(each) > MaxSeveral || len(each) != len(cfg.Source.Manifest) {
		return nil, fmt.Errorf("several files in a session are 2 to %d, without folders", MaxSeveral)
	}
	t := newTransfer(jingle.Initiator, cfg.Carriers, cfg.Env, cfg.OnEvent)
	t.work = func(ctx context.Context) error {
		g := newBunch(t)
		for i, src := range each {
			one := cfg
			one.Source, one.Thumbnail = src, nil
			if cfg.Limit > 0 {
				one.Limit = max(1, cfg.Limit/int64(len(each)))
			}
			e := src.Manifest[0]
			m := g.add(strconv.Itoa(i), e.Path, e.Size)
			j := m.plainJob(one)
			m.work = func(ctx context.Context) error { return m.offer(ctx, j) }
		}
		err := g.run(ctx)
		if ctx.Err() == nil && g.isOpen() {
			return errors.Join(err, t.awaitEnd(ctx))
		}
		return err
	}
	return t, nil
}

// takeSeveral receives the files of an offer with several contents. It is
// accepted as a whole or not at all.
func (t *Transfer) takeSeveral(ctx context.Context, cfg ReceiveConfig, contents []jingle.Content) error {
	offer, ok := ReadOffers(contents)
	if !ok {
		return fmt.Errorf("%w: the contents are not all files that it sends", ErrUnsupported)
	}
	for _, c := range contents {
		if t.carrier(c.Transport.Namespace()) == nil {
			return fmt.Errorf("%w: it offers %q", ErrUnsupported, c.Transport.Namespace())
		}
	}
	t.offered = len(contents)
	if err := t.decide(ctx, cfg, offer); err != nil {
		return err
	}
	if free := exchange.Free(cfg.Dir); free >= 0 && offer.Size > free {
		return fmt.Errorf("%w: %d bytes are missing", exchange.ErrDiskFull, offer.Size-free)
	}
	g := newBunch(t)
	for _, c := range contents {
		d := c.Description.(*filetransfer.Description)
		m := g.add(c.Name, printable(d.File.Name), plainOffer(d).Size)
		if slices.Contains(t.withdrawn, c.Name) {
			m.work = func(context.Context) error { return exchange.ErrCancelled }
			m.ended, m.absent = &jingle.Ended{Remote: true}, true
			continue
		}
		accept, err := m.openPlain(d, m.receiveOptions(cfg))
		if err != nil {
			g.close()
			return err
		}
		for _, j := range t.early {
			if one := only(j, c.Name); one != nil {
				m.early = append(m.early, one)
			}
		}
		m.work = func(ctx context.Context) error {
			return m.takeOver(ctx, cfg, m.carrier(c.Transport.Namespace()), accept, c.Transport)
		}
	}
	t.early = nil
	defer g.close()
	err := g.run(ctx)
	if ctx.Err() == nil && g.isOpen() {
		t.awaitHeard(ctx)
	}
	return err
}

// awaitHeard waits until the peer has acknowledged what we said: the end of the
// session would overtake what is still to be sent, as that we have a file.
func (t *Transfer) awaitHeard(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	for t.ended == nil {
		var left int
		if err := t.do(ctx, func(s *jingle.Session) ([]jingle.Effect, error) { left = s.Unheard(); return nil, nil }); err != nil || left == 0 {
			return
		}
		look, stop := context.WithTimeout(ctx, heardInterval)
		t.next(look)
		stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// A bunch is the transfers of the single files of one session. Each is a
// Transfer like any other, which neither begins nor ends the session.
type bunch struct {
	parent  *Transfer
	members []*Transfer
	names   []string // of the files
	sizes   []int64  // -1 when not known
	cancel  context.CancelCauseFunc
	opened  chan struct{} // closed when the session is initiated or accepted, or cannot be

	mu       sync.Mutex // of what follows, and of the parent's callback
	contents []jingle.Content
	openErr  error
	accepted bool
	progress []exchange.Progress
}

func newBunch(t *Transfer) *bunch {
	if find := t.env.FindServices; find != nil {
		var once sync.Once
		var found []Service
		t.env.FindServices = func(ctx context.Context) []Service {
			once.Do(func() { found = find(ctx) })
			return found
		}
	}
	return &bunch{parent: t, opened: make(chan struct{})}
}

// add makes the transfer of one more content.
func (g *bunch) add(content, file string, size int64) *Transfer {
	i := len(g.members)
	env := g.parent.env
	env.Services = slices.Clone(env.Services) // it grows
	m := newTransfer(g.parent.role, g.parent.carriers, env, func(e Event) { g.event(i, e) })
	m.conn, m.content, m.group = g.parent.conn, content, g
	g.members = append(g.members, m)
	g.names, g.sizes = append(g.names, file), append(g.sizes, size)
	g.progress = append(g.progress, exchange.Progress{Total: size})
	return m
}

// close gives up the files that did not come.
func (g *bunch) close() {
	for _, m := range g.members {
		if m.plain != nil {
			m.plain.Close()
		}
		m.cancel(nil)
	}
}

// event passes an event on, as of one transfer: it is accepted once, and
// progress is that of all files.
func (g *bunch) event(i int, e Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch e := e.(type) {
	case Accepted:
		if g.accepted {
			return
		}
		g.accepted = true
	case Progressing:
		g.progress[i] = e.Progress
		sum := e.Progress
		sum.Bytes, sum.Kept, sum.Total = 0, 0, 0
		for _, p := range g.progress {
			sum.Bytes += p.Bytes
			sum.Kept += p.Kept
			if sum.Total >= 0 {
				sum.Total += p.Total
			}
			if p.Total < 0 {
				sum.Total = -1
			}
		}
		g.parent.onEvent(Progressing{sum})
		return
	}
	g.parent.onEvent(e)
}

// open takes the content of one member, and carries out act with all of them
// once they are there. It returns when that is done.
func (g *bunch) open(ctx context.Context, c jingle.Content, act func(*jingle.Session, *jingle.Jingle) ([]jingle.Effect, error)) error {
	g.mu.Lock()
	g.contents = append(g.contents, c)
	last := len(g.contents) == len(g.members)-g.absent()
	g.mu.Unlock()
	if last {
		j := &jingle.Jingle{}
		for _, m := range g.members { // in the order of the offer
			i := slices.IndexFunc(g.contents, func(c jingle.Content) bool { return c.Name == m.content })
			if i >= 0 {
				j.Contents = append(j.Contents, g.contents[i])
			}
		}
		g.openErr = g.parent.do(ctx, func(s *jingle.Session) ([]jingle.Effect, error) {
			if s.Role() == jingle.Responder { // the sender may have removed some meanwhile
				j.Contents = slices.DeleteFunc(j.Contents, func(c jingle.Content) bool {
					return !slices.ContainsFunc(s.Contents(), func(k jingle.ContentStatus) bool { return k.Name == c.Name })
				})
			}
			return act(s, j)
		})
		close(g.opened)
	}
	select {
	case <-g.opened:
		return g.openErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// absent counts the contents that were gone before the session was accepted.
func (g *bunch) absent() (n int) {
	for _, m := range g.members {
		if m.absent {
			n++
		}
	}
	return n
}

// isOpen reports whether the session was initiated, or accepted.
func (g *bunch) isOpen() bool {
	select {
	case <-g.opened:
		return g.openErr == nil
	default:
		return false
	}
}

// run runs all members and returns when the last has ended. One that fails
// before the session is open ends all of them, since it is offered and
// accepted as a whole.
func (g *bunch) run(ctx context.Context) error {
	ctx, g.cancel = context.WithCancelCause(ctx)
	defer g.cancel(nil)
	t := g.parent
	over := make(chan *Transfer, len(g.members))
	for _, m := range g.members {
		m.cancel(nil)
		m.ctx, m.cancel = context.WithCancelCause(ctx)
		go func() {
			m.run()
			over <- m
		}()
	}
	for left := len(g.members); left > 0; {
		select {
		case e := <-t.effects:
			if end, ok := e.(jingle.Ended); ok {
				t.ended = &end
			}
			g.dispatch(e)
		case m := <-over:
			left--
			if _, err := m.Result(); err != nil && !g.isOpen() && !m.absent {
				g.cancel(err)
			}
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return g.join()
}

// dispatch gives an effect of the session to those members whom it concerns.
// To a member, the removal of its content is what the end of the session is
// to a transfer alone.
func (g *bunch) dispatch(e jingle.Effect) {
	for _, m := range g.members {
		switch e := e.(type) {
		case jingle.Accepted:
			if j := only(e.Jingle, m.content); j != nil {
				m.Handle(jingle.Accepted{Jingle: j})
			}
		case jingle.TransportInfoReceived:
			if j := only(e.Jingle, m.content); j != nil {
				m.Handle(jingle.TransportInfoReceived{Jingle: j})
			}
		case jingle.TransportReplaceReceived:
			if j := only(e.Jingle, m.content); j != nil {
				m.Handle(jingle.TransportReplaceReceived{Jingle: j})
			}
		case jingle.TransportAccepted:
			if j := only(e.Jingle, m.content); j != nil {
				m.Handle(jingle.TransportAccepted{Jingle: j})
			}
		case jingle.TransportRejected:
			if slices.Contains(e.Names, m.content) {
				m.Handle(e)
			}
		case jingle.ActionFailed:
			if slices.Contains(e.Names, m.content) {
				m.Handle(e)
			}
		case jingle.InfoReceived:
			if info, ok := e.Payload.(*filetransfer.Info); ok && info.Name == m.content {
				m.Handle(e)
			}
		case jingle.ContentRemoved:
			if slices.Contains(e.Names, m.content) {
				m.Handle(jingle.Ended{Reason: reasonOr(e.Reason, jingle.Cancel), Remote: true})
			}
		case jingle.ContentRejected:
			if slices.Contains(e.Names, m.content) {
				m.Handle(jingle.Ended{Reason: reasonOr(e.Reason, jingle.Decline), Remote: true})
			}
		case jingle.Ended:
			m.Handle(e)
		}
	}
}

func reasonOr(r *jingle.Reason, otherwise jingle.Condition) jingle.Reason {
	if r == nil || r.Condition == "" {
		return jingle.Reason{Condition: otherwise}
	}
	return *r
}

// only returns j with the one content of that name, or nil.
func only(j *jingle.Jingle, name string) *jingle.Jingle {
	for _, c := range j.Contents {
		if c.Name == name {
			one := *j
			one.Contents = []jingle.Content{c}
			return &one
		}
	}
	return nil
}

// leave ends the part of one member in a session that goes on: a file that
// arrived needs no word more, one that did not is removed. The session ends
// with the last.
func (g *bunch) leave(m *Transfer, reason jingle.Reason) {
	if reason.Condition == jingle.Success || !g.isOpen() || g.parent.ctx.Err() != nil {
		return
	}
	g.parent.conn.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) {
		if !slices.ContainsFunc(s.Contents(), func(c jingle.ContentStatus) bool { return c.Name == m.content }) {
			return nil, nil
		}
		return s.RemoveContent(&reason, m.content)
	})
}

// join makes one result of all.
func (g *bunch) join() error {
	var (
		sum      exchange.Result
		verified = true
		failed   int
		ours     int // failures that the peer has not told us of
		first    error
		which    string
	)
	for i, m := range g.members {
		res, err := m.Result()
		sum.Bytes += res.Bytes
		sum.Wire += res.Wire
		sum.Kept += res.Kept
		sum.Resent += res.Resent
		sum.Paths = append(sum.Paths, res.Paths...)
		if err != nil {
			if m.ended == nil {
				ours++
			}
			if failed++; first == nil {
				first, which = err, g.names[i]
			}
			sum.Files = append(sum.Files, exchange.FileResult{Path: g.names[i], Size: max(0, g.sizes[i]), Err: err})
		} else {
			sum.Files = append(sum.Files, res.Files...)
		}
		verified = verified && err == nil && m.Verified()
	}
	t := g.parent
	t.mu.Lock()
	t.result, t.verified = &sum, verified
	t.mu.Unlock()
	switch {
	case failed == 0:
		return nil
	case failed == len(g.members):
		return first
	}
	t.partly = ours == 0
	return fmt.Errorf("%d of %d files were not transferred, the first is %q: %w", failed, len(g.members), which, first)
}

// ReadOffers returns what the contents of a session-initiate offer together,
// and whether it is files, and all of them sent to us: one description, or
// several of XEP-0234.
func ReadOffers(contents []jingle.Content) (Offer, bool) {
	if len(contents) == 0 || len(contents) > MaxSeveral {
		return Offer{}, false
	}
	if len(contents) == 1 {
		return ReadOffer(contents[0].Description)
	}
	var all Offer
	for _, c := range contents {
		if _, plain := c.Description.(*filetransfer.Description); !plain || c.Transport == nil || c.Senders == jingle.SendersResponder {
			return Offer{}, false
		}
		one, ok := ReadOffer(c.Description)
		if !ok || one.Size > math.MaxInt64-max(0, all.Size) {
			return Offer{}, false
		}
		all.Names = append(all.Names, one.Names...)
		all.Files++
		if one.Size < 0 || all.Size < 0 {
			all.Size = -1
		} else {
			all.Size += one.Size
		}
	}
	return all, true
}
