package signaling

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/carillon-im/carillon/jingle"
	"github.com/carillon-im/carillon/signaling/internal/stream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// Info is what an entity says about itself. XEP-0030#info
type Info struct {
	Identities []Identity
	Features   []string
	Forms      []Form // XEP-0128
}

// An Identity is one thing that an entity is. XEP-0030#info-basic
type Identity struct {
	Category string // for example "client"
	Type     string // for example "phone"
	Lang     string
	Name     string
}

// A Form is one extension of an [Info]. XEP-0128
type Form struct {
	Type   string // the value of the field FORM_TYPE
	Fields []FormField
}

// A FormField is one field of a [Form].
type FormField struct {
	Var    string
	Values []string
}

// Has reports whether all the features are there.
func (i Info) Has(features ...string) bool {
	for _, f := range features {
		if !slices.Contains(i.Features, f) {
			return false
		}
	}
	return true
}

// missing returns those of the features that are not there.
func (i Info) missing(features ...string) (out []string) {
	for _, f := range features {
		if !slices.Contains(i.Features, f) {
			out = append(out, f)
		}
	}
	return out
}

// discoQuery is the element of disco#info requests and answers.
type discoQuery struct {
	XMLName    xml.Name       `xml:"http://jabber.org/protocol/disco#info query"`
	Node       string         `xml:"node,attr,omitempty"`
	Identities []identityItem `xml:"identity"`
	Features   []featureItem  `xml:"feature"`
	Forms      []dataForm     `xml:"jabber:x:data x"`
}

type identityItem struct {
	Category string `xml:"category,attr"`
	Type     string `xml:"type,attr"`
	Lang     string `xml:"http://www.w3.org/XML/1998/namespace lang,attr,omitempty"`
	Name     string `xml:"name,attr,omitempty"`
}

type featureItem struct {
	Var string `xml:"var,attr"`
}

type dataForm struct {
	XMLName xml.Name    `xml:"jabber:x:data x"`
	Type    string      `xml:"type,attr"`
	Fields  []dataField `xml:"field"`
}

type dataField struct {
	Var    string   `xml:"var,attr"`
	Type   string   `xml:"type,attr,omitempty"`
	Values []string `xml:"value"`
}

type discoItems struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/disco#items query"`
	Node    string   `xml:"node,attr,omitempty"`
	Items   []struct {
		JID  string `xml:"jid,attr"`
		Node string `xml:"node,attr,omitempty"`
		Name string `xml:"name,attr,omitempty"`
	} `xml:"item"`
}

func encodeInfo(i Info, node string) *discoQuery {
	q := &discoQuery{Node: node}
	for _, id := range i.Identities {
		q.Identities = append(q.Identities, identityItem(id))
	}
	for _, f := range i.Features {
		q.Features = append(q.Features, featureItem{f})
	}
	for _, f := range i.Forms {
		x := dataForm{Type: "result", Fields: []dataField{{Var: formType, Type: "hidden", Values: []string{f.Type}}}}
		for _, field := range f.Fields {
			x.Fields = append(x.Fields, dataField{Var: field.Var, Values: field.Values})
		}
		q.Forms = append(q.Forms, x)
	}
	return q
}

const formType = "FORM_TYPE"

var errIllFormed = errors.New("ill-formed answer about features")

// decodeInfo reads a disco#info answer and refuses those that XEP-0115#ver-proc
// calls ill-formed: their hash would not prove anything.
func decodeInfo(e *stream.Element) (Info, error) {
	var q discoQuery
	if err := e.Decode(&q); err != nil {
		return Info{}, fmt.Errorf("%w: %w", errIllFormed, err)
	}
	if len(q.Features) > maxFeatures || len(q.Identities) > maxFeatures || len(q.Forms) > maxFeatures {
		return Info{}, fmt.Errorf("%w: too long", errIllFormed)
	}
	var out Info
	identities := make(map[Identity]bool)
	for _, id := range q.Identities {
		if identities[Identity(id)] {
			return Info{}, fmt.Errorf("%w: identity twice", errIllFormed)
		}
		identities[Identity(id)] = true
		out.Identities = append(out.Identities, Identity(id))
	}
	features := make(map[string]bool)
	for _, f := range q.Features {
		if features[f.Var] {
			return Info{}, fmt.Errorf("%w: feature twice", errIllFormed)
		}
		features[f.Var] = true
		out.Features = append(out.Features, f.Var)
	}
	forms := make(map[string]bool)
	for _, x := range q.Forms {
		f, ok, err := decodeForm(x)
		if err != nil {
			return Info{}, err
		}
		if !ok {
			continue
		}
		if forms[f.Type] {
			return Info{}, fmt.Errorf("%w: form twice", errIllFormed)
		}
		forms[f.Type] = true
		out.Forms = append(out.Forms, f)
	}
	return out, nil
}

// decodeForm reads a form; ok is false for one that XEP-0115#ver-proc ignores.
func decodeForm(x dataForm) (f Form, ok bool, err error) {
	for _, field := range x.Fields {
		if field.Var != formType {
			f.Fields = append(f.Fields, FormField{Var: field.Var, Values: field.Values})
			continue
		}
		for _, v := range field.Values {
			if v != field.Values[0] {
				return f, false, fmt.Errorf("%w: form of two types", errIllFormed)
			}
		}
		if field.Type == "hidden" && len(field.Values) > 0 {
			f.Type, ok = field.Values[0], true
		}
	}
	return f, ok, nil
}

// askInfo asks an entity what it is, without any cache.
func (c *Client) askInfo(ctx context.Context, j jid.JID, node string) (Info, error) {
	st, err := c.s.IQ(ctx, j, stanza.GetIQ, &discoQuery{Node: node})
	if err != nil {
		return Info{}, fmt.Errorf("ask %s what it can do: %w", j, err)
	}
	info, err := decodeInfo(st.Child(nsDiscoInfo, "query"))
	if err != nil {
		return Info{}, fmt.Errorf("ask %s what it can do: %w", j, err)
	}
	return info, nil
}

// Disco asks an entity what it is. Answers that entity capabilities
// (XEP-0115) vouch for come from memory.
func (c *Client) Disco(ctx context.Context, j jid.JID) (Info, error) {
	if d, ok := c.presence.device(j); ok {
		return c.deviceInfo(ctx, d)
	}
	return c.askInfo(ctx, j, "")
}

// answerInfo answers disco#info about this client. XEP-0115#discover
func (c *Client) answerInfo(q *stream.Element) (any, *jingle.Error) {
	node := q.Attr("node")
	info, ok := c.self.infoFor(node)
	if !ok {
		return nil, errNotFound()
	}
	return encodeInfo(info, node), nil
}

// answerItems says that there is nothing behind this client.
func answerItems(q *stream.Element) (any, *jingle.Error) {
	if strings.TrimSpace(q.Attr("node")) != "" {
		return nil, errNotFound()
	}
	return &discoItems{}, nil
}
