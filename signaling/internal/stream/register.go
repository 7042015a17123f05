package stream

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

const (
	nsRegister = "jabber:iq:register"
	nsForm     = "jabber:x:data"
	nsOOB      = "jabber:x:oob"
)

// Limits on what a server asks for.
const (
	maxFields  = 32
	maxOptions = 64
	maxTries   = 8 // elements that are not the answer
)

// Reasons why an account cannot be created.
var (
	// ErrNoRegistration says that the server lets nobody create accounts here.
	ErrNoRegistration error = hinted{"this server does not let apps create accounts", "look on the website of the server, or choose another one"}
	// ErrNameTaken says that somebody has that name.
	ErrNameTaken error = hinted{"somebody has this name on that server", "choose another one"}
)

// A FormField is something that a server wants to know.
type FormField struct {
	Name     string // "email", and what the server made up
	Label    string // for people, "" when Name must do
	Type     string // of XEP-0004#protocol-fieldtypes, such as "text-single", "hidden" or "list-single"
	Required bool
	Value    string   // to begin with
	Options  []Option // of a list
}

// An Option is one of a list.
type Option struct{ Label, Value string }

// A Form is what a server wants to know of a new account, besides its name and
// password.
type Form struct {
	Instructions string // what the server writes, for people
	URL          string // a page where the account can be created instead, "" for none
	Fields       []FormField
}

// A FormError says that a server wants to know more than was given.
type FormError struct{ Form Form }

func (e *FormError) Error() string {
	var names []string
	for _, f := range e.Form.Fields {
		if f.Required {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return "the server creates accounts on a website"
	}
	return "the server wants to know more: " + strings.Join(names, ", ")
}

// Hint is what to do about it.
func (e *FormError) Hint() string {
	if e.Form.URL != "" {
		return "create the account at " + e.Form.URL
	}
	return "create the account on the website of the server"
}

type registerQuery struct {
	Registered   *struct{} `xml:"jabber:iq:register registered"`
	Instructions string    `xml:"jabber:iq:register instructions"`
	Fields       []struct {
		XMLName xml.Name
	} `xml:",any"`
	Form *dataForm `xml:"jabber:x:data x"`
	URL  string    `xml:"jabber:x:oob x>url"`
}

type dataForm struct {
	Type         string   `xml:"type,attr"`
	Instructions []string `xml:"jabber:x:data instructions"`
	Fields       []struct {
		Var      string    `xml:"var,attr"`
		Label    string    `xml:"label,attr"`
		Type     string    `xml:"type,attr"`
		Required *struct{} `xml:"jabber:x:data required"`
		Values   []string  `xml:"jabber:x:data value"`
		Options  []struct {
			Label string `xml:"label,attr"`
			Value string `xml:"jabber:x:data value"`
		} `xml:"jabber:x:data option"`
	} `xml:"jabber:x:data field"`
}

// form is what is left to be asked, and whether the answer is a data form.
func (q *registerQuery) form() (f Form, data bool) {
	f = Form{Instructions: strings.TrimSpace(q.Instructions), URL: webAddress(q.URL)}
	if q.Form == nil || q.Form.Type != "form" {
		for _, field := range q.Fields {
			// All fields of the old kind are required. XEP-0077#registrar-formtypes
			n := field.XMLName
			if n.Space == nsRegister && n.Local != "username" && n.Local != "password" && n.Local != "key" && len(f.Fields) < maxFields {
				f.Fields = append(f.Fields, FormField{Name: n.Local, Type: "text-single", Required: true})
			}
		}
		return f, false
	}
	if text := strings.TrimSpace(strings.Join(q.Form.Instructions, "\n")); text != "" {
		f.Instructions = text
	}
	for _, field := range q.Form.Fields[:min(len(q.Form.Fields), maxFields)] {
		if field.Var == "" || field.Type == "fixed" || field.Var == "username" || field.Var == "password" {
			continue
		}
		one := FormField{Name: field.Var, Label: field.Label, Type: field.Type, Required: field.Required != nil}
		if one.Type == "" {
			one.Type = "text-single"
		}
		if len(field.Values) > 0 {
			one.Value = field.Values[0]
		}
		for _, o := range field.Options[:min(len(field.Options), maxOptions)] {
			one.Options = append(one.Options, Option{o.Label, o.Value})
		}
		f.Fields = append(f.Fields, one)
	}
	return f, true
}

// webAddress returns s if it may be shown as a link.
func webAddress(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 2048 || !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return ""
	}
	return s
}

