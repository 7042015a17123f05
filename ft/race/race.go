// Package race carries files over whichever comes first of a direct TCP
// connection (package tcp) and QUIC on the path that ICE finds (package quic).
//
// TCP needs nothing but addresses and is the faster of the two, so it is in the
// first element and is preferred. What QUIC needs, the relays of the server and
// the candidates, is looked for meanwhile and follows in transport-infos: where
// TCP works, QUIC costs it no time.
//
//	Initiator                                     Responder
//	   |--- session-initiate (TCP) ------------------->|
//	   |--- transport-info (QUIC) -------------------->|
//	   |<-- session-accept (TCP) ----------------------|
//	   |<-- transport-info (QUIC) ---------------------|
//	   |<== both look for a connection ===============>|
//	   |--- one byte on the stream that is taken ----->|
//
// README.md beside this file specifies the transport.
package race

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/quic"
	"github.com/carillon-im/carillon/ft/tcp"
	"github.com/carillon-im/carillon/jingle"
)

// NS is the namespace of the transport element.
const NS = "https://carillon.im/protocol/jingle/race/0"

const (
	headStart   = 250 * time.Millisecond // of TCP, once QUIC is ready
	sayTimeout  = 3 * time.Second        // for the byte to be written
	maxHeard    = 64                     // elements of the peer about QUIC that wait to be looked at
	competitors = 2
)

// taken is the byte that the initiator writes on the stream it takes.
const taken = 0xCA

// A Transport is the transport element of a content: the elements of the
// transports that race, or of one of them.
type Transport struct {
	XMLName xml.Name        `xml:"https://carillon.im/protocol/jingle/race/0 transport"`
	TCP     *tcp.Transport  `xml:"https://carillon.im/protocol/jingle/tcp/0 transport"`
	QUIC    *quic.Transport `xml:"https://carillon.im/protocol/jingle/quic/0 transport"`
}

// Namespace is NS. It makes Transport a jingle.Transport.
func (*Transport) Namespace() string { return NS }

// Register makes reg decode transports to *Transport.
func Register(reg *jingle.Registry) {
	reg.AddTransport(NS, func() jingle.Transport { return new(Transport) })
}

// Carrier makes negotiations. Its zero value is ready to use.
type Carrier struct{}

// Namespace is NS.
func (Carrier) Namespace() string { return NS }

// NeedsNoServices says that nothing is to be waited for: the carrier asks for
// STUN and TURN servers itself, meanwhile.
func (Carrier) NeedsNoServices() {}

// Covers names the transports that have failed when this one has.
func (Carrier) Covers() []string { return []string{tcp.NS, quic.NS} }

