// Package trouble turns errors into what a person at a terminal reads: one
// clear line, a hint when we know the next step, and the exit code.
package trouble

import (
	"errors"
	"fmt"
	"strings"

	"github.com/carillon-im/carillon/cmd/carillon/internal/interrupt"
	"github.com/carillon-im/carillon/cmd/carillon/internal/screen"
	"github.com/carillon-im/carillon/internal/accounts"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/internal/safefile"
	"github.com/carillon-im/carillon/internal/trouble"
	"github.com/carillon-im/carillon/signaling"
)

// A Trouble is an error as a person and a program see it.
type Trouble trouble.Trouble

// Incoming returns t for who receives files.
func (t Trouble) Incoming() Trouble { return Trouble(trouble.Trouble(t).Incoming()) }

// Exit codes.
const (
	Done     = trouble.Done
	Failed   = trouble.Failed
	Usage    = trouble.Usage
	Declined = trouble.Declined
	NoAnswer = trouble.NoAnswer
)

// ErrPaused is returned by a transfer that our user interrupted.
var ErrPaused = trouble.ErrPaused

// A UsageError reports a command line that makes no sense.
type UsageError struct {
	Message string
	Next    string // a hint
}

func (e *UsageError) Error() string { return e.Message }

// Usagef returns a UsageError.
func Usagef(hint, format string, args ...any) error {
	return &UsageError{Message: fmt.Sprintf(format, args...), Next: hint}
}

// A FailedChecksError is returned by doctor.
type FailedChecksError struct{ Count int }

func (e *FailedChecksError) Error() string {
	if e.Count == 1 {
		return "one check failed"
	}
	return fmt.Sprintf("%d checks failed", e.Count)
}

// Describe says what err means. The texts of servers and peers in it are made
// harmless for terminals.
func Describe(err error) Trouble {
	t, ok := ours(err)
	if !ok {
		t = Trouble(trouble.Describe(err))
	}
	// Errors that were joined stand on lines of their own.
	t.Message = strings.ReplaceAll(t.Message, "\n", "; ")
	t.Message, t.Hint = screen.Escape(t.Message), screen.Escape(t.Hint)
	if t.Exit == 0 {
		t.Exit = Failed
	}
	return t
}

// ours are errors of the command line itself.
func ours(err error) (Trouble, bool) {
	var usage *UsageError
	if errors.As(err, &usage) {
		return Trouble{"usage", usage.Message, usage.Next, Usage}, true
	}
	var conf *config.Error
	if errors.As(err, &conf) {
		return Trouble{"config", conf.Error(), conf.Hint, Usage}, true
	}
	var exposed *safefile.ExposedError
	if errors.As(err, &exposed) {
		return Trouble{Code: "exposed-file", Message: exposed.Error(), Hint: exposed.Hint()}, true
	}
	var several *accounts.SeveralError
	if errors.As(err, &several) {
		return Trouble{"which-account", several.Error(), several.Hint(), Usage}, true
	}
	var weak *signaling.NoMechanismError
	if errors.As(err, &weak) && weak.Plain {
		return Trouble{Code: "no-mechanism", Message: weak.Error(),
			Hint: `PLAIN shows the password to the server; if you trust it: "carillon login JID --allow-plain", or allow-plain = true in the config file`}, true
	}
	var checks *FailedChecksError
	if errors.As(err, &checks) {
		return Trouble{Code: "checks-failed", Message: checks.Error(), Hint: "what each means stands with it"}, true
	}
	switch {
	case errors.Is(err, interrupt.ErrInterrupted):
		return Trouble{Code: "interrupted", Message: "interrupted"}, true
	case errors.Is(err, accounts.ErrNone):
		return Trouble{"no-account", err.Error(), `log in first: "carillon login JID", or try "carillon demo"`, Usage}, true
	case errors.Is(err, accounts.ErrNoPassword):
		return Trouble{Code: "no-password", Message: err.Error(), Hint: `log in again with "carillon login JID", or give --password-file or CARILLON_PASSWORD`}, true
	case errors.Is(err, screen.ErrNobody):
		return Trouble{"no-password", err.Error(), "give the password with --password-file or CARILLON_PASSWORD", Usage}, true
	}
	return Trouble{}, false
}