// Register creates the account cfg.JID with cfg.Password on its server. ask is
// called when the server wants to know more, and returns the values by name of
// field; nil answers nothing. It returns ErrNoRegistration, ErrNameTaken, a
// *FormError for what ask did not answer, an *AnswerError with what else the
// server has against it, or as Dial why the server cannot be reached. XEP-0077
func Register(ctx context.Context, cfg Config, ask func(context.Context, Form) (map[string]string, error)) error {
	cfg = cfg.withDefaults()
	if cfg.JID.Localpart() == "" || cfg.Password == "" {
		return errors.New("a new account needs a name and a password")
	}
	d := &dialer{cfg: &cfg}
	dialing, cancel := d.deadline(ctx)
	defer cancel()
	l, _, err := d.connect(dialing)
	if err != nil {
		return err
	}
	defer l.abort()
	stop := context.AfterFunc(ctx, l.abort)
	defer stop()
	if err = register(ctx, l, &cfg, ask); err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func register(ctx context.Context, l *link, cfg *Config, ask func(context.Context, Form) (map[string]string, error)) error {
	domain := cfg.JID.Domain()
	// It is not announced by all that do it. XEP-0077#streamfeature
	answer, err := exchange(l, cfg, domain, "get", "r1", "<query xmlns='"+nsRegister+"'/>")
	if err != nil {
		var e *AnswerError
		if errors.As(err, &e) || errors.Is(err, errServerClosed) || isStreamError(err) {
			return ErrNoRegistration
		}
		return err
	}
	var q registerQuery
	if e := answer.Child(nsRegister, "query"); e == nil {
		return ErrNoRegistration
	} else if err := e.Decode(&q); err != nil {
		return fmt.Errorf("read what the server wants to know: %w", err)
	}
	form, data := q.form()
	values := make(map[string]string)
	hidden := func(f FormField) bool { return f.Type == "hidden" }
	if slices.ContainsFunc(form.Fields, func(f FormField) bool { return !hidden(f) }) && ask != nil {
		if values, err = ask(ctx, form); err != nil {
			return err
		}
	}
	fields := []FormField{{Name: "username", Value: cfg.JID.Localpart()}, {Name: "password", Value: string(cfg.Password)}}
	for _, f := range form.Fields {
		v, given := values[f.Name]
		switch {
		case given && !hidden(f):
			f.Value = v
		case f.Value == "" && f.Required:
			return &FormError{form}
		case f.Value == "":
			continue
		}
		fields = append(fields, f)
	}
	if !data && form.URL != "" && !hasField(q, "username") {
		return &FormError{form} // only there, XEP-0077#redirect
	}
	_, err = exchange(l, cfg, domain, "set", "r2", submit(fields, data))
	var e *AnswerError
	if errors.As(err, &e) {
		switch e.Err.Condition {
		case stanza.Conflict:
			return ErrNameTaken
		case stanza.NotAllowed, stanza.ServiceUnavailable, stanza.Forbidden:
			if len(e.Err.Text) == 0 {
				return ErrNoRegistration
			}
		}
	}
	if err != nil {
		return fmt.Errorf("create account: %w", err)
	}
	return nil
}

func hasField(q registerQuery, name string) bool {
	for _, f := range q.Fields {
		if f.XMLName.Local == name {
			return true
		}
	}
	return false
}

func isStreamError(err error) bool {
	var e *StreamError
	return errors.As(err, &e)
}

// submit writes the answer to a form.
func submit(fields []FormField, data bool) string {
	var b strings.Builder
	b.WriteString("<query xmlns='" + nsRegister + "'>")
	if data {
		b.WriteString("<x xmlns='" + nsForm + "' type='submit'>")
		for _, f := range fields {
			b.WriteString("<field var='" + escape(f.Name) + "'><value>" + escape(f.Value) + "</value></field>")
		}
		b.WriteString("</x>")
	} else {
		for _, f := range fields {
			b.WriteString("<" + f.Name + ">" + escape(f.Value) + "</" + f.Name + ">")
		}
	}
	b.WriteString("</query>")
	return b.String()
}

// exchange sends an IQ before any login and waits for its answer.
func exchange(l *link, cfg *Config, to jid.JID, kind, id, payload string) (*Element, error) {
	// The stream's own namespace is written out, for WebSockets.
	iq := fmt.Sprintf("<iq xmlns='%s' type='%s' id='%s' to='%s'>%s</iq>", nsClient, kind, id, escape(to.String()), payload)
	defer time.AfterFunc(cfg.LoginTimeout, l.abort).Stop()
	if err := l.send(cfg.LoginTimeout, []byte(iq)); err != nil {
		return nil, err
	}
	for range maxTries {
		e, err := l.mustReceive()
		if err != nil {
			return nil, err
		}
		if e.Start.Name.Local != "iq" || e.Attr("id") != id {
			continue
		}
		st, err := newStanza(e, jid.Parse)
		if err != nil {
			return nil, err
		}
		if err := st.Err(); err != nil {
			var se stanza.Error
			if errors.As(err, &se) {
				return nil, &AnswerError{From: to, Err: se}
			}
			return nil, err
		}
		return e, nil
	}
	return nil, errors.New("the server does not answer")
}
