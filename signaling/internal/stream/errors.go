package stream

import (
	"errors"
	"fmt"
	"strings"

	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
)

// Errors of this package that people can do something about have a method
// Hint, which returns one lower-case line about what to do next, or "".
type hinter interface{ Hint() string }

// Hint returns the hint of the first error in err's tree that has one, or "".
func Hint(err error) string {
	var h hinter
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// A HostNotFoundError reports that a domain has no address at all.
type HostNotFoundError struct {
	Host string
	Err  error
}

func (e *HostNotFoundError) Error() string { return fmt.Sprintf("no such host: %s", e.Host) }
func (e *HostNotFoundError) Unwrap() error { return e.Err }
func (e *HostNotFoundError) Hint() string {
	return "check the part of the address after the @, or name the server with --server HOST:PORT"
}

// A NoServiceError reports that a domain says it has no XMPP service for
// clients (SRV records with the target ".").
type NoServiceError struct{ Domain string }

func (e *NoServiceError) Error() string {
	return fmt.Sprintf("%s offers no XMPP service", e.Domain)
}
func (e *NoServiceError) Hint() string { return "check the part of the address after the @" }

// An Attempt is one failed try to connect.
type Attempt struct {
	Addr string // host:port as dialed, or the wss address
	How  string // "starttls", "tls" or "websocket"
	Err  error
}

func (a Attempt) String() string { return fmt.Sprintf("%s (%s): %v", a.Addr, a.How, a.Err) }

// An UnreachableError reports that no server of a domain could be connected to.
type UnreachableError struct {
	Domain   string
	Attempts []Attempt
}

func (e *UnreachableError) Error() string {
	s := "cannot reach the server of " + e.Domain
	if len(e.Attempts) > 0 {
		s += ": " + e.Attempts[0].String()
	}
	if n := len(e.Attempts) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}
func (e *UnreachableError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}
func (e *UnreachableError) Hint() string {
	var none *HostNotFoundError
	for _, a := range e.Attempts {
		if !errors.As(a.Err, &none) {
			none = nil
			break
		}
	}
	if none != nil {
		return none.Hint()
	}
	return "check the network; a firewall may block ports 5222 and 5223"
}

// A CertificateError reports that the server did not prove to be who it should be.
type CertificateError struct {
	Domain string // the name the certificate must be valid for
	Addr   string
	Err    error // from crypto/x509 or crypto/tls
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("certificate of %s is not valid for %s: %v", e.Addr, e.Domain, e.Err)
}
func (e *CertificateError) Unwrap() error { return e.Err }
func (e *CertificateError) Hint() string {
	return "if the server has a private certificate authority, name it with --ca-file; otherwise do not log in"
}

// ErrNoEncryption is returned when the server does not offer TLS, or when
// somebody in between removed the offer.
var ErrNoEncryption error = hinted{
	"server does not offer encryption (STARTTLS)",
	"the server, or somebody between, wants the connection unencrypted; we refuse",
}

type hinted struct{ text, hint string }

func (e hinted) Error() string { return e.text }
func (e hinted) Hint() string  { return e.hint }

// An AuthError reports that the server refused the login.
type AuthError struct {
	JID       jid.JID
	Mechanism string
	Condition string // RFC 6120 §6.5, for example "not-authorized"
	Text      string // what the server wrote, shown to people, never parsed
}

func (e *AuthError) Error() string {
	var s string
	switch e.Condition {
	case "not-authorized":
		s = fmt.Sprintf("wrong password for %s", e.JID.Bare())
	case "account-disabled":
		s = fmt.Sprintf("account %s is disabled", e.JID.Bare())
	case "credentials-expired":
		s = fmt.Sprintf("password of %s has expired", e.JID.Bare())
	case "temporary-auth-failure":
		s = fmt.Sprintf("server cannot check the password of %s now", e.JID.Bare())
	default:
		s = fmt.Sprintf("login as %s refused: %s", e.JID.Bare(), e.Condition)
	}
	if e.Text != "" {
		s += fmt.Sprintf(" (server: %q)", e.Text)
	}
	return s
}
func (e *AuthError) Hint() string {
	switch e.Condition {
	case "not-authorized":
		return "check the address and the password"
	case "account-disabled", "credentials-expired":
		return "ask the operator of the server"
	case "temporary-auth-failure":
		return "try again later"
	}
	return ""
}

// WrongPassword reports whether the server did not accept address and password.
func (e *AuthError) WrongPassword() bool { return e.Condition == "not-authorized" }

// Temporary reports whether the same login may work later.
func (e *AuthError) Temporary() bool { return e.Condition == "temporary-auth-failure" }

// A ServerProofError reports that the server did not prove to know the
// password: it is not the server that the account was made on.
type ServerProofError struct {
	JID jid.JID
	Err error
}

func (e *ServerProofError) Error() string {
	return fmt.Sprintf("server of %s does not know the password it accepted: %v", e.JID.Bare(), e.Err)
}
func (e *ServerProofError) Unwrap() error { return e.Err }
func (e *ServerProofError) Hint() string {
	return "somebody may pretend to be the server; do not log in"
}

// A NoMechanismError reports that the server offers no way to log in that we accept.
type NoMechanismError struct {
	Offered []string
	Plain   bool // PLAIN is offered and Config.AllowPlain is not set
}

func (e *NoMechanismError) Error() string {
	if len(e.Offered) == 0 {
		return "server offers no way to log in"
	}
	return "server offers no way to log in that we accept, only " + strings.Join(e.Offered, ", ")
}
func (e *NoMechanismError) Hint() string {
	if e.Plain {
		return "PLAIN would show the password to the server; allow it if you trust the server"
	}
	return ""
}

// A DowngradeError reports that the server offers only weaker mechanisms than
// it did before.
type DowngradeError struct {
	JID    jid.JID
	Pinned string // the mechanism used before
	Best   string // the strongest one offered now, or ""
}

func (e *DowngradeError) Error() string {
	best := e.Best
	if best == "" {
		best = "nothing we know"
	}
	return fmt.Sprintf("server of %s offers only %s, before it offered %s", e.JID.Bare(), best, e.Pinned)
}
func (e *DowngradeError) Hint() string {
	return "somebody may be between us and the server; if its operator changed it on purpose, log in anew"
}

// A StreamError is an error that ended a stream. RFC 6120 §4.9
type StreamError struct {
	Condition string // for example "conflict"
	Text      string // what the server wrote, shown to people, never parsed
	Host      string // the host of a see-other-host
	App       string // the name of an application-specific condition, or ""
	Local     bool   // we found the fault, not the server
}

func (e *StreamError) Error() string {
	who := "server"
	if e.Local {
		who = "we"
	}
	s := fmt.Sprintf("%s ended the stream: %s", who, e.Condition)
	if e.Text != "" {
		s += fmt.Sprintf(" (%q)", e.Text)
	}
	return s
}
func (e *StreamError) Hint() string {
	switch e.Condition {
	case "conflict":
		return "another program logged in with the same resource"
	case "host-unknown", "host-gone":
		return "the server does not serve this domain"
	case "policy-violation":
		return "the server forbids what we did; ask its operator"
	}
	return ""
}

// A BindError reports that the server did not give us an address.
type BindError struct {
	Resource string
	Err      stanza.Error
}

func (e *BindError) Error() string {
	return fmt.Sprintf("server refused the resource %q: %v", e.Resource, e.Err)
}
func (e *BindError) Unwrap() error { return e.Err }

// An AnswerError is returned by IQ when the answer is of type error. It
// unwraps to the [stanza.Error].
type AnswerError struct {
	From jid.JID
	Err  stanza.Error
}

func (e *AnswerError) Error() string {
	if e.From.Equal(jid.JID{}) {
		return fmt.Sprintf("our account answered with an error: %s", errorText(e.Err))
	}
	return fmt.Sprintf("%s answered with an error: %s", e.From, errorText(e.Err))
}
func (e *AnswerError) Unwrap() error { return e.Err }

func errorText(se stanza.Error) string {
	if len(se.Text) > 0 {
		return fmt.Sprintf("%s (%q)", se.Condition, se.Error())
	}
	return string(se.Condition)
}

var (
	// ErrRebound is returned by IQ when the connection was lost and could not be
	// resumed: nobody knows whether the request was handled, and an answer will
	// not come.
	ErrRebound = errors.New("connection was replaced by a new one before the answer came")

	// ErrTooLarge is returned by Send for a stanza larger than the server or we accept.
	ErrTooLarge = errors.New("stanza is too large")

	// ErrTooManyIQs is returned by IQ when too many wait for an answer.
	ErrTooManyIQs = errors.New("too many requests wait for an answer")

	// ErrDead is why a connection is given up on which nothing arrives any more.
	ErrDead = errors.New("server does not answer any more")

	// ErrMalformed is returned by Send for what is not one stanza.
	ErrMalformed = errors.New("not one well-formed stanza")

	errServerClosed = errors.New("server closed the stream")
)

// malformedError says why a stanza is dropped.
type malformedError struct {
	what string
	err  error
}

func (e *malformedError) Error() string {
	if e.err != nil {
		return e.what + ": " + e.err.Error()
	}
	return e.what
}
func (e *malformedError) Unwrap() error { return e.err }
