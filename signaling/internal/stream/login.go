package stream

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"crypto/rand"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/carillon-im/carillon/signaling/internal/scram"
)

// A login is what remains from one connection to the next.
type login struct {
	cfg  *Config
	keys scram.Keys
	// unbound tells that the server refused a channel binding that it had not
	// announced: some offer -PLUS and know only the bindings of older TLS.
	unbound bool
}

// errUnbound asks for another attempt without channel binding.
var errUnbound = errors.New("channel binding was not announced and may be unknown to the server")

// An olderTLSError asks for another attempt with TLS 1.2, whose binding
// (tls-unique) is the only one that older servers know.
type olderTLSError struct{ error }

func (e *olderTLSError) Unwrap() error { return e.error }

// authenticate does SASL on l and returns the features of the stream after it.
func (in *login) authenticate(l *link, features *Element) (*Element, error) {
	ms := features.Child(nsSASL, "mechanisms")
	offer := offeredMechanisms(ms)
	account := in.cfg.JID.Bare().String()
	pinned, err := in.cfg.Pins.Load(account)
	if err != nil {
		return nil, fmt.Errorf("load the mechanism %s logs in with: %w", account, err)
	}
	m, err := in.choose(l, features, offer, pinned)
	if err != nil {
		return nil, err
	}
	if err := in.exchange(l, m); err != nil {
		var auth *AuthError
		if m.plus() && offeredBindings(features) == nil && errors.As(err, &auth) {
			switch {
			case !isPlus(pinned): // nothing says that it ever worked
				return nil, fmt.Errorf("%w: %w", errUnbound, err)
			case in.mayKnowOlder(l, nil): // it worked, perhaps before the server's TLS was renewed
				return nil, &olderTLSError{err}
			}
		}
		return nil, err
	}
	if isPlus(pinned) && !m.plus() && l.tls != nil {
		in.cfg.Log.Warn("server no longer binds logins to the connection", "account", account, "before", pinned, "now", m.name)
	}
	if m.rank() > rankOf(pinned) {
		if err := in.cfg.Pins.Store(account, m.name); err != nil {
			in.cfg.Log.Warn("mechanism not remembered", "account", account, "error", err)
		}
	}
	l.reopen()
	return l.openStream(in.cfg)
}

func offeredMechanisms(ms *Element) []string {
	var offer []string
	for c := range ms.Children() {
		if c.Start.Name == (xml.Name{Space: nsSASL, Local: "mechanism"}) && len(offer) < 64 {
			offer = append(offer, strings.TrimSpace(c.Text()))
		}
	}
	return offer
}

// exchange runs the mechanism. RFC 6120 §6.4
func (in *login) exchange(l *link, m mechanism) error {
	user := in.cfg.JID.Localpart()
	if m.hash == "" { // PLAIN, RFC 4616
		e, err := in.ask(l, authElement(m.name, []byte("\x00"+scram.Prepare(user)+"\x00"+scram.Prepare(string(in.cfg.Password)))))
		if err != nil {
			return err
		}
		if e.Start.Name.Local != "success" {
			return in.refused(e, m)
		}
		return nil
	}
	c := &scram.Client{Hash: m.hash, User: scram.Prepare(user), Password: string(in.cfg.Password),
		Binding: m.binding, Flag: m.flag, Keys: &in.keys}
	e, err := in.ask(l, authElement(m.name, c.First()))
	if err != nil {
		return err
	}
	if e.Start.Name.Local != "challenge" {
		return in.refused(e, m)
	}
	first, err := decodeSASL(e)
	if err != nil {
		return err
	}
	final, err := c.Final(first)
	if err != nil {
		return err
	}
	if e, err = in.ask(l, saslElementWith("response", final)); err != nil {
		return err
	}
	if name := e.Start.Name.Local; name != "challenge" && name != "success" {
		return in.refused(e, m)
	}
	signature, err := decodeSASL(e)
	if err != nil {
		return err
	}
	if err := c.Verify(signature); err != nil {
		return &ServerProofError{JID: in.cfg.JID, Err: err}
	}
	if e.Start.Name.Local == "challenge" { // success comes after the signature, not with it
		if e, err = in.ask(l, saslElementWith("response", nil)); err != nil {
			return err
		}
		if e.Start.Name.Local != "success" {
			return in.refused(e, m)
		}
	}
	return nil
}

