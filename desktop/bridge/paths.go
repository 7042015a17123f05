package bridge

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/carillon-im/carillon/desktop/state"
	"github.com/carillon-im/carillon/internal/config"
	"github.com/carillon-im/carillon/signaling"
)

// historyDir is the folder of past calls, that of the command line.
func historyDir(p config.Paths) string { return p.State }

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

var errNoRegistration = errors.New("accounts cannot be created from here yet")

func register(context.Context, signaling.Config) error { return errNoRegistration }

func registerProblem(err error) *state.Problem {
	if errors.Is(err, errNoRegistration) {
		return &state.Problem{Code: "register-closed", Detail: err.Error()}
	}
	return nil
}

// verified remembers that the user compared the words. Owner only.
func (b *Bridge) verified(id string) {
	if c, ok := b.app.Call(id); ok {
		b.apply(state.CallSecured{ID: id, Verification: c.Verification, Trust: state.TrustVerified})
	}
}
