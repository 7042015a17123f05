// Package jingle implements Jingle (XEP-0166): two XMPP entities agree on a
// session, its contents, and how each content is transported.
//
//	Initiator                          Responder
//	   |--- session-initiate ------------->|   StatePending
//	   |<-- transport-info (candidates) ---|
//	   |<-- session-accept ----------------|   StateActive
//	   |--- session-terminate ------------>|   StateEnded
//
// A session consists of contents, for example one for sound and one for a
// picture. A [Content] has a name, a [Description] (what is sent: XEP-0167 in
// package rtp), a [Transport] (how it travels: XEP-0176 in package iceudp) and
// [Senders] (who sends). A [Jingle] element carries one [Action] about them in an
// IQ stanza, and each IQ is answered at once: by a result, which means no more
// than that it arrived, or by an [Error].
//
// # Driving a session
//
// A [Session] is the state machine of one side. It performs no I/O, has no clock
// and starts no goroutine: give it what arrived with [Session.Receive], tell it
// what the user wants with methods such as [Session.Accept], report with
// [Session.Sent] how the peer answered our own actions and with
// [Session.TimerFired] that a timer elapsed. All of them return [Effect] values
// to carry out in order; tests compare them as values. Begin with [NewSession].
//
//	reply, effects := s.Receive(j) // send the reply first, then carry out effects
//	for _, e := range effects {
//		switch e := e.(type) {
//		case jingle.Send:       // send e.Jingle in an IQ; its answer goes to s.Sent(e.ID, err)
//		case jingle.StartTimer: // after e.After call s.TimerFired(e.ID)
//		case jingle.StopTimer:
//		default:                // news for the application
//		}
//	}
//
// Package signaling does that over XMPP and package jingletest in memory; they
// drive any [Application], such as a call, through a [Conn].
//
// # Changing a session
//
// Either side may change an active session. An offer is open until the other side
// answers it, and may be taken back until then:
//
//	AddContent         --- content-add ------>   ContentOffered
//	ContentAccepted    <-- content-accept ----   AcceptContent
//	  ContentRejected  <-- content-reject ----   or RejectContent
//	RemoveContent      --- content-remove --->   ContentRemoved
//	ModifyContent      --- content-modify --->   ContentModified: who sends
//	ReplaceTransport   --- transport-replace ->  TransportReplaceReceived
//
// When both do the same at once, the initiator's action wins
// (XEP-0166#def-action-ties). The engine refuses the responder's, and undoes it on
// the responder's side, which [ActionFailed] and [ContentRejected] tell. A session
// whose last content goes is over.
//
// # Reading and writing
//
// Write elements with [xml.Marshal], read them with [Registry.Decode]. The package
// is lenient with what it reads and strict with what it writes: elements that
// nobody registered are kept as [Unknown], reasons are matched however they are
// spelled, what exceeds a limit is left out, and what is merely odd is
// acknowledged. Everything read is bounded.
//
// What clients in use do differently from the specification is marked "interop" in
// the source, with the client's name.
//
// Security preconditions (security-info) and sessions that are handed on to
// another address are not implemented. Fingerprints are checked by package media.
package jingle

import (
	"encoding/xml"

	"github.com/carillon-im/carillon/jingle/group"
)

// Namespaces of Jingle itself.
const (
	NS       = "urn:xmpp:jingle:1"
	NSErrors = "urn:xmpp:jingle:errors:1"
)

// MaxSID is the longest session id that is read, in bytes.
const MaxSID = 256

// An Action says what a jingle element asks for. XEP-0166#def-action
type Action string

// The actions of XEP-0166#def-action.
const (
	ActionContentAccept    Action = "content-accept"
	ActionContentAdd       Action = "content-add"
	ActionContentModify    Action = "content-modify"
	ActionContentReject    Action = "content-reject"
	ActionContentRemove    Action = "content-remove"
	ActionDescriptionInfo  Action = "description-info"
	ActionSecurityInfo     Action = "security-info"
	ActionSessionAccept    Action = "session-accept"
	ActionSessionInfo      Action = "session-info"
	ActionSessionInitiate  Action = "session-initiate"
	ActionSessionTerminate Action = "session-terminate"
	ActionTransportAccept  Action = "transport-accept"
	ActionTransportInfo    Action = "transport-info"
	ActionTransportReject  Action = "transport-reject"
	ActionTransportReplace Action = "transport-replace"
)

// A Jingle is the element that carries one action. XEP-0166#def-jingle
// Encode it with [xml.Marshal]; decode it with [Registry.Decode], which knows
// the descriptions and transports.
type Jingle struct {
	XMLName   xml.Name // as read; not needed to write
	Action    Action
	Initiator string // full JID; not every client sends one
	Responder string
	SID       string
	Contents  []Content
	Groups    []group.Group
	Reason    *Reason
	Payloads  []Payload // children in other namespaces, such as session-info messages
}

// A Role is a side of the session. XEP-0166#terms
type Role uint8

// The two roles.
const (
	Initiator Role = iota
	Responder
)

// Peer returns the other role.
func (r Role) Peer() Role { return 1 - r }

func (r Role) String() string {
	if r == Initiator {
		return "initiator"
	}
	return "responder"
}

// Senders says who sends in a content. XEP-0166#def-content
type Senders string

// The values of Senders; empty means SendersBoth.
const (
	SendersBoth      Senders = "both"
	SendersInitiator Senders = "initiator"
	SendersNone      Senders = "none"
	SendersResponder Senders = "responder"
)

// Includes reports whether the side with role r sends.
func (s Senders) Includes(r Role) bool {
	switch s {
	case SendersBoth, "":
		return true
	case SendersInitiator:
		return r == Initiator
	case SendersResponder:
		return r == Responder
	}
	return false
}

// valid reports whether s is one of the values of XEP-0166#def-content.
func (s Senders) valid() bool {
	switch s {
	case "", SendersBoth, SendersInitiator, SendersNone, SendersResponder:
		return true
	}
	return false
}

// A Content is one stream of a session: what is sent and how it travels.
// XEP-0166#def-content
type Content struct {
	Creator     string      // "initiator" or "responder"; always sent as "initiator", never trusted
	Disposition string      // default "session"
	Name        string      // unique in its session
	Senders     Senders     // empty means SendersBoth
	Description Description // nil when absent
	Transport   Transport   // nil when absent
	Security    *Unknown    // nil when absent
	Unknown     []*Unknown  // children nobody registered
}

// A Description says what a content carries, for example *rtp.Description.
//
// It may have two more methods. Stub() Description returns the same without
// details, for actions that only point out a content. Kind() string tells
// descriptions of one namespace apart, for example "audio" and "video", when
// both sides add a content at once.
type Description interface{ Namespace() string }

// A Transport says how a content travels, for example *iceudp.Transport.
//
// It may have two more methods. Stub() Transport returns the same without
// details. OffersRestart() bool reports whether it asks, in a transport-info,
// for a restart, so that two restarts at once are told apart.
type Transport interface{ Namespace() string }

// A Payload is any other child of the jingle element, for example *rtp.Info.
type Payload interface{ Namespace() string }