func (in *login) ask(l *link, element []byte) (*Element, error) {
	if err := l.send(in.cfg.LoginTimeout, element); err != nil {
		return nil, err
	}
	e, err := l.mustReceive()
	if err != nil {
		return nil, err
	}
	if e.Start.Name.Space != nsSASL {
		return nil, fmt.Errorf("expected an answer to the login, not %s", e.Start.Name.Local)
	}
	return e, nil
}

// refused makes an error of what came instead of what was expected.
func (in *login) refused(e *Element, m mechanism) error {
	if e.Start.Name.Local != "failure" {
		return fmt.Errorf("login by %s: unexpected %s", m.name, e.Start.Name.Local)
	}
	a := &AuthError{JID: in.cfg.JID, Mechanism: m.name, Condition: "undefined-condition"}
	for c := range e.Children() {
		if c.Start.Name.Local == "text" {
			a.Text = strings.TrimSpace(c.Text())
		} else if c.Start.Name.Space == nsSASL {
			a.Condition = c.Start.Name.Local
		}
	}
	return a
}

func authElement(mechanism string, initial []byte) []byte {
	return []byte(`<auth xmlns='` + nsSASL + `' mechanism='` + mechanism + `'>` + encodeSASL(initial) + `</auth>`)
}

func saslElementWith(name string, p []byte) []byte {
	return []byte(`<` + name + ` xmlns='` + nsSASL + `'>` + encodeSASL(p) + `</` + name + `>`)
}

func encodeSASL(p []byte) string { return base64.StdEncoding.EncodeToString(p) }

func decodeSASL(e *Element) ([]byte, error) {
	text := strings.TrimSpace(e.Text())
	if text == "=" {
		return nil, nil
	}
	p, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("server's %s is not base64", e.Start.Name.Local)
	}
	return p, nil
}

// bind asks for a resource. RFC 6120 §7
func bind(l *link, cfg *Config, features *Element, resource string) (jid.JID, error) {
	if features.Child(nsBind, "bind") == nil {
		return jid.JID{}, errors.New("server lets us log in but offers no resource")
	}
	for _, r := range []string{resource, withSuffix(resource)} {
		inner := ""
		if r != "" {
			inner = `<resource>` + escape(r) + `</resource>`
		}
		id := "bind-" + rand.Text()[:8]
		st, err := simpleIQ(l, cfg, id, `<bind xmlns='`+nsBind+`'>`+inner+`</bind>`)
		if err != nil {
			return jid.JID{}, err
		}
		if err := st.Err(); err != nil {
			var se stanza.Error
			errors.As(err, &se)
			if se.Condition == stanza.Conflict && r == resource && r != "" {
				continue // another program has it and the server protects it
			}
			return jid.JID{}, &BindError{Resource: r, Err: se}
		}
		j, err := jid.Parse(strings.TrimSpace(st.Child(nsBind, "bind").Child(nsBind, "jid").Text()))
		if err != nil {
			return jid.JID{}, fmt.Errorf("address that the server gave us: %w", err)
		}
		// Some servers spell the account another way, none may give another account's domain.
		if j.Resourcepart() == "" || j.Domainpart() != cfg.JID.Domainpart() {
			return jid.JID{}, fmt.Errorf("server gave us the address %s instead of one of %s", j, cfg.JID.Bare())
		}
		return j, nil
	}
	return jid.JID{}, &BindError{Resource: resource, Err: stanza.Error{Type: stanza.Cancel, Condition: stanza.Conflict}}
}

func withSuffix(resource string) string {
	if resource == "" {
		return ""
	}
	return resource + "-" + strings.ToLower(rand.Text()[:6])
}

// startSession does what RFC 3921 wanted, for servers that still insist.
func startSession(l *link, cfg *Config, features *Element) error {
	const ns = "urn:ietf:params:xml:ns:xmpp-session"
	if s := features.Child(ns, "session"); s == nil || s.Child(ns, "optional") != nil || s.Child("", "optional") != nil {
		return nil
	}
	st, err := simpleIQ(l, cfg, "session-"+rand.Text()[:8], `<session xmlns='`+ns+`'/>`)
	if err != nil {
		return err
	}
	if err := st.Err(); err != nil {
		return fmt.Errorf("start of the session: %w", err)
	}
	return nil
}

// simpleIQ asks the server something before stanzas flow freely.
func simpleIQ(l *link, cfg *Config, id, payload string) (*Stanza, error) {
	if err := l.send(cfg.LoginTimeout, []byte(`<iq type='set' id='`+id+`'>`+payload+`</iq>`)); err != nil {
		return nil, err
	}
	for range 16 { // a server may push something already
		e, err := l.mustReceive()
		if err != nil {
			return nil, err
		}
		if e.Start.Name.Local == "iq" && e.Attr("id") == id && (e.Attr("type") == "result" || e.Attr("type") == "error") {
			return newStanza(e, l.jid)
		}
		l.early = append(l.early, e)
	}
	return nil, errors.New("server does not answer while logging in")
}

