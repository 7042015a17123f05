package courier

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/ft/si"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/filetransfer"
	"github.com/carillon-im/carillon/signaling"
	"mellium.im/xmpp/jid"
)

// maxTransfers bounds the offers of everybody that are open or running.
const maxTransfers = 64

// errSuperseded ends a transfer whose sender offers the same again.
var errSuperseded = errors.New("the sender began anew")

// ErrQuota reports an offer that is larger than what may still come.
var ErrQuota = errors.New("more than may be received")

// A ReceiveConfig says what is taken and where it goes. Dir is required.
type ReceiveConfig struct {
	Dir string
	// Wanted says whose offers are looked at; the others are refused, also when
	// they go on. Nil means everybody's.
	Wanted func(from jid.JID) bool
	// Decide is asked about an offer and may take as long as a person does. An
	// error declines; a [ft.RefusedError] tells the sender why. Nil accepts. It
	// is not asked again about a transfer that goes on after an interruption,
	// unless it has become larger.
	Decide func(context.Context, Offered) error
	// Quota bounds the bytes received of everybody, and QuotaPerContact those
	// of one bare JID, as long as the receiver runs. Zero means no bound.
	Quota, QuotaPerContact int64
	// Ledger keeps transfers from coming twice when the sender missed their
	// end. Nil remembers nothing.
	Ledger *Ledger
	SHA256 bool
	// OnEvent is told what happens; the events of several transfers mix. Nil
	// ignores.
	OnEvent func(Event)
	// OnDone is told the end of each transfer, after its events. Nil ignores.
	OnDone func(*Done, error)
}

// A Receiver takes what others offer until it is closed.
type Receiver struct {
	c      *Courier
	cfg    ReceiveConfig
	remove []func()
	wg     sync.WaitGroup

	free func(dir string) int64 // bytes on the disk; -1 when not known

	mu     sync.Mutex
	closed bool
	open   map[*incoming]struct{}
	used   map[string]int64 // bytes received or accepted, by bare JID
	total  int64
}

// An incoming is one offer.
type incoming struct {
	r        *Receiver
	id       Session
	known    bool
	offer    ft.Offer
	x        running
	asked    bool // the offer may be shown: it makes sense
	reserved int64
	left     atomic.Int64  // bytes that are accepted and not on the disk yet
	over     chan struct{} // closed when nothing is reserved any more
	again    bool          // it had come before
	accepted time.Time
	kind     string
}

// Receive advertises that files are taken, and takes them until Close.
func (c *Courier) Receive(cfg ReceiveConfig) (*Receiver, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder for received files: %w", err)
	}
	cfg.Dir = dir
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(Event) {}
	}
	if cfg.OnDone == nil {
		cfg.OnDone = func(*Done, error) {}
	}
	r := newReceiver(c, cfg)
	r.remove = append(r.remove, c.Client.Advertise(slices.Concat([]string{jingle.NS}, ft.Features(c.carriers()...), ft.HashFeatures())...))
	for _, ns := range []string{ft.NS, filetransfer.NS} {
		r.remove = append(r.remove, c.Client.Handle(ns, r.take))
	}
	// Last: one that asks meanwhile must not take us for a client without Jingle.
	if old := si.Features(c.carriers()...); old != nil {
		r.remove = append(r.remove, c.Client.Advertise(old...), si.Listen(c.env(), r.takeOld))
	}
	return r, nil
}

func newReceiver(c *Courier, cfg ReceiveConfig) *Receiver {
	return &Receiver{c: c, cfg: cfg, free: exchange.Free, open: make(map[*incoming]struct{}), used: make(map[string]int64)}
}

