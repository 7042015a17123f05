// Package authorities reads the certificates that servers are verified by.
package authorities

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// ErrNone is the cause when a file has no certificate in PEM.
var ErrNone = errors.New("contains no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")

// Read returns those of the system and those of a file.
func Read(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // of some systems there are none to be had
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read certificates: %s %w", path, ErrNone)
	}
	return pool, nil
}
