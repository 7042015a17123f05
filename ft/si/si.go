// Package si sends and receives files with clients that know no Jingle, by SI
// File Transfer (XEP-0095, XEP-0096): Pidgin, and old ones of Psi and Gajim.
//
//	Send      offers a file, and sends it over the bytestream that is chosen
//	Listen    takes the offers of others
//
// The bytestreams are those that Jingle has as well, SOCKS5 and in-band: any
// [ft.Bytestreamer]. When one does not work, the sender opens the other under
// the same name, as libpurple does. Nothing is encrypted, and nothing but the
// number of bytes is checked: XEP-0096 has an MD5 of the file that nobody sends.
package si

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/exchange"
	"github.com/carillon-im/carillon/jingle/si"
	"mellium.im/xmpp/stanza"
)

// Times of a transfer.
const (
	offerTimeout = 3 * time.Minute  // for a person to answer an offer
	dialTimeout  = 20 * time.Second // for one bytestream; the receiver tries our hosts one by one
	openTimeout  = time.Minute      // for the sender to open a bytestream, and another after that
	endTimeout   = 2 * time.Minute  // for the receiver to close what it has read
	closeTimeout = 2 * time.Second  // for the sender to close what we have read
	thereTimeout = 10 * time.Second // for a receiver to say that it is there
)

// Limits of an offer.
const (
	maxSID  = 256
	maxName = 1024
)

// Features returns what a device with these carriers advertises; nothing when
// none of them can do without Jingle.
func Features(carriers ...ft.Carrier) (list []string) {
	for _, b := range bytestreamers(carriers) {
		list = append(list, b.Method())
	}
	if len(list) > 0 {
		list = append(list, si.NS, si.NSFile)
	}
	return list
}

// Choose returns those of the carriers that a device with these features has
// too. Nothing is returned for one that takes no files this way.
func Choose(features []string, carriers ...ft.Carrier) (usable []ft.Carrier) {
	if !slices.Contains(features, si.NSFile) {
		return nil
	}
	for _, b := range bytestreamers(carriers) {
		if slices.Contains(features, b.Method()) {
			usable = append(usable, b)
		}
	}
	return usable
}

func bytestreamers(carriers []ft.Carrier) (list []ft.Bytestreamer) {
	for _, c := range carriers {
		if b, ok := c.(ft.Bytestreamer); ok {
			list = append(list, b)
		}
	}
	return list
}

// A Transfer is one file on its way.
type Transfer struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	done    chan struct{}
	onEvent func(ft.Event)
	log     *slog.Logger

	mu     sync.Mutex
	result *exchange.Result
	err    error
}

func begin(env ft.Env, onEvent func(ft.Event), work func(*Transfer) (*exchange.Result, error)) *Transfer {
	t := &Transfer{done: make(chan struct{}), onEvent: onEvent, log: env.Log().With("protocol", "si"), result: &exchange.Result{}}
	if t.onEvent == nil {
		t.onEvent = func(ft.Event) {}
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background()) // ends with Pause, Cancel or Stop
	go func() {
		defer close(t.done)
		res, err := work(t)
		if cause := context.Cause(t.ctx); cause != nil {
			err = cause
		}
		t.cancel(net.ErrClosed)
		t.mu.Lock()
		defer t.mu.Unlock()
		if res != nil {
			t.result = res
		}
		t.err = err
	}()
	return t
}

// Done is closed when the transfer is over and nothing of it runs any more.
func (t *Transfer) Done() <-chan struct{} { return t.done }

// Result is that of ft.Transfer.
func (t *Transfer) Result() (*exchange.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result, t.err
}

// Verified is false: nobody tells a hash.
func (t *Transfer) Verified() bool { return false }

// Pause ends the transfer.
func (t *Transfer) Pause() { t.cancel(exchange.ErrPaused) }

// Cancel ends the transfer.
func (t *Transfer) Cancel() { t.cancel(exchange.ErrCancelled) }

// Stop ends the transfer with err as the result.
func (t *Transfer) Stop(err error) { t.cancel(err) }

// Send offers a source of one file to cfg.Env.Peer, as the stream
// cfg.Env.SID. Env.Ask is required.
func Send(cfg ft.SendConfig) (*Transfer, error) {
	ways := bytestreamers(cfg.Carriers)
	switch {
	case cfg.Source == nil || len(cfg.Source.Manifest) != 1 || cfg.Source.Manifest[0].Dir:
		return nil, errors.New("other clients take one file at a time")
	case len(ways) == 0 || cfg.Env.Ask == nil:
		return nil, fmt.Errorf("%w: neither SOCKS5 nor in-band bytestreams may be used", ft.ErrUnsupported)
	}
	return begin(cfg.Env, cfg.OnEvent, func(t *Transfer) (*exchange.Result, error) { return t.send(cfg, ways) }), nil
}

func (t *Transfer) send(cfg ft.SendConfig, ways []ft.Bytestreamer) (*exchange.Result, error) {
	ways, offset, err := t.offer(cfg, ways)
	if err != nil {
		return nil, err
	}
	t.onEvent(ft.Accepted{})
	s, err := t.dial(cfg.Env, ways)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	t.onEvent(ft.Carrying{Stream: s.Info()})
	res, err := exchange.SendPlain(t.ctx, s, cfg.Source, offset, exchange.SendOptions{
		Limit: cfg.Limit, SHA256: cfg.SHA256, Progress: func(p exchange.Progress) { t.onEvent(ft.Progressing{Progress: p}) },
	})
	if err == nil {
		err = t.awaitClose(s)
	}
	if closed(err) && t.there(cfg.Env) {
		err = fmt.Errorf("%w: %w", exchange.ErrCancelled, err)
	}
	return res, err
}