// A session is what stream management keeps across connections. XEP-0198
type session struct {
	id       string // "" when the server does not resume
	location string
}

// enable turns stream management on, when the server has it.
func enable(l *link, cfg *Config, features *Element) (on bool, s session, err error) {
	if features.Child(nsSM, "sm") == nil {
		return false, session{}, nil
	}
	if err := l.send(cfg.LoginTimeout, []byte(`<enable xmlns='`+nsSM+`' resume='true'/>`)); err != nil {
		return false, session{}, err
	}
	for range 16 {
		e, err := l.mustReceive()
		if err != nil {
			return false, session{}, err
		}
		if e.Start.Name.Space != nsSM {
			l.early = append(l.early, e) // not counted yet
			continue
		}
		switch e.Start.Name.Local {
		case "enabled":
			if r := e.Attr("resume"); r == "true" || r == "1" {
				s = session{id: e.Attr("id"), location: e.Attr("location")}
			}
			return true, s, nil
		case "failed":
			return false, session{}, nil
		}
	}
	return false, session{}, errors.New("server does not answer while enabling stream management")
}

// resume asks for the session of a lost connection. In the answer ok tells
// whether it goes on, and h, when known, how many of our stanzas were handled.
func resume(l *link, cfg *Config, id string, handled uint32) (ok bool, h uint32, known bool, err error) {
	msg := `<resume xmlns='` + nsSM + `' h='` + strconv.FormatUint(uint64(handled), 10) + `' previd='` + escape(id) + `'/>`
	if err := l.send(cfg.LoginTimeout, []byte(msg)); err != nil {
		return false, 0, false, err
	}
	e, err := l.mustReceive()
	if err != nil {
		return false, 0, false, err
	}
	h, known = parseH(e.Attr("h"))
	switch e.Start.Name {
	case xml.Name{Space: nsSM, Local: "resumed"}:
		if !known {
			return false, 0, false, fmt.Errorf("%w: it does not say what it handled", errResume)
		}
		return true, h, true, nil
	case xml.Name{Space: nsSM, Local: "failed"}:
		return false, h, known, nil
	}
	return false, 0, false, fmt.Errorf("%w: %s", errResume, e.Start.Name.Local)
}

// errResume means that the server does not understand resume as we do; the
// next attempt does without.
var errResume = errors.New("unexpected answer of the server")

func parseH(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// serverLimit returns how large a stanza the server accepts, 0 when it does not say. XEP-0478
func serverLimit(features *Element) int {
	n, err := strconv.Atoi(strings.TrimSpace(features.Child(nsLimits, "limits").Child(nsLimits, "max-bytes").Text()))
	if err != nil || n < 10_000 { // the smallest that RFC 6120 §13.12 permits
		return 0
	}
	return n
}

// negotiated is a connection on which stanzas flow.
type negotiated struct {
	link     *link
	features *Element
	jid      jid.JID
	counts   bool // stream management is on
	session  session
	resumed  bool
	h        uint32 // how many of our stanzas of the former session were handled ...
	hKnown   bool   // ... if the server said so
}

// negotiate logs in on l. old is the session to resume, handled what we
// handled of it, and resource what to ask for otherwise.
func (in *login) negotiate(ctx context.Context, l *link, features *Element, old session, handled uint32, resource string) (n negotiated, err error) {
	stop := context.AfterFunc(ctx, l.abort)
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			l.abort()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
		}
	}()
	if features, err = in.authenticate(l, features); err != nil {
		return n, err
	}
	n = negotiated{link: l, features: features}
	l.limit = serverLimit(features)
	if old.id != "" && features.Child(nsSM, "sm") != nil {
		ok, h, known, err := resume(l, in.cfg, old.id, handled)
		if err != nil {
			return n, fmt.Errorf("resume: %w", err)
		}
		n.h, n.hKnown = h, known
		if ok {
			n.resumed, n.counts, n.session = true, true, old
			return n, nil
		}
	}
	if n.jid, err = bind(l, in.cfg, features, resource); err != nil {
		return n, err
	}
	if err := startSession(l, in.cfg, features); err != nil {
		return n, err
	}
	n.counts, n.session, err = enable(l, in.cfg, features)
	return n, err
}