// Close takes nothing new, pauses what runs, and waits for its end.
func (r *Receiver) Close() {
	for _, remove := range r.remove {
		remove()
	}
	r.mu.Lock()
	r.closed = true
	for in := range r.open {
		in.x.Pause()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// take runs on the goroutine of the session and does not wait.
func (r *Receiver) take(o signaling.Offer) jingle.Application {
	in := &incoming{r: r, id: Session{o.SID, o.From}, known: o.Known, over: make(chan struct{})}
	in.offer, in.asked = ft.ReadOffers(o.Jingle.Contents)
	if o.Jingle.Contents[0].Senders == jingle.SendersResponder {
		in.asked = false // it asks for a file, which we do not give
	}
	x, err := ft.NewReceiver(in.config())
	if err != nil {
		r.c.log().Warn("offer is not taken", "from", o.From.String(), "err", err)
		return nil
	}
	in.x = x
	if !r.begin(in) {
		return nil
	}
	return x
}

// takeOld takes the offer of a client without Jingle. It does not wait.
func (r *Receiver) takeOld(o *si.Incoming) {
	contact, ok := r.c.Client.Contact(o.From)
	in := &incoming{r: r, id: Session{o.SID, o.From}, offer: o.Offer, asked: true, over: make(chan struct{}),
		known: ok && contact.SeesUs() || sameBare(o.From, r.c.Client.JID())}
	r.mu.Lock()
	full := r.closed || len(r.open) >= maxTransfers
	r.mu.Unlock()
	if full {
		o.Decline()
		return
	}
	ready := make(chan struct{}) // closed when in.x is set
	cfg := in.config()
	cfg.Env.Local = r.c.Client.JID()
	decide := cfg.Decide
	cfg.Decide = func(ctx context.Context, offer ft.Offer) error { <-ready; return decide(ctx, offer) }
	x, err := o.Receive(cfg)
	if err != nil {
		r.c.log().Warn("offer is not taken", "from", o.From.String(), "err", err)
		return
	}
	in.x = x
	if !r.begin(in) {
		x.Cancel()
	}
	close(ready)
}

func (in *incoming) config() ft.ReceiveConfig {
	return ft.ReceiveConfig{
		Dir: in.r.cfg.Dir, Carriers: in.r.c.carriers(), Env: in.r.c.env(), SHA256: in.r.cfg.SHA256,
		Decide:   func(ctx context.Context, _ ft.Offer) error { return in.decide(ctx) },
		Finished: in.finished, Arriving: in.arriving, OnEvent: in.event,
	}
}

// begin counts a transfer, unless there are too many.
func (r *Receiver) begin(in *incoming) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.open) >= maxTransfers {
		return false
	}
	r.open[in] = struct{}{}
	r.wg.Go(in.await)
	return true
}

// await reports the end of a transfer.
func (in *incoming) await() {
	<-in.x.Done()
	res, err := in.x.Result()
	in.release(res, err)
	if !in.asked {
		return // nothing was shown of it
	}
	d := &Done{Session: in.id, Result: *res, Offer: in.offer, Transport: in.kind, Verified: in.x.Verified()}
	if !in.accepted.IsZero() {
		d.Seconds = time.Since(in.accepted).Seconds()
	}
	in.r.cfg.OnDone(d, err)
}

func (in *incoming) peer() string { return in.id.Peer.Bare().String() }

func (in *incoming) event(e ft.Event) {
	switch e := e.(type) {
	case ft.Accepted:
		in.r.mu.Lock() // others look whether it runs
		in.accepted = time.Now()
		in.r.mu.Unlock()
	case ft.Carrying:
		in.kind = e.Stream.Kind
	case ft.Progressing:
		in.left.Store(max(0, e.Total-e.Bytes))
	}
	in.r.cfg.OnEvent(Happened{in.id, e})
}

// decide says whether an offer is taken. Nothing of ours was revealed before.
func (in *incoming) decide(ctx context.Context) error {
	r := in.r
	if r.cfg.Wanted != nil && !r.cfg.Wanted(in.id.Peer) {
		in.asked = false
		return &ft.RefusedError{Text: "not wanted here"}
	}
	resumed, held := in.begun()
	shown := Offered{Session: in.id, Offer: in.offer, Incoming: true, Known: in.known, Resumed: resumed}
	r.cfg.OnEvent(shown)
	if err := in.reserve(held, false); err != nil {
		return err
	}
	if r.cfg.Decide != nil && !resumed {
		if err := r.cfg.Decide(ctx, shown); err != nil {
			return err
		}
	}
	in.supersede(ctx)
	return in.reserve(held, true)
}

// begun reports whether everything in the offer was accepted before from this
// peer and is not whole yet, and how many bytes of it are there. An offer that
// has grown since is another one.
func (in *incoming) begun() (bool, int64) {
	list, err := exchange.Partials(in.r.cfg.Dir)
	if err != nil || len(in.offer.Names) == 0 || in.offer.Size < 0 {
		return false, 0
	}
	var held int64
	for _, name := range in.offer.Names {
		i := slices.IndexFunc(list, func(p exchange.Partial) bool { return p.Peer == in.peer() && p.Name == name })
		if i < 0 || in.offer.Size > list[i].Offer {
			return false, 0
		}
		held += list[i].Received
	}
	return true, held
}

