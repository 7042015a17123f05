package signaling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	crand "crypto/rand"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// Errors that callers branch on.
var (
	// ErrCancelled is returned by [IncomingCall.Accept] for a call that has ended.
	ErrCancelled = errors.New("call is over")
	// ErrTooMany is returned when a limit of ours is reached.
	ErrTooMany = errors.New("too many at once")
)

// A Client is one device of an account, logged in until Close. Its methods may
// be called from any goroutine.
//
// What arrives goes from the stream's goroutine to the workers of a dispatcher
// (presence excepted, which only changes a table), and from them to the
// goroutine of the call or the session it is about. None of them waits for
// the network except when what we send is not acknowledged any more.
type Client struct {
	cfg Config
	log *slog.Logger
	own jid.JID // bare
	s   *stream.Stream
	reg *jingle.Registry

	ctx      context.Context // ends when the client is closing
	cancel   context.CancelCauseFunc
	sendCtx  context.Context // ends a little later, so that farewells are sent
	stopSend context.CancelFunc

	mu       sync.Mutex
	closing  bool
	err      error
	wg       sync.WaitGroup // goroutines of calls, sessions and background work
	done     chan struct{}  // closed when everything has stopped
	shutting sync.Once

	hub        *hub
	dispatcher *dispatcher
	strangers  strangers
	online     onlineSince
	logins     atomic.Int64  // counts new bindings
	ready      chan error    // gets the outcome of the first login's setup
	caughtUp   chan struct{} // closed when the archive was read for the first time
	catching   sync.Once     // closes it
	setups     chan struct{} // holds one token; who has it sets up a login

	self       *self
	caps       capsCache
	roster     roster
	presence   presences
	directed   directed
	services   *services
	seen       seenMessages
	outrun     outrun
	archive    archive
	marks      marks
	recorder   *recorder
	records    recent
	ledger     liveLedger
	calls      calls
	sessions   sessions
	handlers   handlers
	iqHandlers iqHandlers
	incoming   chan *IncomingCall
}

