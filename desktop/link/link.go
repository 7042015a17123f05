// Package link reads xmpp: links, as RFC 5122 and XEP-0147 have them, and plain
// addresses, as people write them.
//
//	xmpp:bob@example.org?call             call Bob
//	xmpp:bob@example.org?call;type=video  with video
//	bob@example.org                       show Bob
//
// A link may come from any web page, so it only says what is wanted: nothing
// is to be done before the person was asked.
package link

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"mellium.im/xmpp/jid"
)

// Limits on a link.
const (
	maxLink   = 4096 // bytes
	maxParams = 32
)

// ErrLink is wrapped by errors about links that cannot be understood.
var ErrLink = errors.New("this is no address and no xmpp: link")

// An Action is what a link wants. XEP-0147 and its registry have many more.
type Action string

// The actions that we know. Others are kept as they are written.
const (
	Open      Action = ""          // show the contact
	Call      Action = "call"      // call; we show the contact, as a link may come from any page
	Message   Action = "message"   // XEP-0147 §6.1
	Subscribe Action = "subscribe" // add to the contacts and ask to see them
	Roster    Action = "roster"    // add to the contacts
	SendFile  Action = "sendfile"  // send a file
	Register  Action = "register"  // create an account; To is a server
)

// A Link says what is wanted of whom.
type Link struct {
	// To is whom it is about; a resource is kept.
	To jid.JID
	// Account is which of our accounts to use, the zero JID if that is not said.
	Account jid.JID
	Action  Action
	params  []param
}

type param struct{ key, value string }

// Param returns the value of a parameter, "" when there is none. Keys are
// case-sensitive; the first of several counts.
func (l Link) Param(key string) string {
	for _, p := range l.params {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

// Video reports whether a call is to have video.
func (l Link) Video() bool { return l.Action == Call && l.Param("type") == "video" }

// Parse reads a link or a plain address.
func Parse(s string) (Link, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxLink {
		return Link{}, fmt.Errorf("%w: it is longer than %d bytes", ErrLink, maxLink)
	}
	scheme, rest, has := strings.Cut(s, ":")
	if !has || !strings.EqualFold(scheme, "xmpp") {
		return plain(s)
	}
	rest, _, _ = strings.Cut(rest, "#") // a fragment says nothing to us
	rest, query, _ := strings.Cut(rest, "?")
	var l Link
	var err error
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		account, path, _ := strings.Cut(after, "/")
		if l.Account, err = address(account); err != nil {
			return Link{}, err
		}
		rest = path
		if rest == "" {
			// xmpp://bob@example.org is what browsers make of xmpp:bob@example.org.
			l.To, l.Account = l.Account, jid.JID{}
		}
	}
	if rest != "" {
		if l.To, err = address(rest); err != nil {
			return Link{}, err
		}
	}
	if l.To.Equal(jid.JID{}) {
		return Link{}, fmt.Errorf("%w: it names nobody", ErrLink)
	}
	return l, l.query(query)
}

// plain reads an address without a scheme, which is of a person: what has no @
// may be anything.
func plain(s string) (Link, error) {
	if strings.ContainsAny(s, " \t\r\n") || !strings.Contains(s, "@") {
		return Link{}, ErrLink
	}
	to, err := jid.Parse(s)
	if err == nil {
		err = settled(to)
	}
	if err != nil {
		return Link{}, fmt.Errorf("%w: %w", ErrLink, err)
	}
	return Link{To: to}, nil
}

// settled refuses an address that is another one when it is read again, such as
// that of a domain with two dots at its end.
func settled(j jid.JID) error {
	again, err := jid.Parse(j.String())
	if err == nil && !again.Equal(j) {
		err = fmt.Errorf("%q and %q are not the same", j, again)
	}
	return err
}

// address reads one with percent encoding. RFC 5122 §2.2
func address(s string) (jid.JID, error) {
	// In the parts before and after @ and / these characters are data when
	// they are encoded, so that the parts are taken apart first.
	local, domain, hasLocal := strings.Cut(s, "@")
	if !hasLocal || strings.Contains(local, "/") {
		local, domain = "", s
	}
	domain, resource, hasResource := strings.Cut(domain, "/")
	var part [3]string
	for i, p := range []string{local, domain, resource} {
		v, err := url.PathUnescape(p)
		if err != nil {
			return jid.JID{}, fmt.Errorf("%w: %w", ErrLink, err)
		}
		part[i] = v
	}
	if hasLocal && part[0] == "" && local == "" && strings.HasPrefix(s, "@") || hasResource && part[2] == "" {
		return jid.JID{}, fmt.Errorf("%w: a part of the address is missing", ErrLink)
	}
	j, err := jid.New(part[0], part[1], part[2])
	if err == nil {
		err = settled(j)
	}
	if err != nil {
		return jid.JID{}, fmt.Errorf("%w: %w", ErrLink, err)
	}
	return j, nil
}

// query reads "type;key=value;key=value". RFC 5122 §2.2
func (l *Link) query(s string) error {
	if s == "" {
		return nil
	}
	action, rest, more := strings.Cut(s, ";")
	v, err := url.PathUnescape(action)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLink, err)
	}
	if strings.Contains(action, "=") {
		// Not of a known form; such as a query of the web.
		return fmt.Errorf("%w: it asks for %q", ErrLink, v)
	}
	l.Action = Action(strings.ToLower(v))
	for n := 0; more; n++ {
		var one string
		one, rest, more = strings.Cut(rest, ";")
		if n >= maxParams {
			return fmt.Errorf("%w: it has more than %d parameters", ErrLink, maxParams)
		}
		key, value, _ := strings.Cut(one, "=")
		k, err1 := url.PathUnescape(key)
		v, err2 := url.PathUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%w: %w", ErrLink, err)
		}
		if k != "" {
			l.params = append(l.params, param{k, v})
		}
	}
	return nil
}

// String writes the link.
func (l Link) String() string {
	var b strings.Builder
	b.WriteString("xmpp:")
	if !l.Account.Equal(jid.JID{}) {
		b.WriteString("//" + encode(l.Account) + "/")
	}
	b.WriteString(encode(l.To))
	if l.Action != Open {
		b.WriteString("?" + escape(string(l.Action)))
		for _, p := range l.params {
			b.WriteString(";" + escape(p.key) + "=" + escape(p.value))
		}
	}
	return b.String()
}

func encode(j jid.JID) string {
	s := escape(j.Domainpart())
	if l := j.Localpart(); l != "" {
		s = escape(l) + "@" + s
	}
	if r := j.Resourcepart(); r != "" {
		s += "/" + escape(r)
	}
	return s
}

// escape encodes everything that could be taken for something else.
func escape(s string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$'()*+:[]", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(upper[c>>4]) + string(upper[c&15]))
		}
	}
	return b.String()
}
