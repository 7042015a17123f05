package jingle

import (
	"encoding/xml"
	"strings"
)

// A Condition is the machine-readable part of a reason. XEP-0166#def-reason
type Condition string

// The conditions of XEP-0166#def-reason.
const (
	AlternativeSession      Condition = "alternative-session"
	Busy                    Condition = "busy"
	Cancel                  Condition = "cancel"
	ConnectivityError       Condition = "connectivity-error"
	Decline                 Condition = "decline"
	Expired                 Condition = "expired"
	FailedApplication       Condition = "failed-application"
	FailedTransport         Condition = "failed-transport"
	GeneralError            Condition = "general-error"
	Gone                    Condition = "gone"
	IncompatibleParameters  Condition = "incompatible-parameters"
	MediaError              Condition = "media-error"
	SecurityError           Condition = "security-error"
	Success                 Condition = "success"
	Timeout                 Condition = "timeout"
	UnsupportedApplications Condition = "unsupported-applications"
	UnsupportedTransports   Condition = "unsupported-transports"
)

// Known reports whether c is a condition of XEP-0166#def-reason.
func (c Condition) Known() bool {
	switch c {
	case AlternativeSession, Busy, Cancel, ConnectivityError, Decline, Expired,
		FailedApplication, FailedTransport, GeneralError, Gone,
		IncompatibleParameters, MediaError, SecurityError, Success, Timeout,
		UnsupportedApplications, UnsupportedTransports:
		return true
	}
	return false
}

// MaxText is how much text for people is kept of what a peer sends, in bytes.
const MaxText = 1024

// A Reason says why a session or content ended. It is read leniently: by local
// name in any namespace, with "-" or "_"; what is unknown reads as GeneralError.
type Reason struct {
	Condition Condition
	SID       string // alternative-session only
	Text      string // for people, never parsed
}

func (r Reason) String() string {
	s := string(r.Condition)
	if s == "" {
		s = "no reason"
	}
	if r.Text != "" {
		s += " (" + r.Text + ")"
	}
	return s
}

// MarshalXML writes the reason in the namespace of Jingle, whatever element it
// is in, so that it also serves Jingle Message Initiation.
func (r Reason) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	start := xml.StartElement{Name: xml.Name{Space: NS, Local: "reason"}}
	cond := r.Condition
	if !cond.Known() {
		cond = GeneralError
	}
	inner := xml.StartElement{Name: xml.Name{Local: string(cond)}}
	tokens := []xml.Token{start, inner}
	if cond == AlternativeSession && r.SID != "" {
		sid := xml.StartElement{Name: xml.Name{Local: "sid"}}
		tokens = append(tokens, sid, xml.CharData(r.SID), sid.End())
	}
	tokens = append(tokens, inner.End())
	if r.Text != "" {
		text := xml.StartElement{Name: xml.Name{Local: "text"}}
		tokens = append(tokens, text, xml.CharData(r.Text), text.End())
	}
	tokens = append(tokens, start.End())
	for _, t := range tokens {
		if err := e.EncodeToken(t); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalXML reads a reason leniently; it never fails on what is unknown.
//
// interop Dino 0.4: spells failed-application and failed-transport with "_".
// interop Monal 2024-10: writes application-error, and the condition without namespace.
func (r *Reason) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	*r = Reason{Condition: GeneralError}
	found := false
	for {
		tok, err := d.Token()
		if err != nil {
			return err
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			if _, end := tok.(xml.EndElement); end {
				return nil
			}
			continue
		}
		name := Condition(strings.ReplaceAll(start.Name.Local, "_", "-"))
		switch {
		case start.Name.Local == "text":
			if r.Text, err = elementText(d); err != nil {
				return err
			}
			continue
		case found || !name.Known():
			err = d.Skip()
		case name == AlternativeSession:
			found, r.Condition = true, name
			var alt struct {
				SID string `xml:"sid"`
			}
			if err = d.DecodeElement(&alt, &start); err == nil {
				r.SID = clip(alt.SID)
			}
		default:
			found, r.Condition = true, name
			err = d.Skip()
		}
		if err != nil {
			return err
		}
	}
}

// elementText reads up to the end of the current element and returns its own
// text, at most MaxText bytes of it.
func elementText(d *xml.Decoder) (string, error) {
	var b strings.Builder
	for depth := 1; ; {
		tok, err := d.Token()
		if err != nil {
			return "", err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				return clip(b.String()), nil
			}
		case xml.CharData:
			if depth == 1 && b.Len() <= MaxText {
				b.Write(t)
			}
		}
	}
}

// clip shortens what a peer wrote to MaxText bytes, without a broken rune at
// its end.
func clip(s string) string {
	if len(s) <= MaxText {
		return s
	}
	return strings.ToValidUTF8(s[:MaxText], "")
}