// Dial logs in and returns once contacts can see and call us, or with the
// reason why not. ctx is for the dialing only.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if isZero(cfg.JID) || cfg.JID.Localpart() == "" {
		return nil, fmt.Errorf("log in: %q is not the address of an account", cfg.JID)
	}
	cfg = cfg.withDefaults()
	c := &Client{
		cfg: cfg, log: cfg.Log, own: cfg.JID.Bare(), reg: cfg.Registry,
		done: make(chan struct{}), caughtUp: make(chan struct{}), ready: make(chan error, 1), setups: make(chan struct{}, 1),
		hub: newHub(), services: newServices(),
		incoming: make(chan *IncomingCall, max(maxIncoming, cfg.MaxPerPeer)),
	}
	c.calls.perPeer, c.sessions.perPeer = cfg.MaxPerPeer, cfg.MaxPerPeer
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.sendCtx, c.stopSend = context.WithCancel(context.Background())
	features := append(append([]string{}, ownFeatures[:]...), cfg.Features...)
	if !cfg.NoCalls {
		features = append(features, CallFeatures(false)...)
	}
	c.self = newSelf(cfg.Node, Identity{Category: "client", Type: "pc", Name: cfg.Name}, features)
	c.ledger.l = newLedger(c.own)
	c.recorder = newRecorder(cfg.History, cfg.Log)
	c.dispatcher = newDispatcher(c.handle, c.answerFlood)
	below := cfg.stream()
	below.MayKnow = c.mayKnow
	c.s = stream.New(below, stream.Handler{Stanza: c.onStanza, Online: c.onOnline, Offline: c.onOffline})
	err := c.loadMark(ctx)
	if err == nil {
		if err := c.s.Connect(ctx); err != nil {
			c.Close()
			return nil, err // it says that we were logging in, and as whom
		}
	}
	if err == nil {
		c.start(c.watch)
		select {
		case err = <-c.ready:
		case <-c.s.Done():
			err = c.s.Err()
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("log in as %s: %w", c.own, err)
	}
	return c, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.JID.Resourcepart() == "" {
		// Who knows a full JID can find out whether it is online.
		if j, err := cfg.JID.WithResource("carillon." + strings.ToLower(crand.Text()[:10])); err == nil {
			cfg.JID = j
		}
	}
	cfg.Name = cmp.Or(cfg.Name, "Carillon")
	cfg.Node = cmp.Or(cfg.Node, "https://github.com/carillon-im/carillon")
	cfg.sideBySide = cfg.MaxPerPeer > 0
	if !cfg.sideBySide {
		cfg.MaxPerPeer = maxPerPerson
	}
	if cfg.Registry == nil {
		cfg.Registry = NewRegistry()
	}
	if cfg.CatchUp == 0 {
		cfg.CatchUp = catchUpDefault
		if cfg.History == nil {
			cfg.CatchUp = -1
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

func (cfg Config) stream() stream.Config {
	return stream.Config{
		JID: cfg.JID, Password: cfg.Password, AllowPlain: cfg.AllowPlain, Pins: cfg.Pins,
		Server: cfg.Server, Resolver: cfg.Resolver, Dial: cfg.Dial, WebSocket: cfg.WebSocket,
		RootCAs: cfg.RootCAs, InsecureLoopback: cfg.InsecureLoopback,
		CloseTimeout: closeTimeout, Log: cfg.Log, LogStanza: cfg.LogStanza,
	}
}

// onStanza runs on the stream's goroutine and does not wait.
func (c *Client) onStanza(st *stream.Stanza) {
	kind := st.Start.Name.Local
	switch {
	case kind == "message" && c.offerArchive(st):
		return
	case !c.fromServer(st.From) && !c.knows(st.From) && !c.strangers.allow(st.From.Bare().String(), time.Now()):
		c.refuse(st)
		return
	case kind == "presence":
		c.onPresence(st)
		return
	}
	if !c.dispatcher.push(st) {
		c.refuse(st)
	}
}

// knows reports whether somebody is no stranger whose rate is measured.
func (c *Client) knows(who jid.JID) bool {
	if c.isOwnAccount(who) {
		return true
	}
	contact, ok := c.roster.get(who)
	return ok && (contact.SeesUs() || contact.SeenByUs())
}

// refuse drops a stanza of somebody who floods us. A request is answered as
// long as there is room for answers; waiting for it would stop everybody else.
func (c *Client) refuse(st *stream.Stanza) {
	c.log.Debug("stanza dropped, too many", "from", st.From.String())
	if typ := st.Type(); st.Start.Name.Local == "iq" && (typ == "get" || typ == "set") {
		c.dispatcher.refuse(st)
	}
}

// answerFlood answers a request that was not handled.
func (c *Client) answerFlood(st *stream.Stanza) {
	c.answer(st, nil, c.orUnavailable(st.From, errConstraint()))
}

// handle runs on a worker.
func (c *Client) handle(st *stream.Stanza) {
	switch st.Start.Name.Local {
	case "iq":
		c.onIQ(st)
	case "message":
		c.onMessage(st)
	}
}

func (c *Client) onOnline(resumed bool) {
	c.online.set(true)
	if resumed {
		c.hub.emit(Online{JID: c.JID(), Resumed: true})
		return
	}
	c.marks.behind()
	for _, d := range c.presence.clear() {
		c.hub.emit(PresenceChanged{d})
	}
	login := c.logins.Add(1)
	if !c.start(func() { c.setUp(login) }) {
		c.report(net.ErrClosed)
	}
}

// report tells Dial how the setup of a login went. Only the first report counts.
func (c *Client) report(err error) {
	select {
	case c.ready <- err:
	default:
	}
}

func (c *Client) onOffline(err error) {
	c.online.set(false)
	c.hub.emit(Offline{Err: err})
}

// setUp does what every new login needs: contacts, copies, presence, archive.
func (c *Client) setUp(login int64) {
	c.setups <- struct{}{}
	defer func() { <-c.setups }()
	for {
		if c.logins.Load() != login {
			return // there is a newer one already
		}
		err := c.logIn()
		if err == nil {
			break
		}
		if errors.Is(err, stream.ErrRebound) {
			return // a newer one is on its way
		}
		c.report(err)
		if c.ctx.Err() != nil {
			return
		}
		// Without presence nobody could call us, however long the stream lives.
		c.log.Warn("login incomplete, tried again", "in", loginRetry, "err", err)
		select {
		case <-time.After(loginRetry):
		case <-c.ctx.Done():
			return
		}
	}
	c.report(nil)
	c.hub.emit(Online{JID: c.JID()})
	if c.cfg.CatchUp > 0 {
		ctx, cancel := context.WithTimeout(c.ctx, 4*iqTimeout)
		defer cancel()
		if err := c.catchUp(ctx); err != nil && c.ctx.Err() == nil {
			c.log.Warn("missed calls not looked up", "err", err)
		}
	}
	c.noCatchUp()
}

// noCatchUp tells that nobody needs to wait for the archive any more.
func (c *Client) noCatchUp() { c.catching.Do(func() { close(c.caughtUp) }) }

func (c *Client) logIn() error {
	ctx, cancel := context.WithTimeout(c.ctx, 2*iqTimeout)
	defer cancel()
	// The roster first: it says whom we tell that we are online. RFC 6121 §2.2
	// A server without rosters or carbons is poor but no reason to stay offline.
	for _, step := range []func(context.Context) error{c.fetchRoster, c.enableCarbons} {
		var answer *stream.AnswerError
		if err := step(ctx); errors.As(err, &answer) {
			c.log.Info("server lacks something", "err", err)
		} else if err != nil {
			return err
		}
	}
	if err := c.announce(ctx); err != nil {
		return err
	}
	return c.reintroduce(ctx)
}

// JID returns the full JID of this device.
func (c *Client) JID() jid.JID { return c.s.JID() }

// Send sends one stanza: v is marshaled by [encoding/xml], or is the []byte of
// one stanza. It is sent once, also across a reconnection.
func (c *Client) Send(ctx context.Context, v any) error { return c.s.Send(ctx, v) }

// IQ sends a request and returns its answer; an answer of type error is an
// [*AnswerError]. The zero JID asks our own account.
func (c *Client) IQ(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (*Stanza, error) {
	return c.s.IQ(ctx, to, typ, payload)
}

// Subscribe returns a subscription to events that holds at most size of them
// (at least 1, at most 4096) for a slow reader.
func (c *Client) Subscribe(size int) *Subscription { return c.hub.subscribe(size) }

// Online reports whether the client is connected now.
func (c *Client) Online() bool { return c.s.Online() }

// CaughtUp returns a channel that is closed when the calls that the archive of
// the server knew at login have been recorded, or could not be read, and by Close.
func (c *Client) CaughtUp() <-chan struct{} { return c.caughtUp }

// NetworkChanged tells that the network of this machine changed: the
// connection is probed at once, or the next attempt is made at once.
func (c *Client) NetworkChanged() { c.s.NetworkChanged() }

// start runs f on a goroutine that Close waits for. It reports false, without
// running f, when the client is closing.
func (c *Client) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.wg.Go(f)
	return true
}

// enter makes Close wait for c.wg.Done. It reports false when the client is closing.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.wg.Add(1)
	}
	return !c.closing
}

// background runs something short that talks to the network.
func (c *Client) background(f func(context.Context)) {
	c.start(func() {
		ctx, cancel := context.WithTimeout(c.ctx, iqTimeout)
		defer cancel()
		f(ctx)
	})
}

// watch closes the client when the stream is over for good.
func (c *Client) watch() {
	select {
	case <-c.s.Done():
		go c.shutdown(c.s.Err()) // waits for this goroutine among others
	case <-c.ctx.Done():
	}
}

// Close ends all calls, says goodbye to the server and returns when
// everything has stopped. It is safe to call twice. What the client itself
// calls must not call it, since it would wait for itself: methods of an
// Application or a History, Config.Dial and Config.LogStanza, and functions
// given to Handle, HandleIQ and the Conn of a session. `go c.Close()` is fine there.
func (c *Client) Close() error {
	c.shutdown(net.ErrClosed)
	<-c.done
	return nil
}

func (c *Client) shutdown(err error) {
	c.shutting.Do(func() {
		c.mu.Lock()
		c.closing = true
		c.err = err
		c.mu.Unlock()
		saveCtx, cancelSave := context.WithTimeout(context.Background(), closeTimeout)
		defer cancelSave()
		if err := c.saveMark(saveCtx); err != nil {
			c.log.Warn("place in the archive not saved", "err", err)
		}
		stop := time.AfterFunc(closeTimeout, c.stopSend)
		c.cancel(err) // calls and sessions say goodbye
		c.wg.Wait()
		c.dispatcher.close()
		_ = c.s.Close() // it has no errors of its own
		stop.Stop()
		c.stopSend()
		c.recorder.close()
		c.noCatchUp()
		close(c.incoming)
		c.hub.close()
		close(c.done)
	})
}

// Done is closed when the client is over: by Close, or for a reason that
// forbids to reconnect, such as a changed password.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client is over: nil before, net.ErrClosed after Close.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) closedErr() error { return cmp.Or(c.Err(), net.ErrClosed) }
