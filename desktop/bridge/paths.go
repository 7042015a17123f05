package bridge

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/signaling"
)

// historyPath is the file of past calls and transfers.
func historyPath(p config.Paths) string { return filepath.Join(p.State, "history.db") }

// readCAs returns the certificates of the system and those of a file.
func readCAs(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s contains no certificate", path)
	}
	return pool, nil
}

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