// supersede ends the transfer that the sender has begun anew: its stream may
// be dead without our knowing, and it holds the files.
func (in *incoming) supersede(ctx context.Context) {
	r := in.r
	r.mu.Lock()
	var old []*incoming
	for o := range r.open {
		if in.supersedes(o) {
			old = append(old, o)
		}
	}
	r.mu.Unlock()
	for _, o := range old {
		o.x.Stop(errSuperseded)
		select {
		case <-o.over:
		case <-ctx.Done():
			return
		}
	}
}

// supersedes reports whether in is what o was, begun anew.
func (in *incoming) supersedes(o *incoming) bool {
	return o != in && !o.accepted.IsZero() && o.peer() == in.peer() && sameOffer(o.offer, in.offer)
}

func sameOffer(a, b ft.Offer) bool {
	return a.Size == b.Size && a.Files == b.Files && a.Folders == b.Folders && slices.Equal(a.Names, b.Names)
}

// reserve counts an offer against the quotas and the free disk, of which held
// bytes are used by it already. Without take it only looks whether there is
// room: what nobody has accepted takes none from others.
func (in *incoming) reserve(held int64, take bool) error {
	r := in.r
	r.mu.Lock()
	defer r.mu.Unlock()
	size := in.offer.Size
	if size < 0 && (r.cfg.Quota > 0 || r.cfg.QuotaPerContact > 0) {
		return &ft.RefusedError{Text: "files of unknown size are not taken"}
	}
	size = max(0, size)
	total, used, free := r.total, r.used[in.peer()], r.free(r.cfg.Dir)
	for o := range r.open {
		left := o.left.Load() // what runs will still write
		switch {
		case in.supersedes(o): // it will end, with what it has
			total, used = total-min(left, o.reserved), used-min(left, o.reserved)
		case free >= 0:
			free = max(0, free-left)
		}
	}
	if free >= 0 && size-held > free {
		return &ft.RefusedError{Text: exchange.ErrDiskFull.Error(), Err: exchange.ErrDiskFull}
	}
	if over(total, size, r.cfg.Quota) || over(used, size, r.cfg.QuotaPerContact) {
		return &ft.RefusedError{Text: ErrQuota.Error(), Err: ErrQuota}
	}
	if take {
		in.reserved = size
		in.left.Store(max(0, size-held))
		r.total += size
		r.used[in.peer()] += size
	}
	return nil
}

func over(used, more, quota int64) bool { return quota > 0 && (more > quota || used > quota-more) }

// release corrects what reserve counted: a transfer that was not finished
// counts for what has come, and one that had come before for nothing.
func (in *incoming) release(res *exchange.Result, err error) {
	r := in.r
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(in.over)
	delete(r.open, in)
	back := int64(0)
	switch {
	case in.again:
		back = in.reserved
	case err != nil:
		back = max(0, in.reserved-res.Wire)
	}
	r.total -= back
	r.used[in.peer()] -= back
}

func (in *incoming) arriving(m exchange.Manifest, res *exchange.Result) {
	if in.r.cfg.Ledger == nil {
		return
	}
	if err := in.r.cfg.Ledger.add(in.r.c.Client.JID().Bare().String(), in.peer(), m, res); err != nil {
		in.r.c.log().Warn("transfer is not remembered", "err", err)
	}
}

func (in *incoming) finished(m exchange.Manifest) *exchange.Result {
	if in.r.cfg.Ledger == nil {
		return nil
	}
	res := in.r.cfg.Ledger.find(in.peer(), in.r.cfg.Dir, m)
	in.again = res != nil
	return res
}

// Superseded reports that a transfer goes on in another session.
func Superseded(err error) bool { return errors.Is(err, errSuperseded) }

// Cancel ends a transfer that comes in, for good.
func (r *Receiver) Cancel(s Session) { r.each(s, running.Cancel) }

// Pause ends one for now: what the sender offers again goes on from there.
func (r *Receiver) Pause(s Session) { r.each(s, running.Pause) }

// each does something with a transfer. Peers choose their session IDs, so two
// of them may have the same.
func (r *Receiver) each(s Session, f func(running)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for in := range r.open {
		if in.id.SID == s.SID && in.id.Peer.Equal(s.Peer) {
			f(in.x)
		}
	}
}
