package signaling

import (
	"context"
	"errors"

	"github.com/carillon-im/carillon/signaling/extdisco"
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
type Client struct{}

// Dial logs in and returns once contacts can see and call us, or with the
// reason why not. ctx is for the dialing only.
func Dial(ctx context.Context, cfg Config) (*Client, error) { panic("soon") }

// JID returns the full JID of this device.
func (c *Client) JID() jid.JID { panic("soon") }

// Send sends one stanza: v is marshaled by [encoding/xml], or is the []byte of
// one stanza. It is sent once, also across a reconnection.
func (c *Client) Send(ctx context.Context, v any) error { panic("soon") }

// IQ sends a request and returns its answer; an answer of type error is an
// [*AnswerError]. The zero JID asks our own account.
func (c *Client) IQ(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (*Stanza, error) {
	panic("soon")
}

// Subscribe returns a subscription to events that holds at most size of them
// (at least 1, at most 4096) for a slow reader.
func (c *Client) Subscribe(size int) *Subscription { panic("soon") }

// Services returns the STUN and TURN services that the server offers, with
// credentials where they are needed. They are remembered until they expire.
// A server without any is no error. XEP-0215
func (c *Client) Services(ctx context.Context) ([]extdisco.Service, error) { panic("soon") }

// NetworkChanged tells that the network of this machine changed: the
// connection is probed at once, or the next attempt is made at once.
func (c *Client) NetworkChanged() { panic("soon") }

// CallFeatures are the features that a device advertises to be called with
// audio: exactly those that the clients in use look for.
func CallFeatures(video bool) []string { panic("soon") }

// Close ends all calls, says goodbye to the server and returns when
// everything has stopped. It is safe to call twice.
func (c *Client) Close() error { panic("soon") }

// Done is closed when the client is over: by Close, or for a reason that
// forbids to reconnect, such as a changed password.
func (c *Client) Done() <-chan struct{} { panic("soon") }

// Err returns why the client is over: nil before, net.ErrClosed after Close.
func (c *Client) Err() error { panic("soon") }
