package signaling

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/extdisco"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

const (
	// servicesLifetime is how long services are remembered that do not expire.
	servicesLifetime = time.Hour
	// servicesMargin is how long credentials must still be valid to be given
	// out: a call may refresh its relay allocation with them.
	servicesMargin = 5 * time.Minute
	// maxAskedCredentials bounds the questions for credentials.
	maxAskedCredentials = 16
)

// services remembers what the server offered.
type services struct {
	fetching chan struct{} // holds one token; who has it asks the server

	mu    sync.Mutex
	list  []extdisco.Service
	until time.Time // the zero time: ask
	gen   int       // counts pushes, so that an older answer does not replace them
}

func newServices() *services { return &services{fetching: make(chan struct{}, 1)} }

func (s *services) cached(now time.Time) ([]extdisco.Service, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list), now.Before(s.until)
}

// forget makes the next call of Services ask the server.
func (s *services) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Time{}
	s.gen++
}

func (s *services) store(list []extdisco.Service, gen int, now time.Time) {
	until := now.Add(servicesLifetime)
	for _, e := range list {
		if e.Expires.IsZero() {
			continue
		}
		// Short-lived credentials are used for half of what is left at least.
		left := e.Expires.Sub(now)
		if t := now.Add(left - min(servicesMargin, left/2)); t.Before(until) {
			until = t
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen {
		s.list, s.until = list, until
	}
}

// Services returns the STUN and TURN services that the server offers, with
// credentials where they are needed. They are remembered until they expire.
// A server without any is no error. XEP-0215
func (c *Client) Services(ctx context.Context) ([]extdisco.Service, error) {
	select {
	case c.services.fetching <- struct{}{}:
		defer func() { <-c.services.fetching }()
	case <-ctx.Done():
		return nil, fmt.Errorf("ask for services: %w", context.Cause(ctx))
	}
	if list, ok := c.services.cached(time.Now()); ok {
		return list, nil
	}
	c.services.mu.Lock()
	gen := c.services.gen
	c.services.mu.Unlock()
	st, err := c.s.IQ(ctx, c.s.Domain(), stanza.GetIQ, &extdisco.Services{})
	var answer *stream.AnswerError
	if errors.As(err, &answer) {
		c.services.store(nil, gen, time.Now()) // it does not know XEP-0215
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for services: %w", err)
	}
	var all extdisco.Services
	if err := st.Child(extdisco.NS, "services").Decode(&all); err != nil {
		return nil, fmt.Errorf("ask for services: %w", err)
	}
	list := extdisco.Valid(all.Items)
	asked := 0
	for _, s := range list {
		if (s.Restricted || s.Relay()) && !s.HasCredentials() && asked < maxAskedCredentials {
			asked++
			c.askCredentials(ctx, list, s)
		}
	}
	now := time.Now()
	list = slices.DeleteFunc(list, func(s extdisco.Service) bool { return !s.Usable(now) })
	c.services.store(list, gen, now)
	return slices.Clone(list), nil
}

// askCredentials asks for the credentials of one service and fills them in. A
// service that gets none is left out in the end.
func (c *Client) askCredentials(ctx context.Context, list []extdisco.Service, s extdisco.Service) {
	st, err := c.s.IQ(ctx, c.s.Domain(), stanza.GetIQ, s.Ask())
	if err != nil {
		c.log.Debug("no credentials for service", "service", s.URL(), "err", err)
		return
	}
	var answer extdisco.Credentials
	if err := st.Child(extdisco.NS, "credentials").Decode(&answer); err != nil {
		c.log.Debug("no credentials for service", "service", s.URL(), "err", err)
		return
	}
	extdisco.Merge(list, answer.Items)
}

// servicesPush is told by the server that its services changed. They are asked
// for again when next needed. XEP-0215#extended
func (c *Client) servicesPush(st *stream.Stanza) *jingle.Error {
	if !c.fromServer(st.From) {
		return errUnavailable()
	}
	c.services.forget()
	c.hub.emit(ServicesChanged{})
	return nil
}

// fromServer reports whether only our own server can have sent it.
func (c *Client) fromServer(from jid.JID) bool {
	return c.fromOwnAccount(from) || from.Equal(c.own.Domain())
}
