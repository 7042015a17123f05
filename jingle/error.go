package jingle

import (
	"encoding/xml"
	"errors"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// The Jingle conditions of stanza errors. XEP-0166#errors
const (
	OutOfOrder       = "out-of-order"
	SecurityRequired = "security-required" // XEP-0166#preconditions
	TieBreak         = "tie-break"
	UnknownSession   = "unknown-session"
	UnsupportedInfo  = "unsupported-info"
)

// An Error is a stanza error with its Jingle condition. XEP-0166#errors
type Error struct {
	Stanza    stanza.Error
	Condition string // in NSErrors; "" when none, for example OutOfOrder
}

// NewError returns the error for a Jingle condition, with the stanza error that
// XEP-0166#errors prescribes for it.
func NewError(condition string) *Error {
	e := &Error{Condition: condition}
	switch condition {
	case OutOfOrder:
		// Conversations sends "wait", Dino "modify"; both read either.
		e.Stanza = stanza.Error{Type: stanza.Wait, Condition: stanza.UnexpectedRequest}
	case SecurityRequired:
		e.Stanza = stanza.Error{Type: stanza.Cancel, Condition: stanza.NotAcceptable}
	case TieBreak:
		e.Stanza = stanza.Error{Type: stanza.Cancel, Condition: stanza.Conflict}
	case UnknownSession:
		e.Stanza = stanza.Error{Type: stanza.Cancel, Condition: stanza.ItemNotFound}
	case UnsupportedInfo:
		e.Stanza = stanza.Error{Type: stanza.Modify, Condition: stanza.FeatureNotImplemented}
	default:
		e.Stanza = stanza.Error{Type: stanza.Cancel, Condition: stanza.UndefinedCondition}
	}
	return e
}

// StanzaError returns an error without Jingle condition; text is for people.
func StanzaError(c stanza.Condition, text string) *Error {
	e := &Error{Stanza: stanza.Error{Type: stanza.Cancel, Condition: c}}
	switch c {
	case stanza.BadRequest:
		e.Stanza.Type = stanza.Modify
	case stanza.ResourceConstraint:
		e.Stanza.Type = stanza.Wait
	}
	if text != "" {
		e.Stanza.Text = map[string]string{"": text}
	}
	return e
}

func (e *Error) Error() string {
	s := string(e.Stanza.Condition)
	if s == "" {
		s = string(stanza.UndefinedCondition)
	}
	if e.Condition != "" {
		s += " (" + e.Condition + ")"
	}
	if t := e.Text(); t != "" {
		s += ": " + t
	}
	return s
}

// Unwrap returns the stanza error.
func (e *Error) Unwrap() error { return e.Stanza }

// Text returns what the error says to people, without language if there is one.
func (e *Error) Text() string {
	if t, ok := e.Stanza.Text[""]; ok {
		return t
	}
	// The smallest tag, so that the same error always reads the same.
	least := ""
	for lang := range e.Stanza.Text {
		if least == "" || lang < least {
			least = lang
		}
	}
	return e.Stanza.Text[least]
}

// MarshalXML writes the error element of an IQ.
func (e *Error) MarshalXML(enc *xml.Encoder, _ xml.StartElement) error {
	const ns = "urn:ietf:params:xml:ns:xmpp-stanzas"
	typ, cond := e.Stanza.Type, e.Stanza.Condition
	if typ == "" {
		typ = stanza.Cancel
	}
	if cond == "" {
		cond = stanza.UndefinedCondition
	}
	start := xml.StartElement{
		Name: xml.Name{Local: "error"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "type"}, Value: string(typ)}},
	}
	if !e.Stanza.By.Equal(jid.JID{}) {
		start.Attr = append(start.Attr, xml.Attr{Name: xml.Name{Local: "by"}, Value: e.Stanza.By.String()})
	}
	el := func(space, local, text string) []xml.Token {
		s := xml.StartElement{Name: xml.Name{Space: space, Local: local}}
		return []xml.Token{s, xml.CharData(text), s.End()}
	}
	tokens := append([]xml.Token{start}, el(ns, string(cond), "")...)
	if t := e.Text(); t != "" {
		tokens = append(tokens, el(ns, "text", t)...)
	}
	if e.Condition != "" {
		tokens = append(tokens, el(NSErrors, e.Condition, "")...)
	}
	for _, t := range append(tokens, start.End()) {
		if err := enc.EncodeToken(t); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalXML reads the error element of an IQ leniently.
func (e *Error) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	*e = Error{}
	for _, a := range start.Attr {
		switch a.Name.Local {
		case "type":
			e.Stanza.Type = stanza.ErrorType(a.Value)
		case "by":
			if j, err := jid.Parse(a.Value); err == nil {
				e.Stanza.By = j
			}
		}
	}
	for {
		tok, err := d.Token()
		if err != nil {
			return err
		}
		child, ok := tok.(xml.StartElement)
		if !ok {
			if _, end := tok.(xml.EndElement); end {
				return nil
			}
			continue
		}
		switch {
		case child.Name.Space == NSErrors:
			e.Condition = clip(child.Name.Local)
			err = d.Skip()
		case child.Name.Local == "text":
			var text string
			if text, err = elementText(d); err == nil && text != "" {
				e.Stanza.Text = map[string]string{"": text}
			}
		default:
			if e.Stanza.Condition == "" {
				e.Stanza.Condition = stanza.Condition(clip(child.Name.Local))
			}
			err = d.Skip()
		}
		if err != nil {
			return err
		}
	}
}

// isTie reports whether err refuses an action because the peer's own wins.
func isTie(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Condition == TieBreak || e.Condition == "" && e.Stanza.Condition == stanza.Conflict
}

// isUnknownSession reports whether err says that the peer has no such session.
//
// A bare item-not-found may mean a content, so only the Jingle condition counts.
func isUnknownSession(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Condition == UnknownSession
}

// isRefusal reports whether err is the peer's answer rather than the lack of one.
func isRefusal(err error) bool {
	var e *Error
	return errors.As(err, &e)
}
