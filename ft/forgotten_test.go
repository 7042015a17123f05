package ft_test

import (
	"context"
	"encoding/xml"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/carillon-im/carillon/ft"
	"github.com/carillon-im/carillon/ft/ibb"
	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/jingletest"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// A lonely conn drives a session whose peer answers each action with what
// answer returns, and says nothing by itself.
type lonely struct {
	app    jingle.Application
	answer func(jingle.Action) error
	done   chan struct{}

	mu   sync.Mutex
	s    *jingle.Session
	sent []jingle.Action
}

func begin(app jingle.Application, answer func(jingle.Action) error) *lonely {
	c := &lonely{app: app, answer: answer, done: make(chan struct{})}
	c.s = jingle.NewSession(jingle.Config{SID: c.SID(), Role: c.Role(), Local: c.Local(), Peer: c.Peer(), AcceptTimeout: -1})
	app.Attach(c)
	return c
}

func (c *lonely) SID() string           { return "a73sjjvkla37jfea" }
func (c *lonely) Role() jingle.Role     { return jingle.Initiator }
func (c *lonely) Local() jid.JID        { return jingletest.InitiatorJID }
func (c *lonely) Peer() jid.JID         { return jingletest.ResponderJID }
func (c *lonely) Done() <-chan struct{} { return c.done }

func (c *lonely) Do(_ context.Context, fn func(*jingle.Session) ([]jingle.Effect, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	effects, err := fn(c.s)
	for _, e := range effects {
		switch e := e.(type) {
		case jingle.Send:
			c.sent = append(c.sent, e.Jingle.Action)
			c.DoLater(func(s *jingle.Session) ([]jingle.Effect, error) { return s.Sent(e.ID, c.answer(e.Jingle.Action)), nil })
		case jingle.StartTimer:
			time.AfterFunc(e.After, func() {
				c.Do(context.Background(), func(s *jingle.Session) ([]jingle.Effect, error) { return s.TimerFired(e.ID), nil })
			})
		case jingle.StopTimer:
		default:
			c.app.Handle(e)
			if _, ok := e.(jingle.Ended); ok {
				close(c.done)
			}
		}
	}
	return err
}

func (c *lonely) DoLater(fn func(*jingle.Session) ([]jingle.Effect, error)) {
	go c.Do(context.Background(), fn)
}

// offerInBand offers a file to a peer that answers so.
func offerInBand(t *testing.T, forgetful bool, answer func(jingle.Action) error) (*ft.Transfer, *lonely) {
	t.Helper()
	x := newFile(t, 1000)
	x.send.Carriers, x.send.Forgetful = []ft.Carrier{ibb.Carrier{}}, forgetful
	x.send.Env = ft.Env{
		Ask: func(context.Context, jid.JID, stanza.IQType, any) (func(context.Context) (xml.TokenReader, error), error) {
			return nil, errors.New("nobody is there")
		},
		HandleIQ: func(string, func(jid.JID, xml.TokenReader) error) func() { return func() {} },
	}
	s, err := ft.NewPlainSender(x.send)
	if err != nil {
		t.Fatal(err)
	}
	return s, begin(s, answer)
}

// interop Gajim 1.7.3: acknowledges the offer, fails while it reads it, and
// then answers item-not-found with unknown-session.
func TestOfferThatThePeerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s, _ := offerInBand(t, true, func(a jingle.Action) error {
			if a == jingle.ActionSessionInitiate {
				return nil
			}
			return jingle.NewError(jingle.UnknownSession)
		})
		<-s.Done()
		if _, err := s.Result(); !errors.Is(err, ft.ErrForgotten) {
			t.Errorf("got %v, want ErrForgotten", err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("known after %v", took)
		}
	})
}

// Nobody else is asked, however long a person thinks.
func TestOfferIsNotAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := offerInBand(t, false, func(jingle.Action) error { return nil })
		time.Sleep(time.Hour)
		c.mu.Lock()
		if len(c.sent) != 1 {
			t.Errorf("sent %v, want the offer alone", c.sent)
		}
		c.mu.Unlock()
		s.Cancel()
		<-s.Done()
	})
}

// Who declines in the moment of the ping knows the session no more, and the
// answer to the ping may be handled before the reason.
func TestOfferThatIsDeclinedWhileWeAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan *lonely, 1)
		s, c := offerInBand(t, true, func(a jingle.Action) error {
			if a == jingle.ActionSessionInitiate {
				return nil
			}
			time.AfterFunc(time.Millisecond, func() {
				(<-begun).Do(context.Background(), func(s *jingle.Session) ([]jingle.Effect, error) {
					_, effects := s.Receive(&jingle.Jingle{Action: jingle.ActionSessionTerminate, SID: s.SID(), Reason: &jingle.Reason{Condition: jingle.Decline}})
					return effects, nil
				})
			})
			return jingle.NewError(jingle.UnknownSession)
		})
		begun <- c
		<-s.Done()
		if _, err := s.Result(); !errors.Is(err, ft.ErrDeclined) {
			t.Errorf("got %v, want ErrDeclined", err)
		}
	})
}

// Whatever else is answered says nothing about the offer: somebody thinks.
func TestOfferThatSomebodyThinksAbout(t *testing.T) {
	for name, answer := range map[string]error{
		"ping":           nil,
		"no ping":        jingle.NewError(jingle.UnsupportedInfo),
		"no ping so far": jingle.NewError(jingle.OutOfOrder),
		"no answer":      errors.New("no answer"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := offerInBand(t, true, func(a jingle.Action) error {
					if a == jingle.ActionSessionInfo {
						return answer
					}
					return nil
				})
				time.Sleep(time.Hour)
				select {
				case <-s.Done():
					_, err := s.Result()
					t.Fatalf("the offer is over: %v", err)
				default:
				}
				c.mu.Lock()
				if len(c.sent) != 2 || c.sent[1] != jingle.ActionSessionInfo {
					t.Errorf("sent %v, want an offer and one ping", c.sent)
				}
				c.mu.Unlock()
				s.Cancel()
				<-s.Done()
			})
		})
	}
}
