// Package jmi implements Jingle Message Initiation (XEP-0353): before a Jingle
// session begins, messages let every device of the callee ring and find out
// which of them takes the call.
//
//	Caller                         Callee's devices
//	   |--- propose (bare JID) ---------->|  all of them ring
//	   |<-- ringing (full JID) -----------|  each says so
//	   |<-- proceed (full JID) -----------|  one is answered, the others stop
//	   |=== a Jingle session with it =====|
//	   |<-- finish ---------------------->|  both say that it is over
//
// The caller may take the proposal back with retract, a device may reject it for
// all. A [Call] is the state machine of one call on one side. Like
// [jingle.Session] it performs no I/O: give it the messages that arrive with
// [Call.Receive], tell it what the user wants, carry out the [Effect] values.
//
// Every message is sent with type "chat" and a store hint (XEP-0353#usecases);
// adding them, and directed presence towards strangers, is the driver's part.
package jmi

import (
	"encoding/xml"
	"fmt"

	"github.com/carillon-im/carillon/jingle"
)

// Namespaces of the elements in this package.
const (
	NS       = "urn:xmpp:jingle-message:0"
	NSDevice = "http://gultsch.de/xmpp/drafts/omemo/dlts-srtp-verification"
)

// A Kind is what a message says: the local name of its element.
type Kind string

// The kinds of messages. XEP-0353#usecases
const (
	KindAccept  Kind = "accept" // to our own other devices only
	KindFinish  Kind = "finish"
	KindProceed Kind = "proceed"
	KindPropose Kind = "propose"
	KindReject  Kind = "reject"
	KindRetract Kind = "retract"
	KindRinging Kind = "ringing"
)

// Known reports whether k is one of the kinds above.
func (k Kind) Known() bool {
	switch k {
	case KindAccept, KindFinish, KindProceed, KindPropose, KindReject, KindRetract, KindRinging:
		return true
	}
	return false
}

// Is reports whether an element with this name is a message of this package.
func Is(name xml.Name) bool { return name.Space == NS && Kind(name.Local).Known() }

// MaxDescriptions bounds the descriptions kept of one proposal.
const MaxDescriptions = 8

// A Description names one kind of content proposed, for example RTP audio.
type Description struct {
	XMLName xml.Name
	Media   string `xml:"media,attr,omitempty"`
}

// A Message is the element in a message stanza. XEP-0353#usecases
type Message struct {
	Kind         Kind
	SID          string         // the session's sid: RFC 4122 UUID when it is ours
	Descriptions []Description  // propose only
	Reason       *jingle.Reason // reject, retract and finish
	TieBreak     bool           // reject and retract. XEP-0353#tie-break-1
	MigratedTo   string         // finish: the sid that goes on. XEP-0353#tie-break-2
	Device       string         // propose and proceed: OMEMO device id that will verify the DTLS fingerprint
}

// MarshalXML writes the element that Kind names.
func (m *Message) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	if !m.Kind.Known() {
		return fmt.Errorf("jmi: encode message of unknown kind %q", m.Kind)
	}
	return e.EncodeElement(wire{
		SID:          m.SID,
		Descriptions: m.Descriptions,
		Reason:       m.Reason,
		TieBreak:     flag(m.TieBreak),
		Migrated:     migratedTo(m.MigratedTo),
		Device:       deviceID(m.Device),
	}, xml.StartElement{Name: xml.Name{Space: NS, Local: string(m.Kind)}})
}

// UnmarshalXML reads any element for which [Is] is true, leniently. Its errors
// are malformed XML, another element, or no id.
func (m *Message) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if !Is(start.Name) {
		return fmt.Errorf("jmi: decode message: unexpected element %s %s", start.Name.Space, start.Name.Local)
	}
	var w wire
	if err := d.DecodeElement(&w, &start); err != nil {
		return fmt.Errorf("jmi: decode %s: %w", start.Name.Local, err)
	}
	if w.SID == "" || len(w.SID) > jingle.MaxSID {
		return fmt.Errorf("jmi: decode %s: id of %d bytes", start.Name.Local, len(w.SID))
	}
	*m = Message{
		Kind:         Kind(start.Name.Local),
		SID:          w.SID,
		Descriptions: w.Descriptions[:min(len(w.Descriptions), MaxDescriptions)],
		Reason:       w.Reason,
		TieBreak:     w.TieBreak != nil,
	}
	if m.Kind != KindPropose {
		// interop Conversations 2.19: puts stray descriptions into reject and retract.
		m.Descriptions = nil
	}
	if w.Migrated != nil {
		m.MigratedTo = w.Migrated.To
	}
	if w.Device != nil {
		m.Device = w.Device.ID
	}
	return nil
}

// wire is a message as encoding/xml sees it.
type wire struct {
	SID          string         `xml:"id,attr"`
	Descriptions []Description  `xml:"description"`
	Reason       *jingle.Reason `xml:"reason"`
	TieBreak     *struct{}      `xml:"tie-break"`
	Migrated     *migrated      `xml:"migrated"`
	Device       *device        `xml:"http://gultsch.de/xmpp/drafts/omemo/dlts-srtp-verification device"`
}

type migrated struct {
	To string `xml:"to,attr"`
}

type device struct {
	ID string `xml:"id,attr"`
}

func flag(on bool) *struct{} {
	if !on {
		return nil
	}
	return new(struct{})
}

func migratedTo(sid string) *migrated {
	if sid == "" {
		return nil
	}
	return &migrated{To: sid}
}

func deviceID(id string) *device {
	if id == "" {
		return nil
	}
	return &device{ID: id}
}
