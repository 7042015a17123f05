// Package notify shows notifications of the desktop and says which of their
// buttons was pressed, as the Desktop Notifications Specification 1.2 has it.
//
//	n, err := notify.Dial(ctx)
//	shown, err := n.Show(ctx, notify.IncomingCall("Bob", "Accept", "Decline"))
//	switch <-shown.Chosen() {
//	case notify.Accept:  ...
//	case notify.Decline: ...
//	case "":             // it was closed without
//	}
//
// It works where there is a D-Bus session bus with a notification server,
// which is on Linux and other free desktops; elsewhere Dial returns
// [ErrNone], and the window alone rings.
package notify

import (
	"errors"
	"html"
	"strings"
	"time"
	"unicode"
)

// ErrNone says that this desktop shows no notifications.
var ErrNone = errors.New("no notification server is running")

// ErrClosed is returned after Close, or when the bus ended.
var ErrClosed = errors.New("the connection to the notification server is closed")

// An Urgency is how much a notification may disturb.
type Urgency byte

// The urgencies.
const (
	Low Urgency = iota
	Normal
	Critical // stays until somebody deals with it
)

// Categories of the specification that we use.
const (
	CallIncoming     = "call.incoming"
	CallUnanswered   = "call.unanswered"
	TransferComplete = "transfer.complete"
	TransferError    = "transfer.error"
	PresenceOnline   = "presence.online"
)

// Actions of calls. Default is a click on the notification itself.
const (
	Accept   = "accept"
	Decline  = "decline"
	CallBack = "call-back"
	Default  = "default"
)

// An Action is a button.
type Action struct {
	ID    string
	Label string // for people, in their language
}

// Limits on what is shown. Names and texts come from others.
const (
	maxTitle   = 200 // bytes
	maxBody    = 1000
	maxActions = 8
)

// A Notification says something to a person. Title is needed.
type Notification struct {
	Title string
	// Body is plain text; what looks like markup is shown as it is written.
	Body    string
	Urgency Urgency
	// Category is what kind it is, such as CallIncoming.
	Category string
	// Icon is a name of the icon theme or a file URL. Empty means "carillon".
	Icon string
	// Actions are its buttons, where the server can show them.
	Actions []Action
	// Resident keeps it open when a button was pressed.
	Resident bool
	// Transient keeps it out of the list of past notifications.
	Transient bool
	// Timeout closes it. Zero leaves that to the server; negative means never.
	Timeout time.Duration
	// Sound lets the server play one; we ring ourselves.
	Sound bool
}

// IncomingCall is the notification of a call that rings. The words are in the
// language of the person.
func IncomingCall(title, accept, decline string) Notification {
	return Notification{
		Title: title, Urgency: Critical, Category: CallIncoming, Timeout: -1, Transient: true,
		Actions: []Action{{Default, title}, {Accept, accept}, {Decline, decline}},
	}
}

// MissedCall is the notification of a call that nobody took, likewise. It stays
// in the list of past notifications.
func MissedCall(title, body, back string) Notification {
	return Notification{
		Title: title, Body: body, Category: CallUnanswered, Urgency: Normal,
		Actions: []Action{{Default, title}, {CallBack, back}},
	}
}

// clean makes a text of others fit to be shown: one line, of limited length,
// without control characters and those that turn text around, by which
// photo-gpj.exe can be made to look like a picture.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	if len(s) <= most {
		return s
	}
	s = strings.ToValidUTF8(s[:most], "")
	return s + "…"
}

// markup writes a body as servers want it that take markup.
func markup(s string) string { return html.EscapeString(s) }
