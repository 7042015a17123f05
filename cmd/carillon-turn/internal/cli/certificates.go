package cli

import (
	"crypto/tls"
	"errors"
	"reflect"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/acme"
	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
)

// certificates keeps the source of certificates over reloads.
type certificates struct {
	getenv func(string) string
	from   config.ACME
	source *acme.Source // nil without [acme]
}

func (c *certificates) tls(a config.ACME) (*tls.Config, error) {
	switch {
	case c.source == nil:
		source, err := acme.New(a, c.getenv)
		if err != nil {
			return nil, err
		}
		c.source, c.from = source, a
	case !reflect.DeepEqual(a, c.from):
		return nil, errors.New("[acme] cannot change while the relay runs")
	}
	return c.source.TLS(), nil
}
