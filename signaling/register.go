package signaling

import (
	"context"

	"github.com/carillon-im/carillon/signaling/internal/stream"
)

// What a server wants to know of a new account. XEP-0077
type (
	// A RegistrationForm is what is asked besides name and password.
	RegistrationForm = stream.Form
	// A RegistrationField is one thing in it.
	RegistrationField = stream.FormField
	// A RegistrationFormError says that the server wants to know more than was
	// answered, and where the account can be created instead.
	RegistrationFormError = stream.FormError
)

// Reasons why [Register] fails.
var (
	ErrNoRegistration = stream.ErrNoRegistration // the server lets apps create none
	ErrNameTaken      = stream.ErrNameTaken      // somebody has that name
)

// Register creates the account cfg.JID with cfg.Password on its server; log in
// with [Dial] afterwards. ask is called when the server wants to know more, and
// returns the values by name of field; nil answers nothing. The error is
// ErrNoRegistration, ErrNameTaken, a *RegistrationFormError, an *AnswerError, or
// as Dial says why the server cannot be reached. XEP-0077
func Register(ctx context.Context, cfg Config, ask func(context.Context, RegistrationForm) (map[string]string, error)) error {
	return stream.Register(ctx, cfg.stream(), ask)
}
