package jingle

import (
	"encoding/xml"
	"fmt"
)

// MarshalXML writes the element. It fails on what must not be sent: an unknown
// action, no sid, or a content without name.
func (j Jingle) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	if !j.Action.Known() || j.SID == "" {
		return fmt.Errorf("encode jingle: action %q, sid %q", j.Action, j.SID)
	}
	start := xml.StartElement{Name: xml.Name{Space: NS, Local: "jingle"}}
	start.Attr = attr(start.Attr, "action", string(j.Action))
	start.Attr = attr(start.Attr, "initiator", j.Initiator)
	start.Attr = attr(start.Attr, "responder", j.Responder)
	start.Attr = attr(start.Attr, "sid", j.SID)
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for i := range j.Contents {
		if err := j.Contents[i].MarshalXML(e, xml.StartElement{}); err != nil {
			return fmt.Errorf("encode %s: %w", j.Action, err)
		}
	}
	// The group follows its contents, as Conversations sends it.
	for i := range j.Groups {
		if err := e.Encode(&j.Groups[i]); err != nil {
			return fmt.Errorf("encode %s: group: %w", j.Action, err)
		}
	}
	if j.Reason != nil {
		if err := j.Reason.MarshalXML(e, xml.StartElement{}); err != nil {
			return fmt.Errorf("encode %s: reason: %w", j.Action, err)
		}
	}
	for _, p := range j.Payloads {
		if err := e.Encode(p); err != nil {
			return fmt.Errorf("encode %s: payload %s: %w", j.Action, p.Namespace(), err)
		}
	}
	return e.EncodeToken(start.End())
}

// MarshalXML writes the content. A missing creator is "initiator", and senders is
// written with every description, since not every client knows its default.
func (c Content) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	if c.Name == "" {
		return fmt.Errorf("content without name")
	}
	if c.Creator == "" {
		c.Creator = Initiator.String()
	}
	if c.Description != nil {
		c.Senders = both(c.Senders)
	}
	start := xml.StartElement{Name: xml.Name{Local: "content"}}
	start.Attr = attr(start.Attr, "creator", c.Creator)
	start.Attr = attr(start.Attr, "disposition", c.Disposition)
	start.Attr = attr(start.Attr, "name", c.Name)
	start.Attr = attr(start.Attr, "senders", string(c.Senders))
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	var children []any
	if c.Description != nil {
		children = append(children, c.Description)
	}
	if c.Transport != nil {
		children = append(children, c.Transport)
	}
	if c.Security != nil {
		children = append(children, c.Security)
	}
	for _, u := range c.Unknown {
		children = append(children, u)
	}
	for _, v := range children {
		if err := e.Encode(v); err != nil {
			return fmt.Errorf("content %q: %w", c.Name, err)
		}
	}
	return e.EncodeToken(start.End())
}

// attr adds an attribute unless it is empty.
func attr(attrs []xml.Attr, name, value string) []xml.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, xml.Attr{Name: xml.Name{Local: name}, Value: value})
}
