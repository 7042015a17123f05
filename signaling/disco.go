package signaling

import (
	"context"

	"mellium.im/xmpp/jid"
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
func (i Info) Has(features ...string) bool { panic("soon") }

// Disco asks an entity what it is. Answers that entity capabilities
// (XEP-0115) vouch for come from memory.
func (c *Client) Disco(ctx context.Context, j jid.JID) (Info, error) { panic("soon") }
