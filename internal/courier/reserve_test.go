package courier

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"mellium.im/xmpp/jid"
)

// A desk has a receiver with a disk of a chosen size.
type desk struct {
	t *testing.T
	r *Receiver
}

func newDesk(t *testing.T, free int64, cfg ReceiveConfig) *desk {
	cfg.Dir = t.TempDir()
	cfg.OnEvent = func(Event) {}
	r := newReceiver(&Courier{}, cfg)
	r.free = func(string) int64 { return free }
	return &desk{t, r}
}

func (d *desk) offer(from, name string, size int64) *incoming {
	in := &incoming{r: d.r, id: Session{name, jid.MustParse(from + "@example.org/x")}, offer: ft.Offer{Names: []string{name}, Files: 1, Size: size}, over: make(chan struct{})}
	d.r.mu.Lock()
	d.r.open[in] = struct{}{}
	d.r.mu.Unlock()
	return in
}

func (d *desk) refused(in *incoming, want error) {
	d.t.Helper()
	err := in.decide(d.t.Context())
	var said *ft.RefusedError
	switch {
	case want == nil && err != nil:
		d.t.Errorf("%s of %s: %v", in.id.SID, in.peer(), err)
	case want != nil && (!errors.As(err, &said) || said.Text != want.Error() || !errors.Is(err, want)):
		d.t.Errorf("%s of %s: got %v, want %v", in.id.SID, in.peer(), err, want)
	}
}

// An offer that waits for a person takes no room from others.
func TestQuotaIsTakenByWhatIsAccepted(t *testing.T) {
	type question struct{ answer chan error }
	asked := make(chan question, 2)
	d := newDesk(t, -1, ReceiveConfig{Quota: 100, Decide: func(ctx context.Context, o Offered) error {
		if o.Peer.Localpart() != "mallory" {
			return nil
		}
		q := question{make(chan error)}
		asked <- q
		return <-q.answer
	}})
	slow := d.offer("mallory", "a", 100)
	ended := make(chan error, 1)
	go func() { ended <- slow.decide(t.Context()) }()
	q := <-asked
	quick := d.offer("bob", "b", 60)
	d.refused(quick, nil)
	q.answer <- nil // too late: there is no room any more
	var said *ft.RefusedError
	if err := <-ended; !errors.As(err, &said) || said.Text != ErrQuota.Error() {
		t.Errorf("the one accepted last: %v", err)
	}
	slow.release(&exchange.Result{}, errors.New("refused"))
	d.refused(d.offer("carol", "c", 40), nil)
	quick.release(&exchange.Result{Wire: 10}, errors.New("lost"))
	d.refused(d.offer("dave", "d", 51), ErrQuota) // 40 and 10 are used
	d.refused(d.offer("dave", "d", 50), nil)
}

// What runs will still be written to the disk.
func TestDiskIsSharedByWhatRuns(t *testing.T) {
	d := newDesk(t, 100, ReceiveConfig{})
	first := d.offer("bob", "b", 70)
	d.refused(first, nil)
	d.refused(d.offer("carol", "c", 40), exchange.ErrDiskFull)
	first.event(ft.Progressing{Progress: exchange.Progress{Bytes: 30, Total: 70}})
	d.refused(d.offer("carol", "c", 60), nil)
	d.refused(d.offer("dave", "d", 1), exchange.ErrDiskFull)
	first.release(&exchange.Result{Wire: 30}, errors.New("lost"))
	d.refused(d.offer("dave", "d", 41), exchange.ErrDiskFull)
	d.refused(d.offer("dave", "d", 40), nil)
}

// A transfer that is begun anew needs no room beside itself.
func TestTransferBegunAnewHasItsOwnRoom(t *testing.T) {
	d := newDesk(t, 100, ReceiveConfig{Quota: 100})
	first := d.offer("bob", "b", 80)
	d.refused(first, nil)
	first.accepted = time.Now()
	first.x = stopped(func(err error) { first.release(&exchange.Result{Wire: 10}, err) })
	d.refused(d.offer("bob", "b", 80), nil)
	if d.r.total != 90 {
		t.Errorf("%d bytes are counted, want 90", d.r.total)
	}
}

// stopped is a transfer that ends when it is told to.
type stopped func(error)

func (stopped) Done() <-chan struct{}             { return nil }
func (stopped) Result() (*exchange.Result, error) { return &exchange.Result{}, nil }
func (stopped) Verified() bool                    { return false }
func (stopped) Pause()                            {}
func (stopped) Cancel()                           {}
func (f stopped) Stop(err error)                  { f(err) }

type interrupted struct {
	running
	paused, cancelled int
}

func (i *interrupted) Pause()  { i.paused++ }
func (i *interrupted) Cancel() { i.cancelled++ }

// Peers choose their session IDs: one that has the ID of another is another.
func TestOnlyTheTransferThatIsMeantIsInterrupted(t *testing.T) {
	d := newDesk(t, -1, ReceiveConfig{})
	hers, his := new(interrupted), new(interrupted)
	one, two := d.offer("alice", "same", 1), d.offer("mallory", "same", 1)
	one.x, two.x = hers, his
	d.r.Pause(one.id)
	d.r.Cancel(two.id)
	if hers.paused != 1 || hers.cancelled != 0 || his.paused != 0 || his.cancelled != 1 {
		t.Errorf("hers %+v, his %+v", hers, his)
	}
}
