package jingletest

import (
	"fmt"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/jingle/group"
	"github.com/carillon-im/carillon/jingle/rtp"
)

// line writes an action as a transcript does.
func line(j *jingle.Jingle) string {
	words := append([]string{string(j.Action)}, contentText(j)...)
	if j.Reason != nil {
		words = append(words, "because", string(j.Reason.Condition))
	}
	for _, p := range j.Payloads {
		words = append(words, "with", payloadText(p))
	}
	for _, g := range j.Groups {
		words = append(words, "bundled")
		words = append(words, g.Names()...)
	}
	return strings.Join(words, " ")
}

// contentText returns the names, with senders where they say something.
func contentText(j *jingle.Jingle) []string {
	var words []string
	for _, c := range j.Contents {
		w := c.Name
		if c.Senders != "" && c.Senders != jingle.SendersBoth || j.Action == jingle.ActionContentModify {
			w += ":" + string(c.Senders)
		}
		words = append(words, w)
	}
	return words
}

func payloadText(p jingle.Payload) string {
	switch p := p.(type) {
	case *rtp.Info:
		return strings.TrimSpace(p.XMLName.Local + " " + p.Name)
	}
	return "unknown"
}

func errorText(e *jingle.Error) string {
	return strings.TrimSpace(string(e.Stanza.Condition) + " " + e.Condition)
}

func groups(names []string) []group.Group {
	return []group.Group{group.New(group.Bundle, names...)}
}

// eventText writes what the application is told as a transcript does.
func eventText(e jingle.Effect) string {
	about := func(name string, j *jingle.Jingle) string {
		return strings.Join(append([]string{name}, contentText(j)...), " ")
	}
	because := func(name string, names []string, r *jingle.Reason) string {
		s := strings.Join(append([]string{name}, names...), " ")
		if r != nil {
			s += " because " + string(r.Condition)
		}
		return s
	}
	switch e := e.(type) {
	case jingle.Offered:
		return about("offered", e.Jingle)
	case jingle.Accepted:
		return about("accepted", e.Jingle)
	case jingle.InitiateAcknowledged:
		return "acknowledged"
	case jingle.ContentOffered:
		return about("content-offered", e.Jingle)
	case jingle.ContentAccepted:
		return about("content-accepted", e.Jingle)
	case jingle.ContentRejected:
		return because("content-rejected", e.Names, e.Reason)
	case jingle.ContentModified:
		return "content-modified " + e.Name + ":" + string(e.Senders)
	case jingle.ContentRemoved:
		return because("content-removed", e.Names, e.Reason)
	case jingle.TransportInfoReceived:
		return about("transport-info", e.Jingle)
	case jingle.RestartAcknowledged:
		return about("restart-acknowledged", e.Jingle)
	case jingle.TransportReplaceReceived:
		return about("transport-offered", e.Jingle)
	case jingle.TransportAccepted:
		return about("transport-accepted", e.Jingle)
	case jingle.TransportRejected:
		return because("transport-rejected", e.Names, nil)
	case jingle.DescriptionInfoReceived:
		return about("description-info", e.Jingle)
	case jingle.InfoReceived:
		return "info " + payloadText(e.Payload)
	case jingle.ActionFailed:
		s := strings.Join(append([]string{"failed", string(e.Action)}, e.Names...), " ")
		switch {
		case e.Tie:
			s += " by tie-break"
		case e.Timeout:
			s += " without answer"
		}
		return s
	case jingle.Ended:
		s := "ended because " + string(e.Reason.Condition)
		if e.Remote {
			s = "ended by peer because " + string(e.Reason.Condition)
		}
		return s
	}
	return fmt.Sprintf("%T", e)
}
