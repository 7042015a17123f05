package signaling

import (
	"context"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// iqHandlers are those who take requests that the client does not know, by the
// namespace of the payload.
type iqHandlers struct {
	mu   sync.Mutex
	byNS map[string][]*iqHandler // oldest first
}

// take reports whether the request is its own, and answers it once, now or
// later.
type iqHandler struct {
	take func(from jid.JID, payload xml.TokenReader, answer func(result any, err error)) bool
}

// maxIQHandlers bounds the handlers of one namespace: a byte stream in band
// has one each.
const maxIQHandlers = 64

// HandleIQ says who takes requests of type set whose payload has the
// namespace ns. h runs on a worker, those of one sender in order, and must not
// wait for the network. Nil answers with an empty result; a [stanza.Error] is
// the answer, and any other error is told as undefined-condition.
//
// Several may take one namespace, such as the streams of several transfers:
// they are asked in turn until one does not say item-not-found. remove takes h
// away again. Namespaces that the client itself implements never get here, nor
// do requests of people who may not know that we are online.
func (c *Client) HandleIQ(ns string, h func(from jid.JID, payload xml.TokenReader) error) (remove func()) {
	return c.ServeIQ(ns, func(from jid.JID, payload xml.TokenReader, answer func(any, error)) bool {
		err := h(from, payload)
		if e := handlerError(err); e != nil && e.Stanza.Condition == stanza.ItemNotFound {
			return false // which is what the sender hears when nobody else takes it
		}
		answer(nil, err)
		return true
	})
}

// ServeIQ is HandleIQ for requests whose answer has a payload, or takes time,
// as when a person is asked. h returns at once: false leaves the request to the
// next, true means that it calls answer, from any goroutine, now or later; only
// the first call counts.
func (c *Client) ServeIQ(ns string, h func(from jid.JID, payload xml.TokenReader, answer func(result any, err error)) bool) (remove func()) {
	own := &iqHandler{h}
	hs := &c.iqHandlers
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if len(hs.byNS[ns]) >= maxIQHandlers {
		c.log.Warn("requests are not taken, too many who want them", "namespace", ns)
		return func() {}
	}
	if hs.byNS == nil {
		hs.byNS = make(map[string][]*iqHandler)
	}
	hs.byNS[ns] = append(slices.Clone(hs.byNS[ns]), own)
	return sync.OnceFunc(func() {
		hs.mu.Lock()
		defer hs.mu.Unlock()
		hs.byNS[ns] = slices.DeleteFunc(slices.Clone(hs.byNS[ns]), func(h *iqHandler) bool { return h == own })
		if len(hs.byNS[ns]) == 0 {
			delete(hs.byNS, ns)
		}
	})
}

// handOut gives a request to the handlers of its namespace, and reports whether
// one of them answers it. There may be none at all.
func (c *Client) handOut(st *stream.Stanza, payload *stream.Element) (taken, known bool) {
	c.iqHandlers.mu.Lock()
	list := c.iqHandlers.byNS[payload.Start.Name.Space]
	c.iqHandlers.mu.Unlock()
	var once sync.Once
	for _, h := range list {
		taken := h.take(st.From, payload.TokenReader(), func(result any, err error) {
			once.Do(func() { c.answer(st, result, handlerError(err)) })
		})
		if taken {
			return true, true
		}
	}
	return false, len(list) > 0
}

func handlerError(err error) *jingle.Error {
	var own *jingle.Error
	var plain stanza.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &plain):
		return &jingle.Error{Stanza: plain}
	}
	return jingle.StanzaError(stanza.UndefinedCondition, err.Error())
}

// Ask sends a request and returns without waiting for the answer, so that
// several can be on their way: they leave in the order of the calls. wait must
// be called once; it returns the payload of the answer, which may be empty,
// and an *AnswerError for an answer of type error.
func (c *Client) Ask(ctx context.Context, to jid.JID, typ stanza.IQType, payload any) (wait func(context.Context) (xml.TokenReader, error), err error) {
	answer, err := c.s.Ask(ctx, to, typ, payload)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (xml.TokenReader, error) {
		st, err := answer(ctx)
		if err != nil {
			return nil, err
		}
		for e := range st.Children() {
			return e.TokenReader(), nil
		}
		return xml.NewDecoder(strings.NewReader("")), nil
	}, nil
}
