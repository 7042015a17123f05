package xmpptest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxAuthAttempts is how many failed logins a connection has.
const maxAuthAttempts = 5

// maxResource is the length of a resource in bytes. RFC 7622 §3.4
const maxResource = 1023

func isSyntaxError(err error) bool {
	var se *xml.SyntaxError
	return errors.As(err, &se)
}

// negotiate runs STARTTLS, SASL and resource binding or resumption, and sets
// c.sess. It writes to the transport itself, as no writer runs yet.
func (c *conn) negotiate() error {
	var auth authState
	for {
		if err := c.openStream(); err != nil {
			return err
		}
		restart := false
		for !restart {
			e, err := c.t.read()
			if err != nil {
				return err
			}
			_, secure := c.t.tlsState()
			switch {
			case e.Is(nsTLS, "starttls") && !secure:
				restart, err = true, c.startTLS()
			case e.Name.Space == nsSASL && secure && c.acct == nil:
				restart, err = auth.handle(c, e)
			case c.acct == nil && secure && e.Is(nsClient, "iq") && e.payload() != nil:
				err = c.send(c.srv.registration(c.domain, e))
			case c.acct != nil && e.Is(nsSM, "resume") && c.srv.knows(nsSM):
				resumed, err := c.srv.resume(c, e)
				if resumed || err != nil {
					return err
				}
			case c.acct != nil && e.Is(nsClient, "iq") && e.Child(nsBind, "bind") != nil:
				if bound, err := c.bind(e); bound || err != nil {
					return err
				}
			default:
				return &streamError{condition: "not-authorized"}
			}
			if err != nil {
				return err
			}
		}
	}
}

// openStream exchanges stream headers and sends the features. RFC 6120 §4.2
func (c *conn) openStream() error {
	hdr, err := c.t.open()
	id := rand.Text()
	if err != nil {
		if asStreamError(err) != nil {
			c.t.reply(header{id: id, from: c.srv.domains[0]})
		}
		return err
	}
	to, toErr := parseAddr(hdr.Get("to"))
	from := ""
	if a, err := parseAddr(hdr.Get("from")); err == nil {
		from = a.String()
	}
	c.domain = to.domain
	known := toErr == nil && slices.Contains(c.srv.domains, to.domain)
	if !known {
		c.domain = c.srv.domains[0]
	}
	if err := c.t.reply(header{id: id, from: c.domain, to: from}); err != nil {
		return err
	}
	switch {
	case !hdr.Is(nsStream, "stream") && !hdr.Is(nsFraming, "open"):
		return &streamError{condition: "invalid-namespace"}
	case !known:
		return &streamError{condition: "host-unknown"}
	case !strings.HasPrefix(hdr.Get("version"), "1."):
		return &streamError{condition: "unsupported-version"}
	case c.acct != nil && c.acct.jid.domain != c.domain:
		return &streamError{condition: "not-authorized"}
	}
	if err := c.t.write(c.features()); err != nil {
		return err
	}
	return c.t.flush()
}

func (c *conn) features() *Element {
	f := el(nsStream, "features")
	cs, secure := c.t.tlsState()
	switch {
	case !secure:
		f.add(el(nsTLS, "starttls").add(el(nsTLS, "required")))
	case c.acct == nil:
		m := el(nsSASL, "mechanisms")
		for _, name := range c.srv.offered() {
			m.add(el(nsSASL, "mechanism").add(name))
		}
		cb := el(nsSASLCB, "sasl-channel-binding")
		for _, name := range c.srv.announced(cs) {
			cb.add(el(nsSASLCB, "channel-binding", "type", name))
		}
		f.add(m)
		if c.srv.cfg.Registration != nil {
			f.add(el(nsRegisterFeature, "register"))
		}
		if c.srv.knows(nsSASLCB) {
			f.add(cb)
		}
	default:
		f.add(el(nsBind, "bind").add(el(nsBind, "required")))
		f.add(el(nsSession, "session").add(el(nsSession, "optional")))
		if c.srv.knows(nsSM) {
			f.add(el(nsSM, "sm"))
		}
	}
	return f
}

func (s *Server) offered() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mechanisms
}

