package xmpptest

import (
	"slices"
)

const (
	nsRegister        = "jabber:iq:register"
	nsRegisterFeature = "http://jabber.org/features/iq-register"
)

// registration answers what a client asks before it has logged in: to create
// an account. XEP-0077#usecases-register
func (s *Server) registration(domain string, iq *Element) *Element {
	q := iq.Child(nsRegister, "query")
	if q == nil || s.cfg.Registration == nil {
		return errorReply(iq, "cancel", "service-unavailable")
	}
	want := s.cfg.Registration.Fields
	if iq.Get("type") == "get" {
		form := el(nsRegister, "query").add(el(nsRegister, "username"), el(nsRegister, "password"))
		if u := s.cfg.Registration.URL; u != "" {
			form.add(el("jabber:x:oob", "x").add(el("jabber:x:oob", "url").add(u)))
		}
		if len(want) > 0 {
			x := el(nsForm, "x", "type", "form").add(el(nsForm, "instructions").add("Tell us who you are."),
				el(nsForm, "field", "type", "hidden", "var", "FORM_TYPE").add(el(nsForm, "value").add(nsRegister)))
			for _, name := range append([]string{"username", "password"}, want...) {
				x.add(el(nsForm, "field", "type", "text-single", "var", name).add(el(nsForm, "required")))
			}
			form.add(x)
		}
		return resultReply(iq, form)
	}
	values := make(map[string]string)
	for _, c := range q.Children() {
		values[c.Name.Local] = c.Text()
	}
	if x := q.Child(nsForm, "x"); x != nil {
		for _, f := range x.Children() {
			if v := f.Child(nsForm, "value"); v != nil {
				values[f.Get("var")] = v.Text()
			}
		}
		if values["FORM_TYPE"] != nsRegister {
			return errorReply(iq, "modify", "bad-request")
		}
	}
	for _, name := range append([]string{"username", "password"}, want...) {
		if values[name] == "" {
			return errorReply(iq, "modify", "not-acceptable")
		}
	}
	a, err := parseAddr(values["username"] + "@" + domain)
	if err != nil || a.local == "" || !slices.Contains(s.domains, a.domain) {
		return errorReply(iq, "modify", "jid-malformed")
	}
	if s.account(a) != nil {
		return errorReply(iq, "cancel", "conflict")
	}
	s.AddAccount(a.String(), values["password"])
	return resultReply(iq, nil)
}
