package cli

import (
	"fmt"

	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/config"
	"github.com/carillon-im/carillon/cmd/carillon-turn/internal/ledger"
)

type validateCmd struct{ configFlags }

// Run reads the configuration and starts nothing.
func (v *validateCmd) Run(env Env) error {
	file, err := v.file(env)
	if err != nil {
		return err
	}
	c, err := file.Turn(config.Outside{Getenv: env.Getenv, Check: true})
	if err != nil {
		return err
	}
	if _, err := newLogger(env.Stderr, file.LogLevel, false); err != nil {
		return err
	}
	url, err := file.RedisURL()
	if err != nil {
		return err
	}
	if url != "" {
		l, err := ledger.Open(ledger.Config{URL: string(url)})
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	for _, path := range file.Readable() {
		fmt.Fprintf(env.Stderr, "carillon-turn: warning: %s: %s\n", path, readableText)
	}
	fmt.Fprintf(env.Stdout, "realm %s, %d listeners, %d users, %d secrets: good\n", c.Realm, len(c.Listeners), len(c.Users), len(c.Secrets))
	return nil
}
