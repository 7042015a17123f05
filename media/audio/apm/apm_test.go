package apm_test

import (
	"errors"
	"testing"

	"github.com/carillon-im/carillon/media/audio/apm"
)

// A build either has the library or says that it has not.
func TestAvailable(t *testing.T) {
	p, err := apm.New(apm.Config{})
	if apm.Available != (err == nil) || !apm.Available && !errors.Is(err, apm.ErrUnsupported) {
		t.Fatalf("Available is %v and New says %v", apm.Available, err)
	}
	if err == nil {
		p.Close()
	}
}
