package cli

import (
	"errors"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
	"github.com/carillon-im/carillon/turn"
)

// secretFlags say which secret credentials are made of.
type secretFlags struct {
	Config     string `short:"c" placeholder:"FILE" help:"Take the first secret of this configuration of a relay."`
	Secret     string `placeholder:"SECRET" help:"Shared secret; other users of this machine can see it."`
	SecretFile string `placeholder:"FILE" help:"File whose first line is the shared secret; default $CARILLON_TURN_SECRET."`
}

var errNoSecret = errors.New("no secret")

func (f secretFlags) secret(env Env) (turn.Secret, error) {
	switch {
	case f.SecretFile != "":
		return turn.SecretFile(f.SecretFile)
	case f.Secret != "":
		return turn.Secret(f.Secret), nil
	case f.Config != "":
		file, err := config.Load(f.Config)
		if err != nil {
			return "", err
		}
		c, err := file.Turn(config.Outside{Getenv: env.Getenv, Check: true})
		if err != nil {
			return "", err
		}
		if len(c.Secrets) > 0 {
			return c.Secrets[0], nil
		}
	}
	if s := env.Getenv("CARILLON_TURN_SECRET"); s != "" {
		return turn.Secret(s), nil
	}
	return "", &hinted{errNoSecret, "pass --config FILE or --secret-file FILE, or set CARILLON_TURN_SECRET"}
}
