package xmpptest

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"
)

// An IQHandler answers an IQ that a client sends to the server or to a bare
// JID. The element it returns is the payload of the result, nil for none. An
// error of type *[StanzaError] is sent as it is, any other as
// internal-server-error. [ErrNoAnswer] leaves the client waiting.
type IQHandler func(iq *Element) (*Element, error)

// A StanzaError is an error of RFC 6120 §8.3.
type StanzaError struct {
	Type      string // such as "cancel", "auth" or "wait"
	Condition string // such as "item-not-found"
}

func (e *StanzaError) Error() string { return "stanza error: " + e.Condition }

// ErrNoAnswer makes an [IQHandler] stay silent.
var ErrNoAnswer = errors.New("no answer")

// HandleIQ makes h answer the IQs whose payload is in namespace space and that are
// addressed to the server, a bare JID or nobody, in place of the server. It is called by the
// goroutine that reads the client's stream. A nil handler restores the server.
func (s *Server) HandleIQ(space string, h IQHandler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == nil {
		delete(s.handlers, space)
		return
	}
	s.handlers[space] = h
}

// handlerFor finds the handler of an IQ request, or nil.
func (s *Server) handlerFor(c *conn, e *Element) IQHandler {
	if typ := e.Get("type"); e.Name.Local != "iq" || (typ != "get" && typ != "set") || e.payload() == nil {
		return nil
	}
	if to := e.Get("to"); to != "" {
		if a, err := parseAddr(to); err != nil || a.resource != "" {
			return nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handlers[e.payload().Name.Space]
}

func (h IQHandler) answer(iq *Element) *Element {
	payload, err := h(iq)
	var se *StanzaError
	switch {
	case err == nil:
		return resultReply(iq, payload)
	case errors.Is(err, ErrNoAnswer):
		return nil
	case errors.As(err, &se):
		return errorReply(iq, cmp.Or(se.Type, "cancel"), se.Condition)
	}
	return errorReply(iq, "wait", "internal-server-error")
}

// serverIQ answers a request to the server itself (to has no localpart), to the
// user's own account, or to someone else's. Server.mu is held.
func (s *Server) serverIQ(sess *session, iq *Element, to addr) *Element {
	p := iq.payload()
	if p == nil {
		return errorReply(iq, "modify", "bad-request")
	}
	own, server := to == sess.acct.jid, to.local == ""
	get := iq.Get("type") == "get"
	space := p.Name.Space
	if !s.knows(space) {
		return errorReply(iq, "cancel", "service-unavailable")
	}
	switch {
	case space == nsRoster && own:
		return s.rosterIQ(sess, iq, p)
	case space == nsPing && get && (own || server):
		return resultReply(iq, nil)
	case space == nsDiscoInfo && get:
		if p.Get("node") != "" {
			return errorReply(iq, "cancel", "item-not-found")
		}
		return s.discoInfo(sess, iq, to)
	case space == nsDiscoItem && get && (own || server):
		return resultReply(iq, el(nsDiscoItem, "query"))
	case space == nsSession && !get && (own || server):
		return resultReply(iq, nil)
	case space == nsVersion && get && server:
		return resultReply(iq, el(nsVersion, "query").add(el(nsVersion, "name").add("xmpptest")))
	case space == nsTime && get && server:
		return resultReply(iq, el(nsTime, "time").add(
			el(nsTime, "tzo").add("Z"), el(nsTime, "utc").add(time.Now().UTC().Format(time.RFC3339))))
	case space == nsCarbons && !get && own:
		sess.carbons = p.Is("", "enable")
		return resultReply(iq, nil)
	case space == nsBlocking && own:
		return s.blockingIQ(sess, iq, p)
	case space == nsMAM && own:
		return s.archiveIQ(sess, iq, p)
	case space == nsExtDisco && get && (own || server):
		return s.servicesIQ(iq, p)
	}
	return errorReply(iq, "cancel", "service-unavailable")
}

func (s *Server) discoInfo(sess *session, iq *Element, to addr) *Element {
	identity := el(nsDiscoInfo, "identity", "category", "server", "type", "im", "name", "xmpptest")
	features := []string{nsDiscoInfo, nsDiscoItem, nsPing, nsRoster, nsVersion, nsTime, nsCarbons, nsBlocking, nsExtDisco, nsSID}
	if to.local != "" {
		acct := s.accounts[to]
		if acct == nil {
			return errorReply(iq, "cancel", "service-unavailable")
		}
		// Strangers must not learn that the account exists. XEP-0030#security
		if it := acct.roster[sess.acct.jid]; to != sess.acct.jid && (it == nil || !it.from) {
			return errorReply(iq, "cancel", "service-unavailable")
		}
		identity = el(nsDiscoInfo, "identity", "category", "account", "type", "registered")
		features = []string{nsDiscoInfo, nsDiscoItem, nsPing, nsMAM, nsSID, nsCarbons}
	}
	q := el(nsDiscoInfo, "query").add(identity)
	for _, f := range features {
		if s.knows(f) {
			q.add(el(nsDiscoInfo, "feature", "var", f))
		}
	}
	return resultReply(iq, q)
}

// A Service is something a client may use outside XMPP, for example a TURN server. XEP-0215
type Service struct {
	Type, Host, Transport, Name string
	Port                        uint16
	Username, Password          string
	Restricted                  bool
	Expires                     time.Time // of the credentials; zero leaves it out
}

// SetServices replaces what XEP-0215 lists.
func (s *Server) SetServices(list ...Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = slices.Clone(list)
}

// servicesIQ answers all services, those of a type, or the credentials of one. XEP-0215#protocol
func (s *Server) servicesIQ(iq, p *Element) *Element {
	wantType, wantHost, wantPort := p.Get("type"), "", ""
	answer := el(nsExtDisco, "services")
	if p.Is("", "credentials") {
		x := p.Child(nsExtDisco, "service")
		if x == nil || x.Get("host") == "" || x.Get("type") == "" {
			return errorReply(iq, "modify", "bad-request")
		}
		wantType, wantHost, wantPort = x.Get("type"), x.Get("host"), x.Get("port")
		answer = el(nsExtDisco, "credentials")
	} else if wantType != "" {
		answer = answer.with("type", wantType)
	}
	for _, sv := range s.services {
		e := sv.element()
		if (wantType == "" || wantType == sv.Type) && (wantHost == "" || wantHost == sv.Host) && (wantPort == "" || wantPort == e.Get("port")) {
			answer.add(e)
		}
	}
	if wantHost != "" && len(answer.Nodes) == 0 {
		return errorReply(iq, "cancel", "item-not-found")
	}
	return resultReply(iq, answer)
}

func (sv Service) element() *Element {
	e := el(nsExtDisco, "service", "type", sv.Type, "host", sv.Host)
	if sv.Port != 0 {
		e = e.with("port", strconv.Itoa(int(sv.Port)))
	}
	e = e.with("transport", sv.Transport).with("name", sv.Name).with("username", sv.Username).with("password", sv.Password)
	if sv.Restricted {
		e = e.with("restricted", "1")
	}
	if !sv.Expires.IsZero() {
		e = e.with("expires", sv.Expires.UTC().Format(time.RFC3339))
	}
	return e
}
