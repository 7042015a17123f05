// Package bridge joins the app's window with signaling, media and files.
//
//	state.Command -> Do -> accounts, calls, transfers
//	what happens  ->       state.App.Apply -> View.Draw, on the UI thread
//
// One goroutine owns the state and takes everything that happens in order.
// Do never waits, so the UI thread never does; whatever may take time runs on
// a goroutine of its own that ends with Close. Only [Config.OnUI] touches the
// UI thread, and there is never more than one drawing waiting for it: a slow
// screen skips states.
package bridge

import (
	"context"
	"crypto/x509"
	"fmt"
	"image"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/carillon-im/carillon/desktop/history"
	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/desktop/trust"
	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/internal/courier"
	"github.com/carillon-im/carillon/internal/outbox"
	"github.com/carillon-im/carillon/internal/trouble"
	"github.com/carillon-im/carillon/media"
)

// Limits.
const (
	maxPosted   = 1024 // things that happened and are not dealt with
	maxAtOnce   = 64   // of those between two looks at what the user wants
	maxAccounts = 16

	settleTime = 3 * time.Second // after the last call, for everything to stop
)

// A View draws. Its methods are called on the UI thread.
type View interface {
	Draw(state.App)
	Tick()
	ShowPicture(call string, i image.Image)
	ShowOwnPicture(call string, i image.Image)
	ShowScreens(now map[string]image.Image)
}

// A Desktop is what surrounds the window. Nil functions do nothing.
type Desktop struct {
	// Raise brings the window to the front.
	Raise func()
	// Choose asks for files, or a folder, and returns none when the user gives up.
	Choose func(ctx context.Context, folder bool) ([]string, error)
	// Open shows a folder.
	Open func(path string) error
	// Restyle follows changed settings: language, theme, scale, autostart.
	Restyle func(state.Settings)
	// Ring begins and ends the sounds of a telephone: "in" rings, "out" is
	// heard by who calls, "waiting" sounds in a call; "" is silence. It is
	// told the speaker, as package device takes it, and does not wait.
	Ring func(kind, speaker string)
	// Notify says something outside the window. Actions are those of a call
	// that rings; the returned function takes it away again.
	Notify func(n Notice) (remove func())
	// Film shows a picture of a call, or our own in it, past the View, and
	// reports whether it did. It is called by any goroutine, keeps nothing of m
	// and does not wait.
	Film func(call string, own bool, m *image.YCbCr) bool
	// Settle is called when a call is over and nothing of it is needed any more.
	Settle func()
	// Quit ends the program.
	Quit func()
}

// A Notice is said outside the window.
type Notice struct {
	Title, Body string
	// Accept and Decline are called for a call that rings; nil without one.
	Accept, Decline func()
	// Missed is when somebody called whom nobody answered; zero is another
	// notice. CallBack calls them then.
	Missed   time.Time
	CallBack func()
	// Asks says that somebody wants to be a contact.
	Asks bool
	// Offers says that somebody wants to send files, whose names Body has. Size is
	// theirs in bytes, less than 0 when it is not known.
	Offers bool
	Size   int64
	// Video says that a call that rings or was missed is one with video.
	Video bool
	// Open is called when the notice itself is chosen.
	Open func()
}

// A Config says with what the bridge works. Store, Paths and OnUI are needed.
type Config struct {
	Store *accounts.Store
	Paths config.Paths
	// File is the config file, for what has no place in the settings.
	File config.File
	// Account uses only this one; empty uses all that are kept.
	Account string
	// RootCAs verify servers. Nil means those of the system.
	RootCAs *x509.CertPool
	// Mic, Speaker and Camera are used instead of those of the settings, as
	// package device and capture take them. Tests.
	Mic, Speaker, Camera string
	// Loopback lets files travel over loopback addresses. Tests.
	Loopback bool
	// OnUI runs a function on the UI thread without waiting for it.
	OnUI    func(func())
	Desktop Desktop
	// Version of the program, told to contacts.
	Version string
	Log     *slog.Logger // nil discards
}