// closed reports whether the receiver closed the stream under way, which is all
// that XEP-0096 has for one that does not want the file any more. To offer it
// again would ask a person who has just said no.
//
// interop Psi 1.5: "Cancel" closes the bytestream and says nothing else.
func closed(err error) bool {
	var said stanza.Error
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN) ||
		errors.As(err, &said) && said.Condition == stanza.ItemNotFound // of a block in band
}

// there asks whether the receiver is still there. A stream that ended with its
// program, or with a server and the proxy of it, was not closed by a person.
func (t *Transfer) there(env ft.Env) bool {
	ctx, cancel := context.WithTimeout(t.ctx, thereTimeout)
	defer cancel()
	_, err := env.IQ(ctx, env.Peer, stanza.GetIQ, &discoInfo{})
	return err == nil
}

// discoInfo asks what every client answers that knows SI.
type discoInfo struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/disco#info query"`
}

// offer asks for the file to be taken. It returns what may carry it, the choice
// of the receiver first, and from where on it wants the file.
func (t *Transfer) offer(cfg ft.SendConfig, ways []ft.Bytestreamer) ([]ft.Bytestreamer, int64, error) {
	e := cfg.Source.Manifest[0]
	var methods []string
	for _, w := range ways {
		methods = append(methods, w.Method())
	}
	file := si.File{Name: e.Path, Size: &e.Size, Range: &si.Range{}}
	if !e.ModTime.IsZero() {
		file.Date = e.ModTime.UTC().Format(time.RFC3339)
	}
	ctx, cancel := context.WithTimeoutCause(t.ctx, offerTimeout, fmt.Errorf("%w: nobody answers the offer", ft.ErrDeclined))
	defer cancel()
	r, err := cfg.Env.IQ(ctx, cfg.Env.Peer, stanza.SetIQ, si.NewOffer(cfg.Env.SID, ft.MediaType(e.Path), file, methods...))
	var refused stanza.Error
	switch {
	case errors.As(err, &refused):
		switch refused.Condition {
		case stanza.Forbidden, stanza.NotAcceptable, stanza.NotAllowed:
			return nil, 0, ft.ErrDeclined
		}
		return nil, 0, fmt.Errorf("%w: %w", ft.ErrUnsupported, err)
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, 0, err
	}
	var answer si.SI
	if err := xml.NewTokenDecoder(r).Decode(&answer); err != nil {
		return nil, 0, fmt.Errorf("%w: its answer cannot be read: %w", ft.ErrUnsupported, err)
	}
	chosen := answer.Methods()
	if len(chosen) != 1 {
		return nil, 0, fmt.Errorf("%w: it chose %d stream methods of the one there must be", ft.ErrUnsupported, len(chosen))
	}
	for i, w := range ways {
		if w.Method() != chosen[0] {
			continue
		}
		list := append([]ft.Bytestreamer{w}, ways[:i]...)
		if answer.File != nil && answer.File.Range != nil {
			return append(list, ways[i+1:]...), answer.File.Range.Offset, nil
		}
		return append(list, ways[i+1:]...), 0, nil
	}
	return nil, 0, fmt.Errorf("%w: it chose a stream method that was not offered", ft.ErrUnsupported)
}

func (t *Transfer) dial(env ft.Env, ways []ft.Bytestreamer) (last ft.Stream, err error) {
	for _, w := range ways {
		ctx, cancel := context.WithTimeoutCause(t.ctx, dialTimeout, fmt.Errorf("no connection within %v", dialTimeout))
		s, derr := w.DialStream(ctx, env, env.SID)
		cancel()
		if derr == nil {
			return s, nil
		}
		if t.ctx.Err() != nil {
			return nil, context.Cause(t.ctx)
		}
		err = derr
		t.onEvent(ft.Failing{Kind: w.Namespace(), Err: err})
	}
	return nil, err
}

// awaitClose waits until the receiver has read everything: it closes the
// stream then. In band every block was acknowledged, and closing is the
// sender's part.
func (t *Transfer) awaitClose(s ft.Stream) error {
	stop := context.AfterFunc(t.ctx, func() {
		s.SetReadDeadline(time.Unix(1, 0))
		s.SetWriteDeadline(time.Unix(1, 0))
	})
	defer stop()
	s.SetWriteDeadline(time.Now().Add(endTimeout))
	if err := s.CloseWrite(); err != nil {
		return fmt.Errorf("send data: %w", err)
	}
	if s.Info().Kind == "ibb" {
		return nil
	}
	s.SetReadDeadline(time.Now().Add(endTimeout))
	var b [1]byte
	_, err := s.Read(b[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ft.ErrUnconfirmed
	case errors.Is(err, syscall.ECONNRESET) && !s.Info().Relayed: // what a proxy does says nothing
		return fmt.Errorf("the receiver closed before it had read everything: %w", err)
	}
	return nil // it said something, or closed: either is after the last byte
}
