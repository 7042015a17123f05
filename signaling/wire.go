package signaling

import (
	"crypto/rand"
	"encoding/xml"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// Namespaces.
const (
	nsClient     = "jabber:client"
	nsStanzas    = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsRoster     = "jabber:iq:roster"
	nsRosterVer  = "urn:xmpp:features:rosterver"
	nsDiscoInfo  = "http://jabber.org/protocol/disco#info"
	nsDiscoItems = "http://jabber.org/protocol/disco#items"
	nsData       = "jabber:x:data"
	nsCaps       = "http://jabber.org/protocol/caps"
	nsCarbons    = "urn:xmpp:carbons:2"
	nsForward    = "urn:xmpp:forward:0"
	nsDelay      = "urn:xmpp:delay"
	nsBlocking   = "urn:xmpp:blocking"
	nsReceipts   = "urn:xmpp:receipts"
	nsHints      = "urn:xmpp:hints"
	nsSID        = "urn:xmpp:sid:0"
	nsMAM        = "urn:xmpp:mam:2"
	nsRSM        = "http://jabber.org/protocol/rsm"
	nsPing       = "urn:xmpp:ping"
	nsVersion    = "jabber:iq:version"
)

// empty is an element without attributes and content.
type empty struct{ XMLName xml.Name }

func element(space, local string) *empty {
	return &empty{XMLName: xml.Name{Space: space, Local: local}}
}

// iqAnswer is an iq of type result or error. RFC 6120 §8.2.3
type iqAnswer struct {
	XMLName xml.Name `xml:"jabber:client iq"`
	To      string   `xml:"to,attr,omitempty"`
	ID      string   `xml:"id,attr"`
	Type    string   `xml:"type,attr"`
	Payload any
	Error   *jingle.Error
}

func errUnavailable() *jingle.Error { return jingle.StanzaError(stanza.ServiceUnavailable, "") }
func errBadRequest() *jingle.Error  { return jingle.StanzaError(stanza.BadRequest, "") }
func errConstraint() *jingle.Error  { return jingle.StanzaError(stanza.ResourceConstraint, "") }
func errNotFound() *jingle.Error    { return jingle.StanzaError(stanza.ItemNotFound, "") }
func errUnknownSession() *jingle.Error {
	return jingle.NewError(jingle.UnknownSession)
}

// message is a message of ours: a few payloads and no body.
type message struct {
	XMLName  xml.Name `xml:"jabber:client message"`
	To       string   `xml:"to,attr"`
	ID       string   `xml:"id,attr"`
	Type     string   `xml:"type,attr"`
	Payloads []any
}

// receipt is the answer to a request for a receipt. XEP-0184
type receipt struct {
	XMLName xml.Name `xml:"urn:xmpp:receipts received"`
	ID      string   `xml:"id,attr"`
}

// originID is what we call a message. XEP-0359#origin-id
type originID struct {
	XMLName xml.Name `xml:"urn:xmpp:sid:0 origin-id"`
	ID      string   `xml:"id,attr"`
}

// only returns the single element inside an iq. ok is false when there is text
// beside it, none, or more than one. RFC 6120 §8.2.3
func only(st *stream.Stanza) (payload *stream.Element, ok bool) {
	for e := range st.Children() {
		if payload != nil {
			return nil, false
		}
		payload = e
	}
	return payload, payload != nil && isSpace(st.Text())
}

// newID returns an id that others cannot guess.
func newID() string { return strings.ToLower(rand.Text()) }

func isSpace(s string) bool {
	for _, r := range s {
		if r != ' ' && r != '\t' && r != '\r' && r != '\n' {
			return false
		}
	}
	return true
}

func name(e *stream.Element) xml.Name {
	if e == nil {
		return xml.Name{}
	}
	return e.Start.Name
}

// address returns what goes into a `to` attribute.
func address(j jid.JID) string {
	if isZero(j) {
		return ""
	}
	return j.String()
}

func isZero(j jid.JID) bool { return j.Domainpart() == "" }
func isBare(j jid.JID) bool { return j.Resourcepart() == "" }