func (c *conn) startTLS() error {
	t, ok := c.t.(*tcpTransport)
	if !ok {
		return &streamError{condition: "unsupported-stanza-type"}
	}
	if err := c.send(el(nsTLS, "proceed")); err != nil {
		return err
	}
	return t.startTLS(c.srv.tls)
}

// send writes during negotiation.
func (c *conn) send(e *Element) error {
	if err := c.t.write(e); err != nil {
		return err
	}
	return c.t.flush()
}

// authState is one connection's way through SASL.
type authState struct {
	mech     mechanism
	failures int
}

// handle answers one SASL element and reports whether the client is now logged in.
func (a *authState) handle(c *conn, e *Element) (done bool, err error) {
	out, acct, err := a.step(c, e)
	var failure saslError
	switch {
	case errors.As(err, &failure):
		a.mech = nil
		if err := c.send(el(nsSASL, "failure").add(el(nsSASL, string(failure)))); err != nil {
			return false, err
		}
		if a.failures++; a.failures >= maxAuthAttempts {
			return false, errAuthAttempts
		}
		return false, nil
	case err != nil:
		return false, err
	}
	answer := el(nsSASL, "challenge")
	if acct != nil {
		answer = el(nsSASL, "success")
		c.acct = acct
	}
	if len(out) > 0 || acct == nil {
		answer.add(base64.StdEncoding.EncodeToString(out))
	}
	return acct != nil, c.send(answer)
}

func (a *authState) step(c *conn, e *Element) (out []byte, acct *account, err error) {
	switch {
	case e.Is("", "auth"):
		name := e.Get("mechanism")
		offered := c.srv.offered()
		if !slices.Contains(offered, name) {
			return nil, nil, saslError("invalid-mechanism")
		}
		cs, _ := c.t.tlsState()
		a.mech, err = newMechanism(name, exchange{
			find: func(user string) (*account, error) {
				j, err := parseAddr(user + "@" + c.domain)
				if err != nil {
					return nil, saslError("malformed-request")
				}
				return c.srv.account(j), nil
			},
			binding: func(name string) ([]byte, error) {
				if !slices.Contains(c.srv.bindings(cs), name) {
					return nil, saslError("not-authorized")
				}
				return bindingData(cs, c.srv.auth.leaf.Certificate[0], name)
			},
			plus:       slices.ContainsFunc(offered, func(n string) bool { return strings.HasSuffix(n, "-PLUS") }),
			iterations: c.srv.cfg.Iterations,
		})
		if err != nil {
			return nil, nil, err
		}
		if e.Text() == "" {
			return nil, nil, nil // no initial response: an empty challenge asks for it
		}
	case e.Is("", "response") && a.mech != nil:
	case e.Is("", "abort"):
		return nil, nil, saslError("aborted")
	default:
		return nil, nil, saslError("malformed-request")
	}
	text := strings.TrimSpace(e.Text())
	if text == "=" {
		text = "" // RFC 6120 §6.4.2: an empty initial response
	}
	in, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, nil, saslError("incorrect-encoding")
	}
	return a.mech.step(in)
}

// bind answers a request for a resource and reports whether the session now exists.
func (c *conn) bind(iq *Element) (bool, error) {
	var resource string
	if r := iq.Child(nsBind, "bind").Child(nsBind, "resource"); r != nil {
		resource = strings.TrimSpace(r.Text())
	}
	if resource == "" {
		resource = rand.Text()
	}
	j, err := parseAddr(c.acct.jid.String() + "/" + resource)
	if iq.Get("type") != "set" || len(resource) > maxResource || err != nil {
		return false, c.send(errorReply(iq, "modify", "bad-request"))
	}
	c.srv.mu.Lock()
	ok := c.srv.attach(c, j)
	c.srv.mu.Unlock()
	if !ok {
		return false, c.send(errorReply(iq, "cancel", "conflict"))
	}
	result := el(nsBind, "bind").add(el(nsBind, "jid").add(j.String()))
	if err := c.send(resultReply(iq, result)); err != nil {
		return false, fmt.Errorf("answer the binding: %w", err)
	}
	return true, nil
}