// A Bridge runs the app until Close.
type Bridge struct {
	cfg  Config
	log  *slog.Logger
	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup
	do   chan func()
	poke chan struct{} // there is something in wants
	// ended is closed when nobody owns the state any more.
	ended chan struct{}
	db    *history.DB  // nil when it cannot be used
	keys  *trust.Store // likewise
	// ledger remembers what arrived, for all accounts and the command line.
	ledger *courier.Ledger

	// The rest belongs to the goroutine of run.
	app       state.App
	accounts  map[string]*account
	calls     map[string]*call
	sends     map[string]*sending
	offers    map[string]*offer        // incoming transfers by state id
	missed    []missed                 // the oldest first
	leaving   map[string]chan struct{} // accounts that are being forgotten; closed when they are
	numbers   int                      // for ids
	checking  context.CancelFunc
	examining context.CancelFunc
	watching  context.CancelFunc // ends that screens are looked at; nil while nobody does
	ringing   string
	asking    func() // takes away what was said of a request; nil without one
	flash     *state.Flash
	flashed   time.Time // when that was there first
	called    time.Time // when there was a call last; zero when its memory was given back

	mu    sync.Mutex
	wants []func() // what the user wants, in order

	saving sync.Mutex // held while settings are written
	chosen atomic.Pointer[state.Settings]

	view    atomic.Pointer[View]
	latest  atomic.Pointer[state.App]
	drawing atomic.Bool
}

// New starts a bridge. Nothing is drawn before [Bridge.Show].
func New(cfg Config) (*Bridge, error) {
	b := &Bridge{
		cfg: cfg, log: cfg.Log, do: make(chan func(), maxPosted), poke: make(chan struct{}, 1), ended: make(chan struct{}),
		accounts: make(map[string]*account), calls: make(map[string]*call), sends: make(map[string]*sending), offers: make(map[string]*offer), leaving: make(map[string]chan struct{}),
	}
	b.ledger = outbox.Open(cfg.Paths.State).Ledger()
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	settings, err := loadSettings(cfg.Paths)
	b.app = b.app.Apply(state.SettingsChanged{Settings: settings})
	if err != nil {
		b.app = b.app.Apply(state.WentWrong{Problem: *b.problem(err, "")})
	}
	list, err := cfg.Store.List()
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	if b.db, err = history.Open(b.ctx, historyPath(cfg.Paths)); err != nil {
		// Calls are more important than that they are remembered.
		b.app = b.app.Apply(state.WentWrong{Problem: *b.problem(err, "")})
	}
	if b.keys, err = trust.Open(keysPath(cfg.Paths)); err != nil {
		b.app = b.app.Apply(state.WentWrong{Problem: *b.problem(err, "")})
	}
	first := b.app
	b.latest.Store(&first)
	b.wg.Go(b.run)
	b.post(func() {
		for _, a := range list {
			if (cfg.Account == "" || cfg.Account == a.JID) && len(b.accounts) < maxAccounts {
				b.start(a)
			}
		}
		b.findDevices()
	})
	return b, nil
}

// Show draws on v from now on. It is called on the UI thread, again when the
// view was made anew.
func (b *Bridge) Show(v View) {
	b.view.Store(&v)
	v.Draw(*b.latest.Load())
}

// State returns what is shown now.
func (b *Bridge) State() state.App { return *b.latest.Load() }

// Close hangs up, logs out and returns when everything has stopped.
func (b *Bridge) Close() {
	b.stop()
	b.wg.Wait()
	if b.db != nil {
		if err := b.db.Close(); err != nil {
			b.log.Warn("close the history", "err", err)
		}
	}
}

// post lets the owner of the state do something, before what only happened. It
// does not wait and nothing is dropped: it is for what our user wants, and they
// have two hands.
func (b *Bridge) post(f func()) {
	b.mu.Lock()
	b.wants = append(b.wants, f)
	b.mu.Unlock()
	select {
	case b.poke <- struct{}{}:
	default: // it was told already
	}
}

// wanted does what the user wants. Owner only.
func (b *Bridge) wanted() {
	b.mu.Lock()
	list := b.wants
	b.wants = nil
	b.mu.Unlock()
	for _, f := range list {
		f()
	}
}

// await is post for goroutines that may wait until there is room; f runs later.
func (b *Bridge) await(f func()) {
	select {
	case b.do <- f:
	case <-b.ctx.Done():
	}
}

// apply shows events. Owner only.
func (b *Bridge) apply(events ...state.Event) {
	for _, e := range events {
		b.app = b.app.Apply(e)
	}
}

// tell is apply for other goroutines.
func (b *Bridge) tell(events ...state.Event) { b.await(func() { b.apply(events...) }) }

func (b *Bridge) run() {
	defer close(b.ended)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-b.poke:
			b.wanted()
			b.ring()
			b.publish()
		case f := <-b.do:
			f()
			b.drain()
			b.ring()
			b.publish()
		case <-ticker.C:
			b.renew()
			b.fade(time.Now())
			switch {
			case len(b.app.Calls) > 0:
				b.called = time.Now()
				b.onView(func(v View) { v.Tick() })
			case !b.called.IsZero() && time.Since(b.called) >= settleTime:
				b.called = time.Time{}
				if b.cfg.Desktop.Settle != nil {
					b.wg.Go(b.cfg.Desktop.Settle)
				}
			}
		case <-b.ctx.Done():
			b.end()
			return
		}
	}
}

