package bridge

import (
	"errors"
	"path/filepath"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/signaling"
)

// historyPath is the file of past calls and transfers.
func historyPath(p config.Paths) string { return filepath.Join(p.State, "history.db") }

// registerProblem says why an account could not be created.
func registerProblem(err error) *state.Problem {
	var form *signaling.RegistrationFormError
	switch {
	case errors.Is(err, signaling.ErrNoRegistration):
		return &state.Problem{Code: "register-closed"}
	case errors.Is(err, signaling.ErrNameTaken):
		return &state.Problem{Code: "register-taken"}
	case errors.As(err, &form):
		return &state.Problem{Code: "register-form", Detail: err.Error()}
	}
	return nil
}
