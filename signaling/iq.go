package signaling

import (
	"encoding/xml"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/extdisco"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

type versionQuery struct {
	XMLName xml.Name `xml:"jabber:iq:version query"`
	Name    string   `xml:"name"`
	Version string   `xml:"version"`
}

// ownFeatures are implemented by the client itself.
var ownFeatures = [...]string{
	nsCaps, nsDiscoInfo, nsDiscoItems, nsPing, nsVersion, nsReceipts, nsCarbons, nsSID,
}

// onIQ handles an iq of type get or set, on a worker. Exactly one answer is
// sent, whatever it contains. RFC 6120 §8.2.3
func (c *Client) onIQ(st *stream.Stanza) {
	payload, ok := only(st)
	if !ok {
		c.answer(st, nil, c.orUnavailable(st.From, errBadRequest()))
		return
	}
	if name(payload) == (xml.Name{Space: jingle.NS, Local: "jingle"}) && st.Type() == "set" {
		c.onJingle(st, payload) // answers by itself
		return
	}
	if result, err := c.handleIQ(st, payload); err != errAnswered {
		c.answer(st, result, err)
	}
}

// errAnswered says that somebody else answers.
var errAnswered = new(jingle.Error)

func (c *Client) handleIQ(st *stream.Stanza, payload *stream.Element) (result any, err *jingle.Error) {
	what, typ := name(payload), st.Type()
	// What the server tells.
	switch {
	case what == xml.Name{Space: nsRoster, Local: "query"} && typ == "set":
		return nil, c.rosterPush(st, payload)
	case what == xml.Name{Space: extdisco.NS, Local: "services"} && typ == "set":
		return nil, c.servicesPush(st)
	case what.Space == nsBlocking && typ == "set":
		if !c.fromServer(st.From) {
			return nil, errUnavailable()
		}
		return nil, nil // we keep no copy of the block list
	}
	// What people ask. To those who may not know that we are online we say what
	// the server says for somebody offline. RFC 6121 §8.5.3.2.3
	if !c.mayKnow(st.From) {
		return nil, errUnavailable()
	}
	var answer func() (any, *jingle.Error)
	switch what {
	case xml.Name{Space: nsDiscoInfo, Local: "query"}:
		answer = func() (any, *jingle.Error) { return c.answerInfo(payload) }
	case xml.Name{Space: nsDiscoItems, Local: "query"}:
		answer = func() (any, *jingle.Error) { return answerItems(payload) }
	case xml.Name{Space: nsPing, Local: "ping"}:
		answer = func() (any, *jingle.Error) { return nil, nil }
	case xml.Name{Space: nsVersion, Local: "query"}:
		answer = func() (any, *jingle.Error) {
			return &versionQuery{Name: c.cfg.Name, Version: c.cfg.Version}, nil
		}
	case xml.Name{Space: jingle.NS, Local: "jingle"}: // a get; sets went elsewhere
		return nil, errBadRequest()
	default:
		if typ == "set" {
			switch taken, known := c.handOut(st, payload); {
			case taken:
				return nil, errAnswered
			case known:
				return nil, jingle.StanzaError(stanza.ItemNotFound, "")
			}
		}
		return nil, errUnavailable()
	}
	if typ != "get" {
		return nil, errBadRequest()
	}
	return answer()
}

// answer sends the one answer to an iq.
func (c *Client) answer(st *stream.Stanza, result any, e *jingle.Error) {
	a := &iqAnswer{To: address(st.From), ID: st.ID(), Type: "result", Payload: result}
	if e != nil {
		a.Type, a.Payload, a.Error = "error", nil, e
	}
	if err := c.s.Send(c.ctx, a); err != nil && c.ctx.Err() == nil {
		c.log.Warn("answer not sent", "to", a.To, "err", err)
	}
}

// orUnavailable is e for those who may know that we are online.
func (c *Client) orUnavailable(from jid.JID, e *jingle.Error) *jingle.Error {
	if c.mayKnow(from) {
		return e
	}
	return errUnavailable()
}

// fromOwnAccount reports whether only our own server can have sent it, on
// behalf of the account: no sender, or our bare JID. RFC 6120 §8.1.2.1
func (c *Client) fromOwnAccount(from jid.JID) bool { return isZero(from) || from.Equal(c.own) }

// isOwnAccount reports whether a JID, bare or full, is of our own account.
func (c *Client) isOwnAccount(j jid.JID) bool { return isZero(j) || j.Bare().Equal(c.own) }

// seesUs reports whether somebody may see our presence.
func (c *Client) seesUs(who jid.JID) bool {
	if c.isOwnAccount(who) {
		return true
	}
	contact, ok := c.roster.get(who)
	return ok && contact.SeesUs()
}

// mayKnow reports whether somebody may know that we are online: those who see
// our presence, our server, and strangers we have a call with.
func (c *Client) mayKnow(who jid.JID) bool {
	return c.cfg.Strangers == StrangersRing || c.fromServer(who) || c.seesUs(who) || c.introduced(who)
}