// fade takes away the word about a call that ended. Owner only.
func (b *Bridge) fade(now time.Time) {
	if b.app.Flash != b.flash {
		b.flash, b.flashed = b.app.Flash, now
	}
	if b.flash == nil || b.flash.Stays() == 0 || now.Sub(b.flashed) < b.flash.Stays() {
		return
	}
	b.app.Flash, b.flash = nil, nil // a problem beside it stays
	b.publish()
}

// drain takes what happened meanwhile, which is drawn with the first of it. It
// ends although more may come as fast: others wait, too. Owner only.
func (b *Bridge) drain() {
	for range maxAtOnce {
		b.wanted()
		select {
		case f := <-b.do:
			f()
		default:
			return
		}
	}
}

// publish has the state drawn.
func (b *Bridge) publish() {
	now := b.app
	b.latest.Store(&now)
	b.onViewOnce(&b.drawing, func(v View) { v.Draw(*b.latest.Load()) })
}

// onView calls f on the UI thread, if there is a view by then.
func (b *Bridge) onView(f func(View)) {
	b.cfg.OnUI(func() {
		if v := b.view.Load(); v != nil {
			f(*v)
		}
	})
}

// onViewOnce is onView, unless one of the kind waits for the UI thread already.
func (b *Bridge) onViewOnce(waits *atomic.Bool, f func(View)) {
	if waits.Swap(true) {
		return
	}
	b.cfg.OnUI(func() {
		waits.Store(false)
		if v := b.view.Load(); v != nil {
			f(*v)
		}
	})
}

// end stops everything that runs. Owner only.
func (b *Bridge) end() {
	if b.cfg.Desktop.Ring != nil {
		b.cfg.Desktop.Ring("", "")
	}
	for _, c := range b.calls {
		c.hangUp()
	}
}

// id makes up a name for something that has none.
func (b *Bridge) id(kind string) string {
	b.numbers++
	return fmt.Sprintf("%s%d", kind, b.numbers)
}

// problem turns an error into what the window says.
func (b *Bridge) problem(err error, who string) *state.Problem {
	if err == nil {
		return nil
	}
	t := trouble.Describe(err)
	b.log.Info("problem", "code", t.Code, "err", err)
	return &state.Problem{Code: t.Code, Who: who, Detail: t.Message}
}

// wrong shows an error that concerns nobody in particular.
func (b *Bridge) wrong(err error, who string) {
	if err != nil && b.ctx.Err() == nil {
		b.tell(state.WentWrong{Problem: *b.problem(err, who)})
	}
}

// relays are those of the config file.
func (b *Bridge) relays() (calls []media.ICEServer, files []ft.Service, err error) {
	for _, r := range b.cfg.File.Relays {
		c := media.ICEServer{URL: r.URL, Username: r.Username}
		f := ft.Service{URL: r.URL, Username: r.Username}
		if r.PasswordFile != "" {
			password, err := accounts.ReadPasswordFile(r.PasswordFile)
			if err != nil {
				return nil, nil, fmt.Errorf("relay %s: %w", r.URL, err)
			}
			c.Password, f.Password = media.Secret(password), ft.Secret(password)
		}
		calls, files = append(calls, c), append(files, f)
	}
	return calls, files, nil
}

// ring follows the calls with sound. Owner only.
func (b *Bridge) ring() {
	kind := ""
	if c, ok := b.app.Front(); ok {
		switch {
		case c.Phase == state.Rings && !b.app.Settings.Quiet:
			kind = "in"
		case c.Phase == state.RingsThere:
			kind = "out"
		}
	}
	if _, ok := b.app.Waiting(); ok && kind == "" && !b.app.Settings.Quiet {
		kind = "waiting"
	}
	if kind != b.ringing {
		b.ringing = kind
		if b.cfg.Desktop.Ring != nil {
			b.cfg.Desktop.Ring(kind, b.speaker())
		}
	}
}

// raise brings the window to the front.
func (b *Bridge) raise() {
	if b.cfg.Desktop.Raise != nil {
		b.cfg.OnUI(b.cfg.Desktop.Raise)
	}
}

// notify says something outside the window.
func (b *Bridge) notify(n Notice) (remove func()) {
	if b.cfg.Desktop.Notify == nil {
		return func() {}
	}
	return b.cfg.Desktop.Notify(n)
}