// New begins a negotiation.
func (Carrier) New(env ft.Env, role jingle.Role) (ft.Negotiation, error) {
	direct, err := tcp.Carrier{}.New(env, role)
	if err != nil {
		return nil, err
	}
	n := &negotiation{
		env: env, role: role, log: env.Log().With("carrier", "race"), tcp: direct,
		infos: make(chan jingle.Transport), heard: make(chan *quic.Transport, maxHeard),
		won: make(chan ft.Stream), failed: make(chan error, competitors), tcpFailed: make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancelCause(context.Background()) // ends with the race, or Close
	return n, nil
}

type negotiation struct {
	env   ft.Env
	role  jingle.Role
	log   *slog.Logger
	tcp   ft.Negotiation
	infos chan jingle.Transport
	heard chan *quic.Transport // of the peer, for the goroutine that has the QUIC negotiation

	ctx       context.Context
	cancel    context.CancelCauseFunc
	won       chan ft.Stream // gets what may be taken
	failed    chan error     // gets one of each that cannot
	tcpFailed chan struct{}  // closed when TCP is one of them

	mu     sync.Mutex
	begun  bool // Local was called
	opened bool
	closed bool
	wg     sync.WaitGroup
}

// Infos yields what there is to say about QUIC.
func (n *negotiation) Infos() <-chan jingle.Transport { return n.infos }

// Local begins to listen for TCP, says where, and begins with QUIC.
func (n *negotiation) Local(ctx context.Context) (jingle.Transport, error) {
	t, err := n.tcp.Local(ctx)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.begun {
		return nil, net.ErrClosed
	}
	n.begun = true
	n.wg.Go(n.quic)
	return &Transport{TCP: t.(*tcp.Transport)}, nil
}

// Remote takes the peer's element. What it says about QUIC may come late or
// never; TCP looks for a way without it.
func (n *negotiation) Remote(rt jingle.Transport) error {
	t, ok := rt.(*Transport)
	switch {
	case !ok:
		return fmt.Errorf("transport %q is not %q", rt.Namespace(), NS)
	case t.TCP == nil && t.QUIC == nil:
		return errors.New("the peer names none of the transports that race")
	}
	if t.QUIC != nil {
		select {
		case n.heard <- t.QUIC:
		default: // the race is over, or the peer says more than it may
			n.log.Debug("element of the peer about QUIC is dropped")
		}
	}
	if t.TCP != nil {
		return n.tcp.Remote(t.TCP)
	}
	return nil
}

// Open returns the stream that the initiator takes.
func (n *negotiation) Open(ctx context.Context) (ft.Stream, error) {
	n.mu.Lock()
	if n.closed || n.opened || !n.begun {
		n.mu.Unlock()
		return nil, net.ErrClosed
	}
	n.opened = true
	n.wg.Add(1)
	n.mu.Unlock()
	defer n.wg.Done()
	defer n.cancel(net.ErrClosed) // the other ends
	stop := context.AfterFunc(ctx, func() { n.cancel(context.Cause(ctx)) })
	defer stop()
	n.wg.Go(func() {
		s, err := n.tcp.Open(n.ctx)
		if err != nil {
			close(n.tcpFailed)
		}
		n.arrive(s, err)
	})
	var errs []error
	for len(errs) < competitors {
		select {
		case s := <-n.won:
			err := n.take(s)
			if err == nil {
				return s, nil
			}
			errs = append(errs, err)
			n.wg.Go(func() { s.Close() })
		case err := <-n.failed:
			errs = append(errs, err)
		}
	}
	return nil, fmt.Errorf("%w: %w", ft.ErrNoPath, errors.Join(errs...))
}

// take tells the responder which stream is the one.
func (n *negotiation) take(s ft.Stream) error {
	if n.role == jingle.Responder {
		return nil // it was told
	}
	s.SetWriteDeadline(time.Now().Add(sayTimeout))
	if _, err := s.Write([]byte{taken}); err != nil {
		return fmt.Errorf("take the stream over %s: %w", s.Info().Kind, err)
	}
	return s.SetWriteDeadline(time.Time{})
}

// arrive takes what one of the two has come to: it may be taken, has failed,
// or is too late.
func (n *negotiation) arrive(s ft.Stream, err error) {
	if err == nil && n.role == jingle.Responder {
		err = n.told(s)
	}
	if err == nil {
		select {
		case n.won <- s:
			return
		case <-n.ctx.Done():
			err = context.Cause(n.ctx)
		}
	}
	n.log.Debug("not the one that carries", "err", err)
	n.failed <- err
	if s != nil {
		s.Close()
	}
}

// told waits for the initiator to take a stream.
func (n *negotiation) told(s ft.Stream) error {
	stop := context.AfterFunc(n.ctx, func() { s.SetReadDeadline(time.Unix(1, 0)) })
	var b [1]byte
	_, err := io.ReadFull(s, b[:])
	switch {
	case !stop():
		return context.Cause(n.ctx)
	case err != nil:
		return fmt.Errorf("stream over %s is not taken: %w", s.Info().Kind, err)
	case b[0] != taken:
		return fmt.Errorf("first byte is %#x", b[0])
	}
	return nil
}

// quic looks for a path and a stream. This goroutine has the negotiation.
func (n *negotiation) quic() {
	env := n.env
	if env.FindServices != nil {
		env.Services = append(env.Services[:len(env.Services):len(env.Services)], env.FindServices(n.ctx)...)
	}
	neg, err := quic.Carrier{}.New(env, n.role)
	if err != nil {
		n.arrive(nil, err)
		return
	}
	defer neg.Close() // not what Open returned
	first, err := neg.Local(n.ctx)
	if err != nil {
		n.arrive(nil, err)
		return
	}
	var open sync.WaitGroup
	defer open.Wait()
	open.Go(func() {
		s, err := neg.Open(n.ctx)
		if err == nil && n.role == jingle.Initiator {
			n.holdBack()
		}
		n.arrive(s, err)
	})
	n.trickle(neg, first)
}

// holdBack lets TCP go first.
func (n *negotiation) holdBack() {
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-n.tcpFailed:
	case <-n.ctx.Done():
	}
}

// trickle passes elements both ways while the race lasts.
func (n *negotiation) trickle(neg ft.Negotiation, say jingle.Transport) {
	for {
		in, out := neg.Infos(), n.infos
		var info jingle.Transport
		if say != nil {
			in, info = nil, &Transport{QUIC: say.(*quic.Transport)}
		} else {
			out = nil
		}
		select {
		case say = <-in:
		case out <- info:
			say = nil
		case t := <-n.heard:
			if err := neg.Remote(t); err != nil {
				n.log.Debug("element of the peer about QUIC is not used", "err", err)
			}
		case <-n.ctx.Done():
			return
		}
	}
}

// Close ends what is open, and waits for it.
func (n *negotiation) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.cancel(net.ErrClosed)
	err := n.tcp.Close()
	n.wg.Wait()
	return err
}
